"""A recommendation as a file, and settings back from it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ratesight.codecs.errors import SettingsError
from ratesight.codecs.roi import region_coding
from ratesight.codecs.settings import Bitrate, Crf, EncodeSettings, Qp, sorted_options
from ratesight.codecs.table import ENCODERS, Choice, Codec, Floats, Ints, OptionValue
from ratesight.optimizer.errors import OutputError, RecommendationError
from ratesight.optimizer.measuring.bench import settings_json
from ratesight.optimizer.recommendation import Recommendation
from ratesight.optimizer.recommendation_file import read_settings, settings_from_json, write_json

MakeRecommendation = Callable[..., Recommendation]


@st.composite
def orders(draw: st.DrawFn) -> EncodeSettings:
    """Any settings that an encoder takes."""
    codec: Codec = draw(st.sampled_from(tuple(ENCODERS)))
    encoder = ENCODERS[codec]
    preset = draw(st.sampled_from(encoder.presets))
    options: dict[str, OptionValue] = {}
    for option in encoder.options:
        is_free = all(one.is_met(options, encoder, preset) for one in option.requires)
        if preset in option.not_presets or not is_free or draw(st.booleans()):
            continue
        match option.values:
            case Ints(low=low, high=high):
                options[option.name] = draw(st.integers(low, high))
            case Floats(low=low, high=high):
                options[option.name] = draw(st.floats(low, high))
            case Choice(values=values):
                options[option.name] = draw(st.sampled_from(values))
    low, high, step = encoder.crf_range
    crfs = st.integers(0, round((high - low) / step)).map(
        lambda steps: Crf(value=round(low + steps * step, 4))
    )
    others = (
        st.integers(*encoder.qp_range).map(lambda qp: Qp(value=qp)),
        st.floats(1, encoder.max_kbps).map(lambda rate: Bitrate(rate_kbps=rate)),
    )
    regions = region_coding(options)
    # Neither works with every rate control.
    needs_crf = "mbr" in options or (regions is not None and regions.has_qp_offsets)
    return EncodeSettings(
        codec=codec,
        preset=preset,
        rate_control=draw(crfs if needs_crf else st.one_of(crfs, *others)),
        options=sorted_options(options),
        num_threads=draw(st.integers(1, 16)),
        height=None if regions is not None else draw(st.none() | st.sampled_from([64, 540, 2160])),
    )


@given(orders())
def test_settings_come_back_as_they_were(settings: EncodeSettings) -> None:
    text = json.dumps({"settings": settings_json(settings)}, allow_nan=False)

    assert settings_from_json(json.loads(text)["settings"]) == settings


def test_settings_stand_in_the_file_by_name(
    recommendation: MakeRecommendation,
) -> None:
    assert recommendation().settings == {
        "codec": "x264",
        "preset": "medium",
        "rate_control": {"crf": 27.5},
        "options": {"aq-strength": 0.8, "mbtree": 0},
        "num_threads": 1,
    }


def test_a_written_recommendation_holds_every_field(
    recommendation: MakeRecommendation, tmp_path: Path
) -> None:
    path = tmp_path / "recommendation.json"
    written = recommendation(rate_change_interval_percent=(None, 3.5), bd_rate_percent=None)

    write_json(written, path)

    read = json.loads(path.read_text())
    assert read == written.to_json()
    assert read.keys() == set(Recommendation.__dataclass_fields__)
    assert read["rate_change_interval_percent"] == [None, 3.5]
    assert read["winner"]["map50"] == 0.8
    assert read["anchor_curve"][0]["crf"] == 20
    assert path.read_text().endswith("}\n")


def test_the_settings_of_a_written_recommendation_are_read(
    recommendation: MakeRecommendation, tmp_path: Path
) -> None:
    write_json(recommendation(), tmp_path / "recommendation.json")

    settings, regions = read_settings(tmp_path / "recommendation.json")

    assert regions is None
    assert settings == EncodeSettings(
        codec="x264",
        preset="medium",
        rate_control=Crf(value=27.5),
        options=(("aq-strength", 0.8), ("mbtree", 0)),
    )


def test_what_is_no_number_is_not_written(
    recommendation: MakeRecommendation, tmp_path: Path
) -> None:
    path = tmp_path / "recommendation.json"
    path.write_text("an earlier one")

    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(recommendation(quality=float("nan")), path)

    assert path.read_text() == "an earlier one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_recommendation_replaces_an_earlier_one(
    recommendation: MakeRecommendation, tmp_path: Path
) -> None:
    path = tmp_path / "recommendation.json"
    path.write_text("an earlier one" * 1000)

    write_json(recommendation(), path)

    assert json.loads(path.read_text())["codec"] == "x264"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_named(
    recommendation: MakeRecommendation, tmp_path: Path
) -> None:
    with pytest.raises(OutputError, match=r"missing/r\.json cannot be written: No such file"):
        write_json(recommendation(), tmp_path / "missing" / "r.json")

    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match=r"folder cannot be written: Is a directory"):
        write_json(recommendation(), tmp_path / "folder")
    assert [file.name for file in tmp_path.iterdir()] == ["folder"]


def broken(**changes: object) -> dict[str, Any]:
    settings = EncodeSettings(codec="x264", preset="medium", rate_control=Crf(value=27.5))
    return {"settings": {**settings_json(settings), **changes}}


@pytest.mark.parametrize(
    "content",
    [
        [],
        None,
        7,
        "settings",
        {},
        {"settings": None},
        {"settings": []},
        {"settings": {}},
        broken(codec="vp9"),
        broken(codec=["x264"]),
        broken(rate_control=None),
        broken(rate_control={}),
        broken(rate_control={"vbr": 100}),
        broken(rate_control={"crf": "much"}),
        broken(rate_control={"crf": None}),
        broken(rate_control={"qp": float("inf")}),
        broken(rate_control={"qp": float("nan")}),
        broken(options=None),
        broken(options=[1]),
        broken(rate_control={"crf": 30, "bitrate": 500}),
        broken(rate_control={"qp": 30.7}),
        broken(heigth=360),
        broken(options={"roi": 1}),
    ],
)
def test_what_is_no_recommendation_is_refused(tmp_path: Path, content: object) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps(content))

    with pytest.raises(
        RecommendationError, match=r"must be a recommendation\.json .*r\.json is not: \w+"
    ):
        read_settings(path)


@pytest.mark.parametrize("content", [b"", b"{", b"\x00\xff\xfe", b'{"settings": '])
def test_what_is_no_json_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "r.json"
    path.write_bytes(content)

    with pytest.raises(RecommendationError, match=r"must be a recommendation\.json"):
        read_settings(path)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"rate_control": {"crf": 60}}, "crf must be in"),
        ({"rate_control": {"crf": float("nan")}}, "crf must be in"),
        ({"preset": "9"}, "preset must be one of"),
        ({"options": {"aq-mode": 7}}, "aq-mode must be"),
        ({"options": {"made-up": 7}}, "no option 'made-up'"),
        ({"options": {"aq-mode": [1]}}, "aq-mode must be"),
        ({"options": {"deadzone-inter": 20}}, "deadzone-inter needs trellis=0"),
        ({"num_threads": 0}, r"num_threads must be a whole number in \[1, 16\], got 0"),
        ({"num_threads": "1"}, "num_threads must be a whole number"),
        ({"num_threads": 17}, "num_threads must be a whole number"),
        ({"rate_control": {"bitrate": 0.4}}, "rate_kbps must be in"),
    ],
)
def test_settings_that_no_encoder_takes_are_refused(
    tmp_path: Path, changes: dict[str, object], rule: str
) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps(broken(**changes)))

    with pytest.raises(SettingsError, match=rule):
        read_settings(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecommendationError, match=r"readable file, .*no\.json: No such file"):
        read_settings(tmp_path / "no.json")
    with pytest.raises(RecommendationError, match=r"readable file, .*: Is a directory"):
        read_settings(tmp_path)

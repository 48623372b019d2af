"""Per-title ladders, with real encoders and a real detector on real clips."""

from __future__ import annotations

import csv
import dataclasses
import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import av
import pytest
from ratesight.codecs.settings import Crf, EncodeSettings
from ratesight.codecs.table import Codec
from ratesight.optimizer.commands.app import app
from ratesight.optimizer.contestants import ClipSkipped, Contestant, CurveMeasured
from ratesight.optimizer.curves.curve import fit_curve
from ratesight.optimizer.curves.hull import cheapest_rate
from ratesight.optimizer.errors import CurveError, RequestError
from ratesight.optimizer.measuring.machine_choice import MachineChoice
from ratesight.optimizer.recommendation_file import read_settings, settings_from_json
from ratesight.optimizer.titles.files import fixed_rows, summary_notes, write_ladders
from ratesight.optimizer.titles.ladder import Chosen, PerTitle, TitleLadder
from ratesight.optimizer.titles.per_title import PerTitleEvent, recommend_events
from ratesight.optimizer.titles.picture import draw_ladders
from ratesight.optimizer.titles.request import (
    PerTitleRequest,
    ladder_contestants,
    parse_codecs,
    parse_heights,
    parse_qualities,
)
from typer.testing import CliRunner

import ratesight

RunFfmpeg = Callable[..., str]


def contestant(codec: str, preset: str, **fields: object) -> Contestant:
    settings = EncodeSettings(
        codec=codec,  # type: ignore[arg-type]  # checked by EncodeSettings
        preset=preset,
        rate_control=Crf(value=30),
        **fields,  # type: ignore[arg-type]  # any of its fields
    )
    return Contestant(name=codec, settings=settings)


@pytest.fixture(scope="module")
def asked(clips: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> PerTitleRequest:
    return PerTitleRequest(
        clips=(
            clips / "carphone_qcif.mp4",
            clips / "nothing.mp4",
            clips / "highway_cam_240p.avi",
        ),
        contestants=(contestant("x264", "veryfast"), contestant("svtav1", "12")),
        qualities=(0.8, 0.9),
        heights=(None, 720, 96),
        machine=MachineChoice(detector=str(weights), image_size=128),
        max_seconds=0.5,
        frames_per_second=10,
        store=tmp_path_factory.mktemp("recommend") / "store.sqlite",
    )


@pytest.fixture(scope="module")
def events(asked: PerTitleRequest) -> list[PerTitleEvent]:
    return list(recommend_events(asked))


@pytest.fixture(scope="module")
def found(events: list[PerTitleEvent]) -> PerTitle:
    assert isinstance(events[-1], PerTitle)
    return events[-1]


def chosen(found: PerTitle) -> list[tuple[TitleLadder, float, Chosen]]:
    return [
        (title, rung.target_quality, rung.chosen)
        for title in found.titles
        for rung in title.rungs
        if rung.chosen is not None
    ]


def test_each_title_gets_a_ladder_and_each_curve_is_told(
    asked: PerTitleRequest, events: list[PerTitleEvent], found: PerTitle
) -> None:
    assert [title.clip for title in found.titles] == ["carphone_qcif", "highway_cam_240p"]
    assert [type(one) for one in events if not isinstance(one, CurveMeasured)] == [
        TitleLadder, ClipSkipped, TitleLadder, PerTitle,
    ]  # fmt: skip
    told = [one for one in events if isinstance(one, CurveMeasured)]
    assert told == [curve for title in found.titles for curve in title.curves]
    for title in found.titles:
        # 720 lines are more than there are: the same as the title's own.
        assert {one.contestant for one in title.curves} == {
            "x264", "x264 96p", "svtav1", "svtav1 96p",
        }  # fmt: skip
        assert [rung.target_quality for rung in title.rungs] == [0.9, 0.8]


def test_rungs_are_the_cheapest_on_their_curves(found: PerTitle) -> None:
    assert chosen(found)
    for title, quality, one in chosen(found):
        curves = {curve.contestant: fit_curve(curve.points) for curve in title.curves}
        alive = [curve for name, curve in curves.items() if name not in title.given_up]
        assert one.contestant not in title.given_up
        assert one.expected_quality >= quality - 0.01
        # The curve was read before the last encodes moved it; half a step of CRF is some percent.
        assert one.expected_rate_kbps <= cheapest_rate(alive, quality) * 1.15


def test_rungs_hold_what_was_measured_on_other_frames(
    asked: PerTitleRequest, found: PerTitle
) -> None:
    for title, _, one in chosen(found):
        settings = settings_from_json(one.settings)
        assert settings.rate_control == Crf(value=one.crf)
        assert (settings.height or title.height) == one.height
        if one.quality_interval is not None:  # of four frames with an object
            assert one.quality_interval[0] <= one.quality <= one.quality_interval[1]
        assert one.quality_gap == pytest.approx(one.quality - one.expected_quality)
        assert one.is_verified == (one.quality_gap >= -asked.tolerance)
        # All of the clip was encoded for the choice too; other frames are looked at.
        assert one.rate_kbps == pytest.approx(one.expected_rate_kbps, rel=0.05)
    assert any(one.quality_interval is not None for _, _, one in chosen(found))
    assert any(one.quality != one.expected_quality for _, _, one in chosen(found))


def test_a_copy_of_a_title_is_said(found: PerTitle) -> None:
    first = found.titles[0]
    copied = dataclasses.replace(
        found, titles=(*found.titles, dataclasses.replace(first, clip="copy"))
    )

    told = [note for note in summary_notes(copied) if note.startswith("copy has the frames of ")]
    assert len(told) == 1
    assert f"the frames of {first.clip}:" in told[0]
    assert not any("has the frames of" in note for note in summary_notes(found))


def test_one_setting_for_all_is_measured_on_every_title(found: PerTitle) -> None:
    compared = {(one.target_quality, one.keeps): one.found for one in found.fixed}
    assert {keeps for _, keeps in compared} == {"all titles", "median title"}
    fixed = compared[0.8, "all titles"]
    assert fixed is not None
    assert [one.clip for one in fixed.titles] == ["carphone_qcif", "highway_cam_240p"]
    own = {(title.clip, quality): one for title, quality, one in chosen(found)}
    for one in fixed.titles:
        assert one.own_rate_kbps == own[one.clip, 0.8].rate_kbps
        assert one.change_percent == pytest.approx((one.own_rate_kbps / one.rate_kbps - 1) * 100)
    assert fixed.num_worse == sum(one.change_percent > 0 for one in fixed.titles)
    assert len(list(fixed_rows(found))) == len(found.fixed)


def test_nothing_is_measured_twice(asked: PerTitleRequest, found: PerTitle) -> None:
    again = list(recommend_events(asked))[-1]

    assert isinstance(again, PerTitle)
    assert again.num_encodes == 0
    assert again.titles == found.titles
    assert again.fixed == found.fixed


def test_ladders_outlive_a_clip_that_goes_away(
    asked: PerTitleRequest, found: PerTitle, tmp_path: Path
) -> None:
    names = ("carphone_qcif.mp4", "highway_cam_240p.avi")
    clips = [
        Path(shutil.copy(one, tmp_path / one.name)) for one in asked.clips if one.name in names
    ]
    ladders = []
    for event in recommend_events(dataclasses.replace(asked, clips=tuple(clips))):
        if isinstance(event, TitleLadder):
            ladders.append(event)
            if len(ladders) == len(clips):
                clips[0].unlink()

    assert isinstance(event, PerTitle)
    assert event.titles == tuple(ladders)
    assert [one.curves for one in ladders] == [one.curves for one in found.titles]
    assert all(rung.chosen is not None for one in ladders for rung in one.rungs)
    assert event.fixed == ()
    assert event.not_compared is not None
    assert "carphone_qcif.mp4" in event.not_compared
    assert found.not_compared is None


def test_files_hold_every_rung_and_can_be_encoded(
    found: PerTitle, asked: PerTitleRequest, ffmpeg: RunFfmpeg, tmp_path: Path
) -> None:
    (tmp_path / "rungs").mkdir()
    (tmp_path / "rungs" / "old-q0.5.json").touch()

    write_ladders(found, tmp_path)

    with (tmp_path / "ladder.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(len(title.rungs) for title in found.titles) == 4
    written = json.loads((tmp_path / "recommendations.json").read_text())
    assert len(written["titles"]) == 2
    assert {path.name for path in (tmp_path / "rungs").iterdir()} == {
        Path(row["settings_file"]).name for row in rows if row["settings_file"]
    }
    clips = {clip.stem: clip for clip in asked.clips}
    row = next(row for row in rows if row["settings_file"])
    settings, used = read_settings(tmp_path / row["settings_file"])
    assert used is None
    assert (settings.codec, settings.rate_control) == (row["codec"], Crf(value=float(row["crf"])))
    target = tmp_path / "out.mkv"
    done = CliRunner().invoke(
        app,
        ["encode", str(tmp_path / row["settings_file"]), str(clips[row["title"]]), str(target)],
    )
    assert done.exit_code == 0, done.output
    words = shlex.split(row["ffmpeg_command"])
    by_ffmpeg = tmp_path / "by_ffmpeg.mkv"
    ffmpeg(*words[1:-1], by_ffmpeg)
    for path in (target, by_ffmpeg):
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            assert (stream.width, stream.height) == (int(row["width"]), int(row["height"]))


def test_hulls_are_drawn(found: PerTitle, tmp_path: Path) -> None:
    draw_ladders(found, tmp_path / "hulls.png")

    with av.open(str(tmp_path / "hulls.png")) as container:
        frame = next(container.decode(video=0))
    assert frame.width > frame.height
    assert frame.to_ndarray(format="gray").std() > 10


def test_the_command_shows_and_writes_its_results(
    asked: PerTitleRequest, weights: Path, tmp_path: Path
) -> None:
    given = tmp_path / "mine.json"
    given.write_text(json.dumps({"settings": {
        "codec": "x264", "preset": "veryfast", "rate_control": {"crf": 30},
        "options": {"aq-mode": 0}, "num_threads": 1}}))  # fmt: skip
    arguments = [
        "recommend", str(asked.clips[0]), "--settings", str(given), "--qualities", "0.8,0.9999",
        "--heights", "own", "--detector", str(weights), "--image-size", "128", "--max-seconds",
        "0.4", "--frames-per-second", "10", "--tolerance", "0.9", "--store",
        str(tmp_path / "s.sqlite"), "--out", str(tmp_path / "out"),
    ]  # fmt: skip

    done = CliRunner().invoke(app, arguments)

    assert done.exit_code == 0, done.output
    assert "mine" in done.stdout
    assert "out of reach" in done.stdout
    for name in (
        "ladder.csv",
        "recommendations.json",
        "hulls.png",
        "report.html",
        "rungs/carphone_qcif-q0.8.json",
    ):
        assert (tmp_path / "out" / name).is_file()

    strict = CliRunner().invoke(app, [*arguments, "--json", "--tolerance", "1e-9"])
    lines = [json.loads(line) for line in strict.stdout.splitlines()]
    assert [line["type"] for line in lines] == ["curve_measured", "title_ladder", "per_title"]
    missing, rung = lines[1]["rungs"]
    assert missing["chosen"] is None
    assert missing["reason"].startswith("quality 0.9999 is out of reach: the most is 0.")
    assert strict.exit_code == (3 if rung["chosen"]["quality_gap"] < -1e-9 else 0)
    assert lines[-1]["num_encodes"] == 0
    with (tmp_path / "out" / "ladder.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["reason"] == "" for row in rows] == [False, True]
    assert rows[0]["reason"] == missing["reason"]


def test_a_learned_metric_keeps_what_is_asked_of_its_machine(
    clips: Path, weights: Path, tmp_path: Path
) -> None:
    found = ratesight.recommend(
        [clips / "carphone_qcif.mp4", clips / "highway_cam_240p.avi"],
        qualities=(0.8, 0.9999),
        codecs=("x264",),
        heights=(None,),
        metric="objects",
        detector=weights,
        max_seconds=0.5,
        frames_per_second=10,
        store=tmp_path / "store.sqlite",
    )

    assert len(found.titles) == 2
    for title in found.titles:
        missing, rung = title.rungs
        assert missing.chosen is None
        assert missing.reason is not None
        assert missing.reason.endswith("as the real machine has it")
        assert missing.most_quality is not None
        assert missing.most_quality < 0.9999
        one, target = rung.chosen, rung.metric_target_quality
        assert one is not None
        assert target is not None
        assert target != rung.target_quality
        assert one.expected_quality == pytest.approx(target, abs=0.05)
        assert one.real_quality is not None
        assert one.expected_real_quality is not None
        assert one.expected_real_quality == pytest.approx(0.8, abs=0.05)
        assert one.quality_gap == pytest.approx(one.real_quality - one.expected_real_quality)
    # What is short is so to the real machine, on its own scale.
    fixed = found.fixed[1].found
    assert fixed is not None
    for one, title in zip(fixed.titles, found.titles, strict=True):
        own = title.rungs[1].chosen
        assert own is not None
        assert one.enough_quality == pytest.approx(0.8 - found.tolerance)
        assert one.own_quality == own.real_quality
        assert own.real_quality is not None
        assert (one.quality > own.real_quality) == (fixed.crf < own.crf)
    for title, num_frames in zip(found.titles, (15, 13), strict=True):
        assert f"cut to its first {num_frames} frames, as asked" in title.notes
        assert any("the printed command encodes the whole clip" in note for note in title.notes)
    write_ladders(found, tmp_path)
    with (tmp_path / "ladder.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["metric_target_quality"]) for row in rows] == [
        pytest.approx(rung.metric_target_quality, abs=1e-6)
        for title in found.titles
        for rung in title.rungs
    ]


def test_without_a_clip_it_fails_in_one_line(weights: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(
        app,
        ["recommend", str(tmp_path / "nothing.mp4"), "--detector", str(weights), "--codecs",
         "x264", "--store", str(tmp_path / "s.sqlite"), "--out", str(tmp_path / "out")],
    )  # fmt: skip
    assert done.exit_code == 1
    assert "ratesight: no clip could be measured; " in done.stderr


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"clips": ()}, "there must be a clip"),
        ({"contestants": ()}, "needs a contestant, got none"),
        ({"contestants": (contestant("x264", "medium"),) * 2}, "must have different names"),
        ({"contestants": (contestant("x264", "medium", options=(("roi", 1),)),)}, "no regions"),
        ({"qualities": ()}, "qualities must be different ones"),
        ({"qualities": (0.9, 0.9)}, "qualities must be different ones"),
        ({"qualities": (1.0,)}, "qualities must be between 0 and 1, got 1"),
        ({"heights": ()}, "heights must be different ones"),
        ({"heights": (541,)}, "height must be an even number"),
        ({"tolerance": 0}, "tolerance must be above 0"),
        ({"max_seconds": float("inf")}, "max_seconds must be above 0 and finite"),
        ({"num_segments": -1}, "segments must not be negative"),
    ],
)
def test_misuse_is_refused(asked: PerTitleRequest, fields: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(asked, **fields)


def test_texts_of_the_command_line() -> None:
    assert parse_qualities("0.99,0.9") == (0.99, 0.9)
    assert parse_heights("720, own ,540") == (720, None, 540)
    assert parse_codecs("svtav1, x264") == ("svtav1", "x264")
    assert parse_codecs(None) is parse_codecs("") is None
    with pytest.raises(RequestError, match=r"codecs must be among .*, got 'vp9'"):
        parse_codecs("vp9")
    with pytest.raises(RequestError, match=r"qualities must be like 0\.99,0\.95, got 'best'"):
        parse_qualities("best")
    with pytest.raises(RequestError, match=r"heights must be like own,720,540, got '720p'"):
        parse_heights("720p")


def test_settings_alone_are_tried_alone(tmp_path: Path) -> None:
    settings = {"codec": "x264", "preset": "fast", "rate_control": {"crf": 30},
                "options": {}, "num_threads": 1}  # fmt: skip
    files = [tmp_path / folder / "mine" / "recommendation.json" for folder in "ab"]
    for file in files:
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps({"settings": settings}))

    def names(codecs: tuple[Codec, ...] | None, files: list[Path]) -> list[str]:
        return [one.name for one in ladder_contestants(codecs, files)]

    assert names(None, []) == ["x264", "x265", "svtav1"]
    assert names(None, files[:1]) == ["mine"]
    assert names(("svtav1", "x264"), files[:1]) == ["svtav1", "x264", "mine"]
    with pytest.raises(RequestError, match=r"must have different names, got mine, mine; .*rename"):
        PerTitleRequest(clips=(Path("a.mp4"),), contestants=ladder_contestants(None, files))


def test_the_python_call_finds_what_the_command_finds(
    clips: Path, weights: Path, tmp_path: Path
) -> None:
    clip, store, file = clips / "carphone_qcif.mp4", tmp_path / "s.sqlite", tmp_path / "mine.json"
    settings = {"codec": "x264", "preset": "veryfast", "rate_control": {"crf": 30},
                "options": {}, "num_threads": 1}  # fmt: skip
    file.write_text(json.dumps({"settings": settings}))

    found = ratesight.recommend(
        clip,
        settings=file,
        qualities=(0.8,),
        detector=weights,
        image_size=128,
        match_score=0.1,
        max_seconds=0.4,
        store=store,
    )

    command = [
        "recommend", clip, "--settings", file, "--qualities", 0.8, "--detector", weights,
        "--image-size", 128, "--match-score", 0.1, "--max-seconds", 0.4, "--store", store,
        "--out", tmp_path / "out", "--json",
    ]  # fmt: skip
    done = CliRunner().invoke(app, [str(word) for word in command])
    printed = json.loads((tmp_path / "out" / "recommendations.json").read_text())
    (title,) = found.titles
    assert [one.contestant for one in title.curves] == ["mine"]
    assert found.num_encodes > 0
    assert (printed["num_encodes"], done.exit_code) == (0, 0 if found.is_verified else 3)
    assert printed["titles"] == found.to_json()["titles"]
    told = json.loads((tmp_path / "out" / "report.json").read_text())["provenance"]
    assert told["clips_content_sha256"] == {title.clip: title.clip_content_sha256}
    assert (told["match_score"], told["machine_version"]) == (0.1, found.machine_version)
    assert (told["frame_rate"], told["real_machine"], found.real_machine) == (None, None, None)


def test_equal_settings_are_tried_once(asked: PerTitleRequest) -> None:
    one = contestant("x264", "veryfast")
    other = Contestant(name="kept", settings=one.settings.at(Crf(value=17.5)))
    request = dataclasses.replace(asked, contestants=(one, other))
    assert [one.name for one in request.variants] == ["x264", "x264 720p", "x264 96p"]


def test_a_height_of_its_own_is_not_crossed_with_others(asked: PerTitleRequest) -> None:
    own = contestant("x264", "veryfast", height=128)
    request = dataclasses.replace(asked, contestants=(own,))
    assert [one.settings.height for one in request.variants] == [128]


def test_no_usable_clip_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CurveError, match=r"no clip could be measured; .*does not exist"):
        ratesight.recommend(
            [tmp_path / "missing.mp4"], metric="objects", store=tmp_path / "a.sqlite"
        )

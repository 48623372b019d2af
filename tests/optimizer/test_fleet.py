"""What clips save together that were each tuned by themselves."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from ratesight.optimizer.commands.app import app
from ratesight.optimizer.curves.interval import RateChange
from ratesight.optimizer.errors import RecommendationError, RequestError
from ratesight.optimizer.fleet import fleet
from ratesight.optimizer.recommendation import Contender, Recommendation, write_json
from typer.testing import CliRunner

import ratesight

MakeRecommendation = Callable[..., Recommendation]
MakeTuned = Callable[..., Recommendation]


def change(rate_kbps: float, percent: float) -> RateChange:
    return RateChange(
        percent=percent,
        rate_kbps=rate_kbps * (1 + percent / 100),
        anchor_rate_kbps=rate_kbps,
        low_percent=percent - 4,
        high_percent=percent + 4,
        is_clamped=False,
        bd_rate=None,
        bd_rate_interval_percent=None,
    )


@pytest.fixture(scope="module")
def tuned(recommendation: MakeRecommendation) -> MakeTuned:
    """Makes the recommendation for a clip, of defaults' rate and the best of a search's change."""

    def make(
        clip: str,
        rate_kbps: float,
        percent: float,
        *,
        second_percent: float | None = None,
        content: str | None = None,
    ) -> Recommendation:
        curves = recommendation()
        second = None if second_percent is None else change(rate_kbps, second_percent)
        best = Contender(
            role="options",
            settings=curves.settings,
            region_share=None,
            curve=curves.winner_curve,
            change=change(rate_kbps, percent),
            real_curve=(),
            real_change=None,
            second_curve=(),
            second_change=second,
            change_from_options=None,
            real_change_from_options=None,
            second_change_from_options=None,
        )
        saves = percent < 0
        return recommendation(
            rate_kbps=rate_kbps * (1 + percent / 100) if saves else rate_kbps,
            anchor_rate_kbps=rate_kbps,
            rate_change_percent=percent if saves else 0.0,
            rate_change_interval_percent=(percent - 4, percent + 4) if saves else (0.0, 0.0),
            winner_curve=curves.winner_curve if saves else curves.anchor_curve,
            contenders=(best,),
            provenance={
                "clip": clip,
                "clip_content_sha256": content or clip,
                "second_detector": None if second is None else "other.pt",
            },
        )

    return make


def test_a_clip_counts_as_much_as_its_rate(tuned: MakeTuned) -> None:
    found = fleet([tuned("a.mp4", 100, -10), tuned("b.mp4", 300, -30)])

    assert found.anchor_rate_kbps == 400
    assert found.percent == pytest.approx(-25)
    assert found.rate_kbps == pytest.approx(300)
    assert found.median_percent == pytest.approx(-20)
    assert [one.clip for one in found.clips] == ["a", "b"]
    # 400 kbit/s for 30 days of 86,400 s: 129.6 GB.
    assert found.terabytes == pytest.approx((0.1296, 0.0972))


def test_what_was_found_and_not_recommended_counts(tuned: MakeTuned) -> None:
    found = fleet([tuned("a.mp4", 100, -20), tuned("b.mp4", 100, +8), tuned("c.mp4", 100, -3)])

    assert found.percent == pytest.approx(-5)
    assert found.recommended_percent == pytest.approx(-23 / 3)
    assert [one.keeps_defaults for one in found.clips] == [False, True, False]
    assert [one.rate_kbps for one in found.clips] == pytest.approx([80, 100, 97])
    assert (found.num_keeping, found.num_unsure, found.num_not_verified) == (1, 1, 0)


def test_the_second_detector_counts_where_every_clip_has_one(tuned: MakeTuned) -> None:
    with_second = [
        tuned("a.mp4", 100, -20, second_percent=-10),
        tuned("b.mp4", 300, -20, second_percent=+2),
    ]

    assert fleet(with_second).second_percent == pytest.approx(-1)
    assert fleet([*with_second, tuned("c.mp4", 100, -20)]).second_percent is None


def test_from_six_clips_on_there_is_an_interval(tuned: MakeTuned) -> None:
    clips = [tuned(f"{at}.mp4", 100 * (at + 1), -5.0 * at) for at in range(6)]

    found = fleet(clips)

    assert fleet(clips[1:]).interval_percent is None
    assert found.interval_percent is not None
    low, high = found.interval_percent
    assert -40 < low < found.percent < high < 5
    assert fleet(clips).interval_percent == found.interval_percent


def test_equal_clips_have_an_interval_of_a_point(tuned: MakeTuned) -> None:
    found = fleet([tuned(f"{at}.mp4", 100 * (at + 1), -12.0) for at in range(8)])

    assert found.interval_percent == pytest.approx((-12, -12))


def test_clips_of_one_name_or_content_are_told_apart_or_of(tuned: MakeTuned) -> None:
    found = fleet(
        [
            tuned("gate/cam.mp4", 100, -20),
            tuned("yard/cam.mp4", 100, -10, content="x"),
            tuned("copy.mp4", 100, -10, content="x"),
        ]
    )

    assert [one.clip for one in found.clips] == ["gate/cam.mp4", "yard/cam.mp4", "copy"]
    assert [note for note in found.notes if "copy has the frames of yard/cam.mp4" in note]


def test_a_mixed_fleet_is_said(tuned: MakeTuned) -> None:
    one, other = tuned("a.mp4", 100, -20), tuned("b.mp4", 100, -10)

    mixed = fleet([one, replace(other, codec="x265")])

    assert not fleet([one, other]).notes
    assert mixed.notes == ("Runs with different encoders are added up: x264 medium, x265 medium.",)


def test_nothing_is_no_fleet() -> None:
    with pytest.raises(RequestError, match="needs recommendations, got none"):
        fleet([])


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("[]", "is not: "),
        ("{", "is not: JSONDecodeError"),
        ('{"codec": "x264"}', "is not: ValueError Field required: preset"),
    ],
)
def test_a_file_that_is_no_recommendation_is_one_line(text: str, rule: str, tmp_path: Path) -> None:
    (tmp_path / "recommendation.json").write_text(text)

    for where in (tmp_path, tmp_path / "recommendation.json"):
        with pytest.raises(RecommendationError, match=re.escape(rule)) as caught:
            fleet([where])
        assert "\n" not in str(caught.value)
    with pytest.raises(RecommendationError, match="must be a readable file"):
        fleet([tmp_path / "gone"])


def test_files_say_what_they_were_written_of(tuned: MakeTuned, tmp_path: Path) -> None:
    recommended = tuned("a.mp4", 100, -20, second_percent=-5), tuned("b.mp4", 300, 4)
    for one in recommended:
        folder = tmp_path / str(one.provenance["clip"])
        folder.mkdir()
        write_json(one, folder / "recommendation.json")

    assert fleet(sorted(tmp_path.iterdir())) == fleet(recommended)


def test_real_runs_are_added_up(clips: Path, weights: Path, tmp_path: Path) -> None:
    def run(*words: object) -> str:
        result = CliRunner().invoke(app, [str(word) for word in words])
        assert result.exit_code == 0, result.output
        return result.stdout

    folders = []
    for name in ("carphone_qcif.mp4", "face_d6_480.mp4"):
        folders.append(tmp_path / name)
        run(
            "tune", clips / name, "--max-seconds", "0.5", "--trials", "4", "--preset",
            "veryfast", "--image-size", "128", "--target-quality", "0.85", "--detector", weights,
            "--store", tmp_path / "s.sqlite", "--out", folders[-1], "--tolerance", "1",
        )  # fmt: skip

    printed = run("fleet", *folders, "--out", tmp_path / "fleet")
    as_json = json.loads(run("fleet", *folders, "--out", tmp_path / "fleet", "--json"))

    assert "rate of 2 clips together at equal quality" in printed
    written = json.loads((tmp_path / "fleet" / "fleet.json").read_text())
    assert as_json == {"type": "fleet", **written}
    assert written == ratesight.fleet(folders).to_json()
    told = [json.loads((one / "recommendation.json").read_text()) for one in folders]
    assert written["anchor_rate_kbps"] == pytest.approx(
        sum(one["anchor_rate_kbps"] for one in told)
    )
    with (tmp_path / "fleet" / "Clip_by_clip.csv").open(newline="") as file:
        assert [row["clip"] for row in csv.DictReader(file)] == [
            "carphone_qcif", "face_d6_480",
        ]  # fmt: skip
    assert (tmp_path / "fleet" / "fleet.png").read_bytes().startswith(b"\x89PNG")
    assert "2 clips, each tuned by itself" in (tmp_path / "fleet" / "report.html").read_text()

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
from ratesight.optimizer.curves.bd_rate import BdRate
from ratesight.optimizer.curves.interval import RateChange
from ratesight.optimizer.errors import RecommendationError, RequestError
from ratesight.optimizer.fleet import fleet
from ratesight.optimizer.recommendation import Contender, Recommendation
from ratesight.optimizer.recommendation_file import write_json
from ratesight.optimizer.reports.pictures import draw_fleet
from typer.testing import CliRunner

import ratesight

MakeRecommendation = Callable[..., Recommendation]
MakeTuned = Callable[..., Recommendation]


# So narrow an interval that what is measured is what to expect.
SURE = 0.05


def change(rate_kbps: float, percent: float, error: float | None) -> RateChange:
    ends = (None, None) if error is None else (percent - error, percent + error)
    half = percent / 2
    return RateChange(
        percent=percent,
        rate_kbps=rate_kbps * (1 + percent / 100),
        anchor_rate_kbps=rate_kbps,
        low_percent=ends[0],
        high_percent=ends[1],
        is_clamped=False,
        bd_rate=BdRate(percent=half, overlap=0.9, low_quality=0.8, high_quality=0.95),
        bd_rate_interval_percent=None if error is None else (half - error, half + error),
    )


@pytest.fixture(scope="module")
def tuned(recommendation: MakeRecommendation) -> MakeTuned:
    """Makes the recommendation for a clip, of defaults' rate and the best of a search's change."""

    def make(
        clip: str,
        rate_kbps: float,
        percent: float,
        *,
        error: float | None = SURE,
        second_percent: float | None = None,
        real_percent: float | None = None,
        content: str | None = None,
        falls_short: bool = False,
        **fields: object,
    ) -> Recommendation:
        curves = recommendation()
        own = replace(change(rate_kbps, percent, error), falls_short=falls_short)
        second, real = (
            None if told is None else change(rate_kbps, told, error)
            for told in (second_percent, real_percent)
        )
        best = Contender(
            role="options",
            settings=curves.settings,
            region_share=None,
            curve=curves.winner_curve,
            change=own,
            real_curve=(),
            real_change=real,
            second_curve=(),
            second_change=second,
            change_from_options=None,
            real_change_from_options=None,
            second_change_from_options=None,
        )
        saves = percent < 0 and not falls_short
        given: dict[str, object] = {
            "rate_kbps": own.rate_kbps if saves else rate_kbps,
            "anchor_rate_kbps": rate_kbps,
            "rate_change_percent": percent if saves else 0.0,
            "rate_change_interval_percent": (own.low_percent, own.high_percent),
            "winner_curve": curves.winner_curve if saves else curves.anchor_curve,
            "contenders": (best,),
            "provenance": {
                "clip": clip,
                "clip_content_sha256": content or clip,
                "second_detector": None if second is None else "other.pt",
            },
        }
        return recommendation(**{**given, **fields})

    return make


def test_a_clip_counts_as_much_as_its_rate(tuned: MakeTuned) -> None:
    found = fleet([tuned("a.mp4", 100, -10), tuned("b.mp4", 300, -30)])

    assert found.anchor_rate_kbps == 400
    assert found.percent == pytest.approx(-25, abs=0.1)
    assert found.rate_kbps == pytest.approx(300, abs=0.4)
    assert found.median_percent == -20
    assert [one.clip for one in found.clips] == ["a", "b"]
    # 400 kbit/s for 30 days of 86,400 s: 129.6 GB.
    assert found.terabytes_a_month == pytest.approx((0.1296, 0.0972), abs=2e-4)


def test_savings_that_may_err_are_drawn_to_the_others(tuned: MakeTuned) -> None:
    sure = [tuned(f"{at}.mp4", 100, -10 - at % 2) for at in range(10)]

    found = fleet([*sure, tuned("lucky.mp4", 100, -40, error=40)])

    *others, lucky = found.clips
    assert all(abs(one.expected_percent - one.percent) < 0.5 for one in others)
    assert lucky.percent == -40
    assert -13 < lucky.expected_percent < -10
    assert found.measured_percent < found.percent < -10


def test_what_keeps_the_defaults_saves_nothing(tuned: MakeTuned) -> None:
    found = fleet([tuned("a.mp4", 100, -20), tuned("b.mp4", 100, +8), tuned("c.mp4", 100, -3)])

    assert found.median_percent == -3
    assert found.percent == found.measured_percent == pytest.approx(-23 / 3)
    assert [one.keeps_defaults for one in found.clips] == [False, True, False]
    assert [one.percent for one in found.clips] == [-20, 8, -3]
    assert [one.rate_kbps for one in found.clips] == pytest.approx([80, 100, 97])
    assert (found.num_keeping, found.num_unsure, found.num_not_verified) == (1, 0, 0)


def test_what_never_reaches_the_quality_is_no_saving(tuned: MakeTuned) -> None:
    found = fleet([tuned("a.mp4", 100, -20), tuned("b.mp4", 100, -60, falls_short=True)])

    assert [one.percent for one in found.clips] == [-20, 0]
    assert found.percent == pytest.approx(-10, abs=0.1)


def test_the_real_machine_tells(tuned: MakeTuned) -> None:
    (one,) = fleet(tuned("a.mp4", 100, -20, real_percent=-12)).clips

    assert one.percent == -12


def test_a_range_of_qualities_is_told_as_bd_rate(tuned: MakeTuned) -> None:
    (one,) = fleet(tuned("a.mp4", 100, -20, second_percent=-8, quality_range=(0.8, 0.95))).clips

    assert one.percent == -10
    assert one.second_percent == -4
    assert one.interval_percent == (-10 - SURE, -10 + SURE)


def test_a_target_rate_is_spent_and_not_saved(tuned: MakeTuned, tmp_path: Path) -> None:
    spent = tuned("a.mp4", 100, -20, target_rate_kbps=90.0, target_quality=None)
    write_json(spent, tmp_path / "recommendation.json")

    for given in (spent, tmp_path / "recommendation.json"):
        with pytest.raises(RecommendationError, match="spends a target rate of 90 kbit/s; leave"):
            fleet(given)
    found = fleet([tmp_path, tuned("b.mp4", 100, -10)])
    assert len(found.clips) == 1
    assert found.notes[0].startswith(f"{tmp_path} is left out: a fleet adds up rates at equal")


def test_doubts_are_counted(tuned: MakeTuned) -> None:
    found = fleet([tuned("a.mp4", 100, -3, error=4), tuned("c.mp4", 100, -10, is_verified=False)])

    assert (found.num_unsure, found.num_not_verified) == (1, 1)


def test_an_end_that_was_not_reached_is_far_away(tuned: MakeTuned) -> None:
    clips = [tuned(f"{at}.mp4", 100, 2.0 * (-1) ** at, error=20) for at in range(20)]
    lucky = tuned("lucky.mp4", 100, -22)
    (best,) = lucky.contenders
    half = replace(best, change=replace(best.change, low_percent=-22.9, high_percent=None))

    found = fleet([*clips, replace(lucky, contenders=(half,))])

    assert found.is_corrected
    assert found.clips[-1].expected_percent > -4


@pytest.mark.parametrize(("num_clips", "error"), [(5, 4.0), (8, None)])
def test_few_clips_or_unknown_errors_are_told_as_measured(
    tuned: MakeTuned, num_clips: int, error: float | None
) -> None:
    found = fleet([tuned(f"{at}.mp4", 100, -2.0 * at, error=error) for at in range(num_clips)])

    assert not found.is_corrected
    assert found.percent == found.measured_percent


def test_the_second_detector_counts_where_it_could_say(tuned: MakeTuned) -> None:
    with_second = [
        tuned("a.mp4", 100, -20, second_percent=-10),
        tuned("b.mp4", 300, -20, second_percent=+2),
        tuned("kept.mp4", 100, +20, second_percent=-30),
    ]
    short = tuned("short.mp4", 900, -20, second_percent=-50)
    (best,) = short.contenders
    assert best.second_change is not None
    never = replace(best, second_change=replace(best.second_change, falls_short=True))

    found = fleet([*with_second, tuned("c.mp4", 100, -20), replace(short, contenders=(never,))])

    assert found.second_percent == pytest.approx(-4 / 5)
    assert found.num_second == 3
    assert fleet(tuned("c.mp4", 100, -20)).second_percent is None


def test_from_six_clips_on_there_is_an_interval(tuned: MakeTuned) -> None:
    clips = [tuned(f"{at}.mp4", 100 * (at + 1), -5.0 * at) for at in range(6)]

    found = fleet(clips)

    assert fleet(clips[1:]).interval_percent is None
    assert found.interval_percent is not None
    low, high = found.interval_percent
    assert -30 < low < found.percent < high < 0
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
    assert found.notes == (
        "copy (x264 medium) has the frames of yard/cam.mp4 (x264 medium): both are added up, leave "
        "one out.",
    )


def test_a_mixed_fleet_is_said(tuned: MakeTuned) -> None:
    one, other = tuned("a.mp4", 100, -20), tuned("b.mp4", 100, -10)
    by_metric = replace(one.machines, metric="objects", metric_sha256="0", regions_by="own.pt")

    mixed = fleet([one, replace(other, codec="x265", machines=by_metric, target_quality=0.8)])

    assert not fleet([one, other]).notes
    assert mixed.notes == (
        "Runs with different encoders are added up: x264 medium, x265 medium.",
        "Runs with different metrics are added up: detector, objects.",
        "Runs with different machines are added up: own.pt, yolov8n.pt.",
        "Runs with different targets are added up: quality 0.8, quality 0.9.",
        "Of 1 clips only a learned metric tells what is saved, which steered the search too: not a "
        "figure to quote.",
    )


def test_nothing_is_no_fleet() -> None:
    with pytest.raises(RequestError, match="needs recommendations of 'ratesight tune', got none"):
        fleet([])


def test_a_folder_that_a_failed_run_left_is_left_out(tuned: MakeTuned, tmp_path: Path) -> None:
    found = fleet([tuned("a.mp4", 100, -10), tmp_path])

    assert found.percent == pytest.approx(-10)
    (note,) = found.notes
    assert note.startswith(f"{tmp_path} is left out: recommendation must be a readable file")
    with pytest.raises(RequestError, match=r"got none, .* is left out"):
        fleet([tmp_path])


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("[]", "not of one clip and this version, Input should be a dictionary"),
        ("{", "is not: JSONDecodeError"),
        ('{"codec": "x264"}', "not of one clip and this version, Field required: preset"),
    ],
)
def test_a_file_that_is_no_recommendation_is_one_line(text: str, rule: str, tmp_path: Path) -> None:
    (tmp_path / "recommendation.json").write_text(text)

    with pytest.raises(RecommendationError, match=re.escape(rule)) as caught:
        fleet([tmp_path / "recommendation.json"])
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


@pytest.mark.parametrize("num_clips", [1, 300])
def test_any_fleet_can_be_drawn(tuned: MakeTuned, tmp_path: Path, num_clips: int) -> None:
    clips = [tuned(f"{at}.mp4", 100, (-1) ** at * 5.0 * (at % 9)) for at in range(num_clips)]

    draw_fleet(fleet([*clips, tuned("$\\frac$.mp4", 1, 900, error=None)]), tmp_path / "fleet.png")

    assert (tmp_path / "fleet.png").read_bytes().startswith(b"\x89PNG")


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

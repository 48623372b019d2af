"""Settings that suit several clips, searched for and verified with real encodes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import pytest
from ratesight.codecs.errors import ClipError
from ratesight.codecs.settings import Crf
from ratesight.optimizer.aim import QualityRange, TargetQuality
from ratesight.optimizer.commands.app import app
from ratesight.optimizer.commands.output import own_folder
from ratesight.optimizer.contestants import ClipSkipped
from ratesight.optimizer.curves.bd_comparison import FrameQualities, Rules, compare
from ratesight.optimizer.curves.interval import rate_change
from ratesight.optimizer.errors import RequestError
from ratesight.optimizer.events import PointMeasured, TargetMoved, TrialFinished
from ratesight.optimizer.measuring.bench import Bench, Measurement
from ratesight.optimizer.measuring.machine_choice import MachineChoice
from ratesight.optimizer.recommendation_file import read_settings
from ratesight.optimizer.reports.files import write_report
from ratesight.optimizer.reports.summaries import set_record
from ratesight.optimizer.request import TuneRequest
from ratesight.optimizer.search.anchor import SearchedClip
from ratesight.optimizer.search.candidate import Candidate
from ratesight.optimizer.search.entrant import Entrant, total_cost
from ratesight.optimizer.set_outcome import gains_on_median
from ratesight.optimizer.set_recommendation import SetRecommendation
from ratesight.optimizer.tune_set import (
    ClipReady,
    SetEvent,
    SetRecommended,
    tune_set_events,
)
from typer.testing import CliRunner

MakeMeasurement = Callable[..., Measurement]

NUM_TRIALS = 3
NAMES = ["carphone_qcif", "highway_cam_240p"]


@pytest.fixture(scope="module")
def paths(clips: Path) -> list[Path]:
    return [clips / "carphone_qcif.mp4", clips / "highway_cam_240p.avi", clips / "SOURCES.mp4"]


@pytest.fixture(scope="module")
def asked(
    paths: list[Path], weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> TuneRequest:
    return TuneRequest(
        clip=paths[0],
        preset="veryfast",
        aim=QualityRange(low=0.6, high=0.9, quality=0.8),
        machine=MachineChoice(detector=str(weights), image_size=192),
        num_trials=NUM_TRIALS,
        max_seconds=0.5,
        frames_per_second=10.0,
        num_jobs=2,
        store=tmp_path_factory.mktemp("set") / "store.sqlite",
    )


@pytest.fixture(scope="module")
def events(asked: TuneRequest, paths: list[Path]) -> list[SetEvent]:
    return list(tune_set_events(asked, paths))


@pytest.fixture(scope="module")
def found(events: list[SetEvent]) -> SetRecommendation:
    assert isinstance(events[-1], SetRecommended)
    return events[-1].recommendation


def test_a_clip_that_cannot_be_used_is_skipped_and_the_others_go_on(
    events: list[SetEvent], found: SetRecommendation
) -> None:
    assert [event.clip for event in events if isinstance(event, ClipReady)] == NAMES
    assert [one.clip for one in found.skipped] == ["SOURCES"]
    assert [event for event in events if isinstance(event, ClipSkipped)] == list(found.skipped)


def test_each_trial_is_measured_on_both_clips_unless_it_is_hopeless(
    events: list[SetEvent],
) -> None:
    finished = [event for event in events if isinstance(event, TrialFinished)]

    assert [event.trial for event in finished] == list(range(NUM_TRIALS))
    for event in finished[1:]:
        assert event.cost_percent is not None
        is_hopeless = event.cost_percent > event.best_cost_percent + 10
        assert event.num_points >= (1 if is_hopeless else 2)


def test_what_is_recommended_gains_on_the_median_of_unseen_frames(
    found: SetRecommendation,
) -> None:
    if not found.clips:  # nothing that was tried was better in the search
        assert found.keeps_defaults
        return
    assert [one.clip for one in found.clips] == NAMES
    assert found.comparison is not None
    of_clips = [one.result.percent for one in found.comparison.clips if one.result is not None]
    assert found.comparison.bd_rate_percent == pytest.approx(median(of_clips))
    assert found.keeps_defaults == (found.comparison.bd_rate_percent >= 0)
    assert (found.settings["options"] == {}) == found.keeps_defaults
    assert found.real_comparison is None
    # One rule: what stands at a clip is what the median is made of.
    for one, of_clip in zip(found.clips, found.comparison.clips, strict=True):
        assert (one.change.bd_rate, one.change.bd_rate_interval_percent) == (
            of_clip.result,
            of_clip.interval_percent,
        )
    assert found.num_not_saving == sum(percent >= 0 for percent in of_clips)


def test_a_gap_beyond_the_tolerance_is_exit_code_3(
    asked: TuneRequest, paths: list[Path], found: SetRecommendation, tmp_path: Path
) -> None:
    assert found.quality_gap is not None
    assert found.is_verified == (found.quality_gap >= -found.tolerance)
    words = [
        "tune", *paths[:2], "--preset", "veryfast", "--aim", "bd-rate", "--quality-range", 0.6, 0.9,
        "--target-quality", 0.8, "--detector", asked.machine.detector, "--image-size", 192,
        "--trials", NUM_TRIALS, "--max-seconds", 0.5, "--frames-per-second", 10, "--jobs", 2,
        "--store", asked.store, "--out", tmp_path, "--tolerance", 1e-7,
    ]  # fmt: skip

    result = CliRunner().invoke(app, [str(word) for word in words])

    assert result.exit_code == (3 if found.quality_gap < -1e-7 else 0), result.output
    assert f"median clip: {found.quality_gap:+.4f} (tolerance 1e-07)" in result.stdout
    failed = "the winner failed verification, see the gap above" in result.stderr
    assert failed == (result.exit_code == 3)
    assert ("FAILED VERIFICATION" in (tmp_path / "report.html").read_text()) == failed


def test_on_each_clip_the_real_machine_says_where_the_target_is_met(
    asked: TuneRequest, paths: list[Path]
) -> None:
    machine = dataclasses.replace(asked.machine, asked_metric="objects")
    aim = TargetQuality(quality=0.8)

    short = dataclasses.replace(
        asked, machine=machine, aim=aim, num_trials=2, frames_per_second=6.0
    )
    events = list(tune_set_events(short, paths[:2]))

    moved = [event for event in events if isinstance(event, TargetMoved)]
    assert [one.quality for one in moved] == [0.8, 0.8]
    assert len({one.metric_quality for one in moved}) == 2
    assert isinstance(events[-1], SetRecommended)
    found = events[-1].recommendation
    assert found.target_quality == 0.8
    assert (found.real_comparison is not None) == bool(found.clips)
    gap = found.quality_gap
    assert found.is_verified == (None if gap is None else gap >= -0.03)


def test_the_file_is_one_that_other_commands_read(found: SetRecommendation, tmp_path: Path) -> None:
    path = tmp_path / "recommendation.json"
    path.write_text(json.dumps(found.to_json()))

    settings, regions = read_settings(path)

    assert regions is None
    assert dict(settings.options) == found.settings["options"]
    assert isinstance(settings.rate_control, Crf)


def test_a_second_run_measures_only_the_verification(
    asked: TuneRequest, paths: list[Path], events: list[SetEvent], found: SetRecommendation
) -> None:
    again = list(tune_set_events(dataclasses.replace(asked, num_jobs=1), paths))

    points = [event for event in again if isinstance(event, PointMeasured)]
    assert all(point.is_from_store == (point.role == "search") for point in points)
    assert isinstance(again[-1], SetRecommended)
    other = again[-1].recommendation
    assert (other.settings, other.clips) == (found.settings, found.clips)
    assert found.num_clips == 2


def test_the_command_line_takes_several_clips(
    asked: TuneRequest,
    paths: list[Path],
    found: SetRecommendation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [
        "tune", *paths[:2], "--preset", "veryfast", "--aim", "bd-rate", "--quality-range", 0.6, 0.9,
        "--target-quality", 0.8, "--detector", asked.machine.detector, "--image-size", 192,
        "--trials", NUM_TRIALS, "--max-seconds", 0.5, "--frames-per-second", 10, "--jobs", 2,
        "--store", asked.store,
    ]  # fmt: skip
    folder = Path("ratesight-out/2-clips-x264")

    result = CliRunner().invoke(app, [str(word) for word in words])

    written = json.loads((folder / "recommendation.json").read_text())
    assert result.exit_code == (3 if written["is_verified"] is False else 0), result.output
    assert written["settings"] == found.settings
    assert "ratesight encode" in result.stdout
    assert "metric detector, regions by" in result.stdout
    assert set(written["clip_crfs"]) == {path.stem for path in paths[:2]}
    assert f"CRF {written['settings']['rate_control']['crf']:g} (median of 2" in result.stdout
    assert "Clip by clip" in (folder / "report.html").read_text()
    # Other clips go elsewhere; of these nothing stays that is not so any more.
    assert own_folder(folder.name, "recommendation.json", paths[:2]) == folder
    assert own_folder(folder.name, "recommendation.json", paths[1:]) == folder.with_name(
        "2-clips-x264-2"
    )
    write_report(
        set_record(dataclasses.replace(found, clips=()), name="", encode_command=""), folder
    )
    assert {path.name for path in folder.glob("*.csv")} == {
        "The_CRF_of_each_clip.csv", "Settings.csv",
    }  # fmt: skip


def test_what_was_found_says_on_which_frames(found: SetRecommendation, paths: list[Path]) -> None:
    assert found.provenance["clips"] == [str(path) for path in paths]
    assert found.provenance["clips_content_sha256"] == {
        one.clip: one.clip_content_sha256 for one in found.clips
    }


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"annotations": Path("a.json")}, "annotations is for one clip, got 3 clips"),
        ({"regions": "detector"}, "regions is for one clip"),
        ({"second_detector": "y.pt"}, "second_detector is for one clip"),
        ({"fixed_options": {"roi": 1}}, "roi is for one clip"),
    ],
)
def test_what_is_for_one_clip_is_misuse(
    asked: TuneRequest, paths: list[Path], fields: dict[str, object], rule: str
) -> None:
    request = dataclasses.replace(asked, **fields)  # type: ignore[arg-type]  # one of its fields

    with pytest.raises(RequestError, match=rule):
        list(tune_set_events(request, paths))


def test_names_must_differ(asked: TuneRequest, paths: list[Path]) -> None:
    with pytest.raises(RequestError, match="clips must differ in their names"):
        list(tune_set_events(asked, [paths[0], paths[0]]))


def test_a_clip_whose_frame_rate_the_buffer_does_not_fit_is_skipped(
    asked: TuneRequest, paths: list[Path]
) -> None:
    """34 kbit hold a frame of 1000 kbit/s at 30 frames a second, not at 25."""
    cap = {"vbv-maxrate": 1000, "vbv-bufsize": 34}
    request = dataclasses.replace(asked, fixed_options=cap, num_trials=1)

    *_, last = tune_set_events(request, paths[:2])

    assert isinstance(last, SetRecommended)
    [skipped] = last.recommendation.skipped
    assert skipped.clip == "highway_cam_240p"
    assert "vbv-bufsize must hold a frame at vbv-maxrate, 40 kbit at 25" in skipped.reason


def test_no_usable_clip_is_an_error(asked: TuneRequest, tmp_path: Path) -> None:
    with pytest.raises(ClipError):
        list(tune_set_events(asked, [tmp_path / "a.mp4", tmp_path / "b.mp4"]))


def test_what_reaches_the_target_on_no_clip_gains_on_none(measurement: MakeMeasurement) -> None:
    rates = {20.0: 1600, 26.0: 800, 32.0: 400, 38.0: 200}
    losses = [0.02, 0.05, 0.1, 0.2]
    aim = TargetQuality(quality=0.97)
    anchor = {
        crf: measurement(rate, [loss] * 8)
        for (crf, rate), loss in zip(rates.items(), losses, strict=True)
    }
    saturated = {
        crf: measurement(rate * 0.5, [max(loss, 0.035)] * 8)
        for (crf, rate), loss in zip(rates.items(), losses, strict=True)
    }
    change = rate_change(
        anchor, saturated, aim, max_crf=51, block_frames=1, seed=0, num_resamples=100
    )
    one = frame_qualities_of(saturated), frame_qualities_of(anchor)
    assert change.falls_short
    assert change.percent < 0
    found = compare({"a": one[1]}, {"a": one[0]}, Rules(policy="monotone"))
    assert found.bd_rate_percent < 0
    assert not gains_on_median(aim, found, [change] * 3)
    assert gains_on_median(aim, found, [replace(change, falls_short=False)] * 3)


def frame_qualities_of(ladder: dict[float, Measurement]) -> FrameQualities:
    scores = [one.scores for _, one in sorted(ladder.items(), reverse=True)]
    return FrameQualities(
        np.array([one.rate_kbps for _, one in sorted(ladder.items(), reverse=True)]),
        np.array([one.frame_qualities for one in scores]),
    )


def test_an_entrant_costs_the_median_over_the_clips_it_is_measured_on(
    asked: TuneRequest, measurement: MakeMeasurement
) -> None:
    settings = asked.anchor_settings

    def candidate(factor: float) -> Candidate:
        ladder = {20.0: (800, 0.02), 26.0: (400, 0.05), 32.0: (200, 0.15), 38.0: (100, 0.4)}
        return Candidate(
            settings=settings,
            measurements={
                crf: measurement(rate * factor, [loss] * 4) for crf, (rate, loss) in ladder.items()
            },
        )

    bench: Bench = None  # type: ignore[assignment]  # nothing is measured
    clips = [
        SearchedClip(
            bench=bench,
            anchor=candidate(1),
            real_anchor=Candidate(settings=settings),
            target=TargetQuality(quality=0.9),
        )
        for _ in range(4)
    ]
    unmeasured = Candidate(settings=settings)
    one = Entrant(
        settings=settings, clips=(candidate(0.8), candidate(3.0), candidate(0.9), unmeasured)
    )

    assert total_cost(one, clips) == pytest.approx(-0.105, abs=0.02)  # log of 0.9

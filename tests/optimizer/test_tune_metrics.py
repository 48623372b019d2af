"""A tuning run by a learned metric, verified by the real machine, all of it real."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from ratesight.codecs.settings import Crf, EncodeSettings
from ratesight.optimizer.aim import QualityRange, TargetQuality
from ratesight.optimizer.apply import apply_settings
from ratesight.optimizer.commands.app import app
from ratesight.optimizer.errors import RequestError
from ratesight.optimizer.events import PointMeasured, Recommended, TargetMoved, TuneEvent
from ratesight.optimizer.measuring.bench import Measurement
from ratesight.optimizer.measuring.machine_choice import MachineChoice, MetricName
from ratesight.optimizer.recommendation import Recommendation
from ratesight.optimizer.recommendation_file import read_settings
from ratesight.optimizer.reports.sentences import headline, real_lines
from ratesight.optimizer.request import TuneRequest
from ratesight.optimizer.search.candidate import Candidate
from ratesight.optimizer.search.verification import Role, Verified, contender_of, judge
from ratesight.optimizer.tune import tune_events
from typer.testing import CliRunner

MakeMeasurement = Callable[..., Measurement]


@pytest.fixture(scope="module")
def asked(clips: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> TuneRequest:
    return TuneRequest(
        clip=clips / "carphone_qcif.mp4",
        aim=TargetQuality(quality=0.9),
        machine=MachineChoice(asked_metric="objects", detector=str(weights), image_size=128),
        preset="veryfast",
        num_trials=3,
        max_seconds=0.5,
        frames_per_second=10.0,
        num_jobs=2,
        store=tmp_path_factory.mktemp("metrics") / "store.sqlite",
    )


@pytest.fixture(scope="module")
def events(asked: TuneRequest) -> list[TuneEvent]:
    return list(tune_events(asked))


def outcome(events: Sequence[TuneEvent]) -> Recommendation:
    assert isinstance(events[-1], Recommended)
    return events[-1].recommendation


def test_the_real_machine_looks_at_the_same_encodes(events: list[TuneEvent], weights: Path) -> None:
    found = outcome(events)

    assert found.machines.metric == "objects"
    assert found.machines.metric_sha256 is not None
    assert found.machines.regions_by == str(weights)
    assert found.machines.real_machine is not None
    assert found.machines.regions_sha256 in found.machines.real_machine
    assert found.real is not None
    for own, real in (
        (found.anchor_curve, found.real.anchor_curve),
        (found.winner_curve, found.real.winner_curve),
    ):
        assert [(one.crf, one.rate_kbps) for one in own] == [
            (one.crf, one.rate_kbps) for one in real
        ]
        assert [one.quality for one in own] != [one.quality for one in real]
    assert found.winner.map50 is not None
    assert not any("No machine verified" in note for note in found.notes)


def test_the_gap_is_between_the_promise_and_the_real_machine(events: list[TuneEvent]) -> None:
    found = outcome(events)

    assert found.real is not None
    assert found.real.quality == found.winner.real_quality
    assert found.real.quality_gap == pytest.approx(found.real.quality - found.real.expected_quality)
    assert found.is_verified == (found.real.quality_gap >= -found.tolerance)
    json.dumps(found.to_json(), allow_nan=False)


def test_the_target_is_met_where_the_real_machine_says(events: list[TuneEvent]) -> None:
    found = outcome(events)
    (moved,) = (event for event in events if isinstance(event, TargetMoved))

    assert (moved.asked_quality, moved.quality, found.target_quality) == (0.9, 0.9, 0.9)
    assert moved.metric_quality == found.metric_target_quality == found.steered_quality
    # A detector at 128 pixels misses less of this face than the metric, which thinks of 640.
    assert found.metric_target_quality is not None
    assert found.metric_target_quality < 0.8
    assert found.real is not None
    assert found.real.expected_quality > found.quality


def test_the_number_to_quote_is_the_real_machines(events: list[TuneEvent]) -> None:
    found = outcome(events)
    assert found.real is not None
    seen = dataclasses.replace(
        found.real.change, percent=-12.3, low_percent=-20.0, high_percent=-2.0
    )
    told = dataclasses.replace(
        found,
        winner_curve=found.anchor_curve[1:],
        rate_change_percent=-30.0,
        rate_change_interval_percent=(-33.0, -27.0),
        real=dataclasses.replace(found.real, change=seen),
    )

    assert headline(told).startswith("-12.3 % (-20.0 to -2.0) rate at task quality ")
    assert headline(told).endswith(" of the real machine")
    assert real_lines(told)[-1].startswith("the metric itself says -30.0 % (-33.0 to -27.0) rate")


def test_nothing_is_recommended_that_the_real_machine_says_is_worse(
    events: list[TuneEvent],
) -> None:
    found = outcome(events)

    assert all(one.real_change is not None for one in found.contenders)
    if found.keeps_defaults:
        return
    assert found.real is not None
    for change in (found.contenders[0].change, found.real.change):
        assert change.bd_rate is not None
        assert max(change.percent, change.bd_rate.percent) < 0


def test_a_second_run_searches_in_the_store_alone(
    asked: TuneRequest, events: list[TuneEvent]
) -> None:
    again = list(tune_events(asked))

    points = [event for event in again if isinstance(event, PointMeasured)]
    assert all(point.is_from_store == (point.role == "search") for point in points)
    found, first = outcome(again), outcome(events)
    assert found.num_from_store > 0
    assert (found.settings, found.quality) == (first.settings, first.quality)
    assert (found.anchor_curve, found.real) == (first.anchor_curve, first.real)


@pytest.fixture
def faces(asked: TuneRequest, data: Path) -> TuneRequest:
    """A talking face, searched by what the network predicts for face recognition."""
    return dataclasses.replace(
        asked,
        machine=MachineChoice(
            asked_metric="faces",
            face_detector=str(data / "weights" / "face_detection_yunet.onnx"),
            face_embedder=data / "weights" / "mobilefacenet.onnx",
        ),
        num_trials=2,
    )


@pytest.fixture
def plates(asked: TuneRequest, data: Path, parked_car: Path) -> TuneRequest:
    """A licence plate, searched by what the network predicts for reading."""
    return dataclasses.replace(
        asked,
        clip=parked_car,
        frame_rate=Fraction(10),
        machine=MachineChoice(
            asked_metric="plates", plate_detector=str(data / "weights" / "plate_yolov8n.pt")
        ),
        num_trials=2,
    )


def test_faces_are_verified_by_recognising_them(faces: TuneRequest) -> None:
    found = outcome(list(tune_events(faces)))

    assert found.machines.metric == "faces"
    assert found.machines.regions_by == faces.machine.face_detector
    assert found.machines.real_machine is not None
    assert "face-cosine" in found.machines.real_machine
    assert found.real is not None
    assert 0 < found.real.quality <= 1
    assert (found.winner.map50, found.winner.precision) == (None, None)


def test_plates_are_verified_by_reading_them(plates: TuneRequest) -> None:
    found = outcome(list(tune_events(plates)))

    assert found.machines.metric == "plates"
    assert found.machines.regions_by == plates.machine.plate_detector
    assert found.machines.real_machine is not None
    assert "rapidocr" in found.machines.real_machine
    assert found.real is not None
    assert 0 < found.real.quality <= 1
    rates = [point.rate_kbps for point in found.real.anchor_curve]
    assert max(rates) > 2 * min(rates)
    assert found.real.anchor_curve[0].quality > 0.5  # the best encode of the plate is read


@pytest.mark.parametrize(
    ("task", "metric", "version"),
    [("faces", "face-embedder", "face-cosine"), ("plates", "plate-reader", "rapidocr")],
)
def test_a_real_machine_steers_by_itself(
    task: str, metric: MetricName, version: str, request: pytest.FixtureRequest
) -> None:
    learned: TuneRequest = request.getfixturevalue(task)
    machine = dataclasses.replace(learned.machine, asked_metric=metric)
    asked = dataclasses.replace(learned, machine=machine, aim=TargetQuality(quality=0.8))

    events = list(tune_events(asked))

    found = outcome(events)
    assert found.machines.metric == metric
    assert (found.machines.metric_sha256, found.machines.real_machine, found.real) == (None,) * 3
    assert version in str(found.provenance["machine_version"])
    assert isinstance(events[-1], Recommended)
    assert events[-1].look.loss_maps is not None
    assert events[-1].look.loss_maps.metric == task
    assert found.anchor_curve[0].quality > found.anchor_curve[-1].quality
    # What is read on a plate falls from all to half within two CRFs: there is no 0.8 between.
    crf = found.winner.crf
    better = [point.quality for point in found.winner_curve if point.crf <= crf]
    worse = [point.quality for point in found.winner_curve if point.crf >= crf]
    assert min(better) >= 0.8 >= max(worse)


def test_a_gap_beyond_the_tolerance_is_exit_code_3(
    asked: TuneRequest, events: list[TuneEvent], tmp_path: Path
) -> None:
    assert outcome(events)
    tolerance = 1e-7
    words = [
        "tune", asked.clip, "--metric", "objects", "--detector", asked.machine.detector,
        "--image-size", 128, "--preset", "veryfast", "--trials", 3, "--target-quality", 0.9,
        "--max-seconds", 0.5, "--frames-per-second", 10, "--jobs", 2, "--store", asked.store,
        "--out", tmp_path, "--tolerance", tolerance,
    ]  # fmt: skip
    result = CliRunner().invoke(app, [str(word) for word in words])

    written = json.loads((tmp_path / "recommendation.json").read_text())
    gap = written["real"]["quality_gap"]
    assert result.exit_code == (3 if gap < -tolerance else 0), result.output
    said = " ".join(result.stdout.split())
    for words_of_it in (
        "metric objects (weights ",
        "target quality 0.9 of the real machine: on this clip the metric says "
        f"{written['metric_target_quality']:.3f} there",
        f"the real machine says {written['real']['quality']:.4f}, "
        f"{written['real']['expected_quality']:.4f} expected",
        f"(gap {written['real']['quality_gap']:+.4f}",
    ):
        assert words_of_it in said
    settings, used = read_settings(tmp_path / "recommendation.json")
    assert used is None
    apply_settings(settings, None, asked.clip, tmp_path / "out.mp4")


SETTINGS = EncodeSettings(codec="x264", preset="medium", rate_control=Crf(value=30))


def verified(
    role: Role,
    measurement: MakeMeasurement,
    rate: float,
    real_rate: float | None,
    second_rate: float | None = None,
) -> Verified:
    """A candidate of which each machine sees what the anchor keeps at that share of its rate.

    The second detector, where there is one, never sees more than 0.84.
    """

    def ladder(share: float, lost: float = 0.0) -> Candidate:
        candidate = Candidate(settings=SETTINGS)
        for rung in range(7):
            losses = np.full(20, lost + 0.01 * 1.9**rung) * np.linspace(0.9, 1.1, 20)
            kbps = 400 * share * 0.75**rung
            candidate.measurements[20.0 + 3 * rung] = measurement(kbps, losses.tolist())
        return candidate

    own = ladder(rate)
    return Verified(
        role=role,
        crf=29.0,
        expected=own.curve,
        ladder=own,
        real=Candidate(settings=SETTINGS) if real_rate is None else ladder(real_rate),
        second=Candidate(settings=SETTINGS) if second_rate is None else ladder(second_rate, 0.15),
    )


@pytest.mark.parametrize(
    ("rate", "real_rate", "is_recommended"),
    [(0.8, None, True), (0.8, 0.9, True), (0.8, 1.1, False), (1.1, 0.8, False)],
)
def test_both_must_save(
    asked: TuneRequest,
    measurement: MakeMeasurement,
    rate: float,
    real_rate: float | None,
    is_recommended: bool,
) -> None:
    anchor = verified("anchor", measurement, 1.0, None if real_rate is None else 1.0)
    options = verified("options", measurement, rate, real_rate)

    contender = contender_of(asked, asked.aim, anchor, options, [options], block_frames=2)
    found = judge(asked, asked.aim, anchor, [options], [contender])

    assert (found.winner is options) == is_recommended
    assert contender.change.percent == pytest.approx((rate - 1) * 100, abs=0.5)
    if real_rate is None:
        assert contender.real_change is None
        return
    assert contender.real_change is not None
    assert contender.real_change.percent == pytest.approx((real_rate - 1) * 100, abs=0.5)
    is_real_to_blame = rate < 1 < real_rate
    told = [note for note in found.notes if "saves nothing as the real machine sees it" in note]
    assert bool(told) == is_real_to_blame
    assert found.real_change is not None
    assert (found.real_change.percent == 0) == (not is_recommended)


def test_a_saving_on_a_scale_that_is_hardly_shared_is_not_known(
    asked: TuneRequest, measurement: MakeMeasurement
) -> None:
    """The real machine sees the best candidate only where it sees the anchor nowhere."""
    anchor = verified("anchor", measurement, 1.0, 1.0)
    options = verified("options", measurement, 0.8, 0.8)
    for crf in list(options.real.measurements)[:4]:
        del options.real.measurements[crf]
    for crf in list(anchor.real.measurements)[4:]:
        del anchor.real.measurements[crf]

    contender = contender_of(asked, asked.aim, anchor, options, [options], block_frames=2)
    found = judge(asked, asked.aim, anchor, [options], [contender])

    assert found.winner is anchor
    assert contender.real_change is not None
    assert contender.real_change.percent < 0
    assert contender.real_change.bd_rate is None
    assert [note for note in found.notes if "is not known to save as the real machine" in note]


@pytest.mark.parametrize(("metric", "is_clamped"), [("objects", False), ("detector", True)])
def test_a_second_detector_is_read_on_its_own_scale_where_a_metric_steers(
    asked: TuneRequest, measurement: MakeMeasurement, metric: MetricName, is_clamped: bool
) -> None:
    """A detector that steers has the same scale; a learned metric's target is nothing to it."""
    machine = dataclasses.replace(asked.machine, asked_metric=metric)
    anchor = verified("anchor", measurement, 1.0, None, 1.0)
    options = verified("options", measurement, 0.8, None, 0.9)

    contender = contender_of(
        dataclasses.replace(asked, machine=machine),
        asked.aim,
        anchor,
        options,
        [options],
        block_frames=2,
    )

    assert contender.second_change is not None
    assert contender.second_change.is_clamped == is_clamped
    assert contender.second_change.percent == pytest.approx(-10, abs=0.5)
    assert (contender.second_change.low_percent is None) == is_clamped


def test_a_range_of_qualities_is_that_of_the_real_machine_on_its_scale(
    asked: TuneRequest, measurement: MakeMeasurement
) -> None:
    aim = QualityRange(low=0.8, high=0.95, quality=0.9)
    target = QualityRange(low=0.6, high=0.8, quality=0.7)
    anchor = verified("anchor", measurement, 1.0, 1.0, 1.0)
    options = verified("options", measurement, 0.8, 0.9, 0.9)

    contender = contender_of(
        dataclasses.replace(asked, aim=aim), target, anchor, options, [options], block_frames=2
    )

    ranges = [(aim.low, aim.high), (target.low, target.high), (target.low, target.high)]
    changes = [contender.change, contender.real_change, contender.second_change]
    for change, (low, high) in zip(changes, ranges, strict=True):
        assert change is not None
        assert change.bd_rate is not None
        assert change.bd_rate.low_quality == pytest.approx(low, abs=0.01)
        assert change.bd_rate.high_quality == pytest.approx(high, abs=0.01)


@pytest.mark.parametrize(("shares", "word"), [(0.9, "saves"), (0.02, "share too little quality")])
def test_what_has_no_bd_rate_is_not_recommended(
    asked: TuneRequest, measurement: MakeMeasurement, shares: float, word: str
) -> None:
    """The contender's rates are a tenth, but its curve shares next to nothing of the anchor's."""

    def candidate(role: Role, rate: float, lost: float) -> Verified:
        ladder = Candidate(
            settings=SETTINGS,
            measurements={
                20.0 + 3 * rung: measurement(rate * 0.75**rung, [0.02 + lost + 0.05 * rung] * 20)
                for rung in range(7)
            },
        )
        nobody = Candidate(settings=SETTINGS)
        return Verified(
            role=role, crf=29.0, expected=ladder.curve, ladder=ladder, real=nobody, second=nobody
        )

    request = dataclasses.replace(asked, aim=TargetQuality(quality=0.682))
    anchor = candidate("anchor", 400, 0)
    options = candidate("options", 40, 0.3 * (1 - shares))

    contender = contender_of(request, request.aim, anchor, options, [options], block_frames=2)
    found = judge(request, request.aim, anchor, [options], [contender])

    assert contender.change.percent < 0
    assert (found.winner is options) == (word == "saves")
    assert (word in " ".join(found.notes)) == (word != "saves")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"asked_metric": "detector"}, "metric detector needs a detector"),
        ({"asked_metric": "sharpness"}, "metric must be one of detector, face-embedder, plate-"),
        ({"asked_metric": "face-embedder"}, "metric face-embedder needs a face_embedder and a"),
        (
            {"asked_metric": "faces", "detector": "y.pt"},
            "detector is for metric detector or objects",
        ),
        ({"face_detector": "y.onnx"}, "face_detector is for metric face-embedder or faces, got"),
        ({"asked_metric": "faces", "face_embedder": Path("e")}, "face_embedder needs face_detec"),
        ({"asked_metric": "faces", "face_levels": "unit"}, "face_levels says how"),
        ({"asked_metric": "objects", "plate_detector": "p.pt"}, "plate_detector is for metric pl"),
    ],
)
def test_machines_that_do_not_go_together_are_misuse(
    fields: dict[str, object], message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        MachineChoice(**fields)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize(
    ("machine", "fields", "message"),
    [
        (
            MachineChoice(asked_metric="general", detector="y.pt"),
            {"annotations": Path("a.json")},
            "annotations are for metric detector or plate-reader, got metric general",
        ),
        (
            MachineChoice(asked_metric="objects"),
            {"regions": "detector"},
            "regions need a real machine to verify them, metric objects sees nothing",
        ),
        (
            MachineChoice(asked_metric="faces", face_detector="yunet.onnx"),
            {"regions": "detector"},
            "give face_detector and face_embedder",
        ),
        (
            MachineChoice(asked_metric="plates"),
            {"second_detector": "y.pt"},
            "second_detector judges detections, got metric plates",
        ),
    ],
)
def test_what_the_machine_has_no_use_for_is_misuse(
    machine: MachineChoice, fields: dict[str, object], message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        TuneRequest(clip=Path("clip.mp4"), machine=machine, **fields)  # type: ignore[arg-type]  # wrong on purpose


def test_a_detector_alone_is_the_metric() -> None:
    assert MachineChoice(detector="y.pt").metric == "detector"
    assert MachineChoice().metric == "objects"

"""A whole tuning run, with a real encoder and a real detector on a real clip.

A second of a man in a car, 176x144: every encode takes some milliseconds. How much is saved is
chance on so few frames; what holds on any machine is asserted.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from ratesight.codecs.encode import encode
from ratesight.codecs.source import load_source
from ratesight.metrics.detector import load_detector
from ratesight.metrics.errors import NoObjectsError
from ratesight.optimizer.aim import TargetQuality, TargetRate
from ratesight.optimizer.errors import UnreachableError
from ratesight.optimizer.events import (
    ClipLoaded,
    PointMeasured,
    Recommended,
    TargetMoved,
    TrialFinished,
    TuneEvent,
    VerificationStarted,
)
from ratesight.optimizer.measuring.machine_choice import MachineChoice
from ratesight.optimizer.measuring.store import open_store
from ratesight.optimizer.recommendation import Recommendation
from ratesight.optimizer.recommendation_file import settings_from_json
from ratesight.optimizer.request import TuneRequest
from ratesight.optimizer.tune import tune_events

from ratesight import tune

MakeRequest = Callable[..., TuneRequest]
Event = TypeVar("Event")

NUM_TRIALS = 4
IMAGE_SIZE = 128


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tune")


@pytest.fixture(scope="module")
def request_on(clips: Path, weights: Path, folder: Path) -> MakeRequest:
    """Makes a small request on a store of that name."""

    def make(store: str, **fields: object) -> TuneRequest:
        given: dict[str, object] = {
            "clip": clips / "carphone_qcif.mp4",
            "aim": TargetQuality(quality=0.9),
            "machine": MachineChoice(detector=str(weights), image_size=IMAGE_SIZE),
            "num_trials": NUM_TRIALS,
            "max_seconds": 0.5,
            "frames_per_second": 10.0,
            "num_jobs": 2,
            "store": folder / f"{store}.sqlite",
        }
        return TuneRequest(**{**given, **fields})  # type: ignore[arg-type]  # any of its fields

    return make


@pytest.fixture(scope="module")
def events(request_on: MakeRequest) -> list[TuneEvent]:
    """Everything that one run says."""
    return list(tune_events(request_on("first")))


def only(kind: type[Event], events: list[TuneEvent]) -> list[Event]:
    return [event for event in events if isinstance(event, kind)]


def up_to(kind: type[TuneEvent], request: TuneRequest) -> list[TuneEvent]:
    """Starts a run and gives it up after the first event of a kind."""
    seen: list[TuneEvent] = []
    with contextlib.closing(tune_events(request)) as running:  # type: ignore[type-var]
        for event in running:
            seen.append(event)
            if isinstance(event, kind):
                break
    return seen


def outcome(events: list[TuneEvent]) -> Recommendation:
    (recommended,) = only(Recommended, events)
    return recommended.recommendation


def same_result(recommendation: Recommendation) -> dict[str, object]:
    """What must not depend on jobs, store and clock."""
    fields: dict[str, object] = {**recommendation.to_json()}
    for name in ("num_encodes", "num_from_store", "seconds", "provenance"):
        del fields[name]
    for examined in (fields["winner"], fields["anchor"]):
        assert isinstance(examined, dict)
        del examined["encode_fps"]
    return fields


def search_of(events: list[TuneEvent]) -> list[object]:
    """What a search did, but for clock and store; points come in any order within a trial."""
    points = {
        (point.trial, point.crf, point.rate_kbps, point.quality)
        for point in only(PointMeasured, events)
        if point.role == "search"
    }
    trials = [
        (trial.options, trial.cost_percent, trial.best_cost_percent)
        for trial in only(TrialFinished, events)
    ]
    return [points, trials, only(VerificationStarted, events)]


def test_a_run_tells_what_it_does_in_order(events: list[TuneEvent]) -> None:
    kinds = [type(event) for event in events]

    (loaded,) = only(ClipLoaded, events)
    assert kinds[0] is ClipLoaded
    assert kinds[-1] is Recommended
    (verification,) = only(VerificationStarted, events)
    assert [one.role for one in verification.candidates] == ["anchor", "options"]
    assert (loaded.width, loaded.height, loaded.num_frames) == (176, 144, 15)
    assert loaded.num_frames_looked_at == 5
    assert loaded.num_objects >= 5
    trials = only(TrialFinished, events)
    assert [trial.trial for trial in trials] == list(range(NUM_TRIALS))
    assert (trials[0].options, trials[0].cost_percent) == ({}, 0)
    assert all(trial.failure is None for trial in trials)
    best = [trial.best_cost_percent for trial in trials]
    assert best == sorted(best, reverse=True)
    started = kinds.index(VerificationStarted)
    roles = [event.role for event in only(PointMeasured, events[started:])]
    assert set(roles) == {"anchor", "options"}
    assert {event.role for event in only(PointMeasured, events[:started])} == {"search"}
    assert not any(point.is_from_store for point in only(PointMeasured, events))


def test_the_recommendation_is_verified_and_never_worse_than_the_defaults(
    events: list[TuneEvent],
) -> None:
    found = outcome(events)

    assert (found.codec, found.preset, found.target_quality) == ("x264", "medium", 0.9)
    assert found.rate_change_percent <= 0
    expected_percent = (found.rate_kbps / found.anchor_rate_kbps - 1) * 100
    assert found.rate_change_percent == pytest.approx(expected_percent)
    assert found.bd_rate_percent is None or found.bd_rate_percent <= 0
    assert found.verified_quality == found.winner.quality
    assert found.quality_gap == pytest.approx(found.verified_quality - found.quality)
    assert found.is_verified == (found.quality_gap >= -found.tolerance)
    for curve in (found.winner_curve, found.anchor_curve):
        crfs = [point.crf for point in curve]
        assert len(crfs) >= 5
        assert crfs == sorted(crfs)
        rates = [point.rate_kbps for point in curve]
        assert rates == sorted(rates, reverse=True)
    for examined in (found.winner, found.anchor):
        assert 0 <= examined.quality_min <= examined.quality_p5 <= 1
        assert 0 <= examined.map50_95 <= examined.map50 <= 1
        assert 15 < examined.psnr_db < 60
        assert 0.3 < examined.ssim < 1
    json.dumps(found.to_json(), allow_nan=False)


def test_what_is_verified_was_not_searched_on(
    events: list[TuneEvent], request_on: MakeRequest
) -> None:
    found = outcome(events)

    # Of 15 frames the search looks at five, a quarter into each interval of three.
    searched = {0, 3, 6, 9, 12}
    verified = found.provenance["verified_frames"]
    assert isinstance(verified, list)
    assert len(verified) >= 5
    assert not searched & set(verified)
    assert found.provenance["num_frames"] == 15


def test_a_close_look_says_what_became_of_each_frame(events: list[TuneEvent]) -> None:
    (recommended,) = only(Recommended, events)
    found, look = recommended.recommendation, recommended.look

    assert list(look.frames) == found.provenance["verified_frames"]
    tracks = {track.version: track for track in look.tracks}
    if found.settings["options"]:
        assert set(tracks) == {"defaults", "defaults at equal rate", "tuned"}
        assert tracks["tuned"].rate_kbps == found.winner.rate_kbps
        equal = tracks["defaults at equal rate"].rate_kbps
        assert abs(math.log(equal / found.winner.rate_kbps)) < 0.15  # half a CRF step on 15 frames
    assert tracks["defaults"].rate_kbps == found.anchor.rate_kbps
    for track in look.tracks:
        assert len(track.qualities) == len(look.times_seconds) == len(look.frames)
        pairs = zip(track.qualities, look.num_objects, strict=True)
        assert all((quality is None) == (number == 0) for quality, number in pairs)
    seen = [quality for quality in tracks["defaults"].qualities if quality is not None]
    assert min(seen) == pytest.approx(found.anchor.quality_min)
    assert 1 <= len(look.moments) <= 3
    for moment in look.moments:
        assert (moment.width, moment.height) == (176, 144)
        assert moment.views[0].version == "original"
        for view in moment.views:
            jpeg = base64.b64decode(view.jpeg_base64)
            assert jpeg.startswith(b"\xff\xd8")
            for sight in view.sights:
                x0, y0, x1, y1 = sight.box
                assert 0 <= x0 < x1 <= 176
                assert 0 <= y0 < y1 <= 144
    assert look.loss_maps is not None
    for one in look.loss_maps.maps:
        values = [value for row in one.losses for value in row]
        assert 0 <= min(values) <= max(values) <= 1
        assert any(values)


def test_verified_points_have_intervals(events: list[TuneEvent]) -> None:
    for point in only(PointMeasured, events):
        assert point.encode_seconds is not None
        assert point.encode_seconds > 0
        if point.role != "search":
            assert point.quality_interval is not None
            low, high = point.quality_interval
            assert 0 <= low <= high <= 1


def test_encodes_are_counted(events: list[TuneEvent]) -> None:
    found = outcome(events)
    num_points = len(only(PointMeasured, events))

    # Anchor and winner are encoded once more each, to be looked at closely, and the anchor at the
    # winner's rate, which takes one to four.
    num_more = found.num_encodes - num_points
    assert num_more == 1 if not found.settings["options"] else 3 <= num_more <= 6
    assert found.num_from_store == 0
    assert found.seconds["wall"] > 0
    assert found.seconds["encode"] > 0
    assert found.seconds["detect"] > 0


def test_the_recommended_settings_give_the_measured_rate(
    events: list[TuneEvent], request_on: MakeRequest
) -> None:
    found = outcome(events)
    settings = settings_from_json(found.settings)

    with load_source(request_on("first").clip, max_seconds=0.5) as source:
        rate_kbps = encode(source, settings).rate_kbps

    assert rate_kbps == found.winner.rate_kbps
    assert settings.num_threads == 1
    assert "-crf" in found.ffmpeg_command


def test_the_number_of_jobs_changes_nothing_in_the_search(
    events: list[TuneEvent], request_on: MakeRequest
) -> None:
    alone = up_to(VerificationStarted, request_on("alone", num_jobs=1))

    assert search_of(alone) == search_of(events)


def test_a_second_run_searches_in_the_store_alone(
    events: list[TuneEvent], request_on: MakeRequest
) -> None:
    # With one job, so that the jobs are seen to change nothing in the verification either.
    again = list(tune_events(request_on("first", num_jobs=1)))

    points = only(PointMeasured, again)
    assert all(point.is_from_store == (point.role == "search") for point in points)
    found = outcome(again)
    num_searched = sum(point.role == "search" for point in points)
    assert found.num_from_store == num_searched > 0
    assert found.num_encodes == outcome(events).num_encodes - num_searched
    assert same_result(found) == same_result(outcome(events))
    assert search_of(again) == search_of(events)


def test_a_target_rate_is_kept_and_segments_are_searched(request_on: MakeRequest) -> None:
    request = request_on(
        "rate",
        aim=TargetRate(rate_kbps=40),
        num_trials=3,
        max_seconds=1.0,
        num_segments=2,
        segment_seconds=0.3,
    )

    events = list(tune_events(request))

    found = outcome(events)
    (loaded,) = only(ClipLoaded, events)
    assert loaded.num_frames == 30
    assert loaded.num_frames_looked_at == 6  # of 18, at 10 a second
    assert (found.target_rate_kbps, found.target_quality) == (40, None)
    assert found.rate_kbps == pytest.approx(40)
    assert 30 < found.winner.rate_kbps <= 40
    assert found.rate_change_percent <= 0
    # The whole clip is verified: both sides of the pieces, and between them.
    verified = found.provenance["verified_frames"]
    assert isinstance(verified, list)
    assert verified[0] == 0
    assert {14, 15} & set(verified)
    assert not any("The verification looked at the frames" in note for note in found.notes)


def test_annotations_of_the_detector_s_own_view_change_little(
    events: list[TuneEvent], request_on: MakeRequest, folder: Path
) -> None:
    plain = request_on("annotated")
    with load_source(plain.clip, max_seconds=plain.max_seconds) as source:
        detector = load_detector(plain.machine.detector, image_size=IMAGE_SIZE)
        seen = detector.detect([source.bgr(n) for n in range(source.num_frames)], 0.4)
    coco: dict[str, list[dict[str, object]]] = {
        "images": [{"id": n, "frame_index": n} for n in range(len(seen))],
        "categories": [
            {"id": name, "name": name} for name in {n for one in seen for n in one.class_names}
        ],
        "annotations": [
            {"image_id": n, "category_id": name, "bbox": [x0, y0, x1 - x0, y1 - y0]}
            for n, found in enumerate(seen)
            for (x0, y0, x1, y1), name in zip(found.boxes.tolist(), found.class_names, strict=True)
        ],
    }
    path = folder / "annotations.json"
    path.write_text(json.dumps(coco))

    annotated = up_to(TrialFinished, dataclasses.replace(plain, annotations=path))

    assert only(ClipLoaded, annotated) == only(ClipLoaded, events)
    # The anchor's first ladder, before any choice.
    for one, other in zip(
        only(PointMeasured, annotated)[:4], only(PointMeasured, events)[:4], strict=True
    ):
        assert not one.is_from_store
        assert (one.crf, one.rate_kbps) == (other.crf, other.rate_kbps)
        # Objects weigh 1 each, not their scores.
        assert one.quality == pytest.approx(other.quality, abs=0.03)

    # What the detector does not see has nothing to lose, and would count as kept.
    coco["categories"].append({"id": "ghost", "name": "ghost"})
    coco["annotations"] += [
        {"image_id": n, "category_id": "ghost", "bbox": [5, 5, 40, 40]} for n in range(len(seen))
    ]
    path.write_text(json.dumps(coco))
    haunted = list(tune_events(dataclasses.replace(plain, annotations=path, num_trials=1)))

    for one, other in zip(
        only(PointMeasured, haunted), only(PointMeasured, annotated), strict=False
    ):
        assert (one.crf, one.rate_kbps, one.quality) == (other.crf, other.rate_kbps, other.quality)
    assert any("annotated objects are not seen on the" in one for one in outcome(haunted).notes)


def test_only_annotated_frames_are_looked_at(request_on: MakeRequest, folder: Path) -> None:
    coco = {
        "images": [{"id": n, "frame_index": n} for n in (2, 7, 400)],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [
            {"image_id": n, "category_id": 1, "bbox": [30, 20, 100, 120]} for n in (2, 7, 400)
        ],
    }
    path = folder / "few.json"
    path.write_text(json.dumps(coco))

    (loaded,) = only(ClipLoaded, up_to(ClipLoaded, request_on("few", annotations=path)))

    # Of two annotated frames of the cut one is left to the verification.
    assert (loaded.num_frames_looked_at, loaded.num_objects) == (1, 1)


def test_annotations_with_other_class_names_are_an_error(
    request_on: MakeRequest, folder: Path
) -> None:
    # Nothing could be lost of them: every encode would be perfect.
    coco = {
        "images": [{"id": 2, "frame_index": 2}],
        "categories": [{"id": 1, "name": "driver"}],
        "annotations": [{"image_id": 2, "category_id": 1, "bbox": [30, 20, 100, 120]}],
    }
    path = folder / "names.json"
    path.write_text(json.dumps(coco))

    with pytest.raises(
        NoObjectsError, match="annotated are driver: annotations must have the name"
    ):
        up_to(ClipLoaded, request_on("names", annotations=path))


@pytest.mark.parametrize(
    ("aim", "message"),
    [
        (
            TargetQuality(quality=0.99999),
            r"target_quality 0\.99999 is out of reach: x264 keeps 0",
        ),
        (
            TargetRate(rate_kbps=1e6),
            r"target_rate 1e\+06 kbit/s is out of reach: x264 gives",
        ),
        (TargetRate(rate_kbps=0.5), r"target_rate 0\.5 kbit/s is out of reach: x264 gives \d+ to"),
    ],
)
def test_a_target_out_of_reach_is_an_error(
    request_on: MakeRequest, aim: TargetQuality | TargetRate, message: str
) -> None:
    with pytest.raises(UnreachableError, match=message):
        list(tune_events(request_on("reach", aim=aim)))


def test_a_quality_that_nobody_named_is_lowered_where_it_is_out_of_reach(
    request_on: MakeRequest,
) -> None:
    aim = TargetQuality(quality=0.99999, or_less=True)

    events = list(tune_events(request_on("lesser", aim=aim)))

    (moved,) = (event for event in events if isinstance(event, TargetMoved))
    assert (moved.asked_quality, moved.quality, moved.metric_quality) == (0.99999, 0.9, None)
    assert isinstance(events[-1], Recommended)
    found = events[-1].recommendation
    assert (found.target_quality, found.metric_target_quality) == (0.9, None)
    assert any("Quality 0.99999 is out of reach" in note for note in found.notes)


def test_defaults_slower_than_asked_for_are_not_recommended(request_on: MakeRequest) -> None:
    with pytest.raises(
        UnreachableError,
        match=r"min_fps 1e\+06 is out of reach: .* the defaults of x264 medium encode \d+ frames",
    ):
        list(tune_events(request_on("speed", min_fps=1e6, num_trials=2)))


def test_speeds_of_the_store_do_not_make_a_recommendation(
    events: list[TuneEvent], request_on: MakeRequest, folder: Path
) -> None:
    # As if a machine a million times faster had searched.
    with open_store(folder / "first.sqlite") as first, open_store(folder / "fast.sqlite") as fast:
        for key, value in first.of_kind("measurement"):
            assert isinstance(value, dict)
            assert isinstance(value["encode_seconds"], float)
            fast.put(key, {**value, "encode_seconds": value["encode_seconds"] / 1e6})

    with pytest.raises(UnreachableError, match=r"min_fps 1e\+06 is out of reach: .* encode \d+ "):
        list(tune_events(request_on("fast", min_fps=1e6)))


def test_the_command_is_said_to_encode_more_than_the_run_saw(
    events: list[TuneEvent], request_on: MakeRequest
) -> None:
    recommendation = outcome(events)

    assert recommendation.ffmpeg_command is not None
    assert "-frames:v" not in recommendation.ffmpeg_command
    assert [one for one in recommendation.notes if "cut" in one] == [
        "cut to its first 15 frames, as asked",
        "the printed command encodes the whole clip, what max_seconds cut off too",
    ]


def test_tune_is_one_call(clips: Path, weights: Path, folder: Path) -> None:
    with pytest.raises(UnreachableError, match="target_rate 1 kbit/s is out of reach: svtav1"):
        tune(
            clips / "carphone_qcif.mp4",
            codec="svtav1",
            preset="12",
            detector=weights,
            target_rate=1,
            max_seconds=0.2,
            num_trials=1,
            num_jobs=2,
            store=folder / "one-call.sqlite",
        )


def test_the_journal_lies_beside_the_store(events: list[TuneEvent], folder: Path) -> None:
    lines = (folder / "first.journal").read_text().splitlines()

    assert lines
    assert all(math.isfinite(json.loads(line)["op_code"]) for line in lines)

"""Measuring with a real encoder and detector, and nothing twice."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from ratesight.codecs.settings import Crf, EncodeSettings
from ratesight.codecs.source import Source
from ratesight.metrics.annotations import Annotations
from ratesight.metrics.boxes import Detections
from ratesight.metrics.detector import UltralyticsDetector, load_detector
from ratesight.metrics.errors import NoObjectsError
from ratesight.metrics.objects import ObjectMachine
from ratesight.optimizer.measuring.bench import Bench, Sample, Thresholds
from ratesight.optimizer.measuring.measure import Measurer, StoppedError, open_measurer
from ratesight.optimizer.measuring.set_up import set_up_bench
from ratesight.optimizer.measuring.store import open_store

SAMPLE: Sample = [(2, 2), (8, 8), (13, 13)]
SETTINGS = EncodeSettings(codec="x264", preset="veryfast", rate_control=Crf(value=30))


@pytest.fixture(scope="module")
def detector(weights: Path) -> UltralyticsDetector:
    return load_detector(str(weights), image_size=128)


@pytest.fixture
def measurer(tmp_path: Path) -> Iterator[Measurer]:
    with open_store(tmp_path / "s.sqlite") as store, open_measurer(store, 2) as opened:
        yield opened


def set_up(
    source: Source,
    detector: UltralyticsDetector,
    measurer: Measurer,
    *,
    sample: Sample = SAMPLE,
    thresholds: Thresholds | None = None,
    annotations: Annotations | None = None,
) -> Bench:
    scores = thresholds or Thresholds()
    return set_up_bench(
        source,
        ObjectMachine(
            detector=detector, reference_score=scores.reference, match_score=scores.match
        ),
        segments=source.whole,
        sample=sample,
        annotations=annotations,
        regions=None,
        measurer=measurer,
    )


def seen_on(
    source: Source, detector: UltralyticsDetector, min_score: float
) -> dict[int, Detections]:
    frames = [frame for frame, _ in SAMPLE]
    found = detector.detect([source.bgr(frame) for frame in frames], min_score)
    return dict(zip(frames, found, strict=True))


def test_the_reference_is_what_the_detector_surely_sees(
    phone: Source, detector: UltralyticsDetector, measurer: Measurer
) -> None:
    bench = set_up(phone, detector, measurer)

    assert bench.frames == bench.positions == (2, 8, 13)
    for frame, reference in zip(bench.frames, bench.references, strict=True):
        expected = seen_on(phone, detector, 0.4)[frame]
        assert "person" in expected.class_names
        assert reference.objects.class_names == expected.class_names
        np.testing.assert_allclose(reference.objects.boxes, expected.boxes, atol=0.01)
        np.testing.assert_array_equal(reference.object_ious, 1)


def test_annotations_are_the_reference_as_well_as_the_detector_sees_them(
    phone: Source, detector: UltralyticsDetector, measurer: Measurer
) -> None:
    box = seen_on(phone, detector, 0.4)[8].boxes[:1]
    half = box * [1, 1, 1, 0] + (box[:, [1]] + box[:, [3]]) / 2 * [0, 0, 0, 1]
    there = Detections(
        boxes=np.concatenate([box, half, box]),
        scores=np.ones(3),
        class_names=("person", "person", "zebra"),
    )
    nothing = Detections(boxes=np.zeros((0, 4)), scores=np.zeros(0), class_names=())
    annotations = Annotations(frames={2: nothing, 8: there, 13: nothing}, sha256="a file")

    bench = set_up(phone, detector, measurer, annotations=annotations)

    # The zebra, which it does not see, has nothing to lose.
    assert [len(frame.objects.class_names) for frame in bench.references] == [0, 2, 0]
    np.testing.assert_allclose(bench.references[1].object_ious, [1, 0.5], atol=0.01)
    np.testing.assert_array_equal(bench.references[1].objects.scores, 1)


def test_the_reference_is_found_once(
    phone: Source,
    detector: UltralyticsDetector,
    measurer: Measurer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = set_up(phone, detector, measurer)
    monkeypatch.delattr(ObjectMachine, "look")

    second = set_up(phone, detector, measurer)

    for one, other in zip(first.references, second.references, strict=True):
        np.testing.assert_array_equal(one.objects.boxes, other.objects.boxes)
        np.testing.assert_array_equal(one.objects.scores, other.objects.scores)


def test_without_an_object_there_is_no_bench(
    phone: Source, detector: UltralyticsDetector, measurer: Measurer
) -> None:
    with pytest.raises(NoObjectsError, match="sees none on 3 frames"):
        set_up(phone, detector, measurer, thresholds=Thresholds(reference=0.999))
    with pytest.raises(NoObjectsError, match="sees none on 0 frames"):
        set_up(phone, detector, measurer, sample=[])


def test_a_measurement_is_made_once(
    phone: Source, detector: UltralyticsDetector, measurer: Measurer
) -> None:
    bench = set_up(phone, detector, measurer)

    made, was_stored = measurer.measure(bench, SETTINGS)
    found, was_found = measurer.measure(bench, SETTINGS)
    (again,) = measurer.measure_afresh([bench], SETTINGS)

    assert (was_stored, was_found) == (False, True)
    assert (measurer.spent.num_encodes, measurer.spent.num_from_store) == (2, 1)
    assert found.to_json() == made.to_json()
    assert (again.size_bytes, again.rate_kbps) == (made.size_bytes, made.rate_kbps)
    assert again.scores.quality == pytest.approx(made.scores.quality, abs=1e-6)
    assert made.rate_kbps == pytest.approx(made.size_bytes * 8 / 1000 / (15 / 29.97), rel=1e-4)
    assert made.num_frames == phone.num_frames == 15
    assert 0 < made.scores.quality < 1
    assert len(made.scores.deltas) == len(SAMPLE)


def test_what_another_thread_measures_is_waited_for(
    phone: Source, detector: UltralyticsDetector, measurer: Measurer
) -> None:
    bench = set_up(phone, detector, measurer)

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: measurer.measure(bench, SETTINGS), range(6)))

    assert (measurer.spent.num_encodes, measurer.spent.num_from_store) == (1, 5)
    assert sorted(was_stored for _, was_stored in found) == [False] + [True] * 5
    assert len({json.dumps(one.to_json()) for one, _ in found}) == 1


def test_a_better_picture_is_better_seen(
    phone: Source, detector: UltralyticsDetector, measurer: Measurer
) -> None:
    bench = set_up(phone, detector, measurer)

    fine, coarse = (measurer.measure(bench, SETTINGS.at(Crf(value=crf)))[0] for crf in (12, 51))

    assert fine.rate_kbps > 5 * coarse.rate_kbps
    assert fine.scores.quality > 0.9 > 0.8 > coarse.scores.quality


def test_the_key_tells_apart_what_changes_a_measurement(
    phone: Source, detector: UltralyticsDetector, measurer: Measurer, weights: Path
) -> None:
    bench = set_up(phone, detector, measurer)
    others = [
        set_up(phone, detector, measurer, sample=SAMPLE[:2]),
        set_up(phone, detector, measurer, thresholds=Thresholds(match=0.3)),
        set_up(phone, detector, measurer, thresholds=Thresholds(reference=0.5)),
        set_up(phone, load_detector(str(weights), image_size=160), measurer),
        set_up(dataclasses.replace(phone, content_sha256="another"), detector, measurer),
    ]

    keys = [one.measurement_key(SETTINGS) for one in (bench, *others)]
    keys += [bench.measurement_key(SETTINGS.at(Crf(value=31)))]
    keys += [bench.measurement_key(dataclasses.replace(SETTINGS, num_threads=2))]

    assert all(one != other for i, one in enumerate(keys) for other in keys[:i])
    assert set_up(phone, detector, measurer).measurement_key(SETTINGS) == keys[0]


def test_a_stopped_run_measures_no_more(
    phone: Source, detector: UltralyticsDetector, measurer: Measurer
) -> None:
    bench = set_up(phone, detector, measurer)
    measurer.stop.set()

    with pytest.raises(StoppedError):
        measurer.measure(bench, SETTINGS)

    assert measurer.spent.num_encodes == 0


def test_an_error_stops_what_is_queued(tmp_path: Path) -> None:
    futures: list[Future[bool]] = []

    def fail() -> None:
        with open_store(tmp_path / "s.sqlite") as store, open_measurer(store, 1) as measurer:
            futures.extend(measurer.pool.submit(measurer.stop.wait, 30) for _ in range(2))
            raise KeyError("given up")

    with pytest.raises(KeyError, match="given up"):
        fail()

    running, queued = futures
    assert running.result() is True
    assert queued.cancelled()

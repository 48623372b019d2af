"""Precision and recall: what compression hides and what it makes up."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ratesight.metrics.boxes import Detections, Picture
from ratesight.metrics.detection_counts import DetectionCounts, count_detections
from ratesight.metrics.detector import load_detector

Object = tuple[str, float, tuple[float, float, float, float]]

CAR: Object = ("car", 0.9, (0, 0, 10, 10))
DOG: Object = ("dog", 0.5, (50, 50, 60, 80))
FAINT: Object = ("cat", 0.1, (30, 0, 40, 10))
SCORE = 0.4


def seen(*objects: Object) -> Detections:
    return Detections(
        boxes=np.array([box for _, _, box in objects], dtype=np.float64).reshape(-1, 4),
        scores=np.array([score for _, score, _ in objects], dtype=np.float64),
        class_names=tuple(name for name, _, _ in objects),
    )


def scored(one: Object, score: float) -> Object:
    return (one[0], score, one[2])


def count(*distorted: Object) -> DetectionCounts:
    """Counts on one frame with a car, a dog, and a cat that was seen with a low score."""
    everything = seen(CAR, DOG, FAINT)
    return count_detections([everything.at_least(SCORE)], [everything], [seen(*distorted)], SCORE)


@st.composite
def frames(draw: st.DrawFn) -> list[Detections]:
    objects = st.tuples(
        st.sampled_from(["car", "dog"]),
        st.floats(0.05, 1),
        st.tuples(*[st.floats(0, 100)] * 2, *[st.floats(101, 200)] * 2),
    )
    return [seen(*one) for one in draw(st.lists(st.lists(objects, max_size=4), max_size=3))]


@given(frames())
def test_what_did_not_change_is_found_and_true(found: list[Detections]) -> None:
    objects = [frame.at_least(SCORE) for frame in found]

    counts = count_detections(objects, found, found, SCORE)

    assert counts.num_objects == counts.num_found == counts.num_detections
    assert (counts.precision, counts.recall) == (1, 1)


@given(frames(), st.data())
def test_shares_are_shares(found: list[Detections], data: st.DataObject) -> None:
    distorted = data.draw(st.permutations(found))
    objects = [frame.at_least(SCORE) for frame in found]

    counts = count_detections(objects, found, distorted, SCORE)

    assert 0 <= counts.num_found <= counts.num_objects
    assert 0 <= counts.num_false <= counts.num_detections
    assert 0 <= counts.precision <= 1
    assert 0 <= counts.recall <= 1


def test_an_object_that_is_gone_costs_recall() -> None:
    counts = count(CAR)

    assert counts == DetectionCounts(num_objects=2, num_found=1, num_detections=1, num_false=0)
    assert (counts.precision, counts.recall) == (1, 0.5)


def test_an_object_that_is_made_up_costs_precision() -> None:
    counts = count(CAR, DOG, ("car", 0.6, (100, 100, 120, 120)))

    assert counts == DetectionCounts(num_objects=2, num_found=2, num_detections=3, num_false=1)
    assert counts.precision == pytest.approx(2 / 3)
    assert counts.recall == 1


def test_what_was_faint_on_the_original_is_not_made_up() -> None:
    assert count(CAR, DOG, scored(FAINT, 0.9)).precision == 1
    # Of another class it is.
    assert count(CAR, DOG, ("dog", 0.9, FAINT[2])).num_false == 1


def test_a_low_score_finds_but_claims_nothing() -> None:
    counts = count(scored(CAR, 0.06), ("car", 0.39, (100, 100, 120, 120)))

    assert counts == DetectionCounts(num_objects=2, num_found=1, num_detections=0, num_false=0)
    assert count(scored(CAR, SCORE)).num_detections == 1


def test_half_of_the_overlap_is_the_same_object() -> None:
    half, less = ("car", 0.9, (0.0, 0.0, 10.0, 5.0)), ("car", 0.9, (0.0, 0.0, 10.0, 4.9))

    assert (count(half).num_found, count(half).num_false) == (1, 0)
    assert (count(less).num_found, count(less).num_false) == (0, 1)


def test_nothing_detected_is_nothing_false() -> None:
    counts = count()

    assert counts == DetectionCounts(num_objects=2, num_found=0, num_detections=0, num_false=0)
    assert (counts.precision, counts.recall) == (1, 0)
    empty = count_detections([], [], [], SCORE)
    assert (empty.precision, empty.recall) == (1, 1)


def test_annotated_objects_that_the_original_did_not_show_are_true() -> None:
    counts = count_detections([seen(CAR)], [seen()], [seen(CAR)], SCORE)

    assert (counts.num_found, counts.num_false) == (1, 0)


def test_counts_add_up_over_frames() -> None:
    objects = [seen(CAR), seen(CAR, DOG), seen()]
    distorted = [seen(CAR), seen(DOG), seen(CAR)]

    counts = count_detections(objects, objects, distorted, SCORE)

    assert counts == DetectionCounts(num_objects=3, num_found=2, num_detections=3, num_false=1)


def test_frames_must_pair() -> None:
    with pytest.raises(ValueError, match="argument"):
        count_detections([seen()], [seen()], [], SCORE)


def test_heavy_compression_hides_people_from_a_real_detector(data: Path, weights: Path) -> None:
    photo = data / "detection/images/coco128_val2017/000000000785.jpg"
    with av.open(str(photo)) as container:
        (frame,) = container.decode(video=0)
        original: Picture = frame.to_ndarray(format="bgr24").astype(np.uint8, copy=False)
    coarse = np.repeat(np.repeat(original[::24, ::24], 24, axis=0), 24, axis=1)
    coarse = coarse[: original.shape[0], : original.shape[1]]
    detector = load_detector(str(weights), image_size=320)
    before, same, after = (detector.detect([one], 0.05) for one in (original, original, coarse))
    objects = [frame.at_least(SCORE) for frame in before]

    unchanged = count_detections(objects, before, same, SCORE)
    blocky = count_detections(objects, before, after, SCORE)

    assert unchanged.num_objects == blocky.num_objects > 0
    assert (unchanged.precision, unchanged.recall) == (1, 1)
    assert blocky.recall < 1

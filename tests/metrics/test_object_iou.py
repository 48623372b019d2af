"""Delta Object IoU: what of its objects a machine loses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ratesight.metrics.boxes import Detections
from ratesight.metrics.errors import NoObjectsError
from ratesight.metrics.object_iou import (
    ObjectScores,
    ReferenceObjects,
    object_ious,
    object_losses,
    pooled_quality,
)
from ratesight.metrics.task import object_scores

Object = tuple[str, float, tuple[float, float, float, float]]

CAR: Object = ("car", 0.9, (0, 0, 10, 10))
DOG: Object = ("dog", 0.5, (50, 50, 60, 80))
NOTHING = Detections(boxes=np.zeros((0, 4)), scores=np.zeros(0), class_names=())


def seen(*objects: Object) -> Detections:
    return Detections(
        boxes=np.array([box for _, _, box in objects], dtype=np.float64).reshape(-1, 4),
        scores=np.array([score for _, score, _ in objects], dtype=np.float64),
        class_names=tuple(name for name, _, _ in objects),
    )


def reference(*objects: Object) -> ReferenceObjects:
    """What a detector that is its own reference sees on the original."""
    (found,) = as_reference([seen(*objects)])
    return found


def delta_object_iou(
    frames: Sequence[ReferenceObjects], distorted: Sequence[Detections]
) -> ObjectScores:
    losses = [object_losses(one, seen) for one, seen in zip(frames, distorted, strict=True)]
    return object_scores(frames, losses)


def quality(frames: Sequence[ReferenceObjects], distorted: Sequence[Detections]) -> float:
    return delta_object_iou(frames, distorted).quality


@st.composite
def frames(draw: st.DrawFn) -> list[Detections]:
    """One to four frames with at least one object between them."""
    objects = st.tuples(
        st.sampled_from(["car", "dog"]),
        st.floats(0.4, 1),
        st.tuples(*[st.floats(0, 100)] * 2, *[st.floats(101, 200)] * 2),
    )
    first = draw(st.lists(objects, min_size=1, max_size=4))
    others = draw(st.lists(st.lists(objects, max_size=4), max_size=3))
    return [seen(*frame) for frame in draw(st.permutations([first, *others]))]


def as_reference(detections: Sequence[Detections]) -> list[ReferenceObjects]:
    return [
        ReferenceObjects(objects=one, object_ious=np.ones(len(one.class_names)), seen=one)
        for one in detections
    ]


@given(frames())
def test_identity_is_exactly_1(found: list[Detections]) -> None:
    assert quality(as_reference(found), found) == 1


@given(frames(), st.floats(0.4, 1))
def test_seeing_less_is_never_better(found: list[Detections], score: float) -> None:
    fewer = [frame.at_least(score) for frame in found]
    none = [frame.at_least(1.1) for frame in found]
    frames_ = as_reference(found)

    assert quality(frames_, none) == pytest.approx(0, abs=1e-12)
    assert -1e-12 <= quality(frames_, fewer) <= 1


def test_a_missing_object_loses_its_weight() -> None:
    scores = delta_object_iou([reference(CAR, DOG)], [seen(CAR)])

    assert scores.quality == pytest.approx(1 - 0.5 / 1.4)
    np.testing.assert_array_equal(scores.deltas[0], [0, 1])
    np.testing.assert_array_equal(scores.frame_weights, [0.9 + 0.5])
    np.testing.assert_array_equal(scores.frame_losses, [0.5])


def test_a_moved_box_loses_what_it_does_not_cover() -> None:
    moved = ("car", 0.3, (5.0, 0.0, 15.0, 10.0))

    assert quality([reference(CAR)], [seen(moved)]) == pytest.approx(1 / 3)


def test_the_score_of_a_detection_on_the_encode_does_not_matter() -> None:
    faint = ("car", 0.01, CAR[2])

    assert quality([reference(CAR)], [seen(faint)]) == 1


def test_another_class_does_not_match() -> None:
    truck = ("truck", 0.99, CAR[2])

    assert quality([reference(CAR)], [seen(truck)]) == 0


def test_the_best_detection_of_the_class_counts() -> None:
    wide = ("car", 0.95, (0.0, 0.0, 20.0, 10.0))
    close = ("car", 0.3, (0.0, 0.0, 10.0, 9.0))

    np.testing.assert_allclose(object_ious(seen(CAR), seen(wide, close, DOG)), [0.9])


def test_luck_on_one_object_does_not_pay_for_another() -> None:
    # An annotated car that the detector saw badly on the original, and sees well by chance.
    annotated = ReferenceObjects(
        objects=seen(("car", 1, CAR[2]), ("dog", 1, DOG[2])),
        object_ious=np.array([0.4, 0.8]),
        seen=seen(CAR, DOG),
    )

    scores = delta_object_iou([annotated], [seen(CAR)])

    np.testing.assert_allclose(scores.deltas[0], [0, 0.8])
    assert scores.quality == pytest.approx(0.6)


def test_what_was_not_seen_on_the_original_cannot_be_lost() -> None:
    annotated = ReferenceObjects(objects=seen(CAR), object_ious=np.zeros(1), seen=NOTHING)

    assert quality([annotated], [NOTHING]) == 1


def test_objects_are_pooled_over_frames_not_frames() -> None:
    first = reference(*[("car", 1, (20.0 * n, 0.0, 20.0 * n + 10, 10.0)) for n in range(3)])
    second = reference(("car", 1, CAR[2]))

    scores = delta_object_iou([first, second], [first.objects, NOTHING])

    assert scores.quality == pytest.approx(3 / 4)
    np.testing.assert_array_equal(scores.frame_qualities, [1, 0])


def test_frames_without_objects_do_not_count() -> None:
    empty = reference()

    scores = delta_object_iou([empty, reference(CAR), empty], [seen(DOG), NOTHING, NOTHING])

    assert scores.quality == 0
    np.testing.assert_array_equal(scores.frame_weights, [0, 0.9, 0])
    np.testing.assert_array_equal(scores.frame_qualities, [0])


@given(frames())
def test_the_order_of_frames_does_not_matter(found: list[Detections]) -> None:
    less = [frame.at_least(0.7) for frame in found]

    straight = quality(as_reference(found), less)

    assert quality(as_reference(found[::-1]), less[::-1]) == pytest.approx(straight)


def test_pooling_takes_many_resamples_at_once() -> None:
    weights, losses = np.array([1.0, 2, 3]), np.array([0.5, 0, 3])
    picked = np.array([[0, 1, 2], [0, 0, 1], [2, 2, 2]])

    pooled = pooled_quality(weights[picked], losses[picked])

    np.testing.assert_allclose(pooled, [1 - 3.5 / 6, 1 - 1 / 4, 0])


@pytest.mark.parametrize("frames_", [[], [reference()], [reference()] * 7])
def test_nothing_on_the_original_is_an_error(frames_: list[ReferenceObjects]) -> None:
    rule = f"must see at least one object on the original, it sees none on {len(frames_)} frames"

    with pytest.raises(NoObjectsError, match=rule):
        delta_object_iou(frames_, [NOTHING] * len(frames_))

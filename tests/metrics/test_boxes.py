"""Boxes and their overlap."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ratesight.metrics.boxes import Detections, iou_matrix

Floats = npt.NDArray[np.float64]

coordinate = st.floats(-100, 2000)
length = st.floats(0.01, 1000)


@st.composite
def boxes(draw: st.DrawFn) -> Floats:
    rows = draw(st.lists(st.tuples(coordinate, coordinate, length, length), max_size=5))
    corners = np.array(rows, dtype=np.float64).reshape(-1, 4)
    corners[:, 2:] += corners[:, :2]
    return corners


@given(boxes(), boxes())
def test_iou_is_symmetric_and_between_0_and_1(first: Floats, second: Floats) -> None:
    ious = iou_matrix(first, second)

    assert ious.shape == (len(first), len(second))
    np.testing.assert_array_equal(ious, iou_matrix(second, first).T)
    assert np.all((ious >= 0) & (ious <= 1))


@given(boxes())
def test_iou_of_a_box_with_itself_is_1(some: Floats) -> None:
    np.testing.assert_array_equal(np.diag(iou_matrix(some, some)), np.ones(len(some)))


@given(boxes(), st.integers(0, 3))
def test_iou_of_disjoint_boxes_is_0(some: Floats, side: int) -> None:
    far = some + 10_000 * np.array(
        [(1, 0, 1, 0), (-1, 0, -1, 0), (0, 1, 0, 1), (0, -1, 0, -1)][side]
    )

    assert not iou_matrix(some, far).any()


@given(boxes(), st.floats(0.01, 100), st.tuples(st.floats(-500, 500), st.floats(-500, 500)))
def test_iou_does_not_depend_on_scale_and_place(
    some: Floats, scale: float, shift: tuple[float, float]
) -> None:
    moved = some * scale + np.tile(shift, 2)

    np.testing.assert_allclose(iou_matrix(moved, moved), iou_matrix(some, some), atol=1e-5)


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        ((5, 0, 15, 10), 1 / 3),  # 50 of 150
        ((0, 0, 10, 5), 1 / 2),
        ((2, 2, 4, 4), 4 / 100),
        ((10, 0, 20, 10), 0),  # they touch
        ((20, 0, 30, 10), 0),
        ((12, 12, -2, -2), 0),  # corners the wrong way round have no area
    ],
)
def test_iou_by_hand(second: tuple[float, ...], expected: float) -> None:
    ious = iou_matrix(np.array([[0, 0, 10, 10.0]]), np.array([second], dtype=np.float64))

    assert ious.item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("flat", [(3, 3, 3, 3), (0, 5, 10, 5), (5, 0, 5, 10)])
def test_iou_with_a_box_without_area_is_0(flat: tuple[float, ...]) -> None:
    both = np.array([flat, (0, 0, 10, 10)], dtype=np.float64)

    np.testing.assert_array_equal(iou_matrix(both, both), [[0, 0], [0, 1]])


def test_iou_leaves_its_arguments_alone() -> None:
    first, second = np.array([[0, 0, 10, 10.0]]), np.array([[12, 12, -2, -2.0]])
    before = first.copy(), second.copy()

    iou_matrix(first, second)

    np.testing.assert_array_equal(first, before[0])
    np.testing.assert_array_equal(second, before[1])


@pytest.mark.parametrize("shape", [(4,), (1, 4), (3, 4), (2, 5)])
def test_boxes_must_fit_the_names(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"boxes must be \(n, 4\), got self.boxes.shape = "):
        Detections(boxes=np.zeros(shape), scores=np.ones(2), class_names=("car", "dog"))


@pytest.mark.parametrize("shape", [(1,), (3,), (2, 1)])
def test_scores_must_fit_the_names(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"scores must be \(n,\), got self.scores.shape = "):
        Detections(boxes=np.zeros((2, 4)), scores=np.ones(shape), class_names=("car", "dog"))


def test_at_least_keeps_that_score_and_higher_ones() -> None:
    found = Detections(
        boxes=np.arange(12, dtype=np.float64).reshape(3, 4),
        scores=np.array([0.9, 0.4, 0.39]),
        class_names=("car", "dog", "cat"),
    )

    kept = found.at_least(0.4)

    assert kept.class_names == ("car", "dog")
    np.testing.assert_array_equal(kept.scores, [0.9, 0.4])
    np.testing.assert_array_equal(kept.boxes, found.boxes[:2])
    assert found.at_least(0.95).class_names == ()
    assert found.at_least(0.95).boxes.shape == (0, 4)

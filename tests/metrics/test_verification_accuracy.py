"""Face verification from cosines."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from ratesight.metrics.verification_accuracy import best_threshold, verification_accuracy

Floats = npt.NDArray[np.float64]

SAME = np.array([True, True, False, False])
FOLDS = np.array([0, 1, 0, 1])


def test_what_is_apart_is_all_right() -> None:
    assert verification_accuracy(np.array([0.8, 0.7, 0.1, 0.2]), SAME, FOLDS) == 1


def test_a_threshold_is_found_without_the_pairs_it_judges() -> None:
    # Fold 1 alone would put it at 0.2, fold 0 at 0.65: each gets a pair of the other wrong.
    cosines = np.array([0.7, 0.3, 0.6, 0.1])

    assert verification_accuracy(cosines, SAME, FOLDS) == 0.5


def test_the_best_threshold_is_the_middle_one_of_several() -> None:
    cosines = np.array([0.0, 0.2, 0.4, 0.6])

    assert best_threshold(cosines, np.array([False, False, True, True])) == pytest.approx(0.3)
    assert best_threshold(cosines, np.array([False] * 4)) > 0.6
    assert best_threshold(cosines, np.array([True] * 4)) < 0


@given(arrays(np.float64, 12, elements=st.floats(-1, 1)))
def test_it_is_a_share_that_no_order_changes(cosines: Floats) -> None:
    is_same = np.arange(12) % 2 == 0
    folds = np.arange(12) // 6
    order = np.random.default_rng(0).permutation(12)

    accuracy = verification_accuracy(cosines, is_same, folds)

    assert 0 <= accuracy <= 1
    assert verification_accuracy(cosines[order], is_same[order], folds[order]) == accuracy


def test_one_fold_is_refused() -> None:
    with pytest.raises(ValueError, match="folds must be at least two, got 1"):
        verification_accuracy(np.zeros(4), SAME, np.zeros(4, dtype=np.int64))


@pytest.mark.parametrize("num_cosines", [0, 3])
def test_shapes_must_fit(num_cosines: int) -> None:
    with pytest.raises(ValueError, match=r"must be \(n,\), got"):
        verification_accuracy(np.zeros(num_cosines), SAME, FOLDS)

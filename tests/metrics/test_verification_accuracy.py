"""Face verification from cosines."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from ratesight.metrics.verification_accuracy import (
    VerificationChange,
    best_threshold,
    verification_accuracy,
    verification_change,
)

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


def test_thresholds_may_be_those_of_other_cosines() -> None:
    originals = np.array([0.8, 0.7, 0.1, 0.2])
    # All less alike by a half: nobody is recognised at the originals' thresholds of 0.45.
    distorted = originals / 2

    assert verification_accuracy(distorted, SAME, FOLDS) == 1
    assert verification_accuracy(distorted, SAME, FOLDS, fitted_on=originals) == 0.5


def change_of(
    original: Floats, distorted: Floats, seed: int = 0, num_resamples: int = 200
) -> VerificationChange:
    num_pairs = len(original)
    return verification_change(
        original,
        distorted,
        np.arange(num_pairs) % 2 == 0,
        np.arange(num_pairs) // (num_pairs // 2),
        np.random.default_rng(seed),
        num_resamples=num_resamples,
    )


def test_what_compression_changes_has_an_interval() -> None:
    random = np.random.default_rng(1)
    original = np.where(np.arange(200) % 2 == 0, 0.8, 0.2) + random.normal(0, 0.1, 200)
    distorted = original * 0.6 + random.normal(0, 0.1, 200)

    found = change_of(original, distorted)

    assert found.original > 0.98
    assert found.change == found.distorted - found.original < -0.1
    assert -0.5 < found.low < found.change < found.high < 0
    assert found.distorted < found.refitted < found.original
    assert change_of(original, distorted) == found
    assert change_of(original, distorted, seed=1) != found


def test_the_interval_is_as_wide_as_other_draws_differ() -> None:
    """Of changes on fresh pairs, 95 % lie in an interval as wide as those of one draw."""
    draws = []
    for seed in range(40):
        random = np.random.default_rng(seed)
        original = np.where(np.arange(200) % 2 == 0, 0.7, 0.3) + random.normal(0, 0.1, 200)
        draws.append(change_of(original, original * 0.8 + random.normal(0, 0.1, 200)))

    spread = np.std([one.change for one in draws], ddof=1)
    widths = np.mean([one.high - one.low for one in draws])

    assert widths / (2 * 1.96 * spread) == pytest.approx(1, abs=0.3)


@given(arrays(np.float64, 12, elements=st.floats(-1, 1)))
def test_without_compression_nothing_changes(cosines: Floats) -> None:
    found = change_of(cosines, cosines, num_resamples=5)

    assert (found.change, found.low, found.high) == (0, 0, 0)
    assert found.original == found.distorted == found.refitted


def test_both_sides_must_be_of_the_same_pairs() -> None:
    with pytest.raises(ValueError, match=r"same pairs, got \(4,\) and \(3,\)"):
        change_of(np.zeros(4), np.zeros(3))


@pytest.mark.parametrize("num_cosines", [0, 3])
def test_shapes_must_fit(num_cosines: int) -> None:
    with pytest.raises(ValueError, match=r"must be \(n,\), got"):
        verification_accuracy(np.zeros(num_cosines), SAME, FOLDS)

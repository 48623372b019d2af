"""What to expect of changes that were measured with errors."""

from __future__ import annotations

import numpy as np
import pytest
from ratesight.optimizer.curves.shrinkage import expected_percents


def test_what_is_measured_exactly_is_what_to_expect() -> None:
    measured = np.array([-30.0, -10.0, 5.0])

    assert expected_percents(measured, np.full(3, 1e-6)) == pytest.approx(measured)


def test_what_differs_by_its_errors_alone_is_expected_to_be_alike() -> None:
    rng = np.random.default_rng(0)
    measured = np.expm1(-0.1 + 0.2 * rng.normal(size=4000)) * 100

    expected = expected_percents(measured, np.full(4000, 0.21))

    assert np.ptp(expected) < 1e-9
    assert expected[0] == pytest.approx(np.expm1(-0.1) * 100, abs=1)


def test_one_clip_is_expected_as_measured() -> None:
    assert expected_percents(np.array([-20.0]), np.array([0.3])) == pytest.approx([-20])


def test_a_clip_is_drawn_by_as_much_as_it_may_err() -> None:
    measured = np.array([-20.0, -10.0, 0.0, -30.0, -30.0])
    sure, unsure = expected_percents(measured, np.array([0.02, 0.02, 0.02, 0.02, 0.3]))[-2:]

    assert -30 < sure < -29
    assert -20 < unsure < -12


@pytest.mark.parametrize(("mean", "spread", "error"), [(-0.1, 0.1, 0.1), (0.0, 0.05, 0.1)])
def test_expectations_of_chosen_clips_are_true(mean: float, spread: float, error: float) -> None:
    rng = np.random.default_rng(1)
    true = mean + spread * rng.normal(size=20_000)
    errors = error * np.exp(0.5 * rng.normal(size=20_000))
    measured = np.expm1(true + errors * rng.normal(size=20_000)) * 100

    expected = expected_percents(measured, errors)

    chosen = measured < 0
    saved = (np.expm1(true[chosen]) * 100).mean()
    assert expected[chosen].mean() == pytest.approx(saved, abs=0.3)
    assert measured[chosen].mean() < saved - 3

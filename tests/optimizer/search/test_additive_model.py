"""What a model of the options makes of a few costs."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ratesight.optimizer.search.additive_model import (
    AdditiveModel,
    fit_additive_model,
    log_expected_improvement,
)
from scipy.integrate import quad
from scipy.stats import norm, spearmanr

Floats = npt.NDArray[np.float64]

NUM_OPTIONS = 8
DEFAULT = np.full(NUM_OPTIONS, 0.5)
NO_MODES = np.zeros(NUM_OPTIONS, dtype=bool)
# What each option does over its range; most do nothing.
SLOPES = np.array([-0.4, 0.2, 0.0, 0.0, 0.1, 0.0, 0.0, -0.1])


def truth(points: Floats) -> Floats:
    """A cost that adds up, but for the first two, which are better together."""
    from_default = points - DEFAULT
    return np.asarray(from_default @ SLOPES - 0.8 * from_default[:, 0] * from_default[:, 1])


def model(num: int, *, noise: float = 0.005, seed: int = 0) -> AdditiveModel:
    rng = np.random.default_rng(seed)
    points = rng.random((num, NUM_OPTIONS))
    costs = truth(points) + noise * rng.standard_normal(num)
    return fit_additive_model(points, costs, default=DEFAULT, is_mode=NO_MODES)


def distances(fitted: AdditiveModel, left: Floats, right: Floats) -> Floats:
    """How far each option is."""
    return np.where(fitted.is_mode, left != right, np.abs(left - right))


def naive_covariance(fitted: AdditiveModel, left: Floats, right: Floats) -> float:
    """The covariance of two points as the docstring has it, one option after the other."""
    each = (
        fitted.effects
        * (
            distances(fitted, left, fitted.default)
            + distances(fitted, right, fitted.default)
            - distances(fitted, left, right)
        )
        / 2
    )
    pairs = sum(each[i] * each[j] for i in range(len(each)) for j in range(i))
    return float(sum(each) + fitted.together * pairs)


def test_predictions_are_those_of_a_gaussian_process_with_that_covariance() -> None:
    rng = np.random.default_rng(3)
    is_mode = np.array([True, False, True])
    default = np.array([1.0, 0.5, 0.0])
    points = np.column_stack([rng.integers(0, 3, 9), rng.random(9), rng.integers(0, 2, 9)])
    fitted = fit_additive_model(points, rng.standard_normal(9), default=default, is_mode=is_mode)
    asked = np.array([[2.0, 0.1, 1.0], [0.0, 0.9, 0.0]])

    means, deviations = fitted.predict(asked)

    known = np.array([[naive_covariance(fitted, a, b) for b in points] for a in points])
    known += (fitted.noise + 1e-6) * np.eye(9)
    across = np.array([[naive_covariance(fitted, a, b) for b in points] for a in asked])
    own = np.array([naive_covariance(fitted, a, a) for a in asked])
    solved = np.linalg.solve(known, across.T)
    usual, usual_of_asked = (
        [fitted.scale * fitted.drift * sum(distances(fitted, a, default)) for a in many]
        for many in (points, asked)
    )
    assert means == pytest.approx(usual_of_asked + solved.T @ (fitted.costs - usual))
    assert deviations == pytest.approx(
        fitted.scale * np.sqrt(own - np.einsum("mn,nm->m", across, solved))
    )


def test_what_adds_up_is_known_from_few_points() -> None:
    asked = np.random.default_rng(9).random((200, NUM_OPTIONS))

    means, _ = model(24).predict(asked)

    assert spearmanr(means, truth(asked)).statistic > 0.85


def test_what_nothing_is_known_of_is_expected_to_cost() -> None:
    points = np.tile(DEFAULT, (4, 1))
    points[:, 0] = [0.6, 0.7, 0.8, 0.9]
    fitted = fit_additive_model(
        points, 0.1 * (points[:, 0] - 0.5), default=DEFAULT, is_mode=NO_MODES
    )
    unknown = np.tile(DEFAULT, (3, 1))
    unknown[:, 5] = [0.5, 0.7, 0.9]

    means, deviations = fitted.predict(unknown)

    assert means[0] == pytest.approx(0)
    assert 0 < means[1] < means[2] < 0.04
    assert deviations[1] < deviations[2]


def test_it_learns_from_every_point() -> None:
    asked = np.random.default_rng(9).random((200, NUM_OPTIONS))

    errors = [
        float(np.sqrt(np.mean((model(num).predict(asked)[0] - truth(asked)) ** 2)))
        for num in (4, 12, 36, 100)
    ]

    assert all(less < more for more, less in pairwise(errors))


def test_its_deviations_are_those_of_its_errors() -> None:
    asked = np.random.default_rng(9).random((200, NUM_OPTIONS))

    scores = []
    for seed in range(5):
        means, deviations = model(24, seed=seed).predict(asked)
        scores.append((means - truth(asked)) / deviations)

    # A straight line is smoother than what it expects.
    assert 0.2 < np.std(scores) < 1.2


def test_defaults_cost_nothing_whatever_was_measured() -> None:
    means, deviations = model(10).predict(DEFAULT[None])

    assert means == pytest.approx([0.0])
    assert deviations < 0.01


def test_options_without_effect_are_told_from_those_with_one() -> None:
    effects = model(60).effects

    assert min(effects[[0, 1]]) > 5 * max(effects[[2, 3, 5, 6]])


def test_costs_in_other_units_give_the_same_in_those_units() -> None:
    rng = np.random.default_rng(0)
    points, asked = rng.random((12, NUM_OPTIONS)), rng.random((5, NUM_OPTIONS))

    means, deviations = fit_additive_model(
        points, truth(points), default=DEFAULT, is_mode=NO_MODES
    ).predict(asked)
    scaled_means, scaled_deviations = fit_additive_model(
        points, truth(points) / 1000, default=DEFAULT, is_mode=NO_MODES
    ).predict(asked)

    assert scaled_means * 1000 == pytest.approx(means)
    assert scaled_deviations * 1000 == pytest.approx(deviations)


def test_believing_makes_points_under_way_known_and_moves_nothing() -> None:
    fitted = model(12)
    asked = np.random.default_rng(5).random((3, NUM_OPTIONS))
    before, doubt = fitted.predict(asked)

    after, less_doubt = fitted.believing(asked).predict(asked)

    assert after == pytest.approx(before, abs=1e-6)
    assert (less_doubt < 0.9 * doubt).all()


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=1, max_size=12),
    st.sampled_from([0.0, 1e-9, 1.0, 1e6]),
)
def test_anything_can_be_fitted(rows: list[list[float]], size: float) -> None:
    # Points twice, at the defaults, costs that are all equal.
    points = np.array(rows)
    fitted = fit_additive_model(
        points,
        np.full(len(points), size),
        default=np.array([0.0, 0.5, 1.0]),
        is_mode=np.array([True, False, False]),
    )

    means, deviations = fitted.predict(np.vstack([points, np.random.default_rng(0).random((4, 3))]))

    assert np.isfinite(means).all()
    assert (deviations > 0).all()


@pytest.mark.parametrize("behind", [-3.0, -1.0, 0.0, 0.5, 3.0, 8.0, 20.0, 35.0])
def test_expected_improvement_is_its_integral(behind: float) -> None:
    deviation, best = 0.2, -0.1
    mean = best + behind * deviation

    found = log_expected_improvement(np.array([mean]), np.array([deviation]), best)[0]

    # In units of the deviation, and of the density at the best, or nothing would be left of it.
    integral, _ = quad(
        lambda step: step * math.exp(norm.logpdf(-behind - step) - norm.logpdf(behind)), 0, 50
    )
    expected = math.log(deviation) + norm.logpdf(behind) + math.log(integral)
    assert found == pytest.approx(expected, abs=0.03)

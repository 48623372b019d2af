"""A monotone cubic on plain numbers: scipy says the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ratesight.optimizer.curves.pchip import fit_pchip
from scipy.interpolate import PchipInterpolator

# Steps to the right, and values that rise, fall and stay.
points = st.lists(
    st.tuples(st.integers(1, 1000), st.integers(-50, 50)), min_size=2, max_size=9
).map(
    lambda steps: (
        [float(x) / 100 for x in np.cumsum([step for step, _ in steps])],
        [value / 40 for _, value in steps],
    )
)
rising = points.map(lambda some: (some[0], sorted(some[1])))


@given(points | rising)
def test_values_are_those_of_scipy(some: tuple[list[float], list[float]]) -> None:
    xs, ys = some
    fit, expected = fit_pchip(xs, ys), PchipInterpolator(xs, ys)
    # The knots among them, and places beyond the ends.
    at = np.sort(np.concatenate([np.linspace(xs[0] - 0.1, xs[-1] + 0.1, 50), xs]))

    found = [fit.value_at(float(x)) for x in at]

    np.testing.assert_allclose(found, expected(at), rtol=1e-12, atol=1e-12)


@given(points | rising, st.floats(0, 1), st.floats(0, 1))
def test_integrals_are_those_of_scipy(
    some: tuple[list[float], list[float]], one: float, other: float
) -> None:
    xs, ys = some
    low, high = sorted(xs[0] + share * (xs[-1] - xs[0]) for share in (one, other))

    found = fit_pchip(xs, ys).integral(low, high)

    expected = float(PchipInterpolator(xs, ys).integrate(low, high))
    assert found == pytest.approx(expected, rel=1e-10, abs=1e-10)


@given(rising)
def test_it_rises_where_its_points_do(some: tuple[list[float], list[float]]) -> None:
    xs, ys = some
    fit = fit_pchip(xs, ys)

    values = [fit.value_at(float(x)) for x in np.linspace(xs[0], xs[-1], 200)]

    assert (np.diff(values) >= -1e-12).all()


def test_two_points_are_a_line() -> None:
    fit = fit_pchip([1.0, 3.0], [2.0, 6.0])

    assert [fit.value_at(x) for x in (0.0, 1.0, 2.0, 3.0)] == [0, 2, 4, 6]
    assert fit.integral(1, 3) == 8

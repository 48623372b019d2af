"""Curves measured anywhere: what is refused, mended and cut off."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st
from ratesight.optimizer.curves.measured_curve import Policy, measured_curve
from ratesight.optimizer.errors import CurveError

RATES = np.array([100.0, 200, 400, 800, 1600])
MENDING: tuple[Policy, ...] = ("pareto", "monotone")
points = st.lists(
    st.tuples(st.integers(1, 10_000), st.integers(0, 1000)),
    min_size=4,
    max_size=12,
    unique_by=lambda point: point[0],
)


def test_a_rising_curve_is_left_alone_in_any_order() -> None:
    qualities = np.array([0.5, 0.7, 0.8, 0.85, 0.9])

    curve = measured_curve(RATES[::-1], qualities[::-1])

    assert np.exp(curve.log_rates) == pytest.approx(RATES)
    assert curve.qualities.tolist() == qualities.tolist()
    assert curve.notes == ()


def test_strict_names_the_points_that_fall() -> None:
    with pytest.raises(CurveError, match=r"from 0\.42 at 400 to 0\.41 at 800; choose policy"):
        measured_curve(RATES, np.array([0.1, 0.2, 0.42, 0.41, 0.5]))


def test_pareto_leaves_out_what_a_cheaper_point_equals() -> None:
    curve = measured_curve(RATES, np.array([0.1, 0.42, 0.42, 0.41, 0.5]), policy="pareto")

    assert np.exp(curve.log_rates) == pytest.approx([100, 200, 1600])
    assert curve.qualities.tolist() == [0.1, 0.42, 0.5]
    assert curve.notes == (
        "2 points that a cheaper one equals left out (pareto)",
        "only 3 points left",
    )


def test_monotone_moves_to_the_nearest_that_do_not_fall() -> None:
    curve = measured_curve(RATES, np.array([0.1, 0.2, 0.42, 0.40, 0.5]), policy="monotone")

    assert curve.qualities == pytest.approx([0.1, 0.2, 0.41, 0.5])
    assert np.exp(curve.log_rates) == pytest.approx(np.delete(RATES, 3))
    assert curve.notes == (
        "2 points moved by up to 0.01 (monotone)",
        "1 point that a cheaper one equals left out (monotone)",
    )


def test_of_equal_qualities_monotone_keeps_the_cheapest_and_says_so() -> None:
    curve = measured_curve(RATES, np.array([0.5, 0.7, 0.7, 0.7, 0.95]), policy="monotone")

    assert np.exp(curve.log_rates) == pytest.approx(RATES[[0, 1, 4]])
    assert curve.notes == (
        "2 points that a cheaper one equals left out (monotone)",
        "only 3 points left",
    )


@given(points, st.sampled_from(MENDING))
def test_what_is_mended_rises(given_points: list[tuple[int, int]], policy: Policy) -> None:
    rates, qualities = np.array(given_points, dtype=np.float64).T

    try:
        curve = measured_curve(rates, qualities, policy=policy, saturation=0)
    except CurveError:
        reject()  # it is flat, of which there is a test below

    assert (np.diff(curve.log_rates) > 0).all()
    assert (np.diff(curve.qualities) >= 0).all()
    assert curve.qualities[-1] > curve.qualities[0]


def test_a_saturated_top_is_cut_off_and_said() -> None:
    rates = np.array([100.0, 200, 400, 800, 1600, 3200])
    qualities = np.array([0.5, 0.8, 0.9, 0.99, 0.9901, 0.9902])

    curve = measured_curve(rates, qualities)

    assert np.exp(curve.log_rates) == pytest.approx(rates[:4])
    (note,) = curve.notes
    assert note.startswith("2 saturated points above quality 0.99 cut off")
    assert len(measured_curve(rates, qualities, saturation=0).qualities) == 6


def test_many_points_are_no_saturation() -> None:
    rates, qualities = np.geomspace(100, 3000, 300), np.linspace(0.1, 0.9, 300)

    curve = measured_curve(rates, qualities)

    assert len(curve.qualities) >= 298
    assert curve.qualities[-1] > 0.895


@pytest.mark.parametrize(
    ("rates", "qualities", "words"),
    [
        ([1, 2, 3], [1, 2, 3], "at least 4 points, got 3"),
        ([1, 2, 2, 3], [1, 2, 3, 4], "2 is there more than once"),
        ([0, 1, 2, 3], [1, 2, 3, 4], "rates must be above 0"),
        ([1, 2, 3, 4], [1, 2, np.nan, 4], "finite"),
        ([1, 2, 3, np.inf], [1, 2, 3, 4], "finite"),
        ([1, 2, 3, 4], [1, 2, 2, 3], "choose policy"),
        ([1, 2, 3, 4], [4, 3, 2, 1], "it falls from 4 to 1 as the rate rises; turn its sign"),
        ([1, 2, 3, 4], [1, 2, np.nan, 4], "got rate 3 with quality nan"),
    ],
)
def test_what_is_no_curve_is_refused(
    rates: list[float], qualities: list[float], words: str
) -> None:
    with pytest.raises(CurveError, match=words):
        measured_curve(np.array(rates, dtype=np.float64), np.array(qualities, dtype=np.float64))


@pytest.mark.parametrize("policy", MENDING)
def test_a_flat_curve_is_refused(policy: Policy) -> None:
    with pytest.raises(CurveError, match="two qualities"):
        measured_curve(RATES, np.full(5, 0.5), policy=policy)

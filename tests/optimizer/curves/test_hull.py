"""The hull of many curves, on points made up."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ratesight.optimizer.curves.curve import RdPoint, fit_curve
from ratesight.optimizer.curves.hull import (
    HullPoint,
    cheapest_rate,
    convex_hull,
    excess_at,
    is_hopeless,
)
from scipy.spatial import ConvexHull

Pairs = Sequence[tuple[float, float]]

pairs = st.lists(
    st.tuples(st.floats(10, 5000), st.floats(0, 1).map(lambda quality: round(quality, 4))),
    min_size=1,
    max_size=20,
)


def points(of: Pairs) -> list[RdPoint]:
    """From the lowest CRF to the highest, rates given from the highest to the lowest."""
    return [
        RdPoint(crf=20.0 + number, rate_kbps=rate, quality=quality)
        for number, (rate, quality) in enumerate(of)
    ]


def hull(of: Pairs) -> list[tuple[float, float]]:
    corners = convex_hull(HullPoint(contestant="x264", point=one) for one in points(of))
    return [(one.point.rate_kbps, one.point.quality) for one in corners]


def test_corners_of_a_known_hull() -> None:
    of = [(100, 0.5), (200, 0.8), (400, 0.85), (800, 0.99), (1600, 0.98), (300, 0.6)]
    # From 200 to 800 in log rate is a straight way over 400 at 0.895.
    assert hull(of) == [(100, 0.5), (200, 0.8), (800, 0.99)]


def test_points_of_one_rate_leave_the_better_one() -> None:
    assert hull([(100, 0.5), (100, 0.7), (50, 0.7)]) == [(50, 0.7)]


@given(pairs)
def test_no_point_lies_above_the_hull(of: Pairs) -> None:
    corners = hull(of)

    rates, qualities = [one[0] for one in corners], [one[1] for one in corners]
    assert rates == sorted(set(rates))
    assert qualities == sorted(set(qualities))
    assert qualities[-1] == max(quality for _, quality in of)
    assert set(corners) <= set(of)
    for rate, quality in of:
        if rates[0] <= rate <= rates[-1]:
            assert quality <= np.interp(math.log(rate), np.log(rates), qualities) + 1e-9


def test_corners_are_those_of_qhull() -> None:
    rng = np.random.default_rng(0)
    of = list(zip(rng.uniform(50, 500, 40), rng.uniform(0, 1, 40), strict=True))
    theirs = ConvexHull(np.column_stack([np.log([rate for rate, _ in of]), [q for _, q in of]]))
    corners = {of[index] for index in theirs.vertices}
    assert set(hull(of)) <= corners


def test_cheapest_of_curves_that_cross() -> None:
    steep = fit_curve(points([(400, 0.99), (200, 0.9), (150, 0.6)]))
    flat = fit_curve(points([(400, 0.92), (180, 0.89), (100, 0.85)]))
    assert cheapest_rate([steep, flat], 0.85) == pytest.approx(100)
    assert cheapest_rate([steep, flat], 0.99) == pytest.approx(400)
    assert cheapest_rate([flat], 0.99) == math.inf
    assert cheapest_rate([], 0.5) == math.inf
    assert excess_at(200, 0.85, [steep, flat]) == pytest.approx(math.log(2))
    assert excess_at(200, 0.95, [flat]) == -math.inf


RIVAL = fit_curve(points([(800, 0.99), (400, 0.95), (200, 0.9), (100, 0.8)]))


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        ([(700, 0.95), (350, 0.9)], True),  # 75 % dearer in both halves
        ([(420, 0.95), (350, 0.9)], False),  # near at one of them
        ([(700, 0.95)], False),  # one point is none
        ([(1400, 0.99), (700, 0.95)], False),  # what it does below is not known
        ([(150, 0.8), (130, 0.7)], False),  # what it does above is not known
        ([(900, 0.88), (300, 0.8)], True),  # it never gets there
        ([(2000, 0.999), (700, 0.95), (350, 0.9)], False),  # it alone reaches the top
    ],
)
def test_far_behind_is_hopeless(of: Pairs, expected: bool) -> None:
    assert is_hopeless(points(of), [RIVAL], 0.87, 0.99, margin=0.25) is expected


def test_alone_nobody_is_hopeless() -> None:
    assert not is_hopeless(points([(700, 0.95), (350, 0.9)]), [], 0.87, 0.99, margin=0.25)

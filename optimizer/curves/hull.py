"""What is worth its bits: the hull of many curves, and the cheapest of them at a quality."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .curve import RdCurve, RdPoint

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class HullPoint:
    """A point on the hull, and whose it is."""

    contestant: str
    point: RdPoint


def convex_hull(points: Iterable[HullPoint]) -> tuple[HullPoint, ...]:
    """Returns the corners of the upper convex hull of quality over log rate, cheapest first.

    It begins at the lowest rate and ends at the best quality. What lies below it is beaten by a
    mixture of two of its corners.

    Source: Katsavounidis, "Dynamic optimizer", Netflix, 2018.
    """
    ordered = sorted(points, key=lambda at: (at.point.rate_kbps, -at.point.quality))
    log_rates = np.log([one.point.rate_kbps for one in ordered])
    corners = lower_hull(log_rates, -np.array([one.point.quality for one in ordered]))
    return tuple(ordered[index] for index in corners)


def lower_hull(xs: Floats, ys: Floats) -> list[int]:
    """Returns the corners of the falling part of the lower convex hull, from left to right.

    Source: Andrew, "Another efficient algorithm for convex hulls in two dimensions", 1979.

    Args:
        xs: (n,) not falling.
        ys: (n,) in any order.
    """
    corners: list[int] = []
    for index in range(len(xs)):
        if corners and ys[index] >= ys[corners[-1]]:
            continue  # costs more and loses no less
        while corners and (
            xs[index] <= xs[corners[-1]]
            or (len(corners) > 1 and not _turns_up(xs, ys, corners[-2], corners[-1], index))
        ):
            corners.pop()
        corners.append(index)
    return corners


def _turns_up(xs: Floats, ys: Floats, first: int, middle: int, last: int) -> bool:
    """Returns whether the middle point lies below the line between the others."""
    before = (ys[middle] - ys[first]) * (xs[last] - xs[first])
    return bool(before < (ys[last] - ys[first]) * (xs[middle] - xs[first]))


def cheapest_rate(curves: Sequence[RdCurve], quality: float) -> float:
    """Returns the lowest rate in kbit/s at which a curve reaches a quality; inf where none does."""
    readings = [curve.rate_at(quality) for curve in curves]
    return min((one.value for one in readings if one.end != "high"), default=math.inf)


def excess_at(rate_kbps: float, quality: float, others: Sequence[RdCurve]) -> float:
    """Returns the natural log of a rate against the cheapest of others; -inf where none reaches."""
    return math.log(rate_kbps) - math.log(cheapest_rate(others, quality))


def is_hopeless(
    points: Sequence[RdPoint],
    others: Sequence[RdCurve],
    low_quality: float,
    high_quality: float,
    *,
    margin: float,
) -> bool:
    """Returns whether a contestant is so far behind that nothing more need be known of it.

    Each of its points, two at least, costs more than the cheapest other curve at that quality, and
    they tell of the whole range of quality: of both its halves, or they stay in the lower one
    although they cost more than the others need for its end.

    Args:
        points: Of the contestant, from the lowest CRF to the highest.
        others: Curves of the others.
        margin: Natural log of how much more.
    """
    if len(points) < 2 or not others:
        return False
    if min(excess_at(one.rate_kbps, one.quality, others) for one in points) <= margin:
        return False
    middle = (low_quality + high_quality) / 2
    best, worst = points[0], points[-1]
    if worst.quality > middle:
        return False
    return best.quality >= middle or best.rate_kbps > cheapest_rate(others, middle)

"""Bjontegaard delta rate: the mean rate change over the qualities that two curves share."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
from numpy.polynomial import Polynomial
from scipy.interpolate import Akima1DInterpolator

from ..errors import CurveError
from .pchip import fit_pchip

Floats = npt.NDArray[np.float64]
Method = Literal["pchip", "akima", "cubic"]

# What two curves must share of the anchor's quality range: a number over less is of a corner that
# chance chose. Ladders that shared 4 % gave -92.5 %.
LEAST_OVERLAP = 0.25
# A ratio of rates beyond e to this power is no number that a computer holds.
_MOST_LOG_RATIO = 700.0


class Curve(Protocol):
    """Quality over rate.

    Attributes:
        log_rates: (n,) natural log, rising.
        qualities: (n,) not falling.
    """

    @property
    def log_rates(self) -> Floats: ...
    @property
    def qualities(self) -> Floats: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BdRate:
    """Mean rate change at equal quality.

    Attributes:
        percent: Negative is saved.
        overlap: The shared interval of quality as a share of the anchor's that counts, in (0, 1].
        low_quality, high_quality: The shared interval.
    """

    percent: float
    overlap: float
    low_quality: float
    high_quality: float


def bd_rate(
    anchor: Curve,
    test: Curve,
    method: Method = "pchip",
    qualities: tuple[float, float] = (-math.inf, math.inf),
) -> BdRate | None:
    """Returns the BD-rate of a test curve against an anchor; None where they share no quality.

    Log rate over quality, fitted and integrated exactly. A stretch of equal qualities counts with
    its lowest rate: bits spent on a flat top buy nothing.

    Args:
        method: ``pchip`` is monotone between the points. ``akima`` is a cross-check. ``cubic`` is
            the one polynomial of VCEG-M33, by least squares, to reproduce published numbers: it
            overshoots wildly where quality saturates.
        qualities: Lowest and highest that count.

    Raises:
        CurveError: The rates are not of one unit.

    Source: Bjontegaard, VCEG-M33, 2001; PCHIP as in JCTVC-E137, 2011.
    """
    curves = [_log_rate_over_quality(curve) for curve in (anchor, test)]
    low = max(qualities[0], *(float(levels[0]) for levels, _ in curves))
    high = min(qualities[1], *(float(levels[-1]) for levels, _ in curves))
    if not high > low:
        return None
    integrate = _INTEGRALS[method]
    means = [integrate(levels, rates, low, high) / (high - low) for levels, rates in curves]
    if abs(means[1] - means[0]) > _MOST_LOG_RATIO:
        raise CurveError("rates of both curves must be in one unit, they are e^700 times apart")
    own = np.clip(curves[0][0], *qualities)
    return BdRate(
        percent=float(np.expm1(means[1] - means[0]) * 100),
        overlap=(high - low) / float(own[-1] - own[0]),
        low_quality=low,
        high_quality=high,
    )


def _log_rate_over_quality(curve: Curve) -> tuple[Floats, Floats]:
    qualities, first = np.unique(curve.qualities, return_index=True)
    return qualities, curve.log_rates[first]


def _pchip(qualities: Floats, log_rates: Floats, low: float, high: float) -> float:
    return fit_pchip(qualities.tolist(), log_rates.tolist()).integral(low, high)


def _akima(qualities: Floats, log_rates: Floats, low: float, high: float) -> float:
    return float(Akima1DInterpolator(qualities, log_rates).integrate(low, high))


def _cubic(qualities: Floats, log_rates: Floats, low: float, high: float) -> float:
    antiderivative = Polynomial.fit(qualities, log_rates, 3).integ()
    return float(antiderivative(high) - antiderivative(low))


_INTEGRALS: dict[Method, Callable[[Floats, Floats, float, float], float]] = {
    "pchip": _pchip,
    "akima": _akima,
    "cubic": _cubic,
}


def percent_text(
    value: float, interval: tuple[float | None, float | None] | None, *, digits: int = 1
) -> str:
    """Returns ``-31.0 % (-35.2 to -27.1)``; an unknown end is ``below`` or ``above``."""
    text = f"{value:+.{digits}f} %"
    if interval is None or interval == (None, None):
        return text
    low, high = (None if end is None else f"{end:+.{digits}f}" for end in interval)
    return f"{text} ({low or 'below'} to {high or 'above'})"


def is_below_0(interval: tuple[float | None, float | None] | None) -> bool:
    """Returns whether there is an interval, and all of it is a saving."""
    return interval is not None and interval[1] is not None and interval[1] < 0


def may_be_chance(percent: float, interval: tuple[float | None, float | None] | None) -> bool:
    """Returns whether a saving has an interval that reaches 0, or whose upper end is unknown."""
    return percent < 0 and interval is not None and (interval[1] is None or interval[1] >= 0)


def saving_text(percent: float, interval: tuple[float | None, float | None] | None) -> str:
    """Returns ``percent_text``, such as ``-7.3 % (-15.2 to +1.1, may be chance)`` where it may.

    What is recommended was chosen by the frames that its saving is told of. With two encoders of
    one true curve, a third of such choices seemed to save, by 7 % in the mean.
    """
    text = percent_text(percent, interval)
    if percent < 0 and interval in (None, (None, None)):
        return f"{text} (no interval, may be chance)"
    if not may_be_chance(percent, interval):
        return text
    return f"{text[:-1]}, may be chance)"

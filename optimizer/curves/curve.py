"""Rate-quality curves: a monotone fit through noisy points, read in both directions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator
from scipy.optimize import brentq, isotonic_regression

from .pchip import fit_pchip

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class RdPoint:
    """One encode: its rate, what the machine still sees (0 to 1), and the CRF that gave it."""

    crf: float
    rate_kbps: float
    quality: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A value read off a curve.

    Attributes:
        end: Which end of the curve it was clamped to, None where it lies inside.
    """

    value: float
    end: Literal["low", "high"] | None = None


@dataclass(frozen=True, slots=True)
class RdCurve:
    """Quality over log rate: isotonic regression of the points, then monotone PCHIP.

    A detector's quality on a few frames is noisy, so that a higher rate can measure a little
    lower; isotonic regression is the nearest curve that does not fall. Rate is read at the
    lowest rate that reaches a quality.

    Attributes:
        log_rates: (n,) natural log of kbit/s, rising.
        qualities: (n,) fitted, not falling.
        crfs: (n,) falling.
    """

    log_rates: Floats
    qualities: Floats
    crfs: Floats

    def rate_at(self, quality: float) -> Reading:
        """Returns the lowest rate in kbit/s that reaches a quality.

        Clamped ``low`` where even the lowest rate measured reaches it, ``high`` where the highest
        does not.
        """
        reading = _cross(self.log_rates, self.qualities, quality)
        return Reading(value=float(np.exp(reading.value)), end=reading.end)

    def quality_at(self, rate_kbps: float) -> Reading:
        """Returns the quality at a rate, clamped to the ends of the curve."""
        return _look_up(self.log_rates, self.qualities, float(np.log(rate_kbps)))

    def qualities_at(self, log_rates: Floats) -> Floats:
        """Returns the qualities at log rates of any shape, clamped to the ends of the curve."""
        if len(self.log_rates) == 1:
            return np.full(log_rates.shape, self.qualities[0])
        clamped = np.clip(log_rates, self.log_rates[0], self.log_rates[-1])
        found: Floats = PchipInterpolator(self.log_rates, self.qualities)(clamped)
        return found

    def crf_at(self, rate_kbps: float) -> Reading:
        """Returns the CRF that gives a rate, clamped to the ends of the curve."""
        return _look_up(self.log_rates, self.crfs, float(np.log(rate_kbps)))

    def quality_at_crf(self, crf: float) -> float:
        """Returns the quality at a CRF, clamped to the ends of the curve."""
        return float(np.interp(crf, self.crfs[::-1], self.qualities[::-1]))


def fit_curve(points: Sequence[RdPoint]) -> RdCurve:
    """Returns the monotone curve through at least one point.

    Raises:
        ValueError: There is no point.
    """
    if not points:
        raise ValueError("a curve needs at least one point")
    return fit_arrays(
        np.log([point.rate_kbps for point in points]),
        np.array([point.quality for point in points]),
        np.array([point.crf for point in points]),
    )


def fit_arrays(log_rates: Floats, qualities: Floats, crfs: Floats) -> RdCurve:
    """Returns the monotone curve of points given as arrays of one length, in any order."""
    # A higher CRF can, rarely, cost more; equal rates cannot be told apart by rate.
    _, first, groups = np.unique(log_rates, return_index=True, return_inverse=True)
    counts = np.bincount(groups)
    rising = log_rates[first]
    mean_quality = np.bincount(groups, qualities) / counts
    mean_crf = np.bincount(groups, crfs) / counts
    return RdCurve(
        rising,
        isotonic_regression(mean_quality, weights=counts).x,
        isotonic_regression(mean_crf, weights=counts, increasing=False).x,
    )


def _look_up(xs: Floats, ys: Floats, x: float) -> Reading:
    if x <= xs[0]:
        return Reading(value=float(ys[0]), end="low" if x < xs[0] else None)
    if x >= xs[-1]:
        return Reading(value=float(ys[-1]), end="high" if x > xs[-1] else None)
    return Reading(value=fit_pchip(xs.tolist(), ys.tolist()).value_at(x))


def _cross(xs: Floats, ys: Floats, y: float) -> Reading:
    """Returns the smallest x at which the rising PCHIP reaches y."""
    reached = np.flatnonzero(ys >= y)
    if not len(reached):
        return Reading(value=float(xs[-1]), end="high")
    after = int(reached[0])
    if after == 0:
        return Reading(value=float(xs[0]), end="low" if ys[0] > y else None)
    if ys[after] == y:
        return Reading(value=float(xs[after]))
    fit = fit_pchip(xs.tolist(), ys.tolist())
    before, at = fit.knots[after - 1], fit.knots[after]
    # Rounding can leave the fit a hair below its own last knot, and so below y.
    if fit.value_at(at) <= y:
        return Reading(value=at)
    return Reading(value=float(brentq(lambda x: fit.value_at(x) - y, before, at)))

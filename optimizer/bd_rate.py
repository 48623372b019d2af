"""Bjontegaard delta rate: the mean rate change over the qualities that two curves share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator

from .curve import RdCurve

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class BdRate:
    """Mean rate change at equal quality.

    Attributes:
        percent: Negative is saved.
        overlap: The shared interval of quality as a share of the anchor's, in (0, 1].
        low_quality, high_quality: The shared interval.
    """

    percent: float
    overlap: float
    low_quality: float
    high_quality: float


def bd_rate(anchor: RdCurve, test: RdCurve) -> BdRate | None:
    """Returns the BD-rate of a test curve against an anchor; None where they share no quality.

    PCHIP of log rate over quality, integrated exactly. A stretch of equal qualities counts with
    its lowest rate: bits spent on a flat top buy nothing.

    Source: Bjontegaard, VCEG-M33, 2001; PCHIP instead of the cubic as in JCTVC-E137, because the
    cubic overshoots where task quality saturates.
    """
    curves = [_log_rate_over_quality(curve) for curve in (anchor, test)]
    low = max(float(qualities[0]) for qualities, _ in curves)
    high = min(float(qualities[-1]) for qualities, _ in curves)
    if not high > low:
        return None
    means = [
        PchipInterpolator(qualities, log_rates).integrate(low, high) / (high - low)
        for qualities, log_rates in curves
    ]
    own = curves[0][0]
    return BdRate(
        percent=float(np.expm1(means[1] - means[0]) * 100),
        overlap=(high - low) / float(own[-1] - own[0]),
        low_quality=low,
        high_quality=high,
    )


def _log_rate_over_quality(curve: RdCurve) -> tuple[Floats, Floats]:
    qualities, first = np.unique(curve.qualities, return_index=True)
    return qualities, curve.log_rates[first]

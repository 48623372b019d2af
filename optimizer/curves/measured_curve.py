"""Curves measured anywhere, made fit for BD-rate: nothing is changed without being said."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression

from ..errors import CurveError
from ..reports.plain_text import counted

Floats = npt.NDArray[np.float64]
Policy = Literal["strict", "pareto", "monotone"]

# VCEG-M33's four points; with fewer a fit says nothing about what lies between them.
_LEAST_POINTS = 4


@dataclass(frozen=True, slots=True)
class MeasuredCurve:
    """Quality over log rate, not falling.

    Attributes:
        log_rates: (n,) natural log, rising.
        qualities: (n,) not falling.
        notes: What was dropped or moved to make it so.
    """

    log_rates: Floats
    qualities: Floats
    notes: tuple[str, ...] = ()


def measured_curve(
    rates: Floats, qualities: Floats, *, policy: Policy = "strict", saturation: float = 0.005
) -> MeasuredCurve:
    """Returns the curve of some encodes.

    Args:
        rates: (n,) above 0, in any unit, in any order.
        qualities: (n,) higher is better.
        policy: What to do where a higher rate has not a higher quality: ``strict`` refuses,
            ``pareto`` keeps the points that no cheaper one equals, ``monotone`` moves qualities to
            the nearest that do not fall (isotonic regression), and keeps the cheapest of equal
            ones.
        saturation: Points at the top that gain less than this share of the curve's quality range,
            all together, are cut off: on a flat top the rate of a quality is arbitrary.

    Raises:
        CurveError: There are too few points, a value is not finite, a rate is not above 0, two
            rates are equal, or the policy refuses the curve.
    """
    if len(rates) < _LEAST_POINTS:
        raise CurveError(f"a curve needs at least {_LEAST_POINTS} points, got {len(rates)}")
    for rate, quality in zip(rates.tolist(), qualities.tolist(), strict=True):
        if not (math.isfinite(rate) and math.isfinite(quality) and rate > 0):
            raise CurveError(
                f"rates must be above 0, and rates and qualities finite, got rate {rate:g} with "
                f"quality {quality:g}"
            )
    order = np.argsort(rates)
    rates, qualities = rates[order], qualities[order]
    if (np.diff(rates) == 0).any():
        same = rates[:-1][np.diff(rates) == 0][0]
        raise CurveError(f"each rate must be there once, {same:g} is there more than once")
    if len(qualities) > 1 and (np.diff(qualities) < 0).all():
        raise CurveError(
            f"quality must be the higher the better, it falls from {qualities[0]:g} to "
            f"{qualities[-1]:g} as the rate rises; turn its sign"
        )
    rates, qualities, notes = _rising(rates, qualities, policy)
    num_kept = _before_saturation(qualities, saturation)
    if num_kept < len(rates):
        notes.append(
            f"{counted(len(rates) - num_kept, 'saturated point')} above quality "
            f"{qualities[num_kept - 1]:g} cut off (less than {saturation:g} of the range gained)"
        )
    if num_kept < _LEAST_POINTS <= len(order):
        notes.append(f"only {counted(num_kept, 'point')} left")
    if num_kept < 2 or qualities[num_kept - 1] == qualities[0]:
        raise CurveError("a curve must have two qualities at least, this one is flat")
    return MeasuredCurve(np.log(rates[:num_kept]), qualities[:num_kept], tuple(notes))


def _rising(rates: Floats, qualities: Floats, policy: Policy) -> tuple[Floats, Floats, list[str]]:
    """Returns a curve that does not fall, and what was done to it."""
    falls = np.flatnonzero(np.diff(qualities) <= 0)
    if not len(falls):
        return rates, qualities, []
    if policy == "strict":
        at = int(falls[0])
        raise CurveError(
            f"quality must rise with rate, it goes from {qualities[at]:g} at {rates[at]:g} to "
            f"{qualities[at + 1]:g} at {rates[at + 1]:g}; choose policy pareto or monotone"
        )
    if policy == "pareto":
        best_before = np.maximum.accumulate(np.concatenate([[-np.inf], qualities[:-1]]))
        keep = qualities > best_before
        note = f"{counted(int((~keep).sum()), 'point')} that a cheaper one equals left out (pareto)"
        return rates[keep], qualities[keep], [note]
    fitted = isotonic_regression(qualities).x
    moved = np.abs(fitted - qualities) > 1e-9 * np.ptp(qualities)
    notes = []
    if moved.any():
        by = np.abs(fitted - qualities).max()
        notes.append(f"{counted(int(moved.sum()), 'point')} moved by up to {by:.2g} (monotone)")
    # Of equal qualities the cheapest counts: more bits buy nothing there.
    keep = np.concatenate([[True], np.diff(fitted) > 1e-9 * np.ptp(qualities)])
    notes.append(
        f"{counted(int((~keep).sum()), 'point')} that a cheaper one equals left out (monotone)"
    )
    return rates[keep], fitted[keep], notes


def _before_saturation(qualities: Floats, saturation: float) -> int:
    """Returns how many points there are up to the first from which on nothing is gained."""
    least = saturation * (qualities[-1] - qualities[0])
    num_below = int((qualities[-1] - qualities >= least).sum())
    return max(min(2, len(qualities)), min(num_below + 1, len(qualities)))

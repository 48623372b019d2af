"""One candidate: a few encodes at chosen CRFs, read as a curve."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from ..codecs.settings import Crf, EncodeSettings
from ..codecs.table import ENCODERS
from .aim import Aim, TargetQuality
from .bench import Measurement
from .curve import RdCurve, RdPoint, fit_curve

# Two neighbours this close in CRF bracket the target well enough: what PCHIP does between them is
# within the noise of a detector on a few dozen frames.
_BRACKET_CRF = 5
# The anchor's shape is trusted this far beyond a measured point, in natural log of the rate.
_TRUSTED_LOG_RATE = 0.06
# A candidate that is predicted to be this much behind the best is given up.
_HOPELESS_COST = 0.10
_MAX_POINTS = 4
_ANCHOR_POINTS = 8
# Points that a candidate needs to be believed: a detector's quality on a few dozen frames jumps by
# several hundredths from one CRF to the next, and the luckiest single point would win.
_POINTS_TO_LEAD, _POINTS_TO_FOLLOW = 3, 2


@dataclass(slots=True, kw_only=True)
class Candidate:
    """Settings under trial.

    Attributes:
        settings: The rate control value is replaced at each point.
        measurements: By CRF.
    """

    settings: EncodeSettings
    measurements: dict[float, Measurement] = field(default_factory=dict)

    @property
    def points(self) -> list[RdPoint]:
        """Points from the lowest CRF to the highest."""
        return [
            RdPoint(crf=crf, rate_kbps=one.rate_kbps, quality=one.scores.quality)
            for crf, one in sorted(self.measurements.items())
        ]

    @property
    def curve(self) -> RdCurve:
        """Monotone curve through the candidate's own points."""
        return fit_curve(self.points)

    @property
    def search_crf(self) -> tuple[int, int]:
        """Lowest and highest CRF of a search with this encoder."""
        return ENCODERS[self.settings.codec].search_crf

    def at(self, crf: float) -> EncodeSettings:
        """Returns the settings at a CRF."""
        return self.settings.at(Crf(value=crf))


def anchor_ladder(settings: EncodeSettings) -> list[float]:
    """Returns the CRFs at which the anchor is measured first; costly low ones only if needed."""
    low, high = ENCODERS[settings.codec].search_crf
    return [float(round(low + (high - low) * share)) for share in (0.25, 0.5, 0.75, 1.0)]


def next_anchor_crfs(anchor: Candidate, aim: Aim) -> list[float]:
    """Returns where the anchor is measured next: below its points, then around the target.

    Everything is compared with the anchor, so that it gets a dense curve where it meets the aim:
    with a bracket alone, a copy of it once seemed to save 12 % by being measured more often.
    """
    reading = aim.rate_on(anchor.curve)
    lowest = float(anchor.search_crf[0])
    if reading.end == "high" and lowest not in anchor.measurements:
        return [lowest]
    if reading.end is not None:
        return []
    crf = anchor.curve.crf_at(reading.value).value
    inside = _inside_bracket(anchor, crf)
    if inside:
        return inside
    around = (float(round(crf) + offset) for offset in (-4, -2, 0, 2, 4))
    low, high = anchor.search_crf
    missing = [
        near
        for near in around
        if low <= near <= high and all(abs(near - known) > 1 for known in anchor.measurements)
    ]
    return missing if len(anchor.measurements) < _ANCHOR_POINTS else []


def next_crf(candidate: Candidate, anchor: Candidate, aim: Aim, best_cost: float) -> float | None:
    """Returns where a candidate is measured next, None where it is known well enough.

    The anchor's curve predicts where the candidate meets the target: its first point is taken at
    the anchor's CRF there, each further one where the anchor's shape, moved onto the nearest
    point, meets it.
    """
    shape = anchor.curve
    anchor_rate = aim.rate_on(shape).value
    anchor_crf = shape.crf_at(anchor_rate).value
    if not candidate.measurements:
        return float(round(anchor_crf))
    num_points = len(candidate.measurements)
    if num_points >= _MAX_POINTS:
        return None
    found = cost(candidate, anchor, aim)
    reading = aim.rate_on(candidate.curve)
    if reading.end is None and num_points > 1:
        inside = _inside_bracket(candidate, candidate.curve.crf_at(reading.value).value)
        if inside:
            return inside[0]
        if found < best_cost and num_points < _POINTS_TO_LEAD:
            return _beside(candidate, candidate.curve.crf_at(reading.value).value)
        return None
    # All points lie on one side of the target: the last one is the nearest.
    nearest = candidate.points[-1 if reading.end == "low" else 0]
    along = nearest.rate_kbps
    if isinstance(aim, TargetQuality):
        along = shape.rate_at(nearest.quality).value
    log_distance = math.log(along / anchor_rate)
    if found > best_cost + _HOPELESS_COST:
        return None
    step = anchor_crf - shape.crf_at(along).value
    if abs(log_distance) <= _TRUSTED_LOG_RATE:
        if num_points >= (_POINTS_TO_LEAD if found < best_cost else _POINTS_TO_FOLLOW):
            return None
        return _beside(candidate, nearest.crf + step)
    low, high = candidate.search_crf
    proposal = float(min(max(round(nearest.crf + step), low), high))
    return None if proposal in candidate.measurements else proposal


def cost(candidate: Candidate, anchor: Candidate, aim: Aim) -> float:
    """Returns the aim's cost of a candidate against the anchor; lower is better."""
    return aim.cost_on(extended(candidate, anchor), anchor.curve)


def extended(candidate: Candidate, anchor: Candidate) -> RdCurve:
    """Returns a candidate's curve, with the anchor's shape beyond its own points.

    At each end the anchor's curve is moved in log rate and CRF so that it joins the candidate's
    at equal quality.
    """
    own, shape = candidate.curve, anchor.curve
    if candidate is anchor:
        return own
    ends = []
    for end, keep in (
        (0, shape.qualities < own.qualities[0]),
        (-1, shape.qualities > own.qualities[-1]),
    ):
        join = shape.rate_at(float(own.qualities[end])).value
        log_rates = shape.log_rates + own.log_rates[end] - math.log(join)
        crfs = shape.crfs + own.crfs[end] - shape.crf_at(join).value
        keep &= (log_rates < own.log_rates[0]) if end == 0 else (log_rates > own.log_rates[-1])
        ends.append((log_rates[keep], shape.qualities[keep], crfs[keep]))
    below, above = ends
    return RdCurve(
        np.concatenate([below[0], own.log_rates, above[0]]),
        np.concatenate([below[1], own.qualities, above[1]]),
        np.concatenate([below[2], own.crfs, above[2]]),
    )


def _beside(candidate: Candidate, crf: float) -> float | None:
    """Returns an unmeasured CRF next to one where the candidate seems to meet the aim."""
    low, high = candidate.search_crf
    for distance in (0, 1, -1, 2, -2, 3, -3):
        proposal = float(round(crf) + distance)
        is_apart = all(abs(proposal - measured) >= 2 for measured in candidate.measurements)
        if is_apart and low <= proposal <= high:
            return proposal
    return None


def _inside_bracket(candidate: Candidate, wanted_crf: float) -> list[float]:
    """Returns a CRF between the two measured ones around a wanted one, if they are far apart."""
    crfs = sorted(candidate.measurements)
    below = max((crf for crf in crfs if crf <= wanted_crf), default=crfs[0])
    above = min((crf for crf in crfs if crf > wanted_crf), default=crfs[-1])
    if above - below <= _BRACKET_CRF:
        return []
    return [float(round(min(max(wanted_crf, below + 2), above - 2)))]

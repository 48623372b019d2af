"""One candidate: a few encodes at chosen CRFs, read as a curve."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ...codecs.settings import Crf, EncodeSettings
from ...codecs.table import ENCODERS
from ..aim import Aim, QualityRange, TargetRate
from ..curves.curve import RdCurve, RdPoint, fit_curve
from ..measuring.bench import Bench, Measurement
from ..measuring.measure import Measurer

# Where a curve is measured first, as shares of the searched CRFs, and the anchor's around the
# target: what lies near first, as far as it is not known. More do not choose better
# (benchmarks.search_noise).
_FIRST = (0.3, 0.5, 0.7)
_AROUND = (0, 4, -4, 2, -2, 7)
_ANCHOR_POINTS = 6
# It is measured until two neighbours this close in CRF lie around the target.
_BRACKET_CRF = 5
# Points that a candidate needs to be believed, unless it is hopeless. On grids of 48 settings that
# were measured in full, one point ranks them as the truth does with 0.29 to 0.99, two with 0.82 to
# 0.99 (SRCC, three clips), three no better; nor on simulated curves (benchmarks.search_noise).
_POINTS_TO_BELIEVE = 2
# A candidate that seems this much behind the best is given up after one point, unless that point
# lies so far in log rate from the anchor at the target that it says little.
HOPELESS_COST = 0.10
_FAR_LOG_RATE = 0.35
# Standard deviations: of quality from one CRF to the next, on a few dozen frames (measured on the
# test clips: 0.01 to 0.02 for a detector, 0.004 for learned metrics), of what settings change in
# log rate, and of how much more they change it where the rate is e times higher.
_QUALITY_NOISE = 0.01
_USUAL_LOG_CHANGE = 0.3
_USUAL_TILT = 0.25
_SHIFTS = np.linspace(-1.5, 1.5, 601)[:, None, None]
_TILTS = np.linspace(-0.45, 0.45, 19)[None, :, None]
# Where a candidate is measured for a range of qualities: shares of the range, in this order.
_SPREAD = (0.5, 0.15, 0.85, 0.3, 0.7)
# Qualities of a range whose log rates make its mean.
_RANGE_SAMPLES = 9
# Points of a curve over a range of qualities, at most, and the distance in quality of neighbours
# that asks for one between.
_MOST_POINTS = 9
_LARGEST_GAP = 0.05


@dataclass(slots=True, kw_only=True, eq=False)
class Candidate:
    """Settings under trial on one clip; each is equal to itself alone.

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

    @property
    def rung_step(self) -> float:
        """Distance in CRF of the rungs of a ladder that verifies it."""
        low, high = self.search_crf
        return float(round((high - low) / 20))

    def at(self, crf: float) -> EncodeSettings:
        """Returns the settings at a CRF."""
        return self.settings.at(Crf(value=crf))


def measure_points(
    bench: Bench, measurer: Measurer, todo: Sequence[tuple[Candidate, float]]
) -> None:
    """Measures candidates at CRFs, side by side, and notes what is found with each."""
    measured = measurer.pool.map(lambda work: measurer.measure(bench, work[0].at(work[1]))[0], todo)
    for (candidate, crf), measurement in zip(todo, measured, strict=True):
        candidate.measurements[crf] = measurement


def measure_over(
    bench: Bench, measurer: Measurer, candidates: Sequence[Candidate], low: float, high: float
) -> None:
    """Measures candidates, step by step, until their curves between two qualities are known."""
    while todo := [(one, crf) for one in candidates for crf in next_crfs(one, low, high)]:
        measure_points(bench, measurer, todo)


def first_crfs(settings: EncodeSettings) -> list[float]:
    """Returns where a curve of which nothing is known is measured first; the ends if needed."""
    low, high = ENCODERS[settings.codec].search_crf
    return [float(round(low + (high - low) * share)) for share in _FIRST]


def next_anchor_crfs(anchor: Candidate, aim: Aim) -> list[float]:
    """Returns where the anchor is measured next: beyond its points, then around the target.

    Everything is compared with the anchor, so that it gets a dense curve where it meets the aim:
    with a bracket alone, a copy of it once seemed to save 12 % by being measured more often.
    """
    if isinstance(aim, QualityRange):
        return next_crfs(anchor, aim.low, aim.high)
    reading = aim.rate_on(anchor.curve)
    if reading.end is not None:
        low, high = anchor.search_crf
        end = float(low if reading.end == "high" else high)
        return [] if end in anchor.measurements else [end]
    crf = anchor.curve.crf_at(reading.value).value
    inside = _inside_bracket(anchor, crf)
    if inside:
        return inside
    around = (float(round(crf) + offset) for offset in _AROUND)
    low, high = anchor.search_crf
    missing = [
        near
        for near in around
        if low <= near <= high and all(abs(near - known) > 1 for known in anchor.measurements)
    ]
    return missing[: max(_ANCHOR_POINTS - len(anchor.measurements), 0)]


def next_crfs(candidate: Candidate, low_quality: float, high_quality: float) -> list[float]:
    """Returns where a curve is measured next: at first beyond its ends, then in its largest gap.

    Fewer than four points are never enough; more are measured only while the range of quality is
    not covered, or neighbours in it lie far apart.
    """
    if not candidate.measurements:
        return first_crfs(candidate.settings)
    low, high = (float(end) for end in candidate.search_crf)
    crfs = sorted(candidate.measurements)
    if len(crfs) >= _MOST_POINTS:
        return []
    curve = candidate.curve
    step = float(round((high - low) / 8))
    beyond = []
    if curve.qualities[-1] < high_quality and crfs[0] > low:
        beyond.append(max(low, crfs[0] - step))
    if curve.qualities[0] > low_quality and crfs[-1] < high:
        beyond.append(min(high, crfs[-1] + step))
    if beyond:
        return beyond[: _MOST_POINTS - len(crfs)]
    gaps = [
        (abs(curve.quality_at_crf(left) - curve.quality_at_crf(right)), left, right)
        for left, right in itertools.pairwise(crfs)
        if right - left >= 2
        and curve.quality_at_crf(left) > low_quality
        and curve.quality_at_crf(right) < high_quality
    ]
    if not gaps or (max(gaps)[0] <= _LARGEST_GAP and len(crfs) >= 4):
        return []
    _, left, right = max(gaps)
    return [float(round((left + right) / 2))]


def next_crf(candidate: Candidate, anchor: Candidate, aim: Aim, best_cost: float) -> float | None:
    """Returns where a candidate is measured next, None where it is known well enough.

    The anchor's curve predicts where the candidate meets the target: its first point is taken at
    the anchor's CRF there, each further one near to where it seems to meet it itself.
    """
    anchor_rate = aim.rate_on(anchor.curve).value
    if not candidate.measurements:
        if isinstance(aim, QualityRange):
            return _spread_crf(candidate, anchor.curve, aim)
        return float(round(anchor.curve.crf_at(anchor_rate).value))
    found = cost(candidate, anchor, aim)
    is_hopeless = found >= best_cost + HOPELESS_COST and not _is_far(candidate, anchor_rate)
    num_needed = 1 if is_hopeless else _POINTS_TO_BELIEVE
    if len(candidate.measurements) >= num_needed:
        return None
    return another_crf(candidate, anchor, aim)


def another_crf(candidate: Candidate, anchor: Candidate, aim: Aim) -> float | None:
    """Returns an unmeasured CRF near where a candidate seems to meet the aim, None where all are.

    Rather above than below: quality saturates, and where the curve is flat, noise of a hundredth
    is a third of the rate; and encodes are quicker.
    """
    curve = extended(candidate, anchor)
    if isinstance(aim, QualityRange):
        return _spread_crf(candidate, curve, aim)
    crf = round(curve.crf_at(aim.rate_on(curve).value).value)
    low, high = candidate.search_crf
    for apart in (3, 2, 1):
        for distance in (0, 3, -3, 5, 2, 6, 4, 7, 1, -1, -2):
            proposal = float(crf + distance)
            is_new = all(abs(proposal - known) >= apart for known in candidate.measurements)
            if is_new and low <= proposal <= high:
                return proposal
    return None


def _spread_crf(candidate: Candidate, curve: RdCurve, aim: QualityRange) -> float | None:
    """Returns an unmeasured CRF that spreads a candidate's points over a range of qualities."""
    low, high = candidate.search_crf
    for apart in (3, 2, 1):
        for share in _SPREAD:
            rate = curve.rate_at(aim.low + share * (aim.high - aim.low)).value
            crf = float(min(max(round(curve.crf_at(rate).value), low), high))
            if all(abs(crf - known) >= apart for known in candidate.measurements):
                return crf
    return None


def _is_far(candidate: Candidate, anchor_rate: float) -> bool:
    distances = [abs(math.log(point.rate_kbps / anchor_rate)) for point in candidate.points]
    return min(distances) > _FAR_LOG_RATE


def cost(candidate: Candidate, anchor: Candidate, aim: Aim) -> float:
    """Returns what a candidate costs against the anchor around the target; lower is better.

    For a quality or a range of them it is the natural log of the rate change, for a target rate
    the quality lost. Reading the candidate's own curve would use one or two noisy points, and where
    quality saturates a hundredth of noise is a quarter of the rate. Instead the anchor's curve is
    shifted in log rate, and tilted about the target, until it fits all points of the candidate, by
    least squares: a point counts as much as the curve is steep there. Weak priors keep what is
    hardly known near 0. Without the tilt, points away from the target mislead: settings that save
    much at low rates often save nothing at high ones.
    """
    if candidate is anchor:
        return 0.0
    shape, pivot = anchor.curve, _pivot(anchor.curve, aim)
    log_rates = np.log([point.rate_kbps for point in candidate.points])
    qualities = np.array([point.quality for point in candidate.points])
    # The candidate has, at the log rate u + shift + tilt * (u - pivot), the anchor's quality at u.
    shapes = (log_rates - _SHIFTS + _TILTS * pivot) / (1 + _TILTS)
    misfit = ((qualities - shape.qualities_at(shapes)) ** 2).sum(axis=2) / _QUALITY_NOISE**2
    misfit += (_SHIFTS[:, :, 0] / _USUAL_LOG_CHANGE) ** 2 + (_TILTS[:, :, 0] / _USUAL_TILT) ** 2
    best, tilted = np.unravel_index(np.argmin(misfit), misfit.shape)
    shift = float(_SHIFTS[best, 0, 0])
    if not isinstance(aim, TargetRate):
        return shift
    at_rate = pivot - shift / (1 + float(_TILTS[0, tilted, 0]))
    lost = shape.qualities_at(np.array([pivot])) - shape.qualities_at(np.array([at_rate]))
    return float(lost[0])


def _pivot(shape: RdCurve, aim: Aim) -> float:
    """Returns the log rate at which the shift of a tilted curve is what it costs."""
    if isinstance(aim, QualityRange):
        qualities = np.linspace(aim.low, aim.high, _RANGE_SAMPLES)
        return float(np.mean([math.log(shape.rate_at(float(one)).value) for one in qualities]))
    return math.log(aim.rate_on(shape).value)


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


def _inside_bracket(candidate: Candidate, wanted_crf: float) -> list[float]:
    """Returns a CRF between the two measured ones around a wanted one, if they are far apart."""
    crfs = sorted(candidate.measurements)
    below = max((crf for crf in crfs if crf <= wanted_crf), default=crfs[0])
    above = min((crf for crf in crfs if crf > wanted_crf), default=crfs[-1])
    if above - below <= _BRACKET_CRF:
        return []
    return [float(round(min(max(wanted_crf, below + 2), above - 2)))]

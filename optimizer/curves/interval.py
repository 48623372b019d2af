"""Bootstrap interval of a rate change: the frames looked at are a sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ...metrics.object_iou import pooled_quality
from ..aim import Aim, QualityRange, TargetRate
from ..measuring.bench import Bench, Measurement
from .bd_rate import LEAST_OVERLAP, BdRate, bd_rate
from .bootstrap import FEWEST_FRAMES, circular_blocks, ends, over_frames
from .curve import RdCurve, fit_arrays

# Above this share of resamples that leave the measured curve, an end of the interval is unknown.
_CLAMPED_ALLOWED = 0.025
# How long neighbours are drawn together; at most a quarter of a clip is.
_BLOCK_SECONDS = 2.0
_NUM_RESAMPLES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class RateChange:
    """Rate of the test against the anchor where both meet the aim.

    Attributes:
        percent: Negative is saved.
        rate_kbps, anchor_rate_kbps: The two rates.
        low_percent, high_percent: 95 % bootstrap interval over frames; None where too many
            resamples leave the measured part of a curve on that side, and where fewer than four
            frames have an object.
        is_clamped: The change itself is read at an end of a curve.
        bd_rate: Mean change over the qualities that both curves share; None where these are less
            than a quarter of the anchor's range.
        bd_rate_interval_percent: Its 95 % interval, over the same qualities; None where there is no
            number, where too many resamples have none of them, and where fewer than four frames
            have an object.
        falls_short: The test never reaches the quality, which the anchor does.
    """

    percent: float
    rate_kbps: float
    anchor_rate_kbps: float
    low_percent: float | None
    high_percent: float | None
    is_clamped: bool
    bd_rate: BdRate | None
    bd_rate_interval_percent: tuple[float, float] | None
    falls_short: bool = False


def rate_change(
    anchor: dict[float, Measurement],
    test: dict[float, Measurement],
    aim: Aim,
    *,
    max_crf: float,
    block_frames: int,
    seed: int,
    num_resamples: int = _NUM_RESAMPLES,
) -> RateChange:
    """Returns the rate change with its interval.

    Both curves are resampled together, by the same frames, in circular blocks: frames next to
    each other show the same objects, and single frames would make the interval too narrow.

    Args:
        anchor, test: Measurements by CRF, all on the same frames.
        max_crf: Highest CRF that a search takes; nothing lies below its rate.
        block_frames: Length of a block, in frames looked at.
        num_resamples: Draws of the bootstrap; each takes a fifth of a millisecond.
    """
    curves = [_Resampled.of(anchor, max_crf), _Resampled.of(test, max_crf)]
    num_frames = len(curves[0].weights)
    fitted = [curve.fit(np.arange(num_frames)) for curve in curves]
    point, overall_point = _change(curves, fitted, aim), _bd_rate(curves, fitted, aim)
    found = RateChange(
        percent=point.percent,
        rate_kbps=point.rate_kbps,
        anchor_rate_kbps=point.anchor_rate_kbps,
        low_percent=None,
        high_percent=None,
        is_clamped=point.is_floor or point.is_ceiling,
        bd_rate=overall_point,
        bd_rate_interval_percent=None,
        falls_short=point.falls_short,
    )
    if (curves[0].weights > 0).sum() < FEWEST_FRAMES:
        return found
    changes, bd_rates, num_floors, num_ceilings = [], [], 0, 0
    rng = np.random.default_rng(seed)
    for picked in circular_blocks(num_frames, block_frames, num_resamples, rng):
        if curves[0].weights[picked].sum() == 0:
            continue  # a draw without any object says nothing
        fitted = [curve.fit(picked) for curve in curves]
        one = _change(curves, fitted, aim)
        changes.append(one.percent)
        num_floors += one.is_floor
        num_ceilings += one.is_ceiling
        if overall_point is not None:
            # Over the qualities that are told with it: those that a draw shares move along.
            told = (overall_point.low_quality, overall_point.high_quality)
            overall = bd_rate(fitted[0], fitted[1], qualities=told)
            bd_rates += [] if overall is None else [overall.percent]
    low, high = ends(np.array(changes))
    allowed = _CLAMPED_ALLOWED * len(changes)
    has_interval = len(bd_rates) >= len(changes) - allowed
    return replace(
        found,
        low_percent=low if num_ceilings <= allowed else None,
        high_percent=high if num_floors <= allowed else None,
        bd_rate_interval_percent=(
            None
            if overall_point is None or not has_interval
            else over_frames(overall_point.percent, np.array(bd_rates), num_frames, block_frames)
        ),
    )


def quality_interval(bench: Bench, measurement: Measurement) -> tuple[float, float] | None:
    """Returns the 95 % bootstrap interval of a quality over frames, as for a rate change.

    None where fewer than four frames have an object.
    """
    weights, losses = measurement.scores.frame_weights, measurement.scores.frame_losses
    if (weights > 0).sum() < FEWEST_FRAMES:
        return None
    rng = np.random.default_rng(0)
    picked = circular_blocks(len(weights), block_frames(bench), _NUM_RESAMPLES, rng)
    picked = picked[weights[picked].sum(axis=1) > 0]
    return ends(pooled_quality(weights[picked], losses[picked]))


def block_frames(bench: Bench) -> int:
    """Returns how many of the frames that a bench looks at are drawn together.

    As they lie in time: where the search has taken some, or the clip has fewer than are asked for,
    the rate that was asked for says too much.
    """
    if len(bench.frames) < 2:
        return 1
    seconds_apart = float(np.median(np.diff(bench.frames)) / bench.source.frame_rate)
    return max(1, round(_BLOCK_SECONDS / seconds_apart))


def no_change(measurements: dict[float, Measurement], aim: Aim, *, max_crf: float) -> RateChange:
    """Returns the change of a curve against itself: none, on any frames."""
    curve = _Resampled.of(measurements, max_crf)
    fitted = curve.fit(np.arange(len(curve.weights)))
    both = [fitted, fitted]
    point, overall = _change([curve, curve], both, aim), _bd_rate([curve, curve], both, aim)
    return RateChange(
        percent=0.0,
        rate_kbps=point.rate_kbps,
        anchor_rate_kbps=point.anchor_rate_kbps,
        low_percent=0.0,
        high_percent=0.0,
        is_clamped=point.is_floor or point.is_ceiling,
        bd_rate=overall,
        bd_rate_interval_percent=None if overall is None else (0.0, 0.0),
    )


def _bd_rate(curves: Sequence[_Resampled], fitted: Sequence[RdCurve], aim: Aim) -> BdRate | None:
    """Returns the BD-rate; None where the curves share too little.

    A test that keeps much at the highest CRF has no lower qualities to share, however many of them
    the anchor goes through: then what is shared of its own range counts.
    """
    found = _shared(fitted, aim)
    if found is None:
        return None
    overlap = found.overlap
    if curves[1].reaches_max_crf:
        shared = found.high_quality - found.low_quality
        overlap = max(overlap, shared / float(np.ptp(fitted[1].qualities)))
    return None if overlap < LEAST_OVERLAP else found


def _shared(fitted: Sequence[RdCurve], aim: Aim) -> BdRate | None:
    """Returns the BD-rate over all shared qualities, or those of the aim's range."""
    if isinstance(aim, QualityRange):
        return bd_rate(fitted[0], fitted[1], qualities=(aim.low, aim.high))
    return bd_rate(fitted[0], fitted[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """A change; the true one may be higher (floor) or lower (ceiling) than the curves reach."""

    rate_kbps: float
    anchor_rate_kbps: float
    is_floor: bool
    is_ceiling: bool
    falls_short: bool

    @property
    def percent(self) -> float:
        return (self.rate_kbps / self.anchor_rate_kbps - 1) * 100


@dataclass(frozen=True, slots=True, kw_only=True)
class _Resampled:
    """A curve's points as arrays: (points,), (frames,), (points, frames)."""

    log_rates: npt.NDArray[np.float64]
    crfs: npt.NDArray[np.float64]
    weights: npt.NDArray[np.float64]
    losses: npt.NDArray[np.float64]
    reaches_max_crf: bool

    @classmethod
    def of(cls, measurements: dict[float, Measurement], max_crf: float) -> _Resampled:
        ordered = sorted(measurements.items())
        return cls(
            log_rates=np.log([one.rate_kbps for _, one in ordered]),
            crfs=np.array([crf for crf, _ in ordered], dtype=np.float64),
            weights=ordered[0][1].scores.frame_weights,
            losses=np.stack([one.scores.frame_losses for _, one in ordered]),
            reaches_max_crf=ordered[-1][0] >= max_crf,
        )

    def fit(self, picked: npt.NDArray[np.intp]) -> RdCurve:
        qualities = pooled_quality(self.weights[picked], self.losses[:, picked])
        return fit_arrays(self.log_rates, qualities, self.crfs)


def _change(curves: Sequence[_Resampled], fitted: Sequence[RdCurve], aim: Aim) -> _Change:
    """Returns the change at the aim between the fits of anchor and test."""
    anchor, test = fitted
    at_test = aim.rate_on(test)
    if isinstance(aim, TargetRate):
        # At equal rates: what the anchor spends for the quality that the test has there, and the
        # test itself where its quality no longer rises.
        quality = test.quality_at(at_test.value).value
        at_test = replace(at_test, value=min(at_test.value, test.rate_at(quality).value))
        at_anchor = anchor.rate_at(quality)
    else:
        at_anchor = aim.rate_on(anchor)
    # The lowest rate of an encoder's whole CRF range is no clamp: there is none below it.
    is_low = [
        reading.end == "low" and not curve.reaches_max_crf
        for reading, curve in zip((at_anchor, at_test), curves, strict=True)
    ]
    is_high = [reading.end == "high" for reading in (at_anchor, at_test)]
    return _Change(
        rate_kbps=at_test.value,
        anchor_rate_kbps=at_anchor.value,
        is_floor=is_high[1] or is_low[0],
        is_ceiling=is_high[0] or is_low[1],
        falls_short=is_high[1] and not is_high[0] and not isinstance(aim, TargetRate),
    )

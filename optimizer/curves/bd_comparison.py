"""BD-rate over clips, with intervals over clips and over the frames of each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
import numpy.typing as npt

from ..errors import CurveError, RequestError
from ..measuring.store import Json
from ..plain_json import plain_json
from .bd_rate import LEAST_OVERLAP, BdRate, Method, bd_rate
from .bootstrap import (
    FEWEST_FRAMES,
    NUM_RESAMPLES,
    circular_blocks,
    median_interval,
    over_frames,
)
from .measured_curve import MeasuredCurve, Policy, measured_curve

Floats = npt.NDArray[np.float64]

# Above this share of resamples without a number, those that have one are a choice, not a sample.
_NOT_AVAILABLE_ALLOWED = 0.025


@dataclass(frozen=True, slots=True)
class FrameQualities:
    """One clip's encodes as measured.

    Attributes:
        rates: (points,).
        qualities: (points, frames); one frame where only the mean is known.
        weights: (frames,), what a frame counts; all the same where None.
        frames: Their names, in order of time.
        block_frames: How many are drawn together; as the rules say where None.
    """

    rates: Floats
    qualities: Floats
    weights: Floats | None = None
    frames: tuple[str, ...] = ()
    block_frames: int | None = None

    def pooled(self, picked: npt.NDArray[np.intp] | slice = slice(None)) -> Floats:
        """Returns (points,) weighted means over some frames; NaN where they count nothing."""
        qualities = self.qualities[:, picked]
        if self.weights is None:
            mean: Floats = qualities.mean(axis=1)
            return mean
        weights = self.weights[picked]
        if weights.sum() == 0:
            return np.full(len(self.rates), np.nan)
        pooled: Floats = qualities @ weights / weights.sum()
        return pooled


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipComparison:
    """BD-rate of one clip.

    Attributes:
        clip: Its name, empty where the files have one curve only.
        result: None where there is no number.
        reason: Why there is none.
        interval_percent: 95 % bootstrap interval over frames; None where fewer than four count,
            or where too many resamples have no number.
        notes: What was done to the curves.
    """

    clip: str
    result: BdRate | None
    reason: str | None
    interval_percent: tuple[float, float] | None
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """BD-rate of all clips.

    Attributes:
        bd_rate_percent: The median over the clips that have a number.
        interval_percent: Its 95 % interval over clips, of six or more, as of ``median_interval``; a
            bootstrap's over frames for a single clip that has them; else None.
        quartiles_percent: First and third over clips, None for a single one.
        overlap: Median over clips of the shared share of the anchor's quality range.
        num_not_available: Clips without a number.
    """

    bd_rate_percent: float
    interval_percent: tuple[float, float] | None
    quartiles_percent: tuple[float, float] | None
    overlap: float
    num_not_available: int
    method: Method
    policy: Policy
    clips: tuple[ClipComparison, ...]

    def to_json(self) -> dict[str, Json]:
        """Returns plain JSON values."""
        return plain_json(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How BD-rate is made of curves.

    Attributes:
        method, policy, saturation: As in ``bd_rate`` and ``measured_curve``.
        min_overlap: Below this share of the anchor's quality range there is no number.
        qualities: Lowest and highest quality that count.
        block_frames: Frames that are drawn together for the intervals over frames, of clips
            that do not say it themselves.
    """

    method: Method = "pchip"
    policy: Policy = "strict"
    saturation: float = 0.005
    min_overlap: float = LEAST_OVERLAP
    qualities: tuple[float, float] = (-math.inf, math.inf)
    block_frames: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        for name, chosen, known in (
            ("method", self.method, get_args(Method)),
            ("policy", self.policy, get_args(Policy)),
        ):
            if chosen not in known:
                raise RequestError(f"{name} must be one of {', '.join(known)}, got {chosen!r}")
        for name, value in (("saturation", self.saturation), ("min_overlap", self.min_overlap)):
            if not 0 <= value < 1:
                raise RequestError(f"{name} must be at least 0 and below 1, got {value:g}")
        if self.block_frames < 1:
            raise RequestError(f"block_frames must be at least 1, got {self.block_frames}")


def compare(
    anchor: Mapping[str, FrameQualities], test: Mapping[str, FrameQualities], rules: Rules
) -> Comparison:
    """Returns the BD-rate of a test against an anchor, clip by clip and in the median.

    Raises:
        CurveError: No clip has a number; with one clip, why.
    """
    if not anchor and not test:
        raise CurveError("there is no clip with curves")
    if set(anchor) != set(test):
        other = sorted(set(anchor) ^ set(test))[0]
        raise CurveError(f"both files must have the same clips, {other!r} is in one of them only")
    # Each clip has random numbers of its own, so that no other clip changes its interval.
    clips = tuple(
        _compare_clip(clip, anchor[clip], test[clip], rules, np.random.default_rng(rules.seed))
        for clip in sorted(anchor)
    )
    found = np.array([one.result.percent for one in clips if one.result is not None])
    if not len(found):
        of_clip = f"clip {clips[0].clip!r}: " if clips[0].clip else ""
        raise CurveError(f"no BD-rate: {of_clip}{clips[0].reason}")
    interval, quartiles = clips[0].interval_percent, None
    if len(clips) > 1:
        interval = median_interval(found)
        low, high = np.percentile(found, [25, 75])
        quartiles = (float(low), float(high))
    return Comparison(
        bd_rate_percent=float(np.median(found)),
        interval_percent=interval,
        quartiles_percent=quartiles,
        overlap=float(np.median([one.result.overlap for one in clips if one.result is not None])),
        num_not_available=len(clips) - len(found),
        method=rules.method,
        policy=rules.policy,
        clips=clips,
    )


def _compare_clip(
    clip: str,
    anchor: FrameQualities,
    test: FrameQualities,
    rules: Rules,
    rng: np.random.Generator,
) -> ClipComparison:
    notes: list[str] = []
    try:
        if anchor.frames != test.frames:
            raise CurveError("both curves must be measured on the same frames")
        if anchor.qualities.shape[1] != test.qualities.shape[1]:
            raise CurveError(
                f"both curves must be measured on the same frames, got "
                f"{anchor.qualities.shape[1]} and {test.qualities.shape[1]}"
            )
        curves = []
        for name, side in (("anchor", anchor), ("test", test)):
            try:
                curve = _curve(side.rates, side.pooled(), rules)
            except CurveError as error:
                raise CurveError(f"{name}: {error}") from error
            notes += [f"{name}: {note}" for note in curve.notes]
            curves.append(curve)
        result = bd_rate(curves[0], curves[1], rules.method, rules.qualities)
        overlap = 0.0 if result is None else result.overlap
        if result is None or overlap < rules.min_overlap:
            raise CurveError(
                f"curves must share at least {rules.min_overlap:g} of the anchor's quality range, "
                f"they share {overlap:.2f}; measure more points, or over other qualities"
            )
    except CurveError as error:
        return ClipComparison(
            clip=clip, result=None, reason=str(error), interval_percent=None, notes=tuple(notes)
        )
    interval = _over_frames(result, anchor, test, rules, rng)
    return ClipComparison(
        clip=clip, result=result, reason=None, interval_percent=interval, notes=tuple(notes)
    )


def _curve(rates: Floats, qualities: Floats, rules: Rules) -> MeasuredCurve:
    curve = measured_curve(rates, qualities, policy=rules.policy, saturation=rules.saturation)
    if rules.method == "cubic" and len(np.unique(curve.qualities)) < 4:
        raise CurveError("a cubic needs four qualities; choose pchip")
    return curve


def _over_frames(
    result: BdRate,
    anchor: FrameQualities,
    test: FrameQualities,
    rules: Rules,
    rng: np.random.Generator,
) -> tuple[float, float] | None:
    """Returns the interval of a clip whose frames are known, the same ones on both sides.

    It is of the qualities that are told with it: those that a draw of frames shares move along.

    Frames are drawn in circular blocks, since neighbours show the same. A resample need not rise
    where the whole does: isotonic regression stands in for a strict policy.
    """
    num_frames = anchor.qualities.shape[1]
    num_counted = num_frames if anchor.weights is None else int((anchor.weights > 0).sum())
    if num_counted < FEWEST_FRAMES:
        return None
    if rules.policy == "strict":
        rules = replace(rules, policy="monotone")
    told = (result.low_quality, result.high_quality)
    found, num_drawn = [], 0
    block = anchor.block_frames or rules.block_frames
    for picked in circular_blocks(num_frames, block, NUM_RESAMPLES // 4, rng):
        if any(
            one.weights is not None and one.weights[picked].sum() == 0 for one in (anchor, test)
        ):
            continue  # a draw without any object says nothing
        num_drawn += 1
        try:
            curves = [_curve(one.rates, one.pooled(picked), rules) for one in (anchor, test)]
        except CurveError:
            continue  # a draw of frames on which quality is flat
        change = bd_rate(curves[0], curves[1], rules.method, told)
        if change is not None:
            found.append(change.percent)
    if not found or num_drawn - len(found) > _NOT_AVAILABLE_ALLOWED * num_drawn:
        return None
    return over_frames(result.percent, np.array(found), num_frames, block)

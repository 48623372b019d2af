"""Measures the winner and the anchor once more: fresh encodes, the whole clip, other frames."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass, field

import numpy as np

from ..codecs.encode import encode
from ..codecs.fidelity import fidelity
from ..codecs.table import ENCODERS
from ..metrics.coco_map import mean_average_precision
from .aim import Aim, TargetQuality
from .bench import Bench
from .candidate import Candidate, extended
from .curve import RdCurve
from .events import PointMeasured, TuneEvent, VerificationStarted
from .interval import RateChange, rate_change
from .measure import Measurer
from .recommendation import Examined
from .request import TuneRequest
from .search import SearchResult

# Lowest score of a detection that counts in mAP, as COCO evaluations have it.
_MAP_SCORE = 0.001
# Rungs of the ladder around the recommended CRF, in steps.
_RUNGS = (-3, -2, -1, 0, 1, 2, 3)


@dataclass(slots=True, kw_only=True)
class Verified:
    """Fresh measurements of one candidate around the CRF that the search recommends.

    Attributes:
        crf: Where it meets the aim: as the search expects, then as the ladder says.
        expected: Its curve in the search.
        ladder: The same settings, measured on the verification bench.
    """

    crf: float
    expected: RdCurve
    ladder: Candidate


@dataclass(slots=True, kw_only=True)
class Verification:
    """The outcome.

    Attributes:
        winner: The search's best, or the anchor where nothing is saved.
        change: Of the winner against the anchor.
        notes: What a reader should know.
    """

    anchor: Verified
    winner: Verified
    change: RateChange
    notes: list[str] = field(default_factory=list)


def verify(
    request: TuneRequest, result: SearchResult, bench: Bench, measurer: Measurer
) -> Generator[TuneEvent, None, Verification]:
    """Measures ladders of winner and anchor without any stored value.

    Raises:
        EncodeError: An encode failed.
    """
    anchor = _expect(result.anchor, result, request.aim)
    winner = anchor if result.best is result.anchor else _expect(result.best, result, request.aim)
    yield VerificationStarted(options=dict(result.best.settings.options), crf=winner.crf)
    verified = [anchor] if winner is anchor else [anchor, winner]
    todo = [(one, crf) for one in verified for crf in _ladder(one)]
    while todo:
        yield from measurer.pool.map(
            lambda rung: _measure_rung(*rung, anchor=anchor, bench=bench, measurer=measurer), todo
        )
        todo = [(one, crf) for one in verified for crf in _further(one, request.aim)]
    for one in verified:
        one.crf = _crf_for(request.aim, one.ladder, one.ladder.curve)
    return _judge(request, anchor, winner)


def _measure_rung(
    one: Verified, crf: float, *, anchor: Verified, bench: Bench, measurer: Measurer
) -> PointMeasured:
    measurement, _ = measurer.measure(bench, one.ladder.at(crf), reuse=False)
    one.ladder.measurements[crf] = measurement
    return PointMeasured(
        role="anchor" if one is anchor else "winner",
        trial=None,
        crf=crf,
        rate_kbps=measurement.rate_kbps,
        quality=measurement.scores.quality,
        is_from_store=False,
    )


def _judge(request: TuneRequest, anchor: Verified, winner: Verified) -> Verification:
    notes = []
    change = _change(request, anchor, winner)
    if winner is anchor:
        notes.append("No candidate was better than the encoder's defaults: keep them.")
    else:
        # Both must save: what is recommended is never known to be worse than the defaults.
        is_saving = change.percent < 0 and change.bd_rate is not None and change.bd_rate.percent < 0
        if not is_saving:
            overall = "no" if change.bd_rate is None else f"{change.bd_rate.percent:+.1f} %"
            notes.append(
                f"The best candidate did not hold on frames that the search had not seen "
                f"({change.percent:+.1f} % at the target, {overall} BD-rate): keep the encoder's "
                f"defaults."
            )
            winner, change = anchor, _change(request, anchor, anchor)
    aim, points = request.aim, winner.ladder.points
    end = aim.rate_on(winner.ladder.curve).end
    if isinstance(aim, TargetQuality) and end == "low":
        notes.append(
            f"The target is met even at CRF {points[-1].crf:g}, with quality "
            f"{points[-1].quality:.3f}: the rate there is the lowest there is."
        )
    if change.is_clamped:
        notes.append("A verified curve ends before the target; rates are compared at its end.")
    return Verification(anchor=anchor, winner=winner, change=change, notes=notes)


def examine(verified: Verified, bench: Bench, measurer: Measurer) -> Examined:
    """Looks closely at one candidate at its CRF: a fresh encode of its own."""
    encoding = encode(bench.source, verified.ladder.at(verified.crf), bench.segments)
    measurement, found = bench.look(encoding, _MAP_SCORE)
    measurer.count(measurement)
    precision = mean_average_precision([frame.objects for frame in bench.reference], found)
    signal = fidelity(bench.source, encoding, bench.segments)
    frame_qualities = measurement.scores.frame_qualities
    return Examined(
        crf=verified.crf,
        rate_kbps=encoding.rate_kbps,
        quality=measurement.scores.quality,
        quality_p5=float(np.percentile(frame_qualities, 5)),
        quality_min=float(frame_qualities.min()),
        map50_95=precision.map50_95,
        map50=precision.map50,
        psnr_db=signal.psnr_db,
        ssim=signal.ssim,
        xpsnr_db=signal.xpsnr_db,
        encode_fps=encoding.num_frames / encoding.encode_seconds,
    )


def _expect(candidate: Candidate, result: SearchResult, aim: Aim) -> Verified:
    """Returns where the search expects a candidate to meet the aim; nothing measured yet."""
    curve = extended(candidate, result.anchor)
    return Verified(
        crf=_crf_for(aim, candidate, curve),
        expected=curve,
        ladder=Candidate(settings=candidate.settings),
    )


def _crf_for(aim: Aim, candidate: Candidate, curve: RdCurve) -> float:
    """Returns the CRF where a curve meets the aim, in half steps towards the safe side."""
    crf = curve.crf_at(aim.rate_on(curve).value).value
    halves = math.floor(crf * 2) if isinstance(aim, TargetQuality) else math.ceil(crf * 2)
    low, high = candidate.search_crf
    return float(min(max(halves / 2, low), high))


def _step(candidate: Candidate) -> float:
    low, high = candidate.search_crf
    return float(round((high - low) / 20))


def _ladder(verified: Verified) -> list[float]:
    """Returns the CRFs around the recommended one that the encoder takes."""
    low, high = verified.ladder.search_crf
    crfs = (verified.crf + rung * _step(verified.ladder) for rung in _RUNGS)
    return sorted({min(max(crf, float(low)), float(high)) for crf in crfs})


def _further(verified: Verified, aim: Aim) -> list[float]:
    """Returns one more CRF where the aim lies beyond the ladder."""
    low, high = verified.ladder.search_crf
    crfs = verified.ladder.measurements
    match aim.rate_on(verified.ladder.curve).end:
        case "high":
            further = max(min(crfs) - _step(verified.ladder), float(low))
        case "low":
            further = min(max(crfs) + _step(verified.ladder), float(high))
        case None:
            return []
    return [] if further in crfs else [further]


def _change(request: TuneRequest, anchor: Verified, winner: Verified) -> RateChange:
    return rate_change(
        anchor.ladder.measurements,
        winner.ladder.measurements,
        request.aim,
        max_crf=ENCODERS[request.codec].search_crf[1],
        block_frames=round(2 * request.frames_per_second),
        seed=request.seed,
    )

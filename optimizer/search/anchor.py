"""The encoder's defaults on one clip: measured first, what all else is compared with."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import Literal

from ..aim import Aim, QualityRange, TargetQuality, TargetRate, clipped_quality
from ..curves.curve import RdCurve
from ..curves.interval import quality_interval
from ..errors import UnreachableError
from ..events import PointMeasured, TargetMoved, TuneEvent
from ..measuring.bench import Bench, Benches, Measurement
from ..measuring.measure import Measurer
from ..request import TuneRequest
from .candidate import Candidate, first_crfs, next_anchor_crfs
from .scale import Scale

# What is asked for instead of a quality that is out of reach, where nobody asked for that one.
_LESSER_QUALITIES = (0.9, 0.85, 0.8, 0.7, 0.6, 0.5)


@dataclass(slots=True, kw_only=True)
class SearchedClip:
    """One clip of a search.

    Attributes:
        bench: What candidates are measured on.
        anchor: The encoder's defaults, as the machine of the search sees them.
        real_anchor: The same encodes as the machine sees them that a learned metric predicts;
            empty where a real one steers, or there is none.
        target: What is asked for, on the scale of the real machine where there is one. Less than
            what was asked where that is out of reach, and nobody named it.
        aim: The same on the scale of the machine of the search.
    """

    bench: Bench
    anchor: Candidate
    real_anchor: Candidate
    target: Aim
    aim: Aim = field(init=False)

    def __post_init__(self) -> None:
        self.aim = self.target
        if self._scale is not None:
            self.aim = _moved(self.target, self._scale)

    @property
    def _scale(self) -> Scale | None:
        if not self.real_anchor.measurements:
            return None
        return Scale(own=self.anchor.curve, real=self.real_anchor.curve)

    def expected_real_quality(self, quality: float) -> float | None:
        """Returns what the real machine keeps of the defaults where the metric keeps a quality.

        None where there is no real machine beside the one of the search.
        """
        scale = self._scale
        return None if scale is None else scale.real_quality(quality)


def measure_anchor(
    request: TuneRequest, benches: Benches, measurer: Measurer
) -> Generator[TuneEvent, None, SearchedClip]:
    """Measures the encoder's defaults on one clip, densely where they meet the aim.

    Where a learned metric steers and the real machine is there, that one sees these few encodes
    too. The target is on its scale, and is met where it says: how strict the metric is against
    it differs from clip to clip.

    Raises:
        EncodeError: The encoder fails with its own defaults.
        UnreachableError: Its defaults cannot reach the target on this clip.
    """
    settings = request.anchor_settings
    own, real = Candidate(settings=settings), Candidate(settings=settings)
    leader = own if benches.real is None else real
    target, crfs = request.aim, list[float](first_crfs(settings))

    def measure(crf: float) -> PointMeasured:
        looking = [one for one in (benches.own, benches.real) if one is not None]
        measured, is_from_store = measurer.measure_all(looking, own.at(crf))
        for candidate, measurement in zip((own, real), measured, strict=False):
            candidate.measurements[crf] = measurement
        return point_measured(benches.own, crf, measured[0], trial=0, is_from_store=is_from_store)

    while crfs:
        yield from measurer.pool.map(measure, crfs)
        crfs = next_anchor_crfs(leader, target)
        if not crfs and (lesser := _lesser(target, leader.curve)) is not None:
            target = lesser
            crfs = next_anchor_crfs(leader, target)
    _check_target(request, target, leader)
    clip = SearchedClip(bench=benches.own, anchor=own, real_anchor=real, target=target)
    if clip.aim != request.aim and not isinstance(clip.aim, TargetRate):
        assert not isinstance(target, TargetRate)
        assert not isinstance(request.aim, TargetRate)
        yield TargetMoved(
            asked_quality=request.aim.quality,
            quality=target.quality,
            metric_quality=None if benches.real is None else clip.aim.quality,
        )
    return clip


def target_text(asked: Aim, target: Aim) -> str | None:
    """Returns what a reader should know of a lesser target than the usual one; else None."""
    if isinstance(asked, TargetQuality) and isinstance(target, TargetQuality) and asked != target:
        return (
            f"Quality {asked.quality:g} is out of reach for the encoder's defaults on this clip: "
            f"{target.quality:g} is what was searched for."
        )
    return None


def point_measured(
    bench: Bench,
    crf: float,
    measurement: Measurement,
    *,
    role: Literal["search", "anchor", "options", "regions"] = "search",
    trial: int | None = None,
    is_from_store: bool = False,
) -> PointMeasured:
    """Returns what a search, or its verification, says of one of its measurements."""
    return PointMeasured(
        role=role,
        trial=trial,
        crf=crf,
        rate_kbps=measurement.rate_kbps,
        quality=measurement.scores.quality,
        quality_interval=quality_interval(bench, measurement),
        encode_seconds=measurement.encode_seconds,
        is_from_store=is_from_store,
    )


def _lesser(target: Aim, curve: RdCurve) -> TargetQuality | None:
    """Returns what to ask for instead of what is out of reach; None where it is asked for."""
    if not (isinstance(target, TargetQuality) and target.or_less):
        return None
    if target.rate_on(curve).end != "high":
        return None
    reached = [
        one for one in _LESSER_QUALITIES if one < target.quality and one <= curve.qualities[-1]
    ]
    return TargetQuality(quality=reached[0], or_less=True) if reached else None


def _moved(target: Aim, scale: Scale) -> Aim:
    """Returns a target of the real machine on the scale of the one of the search."""

    def move(quality: float) -> float:
        return clipped_quality(scale.own_quality(quality))

    match target:
        case TargetQuality():
            return replace(target, quality=move(target.quality))
        case QualityRange():
            low, high = move(target.low), move(target.high)
            if low >= high:  # that one sees no difference: leave it to find where they differ
                return target
            return QualityRange(low=low, high=high, quality=move(target.quality))
    return target


def _check_target(request: TuneRequest, target: Aim, anchor: Candidate) -> None:
    points, curve = anchor.points, anchor.curve
    end = target.rate_on(curve).end
    if isinstance(target, TargetRate):
        if end is not None:
            raise UnreachableError(
                f"target_rate {target.rate_kbps:g} kbit/s is out of reach: {request.codec} gives "
                f"{points[-1].rate_kbps:.0f} to {points[0].rate_kbps:.0f} kbit/s on this clip"
            )
    elif end == "high":
        raise UnreachableError(
            f"target_quality {target.quality:g} is out of reach: {request.codec} keeps "
            f"{curve.qualities[-1]:.3f} at CRF {points[0].crf:g}, the lowest that is searched, and "
            f"{points[0].rate_kbps:.0f} kbit/s; ask for less"
        )
    if isinstance(target, QualityRange) and curve.qualities[0] >= target.high:
        raise UnreachableError(
            f"quality_range {target.low:g} to {target.high:g} is out of reach: {request.codec} "
            f"keeps {curve.qualities[0]:.3f} even at CRF {points[-1].crf:g}; ask for more"
        )

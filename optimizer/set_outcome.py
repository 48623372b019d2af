"""Makes the recommendation of what a search over many clips found, verified on every clip."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from ..codecs.settings import Crf
from .aim import Aim, QualityRange, TargetRate
from .compare import frame_qualities
from .contestants import ClipSkipped, same_frames_notes
from .curves.bd_comparison import Comparison, Rules, compare
from .curves.interval import RateChange, block_frames
from .errors import CurveError
from .measuring.bench import Bench, Benches, settings_json
from .measuring.machines import Machines
from .measuring.measure import Measurer
from .reports.provenance import machines_used, provenance
from .request import TuneRequest
from .search.anchor import SearchedClip, target_text
from .search.candidate import Candidate
from .search.scale import deciding_gap
from .search.search import SearchResult, cost_percent
from .search.speed import check_defaults_speed, too_slow, verified_entrant
from .search.verification import Verified, contender_of, saves
from .set_recommendation import ClipOutcome, SetRecommendation

# The defaults and the best that was found, on one clip.
Ladders = tuple[Candidate, Candidate]
# Of what a result depended on, these are said clip by clip.
_OF_ONE_CLIP = ("clip", "clip_content_sha256", "num_frames", "verified_frames", "num_objects")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyClip:
    """One clip of the set, ready to be searched on and to be verified on.

    Attributes:
        benches: That verify.
        notes: What a reader should know of them.
    """

    name: str
    searched: SearchedClip
    benches: Benches
    notes: tuple[str, ...]

    @property
    def bench(self) -> Bench:
        """What candidates are measured on."""
        return self.searched.bench


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verdict:
    """What the verification says of the best that was found.

    Attributes:
        own, real: BD-rates by the machine of the search, and by the real one beside it; None where
            there is none.
        is_better: Than the defaults, on the median clip, and fast enough.
    """

    own: Comparison | None = None
    real: Comparison | None = None
    outcomes: tuple[ClipOutcome, ...] = ()
    is_better: bool = False
    notes: tuple[str, ...] = ()


def _judge(
    request: TuneRequest,
    ready: Sequence[ReadyClip],
    verified: Sequence[tuple[Verified, Verified]],
    machines: Machines,
    measurer: Measurer,
) -> _Verdict:
    """Compares the best that was found with the defaults, both verified on every clip."""
    notes: list[str] = []

    def compared(aims: Sequence[Aim], ladders: Sequence[Ladders]) -> Comparison | None:
        try:
            return _compare(request, _qualities(aims), ready, ladders)
        except CurveError as error:
            notes.append(f"No BD-rate: {error}.")
            return None

    own = compared(
        [one.searched.aim for one in ready], [(one.ladder, two.ladder) for one, two in verified]
    )
    real = None
    if machines.real is not None:
        real = compared([request.aim], [(one.real, two.real) for one, two in verified])
    outcomes = tuple(
        measurer.pool.map(
            lambda one, pair: _outcome(request, one, pair[0], pair[1], own, real), ready, verified
        )
    )
    changes = [one.change for one in outcomes]
    is_better = gains_on_median(request.aim, own, changes)
    said = f"({_median_text(own, changes)})"
    if is_better and machines.real is not None:
        seen = _real_changes(outcomes)
        is_better = gains_on_median(request.aim, real, seen)
        said = (
            f"as the real machine sees it ({_median_text(real, seen)}), whatever the metric says "
            f"{said}"
        )
    if is_better:
        slow = too_slow(
            request,
            "The best candidate saves on the median clip",
            [tuned for _, tuned in verified],
        )
        notes += [] if slow is None else [slow]
        is_better = slow is None
    else:
        notes.append(
            f"The best that was found saves nothing on the median clip, on unseen frames {said}."
        )
    return _Verdict(own=own, real=real, outcomes=outcomes, is_better=is_better, notes=tuple(notes))


def recommend_set(
    request: TuneRequest,
    result: SearchResult,
    ready: Sequence[ReadyClip],
    verified: Sequence[tuple[Verified, Verified]],
    machines: Machines,
    measurer: Measurer,
    skipped: Sequence[ClipSkipped],
    started: float,
) -> SetRecommendation:
    """Returns the recommendation for a set of clips.

    Args:
        verified: Defaults and the best that was found, on each clip; empty where that one is the
            defaults.
        started: When the run began, as ``time.perf_counter`` had it.
    """
    aim = request.aim
    notes = [f"{one.name}: {note}" for one in ready for note in one.notes]
    notes += [
        f"{one.name}: {text}"
        for one in ready
        if (text := target_text(aim, one.searched.target)) is not None
    ]
    notes += same_frames_notes((one.name, one.bench.source.content_sha256) for one in ready)
    verdict = _Verdict()
    if verified:
        verdict = _judge(request, ready, verified, machines, measurer)
        notes += verdict.notes
    outcomes, is_better = verdict.outcomes, verdict.is_better
    if not is_better:
        fresh = [before for before, _ in verified]
        check_defaults_speed(request, verified_entrant(fresh) if fresh else result.anchor)
        notes.append("Nothing was better than the encoder's defaults: keep them.")
    winner = result.best if is_better else result.anchor
    crfs = {one.name: round(_crf_of_anchor(one.searched), 2) for one in ready}
    gaps = list[float]()
    if verified:
        chosen = [two if is_better else one for one, two in verified]
        crfs = {one.name: two.crf for one, two in zip(ready, chosen, strict=True)}
        gaps = [_gap(one.searched, two) for one, two in zip(ready, chosen, strict=True)]
    gap = median(gaps) if gaps else None
    # In half steps towards the safe side.
    halves = math.ceil if isinstance(aim, TargetRate) else math.floor
    middle = Crf(value=halves(median(crfs.values()) * 2) / 2)
    return SetRecommendation(
        codec=request.codec,
        preset=winner.settings.preset,
        settings=settings_json(winner.settings.at(middle)),
        keeps_defaults=not is_better,
        target_quality=None if isinstance(aim, TargetRate) else aim.quality,
        target_rate_kbps=aim.rate_kbps if isinstance(aim, TargetRate) else None,
        quality_range=(aim.low, aim.high) if isinstance(aim, QualityRange) else None,
        comparison=verdict.own,
        real_comparison=verdict.real,
        num_clips=len(ready),
        clip_crfs=crfs,
        clips=outcomes,
        num_not_saving=sum(not saves(one.change, aim) for one in outcomes),
        real_num_not_saving=(
            None
            if verdict.real is None
            else sum(not saves(one, aim) for one in _real_changes(outcomes))
        ),
        quality_gap=gap,
        tolerance=request.tolerance,
        is_verified=None if gap is None else gap >= -request.tolerance,
        skipped=tuple(skipped),
        search_cost_percent=cost_percent(request, result.best_cost),
        machines=machines_used(request, machines, ready[0].benches),
        num_trials=request.num_trials,
        num_encodes=measurer.spent.num_encodes,
        num_from_store=measurer.spent.num_from_store,
        wall_seconds=time.perf_counter() - started,
        notes=tuple(notes),
        provenance={
            name: value
            for name, value in provenance(request, ready[0].benches.own, measurer).items()
            if name not in _OF_ONE_CLIP
        },
    )


def _median_text(comparison: Comparison | None, changes: Sequence[RateChange]) -> str:
    """Returns the changes that decide, for a note; those of the real machine are in the tables."""
    bd_rate = "no BD-rate" if comparison is None else f"{comparison.bd_rate_percent:+.1f} % BD-rate"
    percent = _median_percent(changes)
    at_target = "not reached" if math.isinf(percent) else f"{percent:+.1f} %"
    return f"{at_target} at the target, {bd_rate}"


def _real_changes(outcomes: Sequence[ClipOutcome]) -> list[RateChange]:
    return [one.real_change for one in outcomes if one.real_change is not None]


def _crf_of_anchor(clip: SearchedClip) -> float:
    """Returns where the defaults meet the aim, as the search knows them."""
    curve = clip.anchor.curve
    return curve.crf_at(clip.aim.rate_on(curve).value).value


def _gap(clip: SearchedClip, one: Verified) -> float:
    """Returns the quality that is verified minus the expected."""
    expected, real_gap = one.expected.quality_at_crf(one.crf), None
    expected_real = clip.expected_real_quality(expected)
    if one.real.measurements and expected_real is not None:
        real_gap = one.real.curve.quality_at_crf(one.crf) - expected_real
    return deciding_gap(one.ladder.curve.quality_at_crf(one.crf) - expected, real_gap)


def _outcome(
    request: TuneRequest,
    one: ReadyClip,
    anchor: Verified,
    tuned: Verified,
    own: Comparison | None,
    real: Comparison | None,
) -> ClipOutcome:
    contender = contender_of(
        replace(request, aim=one.searched.aim),
        one.searched.target,
        anchor,
        tuned,
        [tuned],
        block_frames=block_frames(one.benches.own),
    )
    return ClipOutcome(
        clip=one.name,
        clip_content_sha256=one.bench.source.content_sha256,
        crf=tuned.crf,
        anchor_crf=anchor.crf,
        change=_as_compared(contender.change, own, one.name),
        real_change=None
        if contender.real_change is None
        else _as_compared(contender.real_change, real, one.name),
    )


def _as_compared(change: RateChange, comparison: Comparison | None, clip: str) -> RateChange:
    """Returns a change with the BD-rate that the median over the clips is made of.

    The comparison cuts a saturated top off, which ``rate_change`` does not: two BD-rates of the
    same ladders, side by side, -23.4 and -23.2 %.
    """
    found = None
    if comparison is not None:
        found = next(one for one in comparison.clips if one.clip == clip)
    return replace(
        change,
        bd_rate=None if found is None else found.result,
        bd_rate_interval_percent=None if found is None else found.interval_percent,
    )


def _qualities(aims: Sequence[Aim]) -> tuple[float, float]:
    """Returns the qualities that count: the median range of the aims, all where they have none."""
    ranges = [one for one in aims if isinstance(one, QualityRange)]
    if not ranges:
        return -math.inf, math.inf
    return median(one.low for one in ranges), median(one.high for one in ranges)


def _compare(
    request: TuneRequest,
    qualities: tuple[float, float],
    ready: Sequence[ReadyClip],
    ladders: Sequence[Ladders],
) -> Comparison:
    """Returns the BD-rate over the clips.

    Raises:
        CurveError: No clip has one.
    """
    rules = Rules(policy="monotone", qualities=qualities, seed=request.seed)
    sides = [
        {
            one.name: frame_qualities(
                pair[side].measurements, block_frames=block_frames(one.benches.own)
            )
            for one, pair in zip(ready, ladders, strict=True)
        }
        for side in (0, 1)
    ]
    return compare(sides[0], sides[1], rules)


def gains_on_median(aim: Aim, comparison: Comparison | None, changes: Sequence[RateChange]) -> bool:
    """Returns whether the median clip gains in BD-rate, and at the target where there is one."""
    if comparison is None or comparison.bd_rate_percent >= 0:
        return False
    return isinstance(aim, QualityRange) or _median_percent(changes) < 0


def _median_percent(changes: Sequence[RateChange]) -> float:
    """Returns the median change at the target; never to reach it costs any rate."""
    return median(math.inf if one.falls_short else one.percent for one in changes)

"""Tunes one encoder for many clips: the settings that save most on the median clip."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from ..codecs.errors import ClipError, EncodeError
from ..codecs.settings import Crf
from ..codecs.source import load_source
from ..codecs.table import ENCODERS, OptionValue
from ..metrics.errors import NoObjectsError
from ..metrics.feature_file import open_feature_file
from .aim import Aim, QualityRange, TargetRate
from .compare import frame_qualities
from .contestants import ClipSkipped, check_clips
from .curves.bd_comparison import Comparison, Rules, compare
from .curves.interval import RateChange, block_frames
from .errors import CurveError, RequestError, UnreachableError
from .events import TuneEvent
from .measuring.bench import Bench, Benches, settings_json
from .measuring.machines import Machines, load_machines, unverified_notes
from .measuring.measure import Measurer, open_measurer_of
from .measuring.store import Json, Store, key_sha256, open_store
from .reports.provenance import machines_used, provenance
from .request import TuneRequest
from .search.anchor import SearchedClip, measure_anchor, target_text
from .search.candidate import Candidate
from .search.clip_benches import ClipBenches
from .search.search import SearchResult, cost_percent, search
from .search.speed import check_defaults_speed, too_slow, verified_entrant
from .search.study import open_study
from .search.study_storage import open_storage
from .search.verification import Verified, contender_of, expect, measure_ladders, saves
from .search.warm_start import (
    ClipFeatures,
    Winner,
    clip_features,
    remember_winner,
    similar_winners,
    warm_start_notes,
)
from .set_recommendation import ClipOutcome, SetRecommendation

# Of what a result depended on, these are said clip by clip.
_OF_ONE_CLIP = ("clip", "clip_content_sha256", "num_frames", "verified_frames", "num_objects")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipReady:
    """A clip takes part: it is decoded, and the defaults are measured on it."""

    clip: str
    num_frames: int
    num_objects: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SetRecommended:
    """The search is done."""

    recommendation: SetRecommendation


# The defaults and the best that was found, on one clip.
Ladders = tuple[Candidate, Candidate]
SetEvent = TuneEvent | ClipReady | ClipSkipped | SetRecommended


@dataclass(frozen=True, slots=True, kw_only=True)
class _OnClip:
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


def tune_set_events(request: TuneRequest, clips: Sequence[Path]) -> Iterator[SetEvent]:
    """Runs a search over many clips and yields what happens; the last event has the outcome.

    A clip that cannot be used, on which the machine sees nothing or the defaults miss the target,
    is skipped and said.

    Args:
        request: What is asked, the same of each clip; its own ``clip`` is one of them. A target
            is read for each clip as ``measure_anchor`` does it.

    Raises:
        RequestError: What is asked is for one clip only, or names come twice.
        WeightsError: There is nothing to measure quality with.
        UnreachableError, ClipError, EncodeError, NoObjectsError: No clip is left: why the last
            one is not.
        ScratchError, StoreError: There is no room.
    """
    _check(request, clips)
    started = time.perf_counter()
    skipped: list[ClipSkipped] = []
    with ExitStack() as stack:
        store = stack.enter_context(open_store(request.store))
        storage = open_storage(request.study_place)
        measurer = stack.enter_context(open_measurer_of(request, store))
        machines = load_machines(request.machine, stack.enter_context(open_feature_file()))
        ready: list[_OnClip] = []
        for clip in clips:
            try:
                with ExitStack() as of_clip:
                    one = yield from _set_up(request, clip, machines, measurer, of_clip)
                    stack.push(of_clip.pop_all())
            except (ClipError, EncodeError, NoObjectsError, UnreachableError) as error:
                skipped.append(ClipSkipped(clip=clip.stem, reason=str(error)))
                yield skipped[-1]
                if len(skipped) == len(clips):
                    raise
                continue
            ready.append(one)
            yield ClipReady(
                clip=one.name,
                num_frames=one.bench.source.num_frames,
                num_objects=one.bench.num_objects,
            )
        features = [clip_features(one.bench) for one in ready]
        winners = _warm_starts(request, store, ready, features)
        warm_starts = [one.options for one in winners]
        study = open_study(
            ENCODERS[request.codec],
            preset=request.anchor_settings.preset,
            part="encoder",
            fixed=request.fixed_options,
            sampler=request.search_sampler,
            seed=request.seed,
            storage=storage,
            name=_study_name(request, ready, warm_starts),
            warm_starts=warm_starts,
            min_fps=request.min_fps,
        )
        result = yield from search(request, [one.searched for one in ready], study, measurer)
        verified: list[tuple[Verified, Verified]] = []
        if result.best is not result.first:
            for number, one in enumerate(ready):
                anchor, aim = one.searched.anchor, one.searched.aim
                pair = (
                    expect("anchor", anchor, anchor, aim),
                    expect("options", result.best.clips[number], anchor, aim),
                )
                yield from measure_ladders(pair, aim, one.benches, measurer)
                verified.append(pair)
        found = _recommend(request, result, ready, verified, machines, measurer, skipped, started)
        others = (*warm_start_notes(winners), *unverified_notes(machines, machines.real))
        found = replace(found, notes=(*found.notes, *others))
        if not found.keeps_defaults:
            for one, like in zip(ready, features, strict=True):
                remember_winner(store, one.bench, like, result.best.settings)
        yield SetRecommended(recommendation=found)


def _check(request: TuneRequest, clips: Sequence[Path]) -> None:
    check_clips(clips)
    for name, given in (
        ("annotations", request.annotations),
        ("regions", request.regions),
        ("roi", request.anchor_settings.regions),
        ("second_detector", request.second_detector),
        ("per_shot", request.per_shot or None),
    ):
        if given is not None:
            raise RequestError(f"{name} is for one clip, got {len(clips)} clips")


def _set_up(
    request: TuneRequest, clip: Path, machines: Machines, measurer: Measurer, stack: ExitStack
) -> Generator[TuneEvent, None, _OnClip]:
    source = stack.enter_context(
        load_source(
            clip,
            max_seconds=request.max_seconds,
            frame_rate=request.frame_rate,
            limits=request.limits,
        )
    )
    set_up = ClipBenches(
        looks=request, source=source, machines=machines, measurer=measurer, needs_real=True
    )
    to_search = set_up.to_search()
    to_verify = set_up.to_verify(to_search)
    searched = yield from measure_anchor(request, to_search, measurer)
    return _OnClip(
        name=clip.stem,
        searched=searched,
        benches=to_verify,
        notes=(*source.notes, *set_up.notes),
    )


def _warm_starts(
    request: TuneRequest, store: Store, ready: Sequence[_OnClip], features: Sequence[ClipFeatures]
) -> list[Winner]:
    """Returns what won on the clip most like each of the set, each once."""
    found: list[Winner] = []
    clips = {one.bench.source.content_sha256 for one in ready}
    for like in features:
        for winner in similar_winners(store, clips, like, request.anchor_settings, 1):
            if all(winner.options != other.options for other in found):
                found.append(winner)
    return found[: request.num_usable_warm_starts]


def _study_name(
    request: TuneRequest, ready: Sequence[_OnClip], warm_starts: Sequence[dict[str, OptionValue]]
) -> str:
    """Returns one name for one search: the same on every start."""
    search_key: Json = {
        "benches": [one.bench.key for one in ready],
        "anchor": settings_json(request.anchor_settings),
        "aims": [str(one.searched.aim) for one in ready],
        "sampler": request.search_sampler,
        "seed": request.seed,
        "under_way": request.num_under_way,
        "min_fps": request.min_fps,
        "warm_starts": [dict(start) for start in warm_starts],
    }
    return f"{len(ready)} clips {request.codec} {key_sha256(search_key)[:12]}"


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
    ready: Sequence[_OnClip],
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
    if is_better and machines.real is not None:
        is_better = gains_on_median(request.aim, real, _real_changes(outcomes))
    if is_better:
        slow = too_slow(request, "saves on the median clip", [tuned for _, tuned in verified])
        notes += [] if slow is None else [slow]
        is_better = slow is None
    else:
        notes.append(
            f"The best that was found saves nothing on the median clip, on unseen frames "
            f"({_median_text(own, changes)})."
        )
    return _Verdict(own=own, real=real, outcomes=outcomes, is_better=is_better, notes=tuple(notes))


def _recommend(
    request: TuneRequest,
    result: SearchResult,
    ready: Sequence[_OnClip],
    verified: Sequence[tuple[Verified, Verified]],
    machines: Machines,
    measurer: Measurer,
    skipped: Sequence[ClipSkipped],
    started: float,
) -> SetRecommendation:
    aim = request.aim
    notes = [f"{one.name}: {note}" for one in ready for note in one.notes]
    notes += [
        f"{one.name}: {text}"
        for one in ready
        if (text := target_text(aim, one.searched.target)) is not None
    ]
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
        is_verified=gap is None or gap >= -request.tolerance,
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
    """Returns the quality that is verified minus the expected, by the machine that misses more."""
    expected = one.expected.quality_at_crf(one.crf)
    gaps = [one.ladder.curve.quality_at_crf(one.crf) - expected]
    expected_real = clip.expected_real_quality(expected)
    if one.real.measurements and expected_real is not None:
        gaps.append(one.real.curve.quality_at_crf(one.crf) - expected_real)
    return min(gaps)


def _outcome(
    request: TuneRequest,
    one: _OnClip,
    anchor: Verified,
    tuned: Verified,
    own: Comparison | None,
    real: Comparison | None,
) -> ClipOutcome:
    contender = contender_of(
        replace(request, aim=one.searched.aim),
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
    ready: Sequence[_OnClip],
    ladders: Sequence[Ladders],
) -> Comparison:
    """Returns the BD-rate over the clips.

    Raises:
        CurveError: No clip has one.
    """
    rules = Rules(policy="monotone", qualities=qualities, seed=request.seed)
    sides = [
        {
            one.name: frame_qualities(one.benches.own, pair[side].measurements)
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

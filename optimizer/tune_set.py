"""Tunes one encoder for many clips: the settings that save most on the median clip."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from ..codecs.address import clip_name, shown_clip
from ..codecs.errors import ClipError, EncodeError, SettingsError
from ..codecs.source import load_source
from ..codecs.table import ENCODERS, OptionValue
from ..metrics.errors import NoObjectsError
from ..metrics.feature_file import open_feature_file
from .contestants import ClipSkipped, check_clips
from .errors import RequestError, UnreachableError
from .events import TuneEvent
from .measuring.bench import settings_json
from .measuring.machines import Machines, load_machines, unverified_notes
from .measuring.measure import Measurer, open_measurer_of
from .measuring.store import Json, Store, key_sha256, open_store
from .request import TuneRequest
from .search.anchor import measure_anchor
from .search.clip_benches import ClipBenches
from .search.search import search
from .search.study import open_study
from .search.study_storage import open_storage
from .search.verification import Verified, expect, measure_ladders
from .search.warm_start import (
    ClipFeatures,
    Winner,
    clip_features,
    remember_winner,
    similar_winners,
    warm_start_notes,
)
from .set_outcome import ReadyClip, recommend_set
from .set_recommendation import SetRecommendation


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


SetEvent = TuneEvent | ClipReady | ClipSkipped | SetRecommended


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
        ready: list[ReadyClip] = []
        for clip in clips:
            try:
                with ExitStack() as of_clip:
                    one = yield from _set_up(request, clip, machines, measurer, of_clip)
                    stack.push(of_clip.pop_all())
            except (
                ClipError, EncodeError, SettingsError, NoObjectsError, UnreachableError
            ) as error:  # fmt: skip
                skipped.append(ClipSkipped.of(clip, error))
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
        found = recommend_set(
            request, result, ready, verified, machines, measurer, skipped, started
        )
        others = (*warm_start_notes(winners), *unverified_notes(machines, machines.real))
        found = replace(
            found,
            notes=(*found.notes, *others),
            provenance={
                "clips": [shown_clip(clip) for clip in clips],
                "clips_content_sha256": {
                    one.name: one.bench.source.content_sha256 for one in ready
                },
                **found.provenance,
            },
        )
        if not found.keeps_defaults:
            for one, like in zip(ready, features, strict=True):
                remember_winner(store, one.bench, like, result.best.settings)
        yield SetRecommended(recommendation=found)


def _check(request: TuneRequest, clips: Sequence[Path]) -> None:
    check_clips(clips)
    for name in request.only_of_one_clip:
        raise RequestError(f"{name} is for one clip, got {len(clips)} clips")


def _set_up(
    request: TuneRequest, clip: Path, machines: Machines, measurer: Measurer, stack: ExitStack
) -> Generator[TuneEvent, None, ReadyClip]:
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
    return ReadyClip(
        name=clip_name(clip),
        searched=searched,
        benches=to_verify,
        notes=(*source.notes, *set_up.notes),
    )


def _warm_starts(
    request: TuneRequest, store: Store, ready: Sequence[ReadyClip], features: Sequence[ClipFeatures]
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
    request: TuneRequest, ready: Sequence[ReadyClip], warm_starts: Sequence[dict[str, OptionValue]]
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

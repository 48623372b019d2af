"""Tunes an encoder on a clip: search, verify, recommend."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from ..codecs.address import clip_name
from ..codecs.encoder import encoder_version
from ..codecs.region_encoder import can_offset_qp
from ..codecs.settings import sorted_options
from ..codecs.source import Source, load_source
from ..codecs.table import ENCODERS, OptionValue
from ..metrics.annotations import load_annotations
from ..metrics.detector import Detector, load_detector
from ..metrics.feature_file import open_feature_file
from .events import Recommended, RegionsSkipped, SearchFinished, TuneEvent
from .interruption import held_back
from .measuring.bench import Bench, Benches, settings_json
from .measuring.machine_table import object_machine
from .measuring.machines import Machines, load_machines, unverified_notes
from .measuring.measure import Measurer, open_measurer_of
from .measuring.pool import first_done, result_of
from .measuring.regions import RegionSource, object_regions
from .measuring.set_up import find_regions, given_regions
from .measuring.store import Json, key_sha256, open_store
from .reports.close_look import Version
from .reports.moments import close_look
from .reports.plain_text import printable
from .request import TuneRequest
from .search.anchor import SearchedClip, measure_anchor, target_text
from .search.clip_benches import ClipBenches, clip_loaded
from .search.examination import Looked, look_at, look_at_equal_rate
from .search.importance import importances
from .search.option_space import Part
from .search.search import SearchResult, search, search_regions
from .search.speed import check_defaults_speed, verified_entrant
from .search.study import Study, open_study
from .search.study_storage import StudyStorage, open_storage
from .search.verification import Verification, verify
from .search.warm_start import (
    clip_features,
    remember_winner,
    similar_winners,
    warm_start_notes,
)
from .shots.per_shot import share_bits
from .tune_outcome import recommend

# Share of the picture in regions from which on there is no background left to save in. At 91 to
# 100 % the verification saw what regions do as anything from -15 to +21 % on four clips: noise.
_NEARLY_ALL = 0.8


def tune_events(request: TuneRequest) -> Iterator[TuneEvent]:
    """Runs a search and yields what happens; the last event holds the recommendation.

    Raises:
        ClipError, ScratchError: The clip cannot be used.
        RegionError: A file of regions is malformed or another clip's.
        WeightsError, AnnotationError, NoObjectsError: There is nothing to measure quality with.
        EncodeError: The encoder fails with its own defaults.
        UnreachableError: The encoder's defaults cannot reach the target on this clip, or are kept
            and slower than asked for.
        StoreError: Measurements cannot be kept.
    """
    started = time.perf_counter()
    with ExitStack() as stack:
        store = stack.enter_context(open_store(request.store))
        storage = open_storage(request.study_place)
        measurer = stack.enter_context(open_measurer_of(request, store))
        source, machines = _load(request, measurer, stack)
        annotations = None
        if request.annotations is not None:
            annotations = load_annotations(
                request.annotations,
                source.num_frames,
                is_cut=source.is_shortened,
                sizes=source.sizes,
            )
        regions = None
        if request.needs_regions:
            regions = _find_regions(request, source, machines.finder, measurer)
        set_up = ClipBenches(
            looks=request,
            source=source,
            machines=machines,
            measurer=measurer,
            annotations=annotations,
            regions=regions,
        )
        to_search = set_up.to_search()
        bench, notes = to_search.own, set_up.notes
        yield clip_loaded(bench, source.notes)
        share = _share_at_defaults(request, bench)
        if share is not None and share > _NEARLY_ALL:
            yield RegionsSkipped(region_share=share)
            notes.append(
                f"Regions would cover {share * 100:.0f} % of the picture: they were not tried."
            )
            request = replace(request, regions=None)
        # Before the search, so that frames without any object do not end a run at its end.
        benches = set_up.to_verify(to_search)
        notes += unverified_notes(machines, benches.real)
        features = clip_features(bench)
        warm = similar_winners(
            store,
            {source.content_sha256},
            features,
            request.anchor_settings,
            request.num_usable_warm_starts,
        )
        notes += warm_start_notes(warm)
        searched = yield from measure_anchor(request, to_search, measurer)
        if (text := target_text(request.aim, searched.target)) is not None:
            notes.append(text)
        request = replace(request, aim=searched.aim)
        results = yield from _search(
            request, searched, storage, [one.options for one in warm], measurer
        )
        verification = yield from verify(request, searched.target, results, benches, measurer)
        if request.regions is not None and not can_offset_qp(request.codec):
            notes.append(
                f"{encoder_version(request.codec)} takes no regions here: only the background "
                f"filter was tried."
            )
        verification.notes += notes
        if verification.winner is verification.anchor:
            check_defaults_speed(request, verified_entrant([verification.anchor]))
        else:
            remember_winner(store, bench, features, verification.winner.ladder.settings)
        per_shot = None
        if request.per_shot:
            per_shot = yield from share_bits(
                request, searched.target, verification, bench, benches, annotations, measurer
            )
        looks = _looks(verification, benches, measurer)
        yield Recommended(
            recommendation=recommend(
                request,
                searched,
                results,
                verification,
                per_shot,
                looks,
                benches,
                machines,
                measurer,
                started,
            ),
            look=close_look(looks, benches, machines.heat_map()),
            regions=None
            if regions is None or verification.winner.ladder.settings.regions is None
            else object_regions(regions),
        )


def _load(request: TuneRequest, measurer: Measurer, stack: ExitStack) -> tuple[Source, Machines]:
    """Decodes the clip beside loading the machines, whose libraries take seconds."""
    loading = measurer.pool.submit(
        load_source,
        request.clip,
        max_seconds=request.max_seconds,
        frame_rate=request.frame_rate,
        limits=request.limits,
        stop=measurer.stop,
    )
    stack.callback(_close, loading, measurer)
    choice = request.machine
    machines = load_machines(choice, stack.enter_context(open_feature_file()))
    if request.second_detector is not None:
        detector = load_detector(request.second_detector, image_size=choice.image_size)
        machines = replace(machines, second=object_machine(detector, choice))
    return result_of(loading), machines


def _search(
    request: TuneRequest,
    searched: SearchedClip,
    storage: StudyStorage,
    warm_starts: Sequence[Mapping[str, OptionValue]],
    measurer: Measurer,
) -> Generator[TuneEvent, None, list[SearchResult]]:
    """Searches options, then regions on top of the best of them where they are asked for."""
    bench = searched.bench
    study = _open_study(
        request, storage, bench, "encoder", request.fixed_options, warm_starts=warm_starts
    )
    found = yield from search(request, [searched], study, measurer)
    yield SearchFinished(part="encoder", importances=importances(study.live))
    if request.regions is None:
        return [found]
    fixed = {**dict(found.best.settings.options), "roi": 1}
    if not can_offset_qp(request.codec):
        fixed |= {"roi-object-qp": 0.0, "roi-background-qp": 0.0}
    study = _open_study(request, storage, bench, "regions", fixed, found.best_cost)
    with_regions = yield from search_regions(request, [searched], study, measurer, found)
    yield SearchFinished(part="regions", importances=importances(study.live))
    return [found, with_regions]


def _close(loading: Future[Source], measurer: Measurer) -> None:
    """Gives the scratch space back, also where the source was never asked for."""
    measurer.stop.set()  # else Ctrl-C would wait for a long clip to be decoded
    with held_back():
        is_cancelled = loading.cancel()
    if not is_cancelled:
        first_done([loading])
        if loading.exception() is None:
            loading.result().close()


def _find_regions(
    request: TuneRequest, source: Source, finder: Detector, measurer: Measurer
) -> RegionSource:
    if isinstance(request.regions, Path):
        return given_regions(request.regions, source)
    return find_regions(source, finder, request.machine.thresholds, measurer)


def _share_at_defaults(request: TuneRequest, bench: Bench) -> float | None:
    """Returns the share of the picture in regions of usual margin and hold, by their weights.

    None where they are not searched, or the user has every encode made with them.
    """
    plain = request.anchor_settings
    if request.regions is None or plain.regions is not None:
        return None
    regions = bench.clip_regions(
        replace(plain, options=sorted_options({**request.fixed_options, "roi": 1}))
    )
    return None if regions is None else regions.mean_weight


def _open_study(
    request: TuneRequest,
    storage: StudyStorage,
    bench: Bench,
    part: Part,
    fixed: Mapping[str, OptionValue],
    idle_cost: float = 0.0,
    warm_starts: Sequence[Mapping[str, OptionValue]] = (),
) -> Study:
    return open_study(
        ENCODERS[request.codec],
        preset=request.anchor_settings.preset,
        part=part,
        fixed=fixed,
        sampler=request.search_sampler,
        seed=request.seed,
        storage=storage,
        name=_study_name(request, bench, part, warm_starts),
        idle_cost=idle_cost,
        warm_starts=warm_starts,
        min_fps=request.min_fps,
    )


def _study_name(
    request: TuneRequest,
    bench: Bench,
    part: Part,
    warm_starts: Sequence[Mapping[str, OptionValue]],
) -> str:
    """Returns one name for one search: the same on every start."""
    regions = bench.regions if part == "regions" else None
    search_key: Json = {
        **bench.key,
        "anchor": settings_json(request.anchor_settings),
        "aim": str(request.aim),
        "sampler": request.search_sampler,
        "seed": request.seed,
        "under_way": request.num_under_way,
        "min_fps": request.min_fps,
        "warm_starts": [dict(start) for start in warm_starts],
        **({} if regions is None else {"regions": regions.key, "trials": request.num_trials}),
    }
    what = request.codec if part == "encoder" else f"{request.codec} regions"
    return f"{printable(clip_name(request.clip))} {what} {key_sha256(search_key)[:12]}"


def _looks(
    verification: Verification, benches: Benches, measurer: Measurer
) -> dict[Version, Looked]:
    """Looks closely at the anchor, the winner, and the anchor at the winner's rate."""
    winner, anchor = verification.winner, verification.anchor
    if winner is anchor:
        return {"defaults": look_at(anchor, benches, measurer)}
    others = measurer.pool.submit(look_at, anchor, benches, measurer)
    tuned = look_at(winner, benches, measurer)
    equal = look_at_equal_rate(anchor, tuned.encoding.rate_kbps, benches, measurer)
    return {"defaults": result_of(others), "defaults at equal rate": equal, "tuned": tuned}

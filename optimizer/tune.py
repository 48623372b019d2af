"""Tunes an encoder on a clip: search, verify, recommend."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..codecs.command import ffmpeg_command
from ..codecs.encoder import encoder_version
from ..codecs.region_encoder import can_offset_qp
from ..codecs.settings import sorted_options
from ..codecs.source import Segment, Source, load_source
from ..codecs.table import ENCODERS, OptionValue
from ..metrics.annotations import load_annotations
from ..metrics.detector import Detector, load_detector
from ..metrics.errors import NoObjectsError
from ..metrics.feature_file import open_feature_file
from ..metrics.task import TaskMachine
from .aim import QualityRange, TargetRate
from .events import ClipLoaded, Recommended, RegionsSkipped, SearchFinished, TuneEvent
from .interruption import held_back
from .measuring.bench import Bench, Benches, Sample, sampled_frames, settings_json, spread_segments
from .measuring.machines import Machines, load_machines, object_machine
from .measuring.measure import Measurer, open_measurer_of
from .measuring.pool import first_done, result_of
from .measuring.regions import RegionSource, object_regions
from .measuring.set_up import find_regions, given_regions, set_up_bench
from .measuring.store import Json, key_sha256, open_store
from .recommendation import PerShot, RealVerification, Recommendation
from .reports.close_look import Looked, examine, look_at, look_at_equal_rate
from .reports.moment import Version
from .reports.moments import close_look
from .reports.provenance import machines_used, provenance, regions_used
from .request import TuneRequest
from .search.anchor import SearchedClip, measure_anchor, target_text
from .search.importance import importances
from .search.option_space import Part
from .search.search import (
    SearchResult,
    check_defaults_speed,
    cost_percent,
    search,
    search_regions,
)
from .search.study import Study, open_study
from .search.study_storage import StudyStorage, open_storage
from .search.verification import Verification, verify
from .search.warm_start import clip_features, remember_winner, similar_winners
from .shots.per_shot import share_bits

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
        storage = open_storage(request.study_storage or request.store.with_suffix(".journal"))
        measurer = stack.enter_context(open_measurer_of(request, store))
        # Beside the machines, whose libraries take seconds to load.
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
        second = None
        if request.second_detector is not None:
            detector = load_detector(request.second_detector, image_size=request.machine.image_size)
            second = object_machine(detector, choice)
        source = result_of(loading)
        annotations = None
        if request.annotations is not None:
            annotations = load_annotations(request.annotations, source.num_frames)

        regions = None
        if request.needs_regions:
            regions = _find_regions(request, source, machines.finder, measurer)

        def bench_on(
            segments: tuple[Segment, ...], sample: Sample, machine: TaskMachine[Any]
        ) -> Bench:
            return set_up_bench(
                source,
                machine,
                segments=segments,
                sample=sample,
                annotations=annotations,
                regions=regions,
                measurer=measurer,
            )

        segments = spread_segments(source, request.num_segments, request.segment_seconds)
        sample = sampled_frames(
            source, segments, request.frames_per_second, phase=0.25, annotations=annotations
        )
        bench = bench_on(segments, sample, machines.own)
        yield _clip_loaded(source, bench)
        notes = []
        real_bench = None
        if machines.real is not None:
            try:
                real_bench = bench_on(segments, sample, machines.real)
            except NoObjectsError as error:
                notes.append(f"The target is on the metric's own scale: {error}.")
        share = _share_at_defaults(request, bench)
        if share is not None and share > _NEARLY_ALL:
            yield RegionsSkipped(region_share=share)
            notes.append(
                f"Regions would cover {share * 100:.0f} % of the picture: they were not tried."
            )
            request = replace(request, regions=None)
        # Twice as many frames, none of which the search chooses its winner by. Before the search,
        # so that frames without any object do not end a run at its end.
        sample = sampled_frames(
            source,
            source.whole,
            request.verified_frames_per_second,
            phase=0,
            annotations=annotations,
        )
        searched_frames = frozenset(bench.frames)
        unseen = [pair for pair in sample if pair[0] not in searched_frames]
        judges: dict[str, Bench | None] = {"real": None, "second": None}
        for role, what, machine in (
            ("real", "the real machine", machines.real),
            ("second", "the second detector", second),
        ):
            if machine is not None:
                try:
                    judges[role] = bench_on(source.whole, unseen or sample, machine)
                except NoObjectsError as error:
                    notes.append(f"No opinion of {what}: {error}.")
        benches = Benches(own=bench_on(source.whole, unseen or sample, machines.own), **judges)
        if machines.metric_sha256 is not None and benches.real is None:
            notes.append(
                f"No machine verified this but the metric {choice.metric} itself, on frames that "
                f"the search had not seen."
            )
        features = clip_features(bench)
        warm = similar_winners(
            store, bench, features, request.anchor_settings, request.num_warm_starts
        )
        if warm:
            names = ", ".join(one.clip for one in warm)
            notes.append(f"The search set out from what won on clips like this one: {names}.")
        searched = yield from measure_anchor(request, Benches(own=bench, real=real_bench), measurer)
        if (text := target_text(request.aim, searched.target)) is not None:
            notes.append(text)
        request = replace(request, aim=searched.aim)
        study = _open_study(
            request,
            storage,
            bench,
            "encoder",
            request.fixed_options,
            warm_starts=[one.options for one in warm],
        )
        results = [(yield from search(request, [searched], study, measurer))]
        yield SearchFinished(part="encoder", importances=importances(study.live))
        if request.regions is not None:
            fixed = {**dict(results[0].best.settings.options), "roi": 1}
            if not can_offset_qp(request.codec):
                fixed |= {"roi-object-qp": 0.0, "roi-background-qp": 0.0}
            study = _open_study(request, storage, bench, "regions", fixed, results[0].best_cost)
            results.append(
                (yield from search_regions(request, [searched], study, measurer, results[0]))
            )
            yield SearchFinished(part="regions", importances=importances(study.live))
        verification = yield from verify(request, results, benches, measurer)
        if not unseen:
            notes.append(
                "The verification looked at the frames of the search: the clip has no others."
            )
        if request.regions is not None and not can_offset_qp(request.codec):
            notes.append(
                f"{encoder_version(request.codec)} takes no regions here: only the background "
                f"filter was tried."
            )
        verification.notes += notes
        if verification.winner is verification.anchor:
            check_defaults_speed(request, results[0].anchor)
        else:
            remember_winner(store, bench, features, verification.winner.ladder.settings)
        per_shot = None
        if request.per_shot:
            per_shot = yield from share_bits(
                request, verification, bench, benches, annotations, measurer
            )
        looks = _looks(verification, benches, measurer)
        yield Recommended(
            recommendation=_recommend(
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
        is_shortened = request.max_seconds is not None
        return given_regions(request.regions, source, is_shortened=is_shortened)
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


def _clip_loaded(source: Source, bench: Bench) -> ClipLoaded:
    return ClipLoaded(
        width=source.width,
        height=source.height,
        frame_rate=float(source.frame_rate),
        num_frames=source.num_frames,
        num_frames_looked_at=len(bench.frames),
        num_objects=bench.num_objects,
        notes=source.notes,
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
    return f"{request.clip.stem} {what} {key_sha256(search_key)[:12]}"


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


def _recommend(
    request: TuneRequest,
    searched: SearchedClip,
    results: Sequence[SearchResult],
    verification: Verification,
    per_shot: PerShot | None,
    looks: Mapping[Version, Looked],
    benches: Benches,
    machines: Machines,
    measurer: Measurer,
    started: float,
) -> Recommendation:
    bench = benches.own
    winner, anchor, change = verification.winner, verification.anchor, verification.change
    closely = [looks["defaults"]] if winner is anchor else [looks["defaults"], looks["tuned"]]
    examined = list(measurer.pool.map(lambda one: examine(one, benches, measurer), closely))
    anchor_examined, winner_examined = examined[0], examined[-1]
    settings = winner.ladder.at(winner.crf)
    expected_quality = winner.expected.quality_at_crf(winner.crf)
    gap = winner_examined.quality - expected_quality
    real, real_quality = None, winner_examined.real_quality
    if real_quality is not None and verification.real_change is not None:
        expected_real = searched.expected_real_quality(expected_quality)
        if expected_real is None:
            expected_real = expected_quality
        real = RealVerification(
            quality=real_quality,
            expected_quality=expected_real,
            quality_gap=real_quality - expected_real,
            change=verification.real_change,
            anchor_curve=tuple(anchor.real.points),
            winner_curve=tuple(winner.real.points),
        )
    gaps = [gap] if real is None else [gap, real.quality_gap]
    aim, target = searched.aim, searched.target
    metric_target = None
    if searched.real_anchor.measurements and not isinstance(aim, TargetRate):
        metric_target = aim.quality
    overall = change.bd_rate
    return Recommendation(
        codec=request.codec,
        preset=settings.preset,
        settings=settings_json(settings),
        rate_kbps=change.rate_kbps,
        anchor_rate_kbps=change.anchor_rate_kbps,
        rate_change_percent=change.percent,
        rate_change_interval_percent=(change.low_percent, change.high_percent),
        bd_rate_percent=None if overall is None else overall.percent,
        bd_rate_interval_percent=change.bd_rate_interval_percent,
        bd_rate_qualities=(
            None if overall is None else (overall.low_quality, overall.high_quality)
        ),
        search_cost_percent=cost_percent(request, min(one.best_cost for one in results)),
        target_quality=None if isinstance(target, TargetRate) else target.quality,
        metric_target_quality=metric_target,
        target_rate_kbps=target.rate_kbps if isinstance(target, TargetRate) else None,
        quality_range=(target.low, target.high) if isinstance(target, QualityRange) else None,
        quality=expected_quality,
        verified_quality=winner_examined.quality,
        quality_gap=gap,
        tolerance=request.tolerance,
        is_verified=min(gaps) >= -request.tolerance,
        machines=machines_used(request, machines, benches),
        real=real,
        winner=winner_examined,
        anchor=anchor_examined,
        winner_curve=tuple(winner.ladder.points),
        anchor_curve=tuple(anchor.ladder.points),
        contenders=verification.contenders,
        num_trials=request.num_trials,
        num_encodes=measurer.spent.num_encodes,
        num_from_store=measurer.spent.num_from_store,
        seconds=_seconds(request, bench.source, measurer, time.perf_counter() - started),
        notes=(*bench.source.notes, *verification.notes),
        regions=regions_used(request, settings, machines.finder.weights_sha256),
        ffmpeg_command=None
        if settings.regions is not None or (per_shot is not None and per_shot.is_recommended)
        else ffmpeg_command(
            settings, bench.source, input_name=str(request.clip), output_name="OUTPUT.mkv"
        ),
        provenance=provenance(request, bench, measurer),
        shots=None if per_shot is None else per_shot.recommended,
        per_shot=per_shot,
    )


def _seconds(
    request: TuneRequest, source: Source, measurer: Measurer, wall_seconds: float
) -> dict[str, float]:
    """Returns where the time went; all but ``wall`` are seconds of one job."""
    seconds: dict[str, float] = dict(measurer.spent.seconds)
    seconds["decode"] = seconds.get("decode", 0.0) + source.decode_seconds
    rest = wall_seconds * measurer.num_jobs - sum(seconds.values())
    return {"wall": wall_seconds, **seconds, "rest": max(0.0, rest)}

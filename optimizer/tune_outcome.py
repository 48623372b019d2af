"""Makes the recommendation of what a search found and its verification measured."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from ..codecs.command import command_notes, ffmpeg_command
from ..codecs.source import Source
from .aim import Aim, QualityRange, TargetRate
from .measuring.bench import Benches, settings_json
from .measuring.machines import Machines
from .measuring.measure import Measurer
from .recommendation import PerShot, RealVerification, Recommendation
from .reports.close_look import Version
from .reports.provenance import machines_used, provenance, regions_used
from .request import TuneRequest
from .search.anchor import SearchedClip
from .search.examination import Looked, examine
from .search.scale import deciding_gap
from .search.search import SearchResult, cost_percent
from .search.verification import Verification


def recommend(
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
    """Returns the recommendation of one clip.

    Args:
        results: Of the search of options, then of that of regions if there was one.
        looks: At the defaults, and at the winner where it is another.
        benches: Of the verification.
        started: When the run began, as ``time.perf_counter`` had it.
    """
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
        real = RealVerification(
            quality=real_quality,
            expected_quality=expected_real,
            quality_gap=None if expected_real is None else real_quality - expected_real,
            change=verification.real_change,
            anchor_curve=tuple(anchor.real.points),
            winner_curve=tuple(winner.real.points),
        )
    aim, target = searched.aim, searched.target
    real_gap = None if real is None else real.quality_gap
    on_target_scale = aim, winner_examined.quality
    if real is not None and real_gap is not None:
        on_target_scale = target, real.quality
    metric_target = None
    if searched.real_anchor.measurements and not isinstance(aim, TargetRate):
        metric_target = aim.quality
    overall = change.bd_rate
    has_shots = per_shot is not None and per_shot.is_recommended
    has_ffmpeg = settings.regions is None and not has_shots
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
        is_verified=deciding_gap(gap, real_gap) >= -request.tolerance,
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
        seconds=_seconds(bench.source, measurer, time.perf_counter() - started),
        notes=(
            *bench.source.notes,
            *verification.notes,
            *_short_notes(request, *on_target_scale),
            *(
                _cut_shots_notes(bench.source)
                if has_shots
                else command_notes(bench.source, has_ffmpeg=has_ffmpeg)
            ),
        ),
        regions=regions_used(request, settings, machines.finder.weights_sha256),
        ffmpeg_command=ffmpeg_command(
            settings, bench.source, input_name=str(request.clip), output_name="OUTPUT.mkv"
        )
        if has_ffmpeg
        else None,
        provenance=provenance(request, bench, measurer),
        shots=None if per_shot is None else per_shot.recommended,
        per_shot=per_shot,
    )


def _short_notes(request: TuneRequest, target: Aim, quality: float) -> list[str]:
    """Returns that a target is missed on the frames of the verification, where it is."""
    if isinstance(target, TargetRate) or target.quality - quality <= request.tolerance:
        return []
    return [
        f"On the frames of the verification {quality:.3f} is kept, {target.quality - quality:.3f} "
        f"less than the target {target.quality:g}: encode at a lower CRF to be sure of it."
    ]


def _cut_shots_notes(source: Source) -> list[str]:
    """Returns that a plan of shots knows the beginning alone, where the run saw no more."""
    if not source.is_shortened:
        return []
    return [
        f"the CRF of each shot and shots.sh are for the first {source.num_frames} frames only; "
        f"'ratesight encode' with --one-crf encodes the whole clip"
    ]


def _seconds(source: Source, measurer: Measurer, wall_seconds: float) -> dict[str, float]:
    """Returns where the time went; all but ``wall`` are seconds of one job."""
    seconds: dict[str, float] = dict(measurer.spent.seconds)
    seconds["decode"] = seconds.get("decode", 0.0) + source.decode_seconds
    rest = wall_seconds * measurer.num_jobs - sum(seconds.values())
    return {"wall": wall_seconds, **seconds, "rest": max(0.0, rest)}

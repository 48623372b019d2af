"""A CRF for each shot: bits shared at equal slope, the whole clip verified against one CRF."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from ...codecs.encode import Encoding, encode
from ...codecs.settings import EncodeSettings
from ...codecs.shot_commands import shot_commands
from ...codecs.shots import ShotCrf, find_shots, join, joinable
from ...metrics.annotations import Annotations
from ..aim import Aim, QualityRange, TargetRate
from ..curves.interval import RateChange, block_frames, rate_change
from ..events import PointMeasured, ShotsFound, TuneEvent
from ..measuring.bench import Bench, Benches
from ..measuring.measure import Measurer, StoppedError
from ..recommendation import PerShot, ShotUsed
from ..request import TuneRequest
from ..search.candidate import Candidate
from ..search.verification import (
    RUNGS,
    Verification,
    change_text,
    own_scale,
    saves,
    second_aim,
)
from .curves import Shot, measure_shots, part_of, unverified_bench, weight_of
from .plan import Plan, ShotCurve, best_plan, cheapest_plan, equal_slope_plans


def share_bits(
    request: TuneRequest,
    target: Aim,
    verification: Verification,
    bench: Bench,
    benches: Benches,
    annotations: Annotations | None,
    measurer: Measurer,
) -> Generator[TuneEvent, None, PerShot | None]:
    """Chooses a CRF for each shot, and verifies that against the one CRF of the winner.

    Args:
        target: The aim on the scale of the real machine, where there is one.
        verification: Of the settings that won; what comes out is added to its notes.
        bench: Of the search.
        benches: Of the verification, on whose frames nothing is chosen.

    Returns:
        None where the clip is one shot, or no shot has anything to lose.

    Raises:
        EncodeError: An encode failed.
    """
    source, winner, notes = bench.source, verification.winner, verification.notes
    segments = find_shots(source)
    whole = unverified_bench(
        bench, benches.own.frames, request.verified_frames_per_second, annotations, measurer
    )
    idle = [at for at, segment in enumerate(segments, 1) if part_of(whole, segment) is None]
    yield ShotsFound(num_shots=len(segments), num_without_objects=len(idle))
    if len(segments) == 1:
        notes.append("The clip is one shot: one CRF is all it needs.")
        return None
    if len(idle) == len(segments):
        notes.append("No object was seen on the frames that shots are measured by: one CRF.")
        return None
    if idle:
        which = ("shots " if len(idle) > 1 else "shot ") + ", ".join(map(str, idle))
        notes.append(f"No object was seen in {which}: the highest CRF of the search is for these.")

    def choose(curves: Sequence[ShotCurve]) -> list[Plan]:
        """Returns the plan that meets the aim, and those at the ends of its range."""
        aim = request.aim
        if isinstance(aim, TargetRate):
            seconds = float(source.num_frames / source.frame_rate)
            return [best_plan(curves, aim.rate_kbps * seconds)]
        ends = (aim.low, aim.high) if isinstance(aim, QualityRange) else ()
        weight = weight_of(whole)
        return [cheapest_plan(curves, (1 - quality) * weight) for quality in (aim.quality, *ends)]

    settings = joinable(winner.ladder.settings)
    shots = yield from measure_shots(whole, segments, settings, winner.crf, choose, measurer)
    curves = [shot.curve for shot in shots]
    ladder = _PlanLadder.of(settings)
    first, plans = choose(curves)[0], equal_slope_plans(curves)
    todo = _around(plans, first, ladder.own.rung_step)
    while todo:
        yield from measurer.local_pool.map(
            lambda plan: _measure_plan(plan, ladder, shots, benches, measurer), todo
        )
        todo = _further(plans, ladder, request.aim)
    chosen = _plan_for(request.aim, [*plans, first], ladder)
    while True:
        if chosen.mean_crf not in ladder.plans:
            yield _measure_plan(chosen, ladder, shots, benches, measurer)
        cheaper = [plan for plan in plans if plan.mean_crf > chosen.mean_crf]
        rate_kbps = ladder.own.measurements[chosen.mean_crf].rate_kbps
        if not cheaper or not _exceeds(request.aim, rate_kbps):
            break
        chosen = min(cheaper, key=lambda plan: plan.mean_crf)
    found = _outcome(
        request, target, verification, ladder, chosen, shots, block_frames(benches.own)
    )
    notes.append(_sentence(found, request.aim))
    return found


@dataclass(slots=True, kw_only=True)
class _PlanLadder:
    """Plans measured on the whole clip, by their mean CRF.

    Attributes:
        plans: With the rate in kbit/s of each shot.
        own, real, second: As the machine of the search, the real one and the second detector see
            them; empty where there is none.
    """

    plans: dict[float, tuple[Plan, tuple[float, ...]]]
    own: Candidate
    real: Candidate
    second: Candidate

    @classmethod
    def of(cls, settings: EncodeSettings) -> _PlanLadder:
        own, real, second = (Candidate(settings=settings) for _ in range(3))
        return cls(plans={}, own=own, real=real, second=second)


def _measure_plan(
    plan: Plan, ladder: _PlanLadder, shots: Sequence[Shot], benches: Benches, measurer: Measurer
) -> PointMeasured:
    """Encodes all shots afresh, whatever the store holds, and shows them to all who look."""
    source, encodings = benches.own.source, list[Encoding]()
    for shot, crf in zip(shots, plan.crfs, strict=True):
        if measurer.stop.is_set():
            raise StoppedError
        encodings.append(encode(source, ladder.own.at(crf), (shot.segment,)))
    whole = join(encodings, source.frame_rate)
    seen = []
    for bench, candidate in (
        (benches.own, ladder.own), (benches.real, ladder.real), (benches.second, ladder.second),
    ):  # fmt: skip
        if bench is not None:
            candidate.measurements[plan.mean_crf] = bench.look(whole)
            seen.append(candidate.measurements[plan.mean_crf])
    measurer.spent.book(seen)
    own = seen[0]
    ladder.plans[plan.mean_crf] = plan, tuple(one.rate_kbps for one in encodings)
    return PointMeasured(
        role="shots",
        trial=None,
        crf=plan.mean_crf,
        rate_kbps=own.rate_kbps,
        quality=own.scores.quality,
        is_from_store=False,
    )


def _nearest(plans: Sequence[Plan], mean_crf: float) -> Plan:
    return min(plans, key=lambda plan: abs(plan.mean_crf - mean_crf))


def _around(plans: Sequence[Plan], first: Plan, step: float) -> list[Plan]:
    """Returns a plan and those of equal slope around it."""
    rungs = [first] + [_nearest(plans, first.mean_crf + rung * step) for rung in RUNGS if rung != 0]
    return list({plan.mean_crf: plan for plan in rungs}.values())


def _further(plans: Sequence[Plan], ladder: _PlanLadder, aim: Aim) -> list[Plan]:
    """Returns one more plan where the aim, or an end of its range, lies beyond the ladder."""
    curve, known = ladder.own.curve, sorted(ladder.plans)
    if isinstance(aim, QualityRange):
        ends = {curve.rate_at(quality).end for quality in (aim.low, aim.high)}
    else:
        ends = {aim.rate_on(curve).end}
    cheaper = [plan for plan in plans if plan.mean_crf > known[-1]]
    better = [plan for plan in plans if plan.mean_crf < known[0]]
    further = []
    if "low" in ends and cheaper:
        further.append(_nearest(cheaper, known[-1] + ladder.own.rung_step))
    if "high" in ends and better:
        further.append(_nearest(better, known[0] - ladder.own.rung_step))
    return further


def _plan_for(aim: Aim, plans: Sequence[Plan], ladder: _PlanLadder) -> Plan:
    """Returns the plan that meets the aim as the verified ladder says, on the safe side."""
    curve = ladder.own.curve
    crf = curve.crf_at(aim.rate_on(curve).value).value
    if isinstance(aim, TargetRate):
        safe = [plan for plan in plans if plan.mean_crf >= crf]
    else:
        safe = [plan for plan in plans if plan.mean_crf <= crf]
    return _nearest(safe or plans, crf)


def _exceeds(aim: Aim, rate_kbps: float) -> bool:
    """Returns whether a rate is above one that is not to be exceeded."""
    return isinstance(aim, TargetRate) and rate_kbps > aim.rate_kbps


def _outcome(
    request: TuneRequest,
    target: Aim,
    verification: Verification,
    ladder: _PlanLadder,
    chosen: Plan,
    shots: Sequence[Shot],
    block_frames: int,
) -> PerShot:
    """Compares the ladder of plans with that of the winner's one CRF.

    Args:
        block_frames: As in ``rate_change``.
    """
    winner = verification.winner

    def change(before: Candidate, after: Candidate, aim: Aim) -> RateChange | None:
        if not after.measurements:
            return None
        return rate_change(
            before.measurements,
            after.measurements,
            aim,
            max_crf=after.search_crf[1],
            block_frames=block_frames,
            seed=request.seed,
        )

    own = change(winner.ladder, ladder.own, request.aim)
    assert own is not None
    real_aim = own_scale(target, ladder.real, chosen.mean_crf)
    real = change(winner.real, ladder.real, real_aim)
    measured, rates = ladder.own.measurements[chosen.mean_crf], ladder.plans[chosen.mean_crf][1]
    return PerShot(
        shots=tuple(
            ShotUsed(
                start_frame=shot.segment.start_frame,
                num_frames=shot.segment.num_frames,
                crf=crf,
                num_objects=0 if shot.bench is None else shot.bench.num_objects,
                rate_kbps=rate,
            )
            for shot, crf, rate in zip(shots, chosen.crfs, rates, strict=True)
        ),
        is_recommended=saves(own, request.aim) and (real is None or saves(real, request.aim)),
        rate_kbps=measured.rate_kbps,
        quality=measured.scores.quality,
        change=own,
        real_change=real,
        second_change=change(
            winner.second,
            ladder.second,
            second_aim(request, target, ladder.second, chosen.mean_crf),
        ),
        curve=tuple(ladder.own.points),
        real_curve=tuple(ladder.real.points),
        second_curve=tuple(ladder.second.points),
        ffmpeg_commands=_commands(request, ladder.own.settings, shots, chosen),
    )


def _commands(
    request: TuneRequest, settings: EncodeSettings, shots: Sequence[Shot], plan: Plan
) -> tuple[str, ...] | None:
    bench = next(shot.bench for shot in shots if shot.bench is not None)
    if bench.source.is_uneven and bench.source.given_frame_rate is None:
        return None
    return shot_commands(
        settings,
        bench.source,
        [
            ShotCrf(start_frame=one.segment.start_frame, num_frames=one.segment.num_frames, crf=crf)
            for one, crf in zip(shots, plan.crfs, strict=True)
        ],
        input_name=str(request.clip),
        output_name="OUTPUT.mkv",
    )


def _sentence(found: PerShot, aim: Aim) -> str:
    """Returns why one CRF is kept, or that it is not."""
    if found.is_recommended:
        return "A CRF for each shot saves on frames that it was not chosen by."
    if saves(found.change, aim):
        return "A CRF for each shot saves nothing as the real machine sees it: one CRF is kept."
    return (
        f"A CRF for each shot did not save on frames that it was not chosen by "
        f"({change_text(found.change)}): one CRF is kept."
    )

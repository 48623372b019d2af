"""Settings that nothing beats in rate, quality and encode speed together."""

from __future__ import annotations

import dataclasses
import itertools
import json
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...codecs.address import clip_name
from ...codecs.command import command_notes
from ...codecs.errors import EncodeError
from ...codecs.settings import EncodeSettings
from ...codecs.source import load_source
from ...codecs.table import ENCODERS
from ...metrics.feature_file import open_feature_file
from ..aim import QualityRange
from ..errors import RequestError, UnreachableError
from ..events import ClipLoaded
from ..measuring.bench import Bench, Benches, Measurement, settings_json
from ..measuring.machines import load_machines, unverified_notes
from ..measuring.measure import Measurer, open_measurer_of
from ..measuring.pool import result_of
from ..measuring.store import Json, key_sha256, open_store
from ..recommendation import MachinesUsed
from ..reports.plain_text import printable
from ..reports.provenance import machines_used, provenance
from ..request import Sampler, TuneRequest
from ..search.candidate import Candidate, first_crfs
from ..search.clip_benches import ClipBenches, clip_loaded
from ..search.scale import measure_scale
from ..search.study_storage import open_storage
from .study import ParetoProposal, ParetoStudy, Point, check_sampler, open_pareto_study

# Members of the front that are verified, spread over it.
_MOST_VERIFIED = 12
# Three objectives and a trial an encode: a Gaussian process would take longer than the encodes.
_SAMPLER: Sampler = "tpe"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParetoTrial:
    """One encode of the search.

    Attributes:
        point: None where the encoder refused the settings.
        is_useful: It keeps the lowest quality of interest, at the lowest speed.
    """

    number: int
    num_trials: int
    settings: EncodeSettings
    point: Point | None
    is_useful: bool
    failure: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontMember:
    """Settings that no others beat in all of rate, quality and speed.

    Attributes:
        expected: In the search.
        verified: By a fresh encode of the whole clip, on frames that the search did not look at.
        real_quality: As the real machine sees that encode; None where there is none.
        is_on_front: Nothing verified beats it there too, and it is of use there.
    """

    settings: dict[str, Json]
    expected: Point
    verified: Point
    real_quality: float | None
    is_on_front: bool

    @property
    def judged(self) -> Point:
        """What was verified, with the quality of the real machine where there is one."""
        if self.real_quality is None:
            return self.verified
        return dataclasses.replace(self.verified, quality=self.real_quality)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParetoFront:
    """The outcome.

    Attributes:
        low_quality: What keeps less is of no use; of the real machine where there is one.
        metric_low_quality: The same on the scale of the learned metric that searched; None where
            no real machine is beside it.
        front: From the lowest rate to the highest.
        defaults: The encoder's defaults at the asked preset, from the lowest rate up, verified too;
            those on the front among them.
        notes: What a reader should know of the clip and of how it was looked at.
    """

    codec: str
    low_quality: float
    metric_low_quality: float | None
    min_fps: float | None
    front: tuple[FrontMember, ...]
    defaults: tuple[FrontMember, ...]
    trials: tuple[ParetoTrial, ...]
    machines: MachinesUsed
    num_encodes: int
    num_from_store: int
    wall_seconds: float
    notes: tuple[str, ...]
    provenance: dict[str, Json]

    def to_json(self) -> dict[str, Json]:
        """Returns plain JSON values."""
        fields = dataclasses.asdict(self)
        fields["trials"] = [
            {**dataclasses.asdict(one), "settings": settings_json(one.settings)}
            for one in self.trials
        ]
        plain: dict[str, Json] = json.loads(json.dumps(fields, allow_nan=False))
        return plain


ParetoEvent = ClipLoaded | ParetoTrial | ParetoFront


def pareto_events(request: TuneRequest) -> Iterator[ParetoEvent]:
    """Searches presets, options and CRFs together, an encode a trial; the last event is the front.

    The aim is a range of qualities, whose lower end is the least that is of use: of the real
    machine, where a learned metric searches and there is one.

    Raises:
        RequestError: What is asked does not go with a front.
        UnreachableError: Nothing that was tried is of use, or nothing of it is verified to be.
        The others as of ``tune_events``.
    """
    _check(request)
    assert isinstance(request.aim, QualityRange)
    started = time.perf_counter()
    with ExitStack() as stack:
        store = stack.enter_context(open_store(request.store))
        storage = open_storage(request.study_place)
        measurer = stack.enter_context(open_measurer_of(request, store))
        machines = load_machines(request.machine, stack.enter_context(open_feature_file()))
        source = stack.enter_context(
            load_source(
                request.clip,
                max_seconds=request.max_seconds,
                frame_rate=request.frame_rate,
                limits=request.limits,
            )
        )
        set_up = ClipBenches(looks=request, source=source, machines=machines, measurer=measurer)
        searched = set_up.to_search()
        benches = set_up.to_verify(searched)
        bench = searched.own
        notes = (
            *source.notes,
            *set_up.notes,
            *unverified_notes(machines, benches.real),
            *command_notes(source, has_ffmpeg=False),
        )
        yield clip_loaded(bench, notes)
        anchor = request.anchor_settings
        ends = (request.aim.low, request.aim.high)
        scale = measure_scale(Candidate(settings=anchor), ends, searched, measurer)
        low_quality = request.aim.low if scale is None else scale.own_quality(request.aim.low)
        study = open_pareto_study(
            ENCODERS[request.codec],
            default_preset=anchor.preset,
            fixed=request.fixed_options,
            sampler=request.sampler or _SAMPLER,
            seed=request.seed,
            storage=storage,
            name=_study_name(request, bench, low_quality),
            low_quality=low_quality,
            min_fps=request.min_fps,
            ladder=first_crfs(anchor),
        )
        trials: list[ParetoTrial] = []
        for trial in _run_trials(request, bench, study, measurer):
            trials.append(trial)
            yield trial
        front, of_defaults = _verified_front(request, trials, benches, measurer)
        yield ParetoFront(
            codec=request.codec,
            low_quality=request.aim.low,
            metric_low_quality=None if scale is None else low_quality,
            min_fps=request.min_fps,
            front=front,
            defaults=of_defaults,
            trials=tuple(trials),
            machines=machines_used(request, machines, benches),
            num_encodes=measurer.spent.num_encodes,
            num_from_store=measurer.spent.num_from_store,
            wall_seconds=time.perf_counter() - started,
            notes=notes,
            provenance={
                **provenance(request, benches.own, measurer),
                "sampler": request.sampler or _SAMPLER,
                "num_warm_starts": 0,
            },
        )


def _check(request: TuneRequest) -> None:
    if not isinstance(request.aim, QualityRange):
        raise RequestError("a Pareto front needs a quality_range, whose lower end is of use")
    check_sampler(request.sampler or _SAMPLER)
    for name in request.only_of_one_clip:
        raise RequestError(f"{name} does not go with aim pareto; leave it out")


def _study_name(request: TuneRequest, bench: Bench, low_quality: float) -> str:
    search_key: Json = {
        **bench.key,
        "anchor": settings_json(request.anchor_settings),
        "aim": f"pareto {request.aim}",
        "low_quality": low_quality,
        "sampler": request.sampler or _SAMPLER,
        "seed": request.seed,
        "under_way": request.num_under_way,
        "min_fps": request.min_fps,
    }
    clip = printable(clip_name(request.clip))
    return f"{clip} {request.codec} pareto {key_sha256(search_key)[:12]}"


def _run_trials(
    request: TuneRequest, bench: Bench, study: ParetoStudy, measurer: Measurer
) -> Iterator[ParetoTrial]:
    """Runs the trials, told in order with a fixed number under way, and yields them as told."""
    under_way: deque[tuple[int, ParetoProposal, Future[Measurement]]] = deque()

    def finish() -> ParetoTrial:
        number, proposal, future = under_way.popleft()
        point, failure = None, None
        try:
            point = _point(result_of(future))
        except EncodeError as error:
            failure = str(error)
        study.tell(proposal, point)
        return ParetoTrial(
            number=number,
            num_trials=request.num_trials,
            settings=proposal.settings,
            point=point,
            is_useful=point is not None
            and point.quality >= study.low_quality
            and request.is_fast_enough(point.encode_fps),
            failure=failure,
        )

    for number in range(request.num_trials):
        proposal = study.ask()
        future = measurer.pool.submit(_measure, bench, proposal.settings, measurer)
        under_way.append((number, proposal, future))
        if len(under_way) == request.num_under_way:
            yield finish()
    while under_way:
        yield finish()


def _measure(bench: Bench, settings: EncodeSettings, measurer: Measurer) -> Measurement:
    return measurer.measure(bench, settings)[0]


def _point(measurement: Measurement) -> Point:
    return Point(
        rate_kbps=measurement.rate_kbps,
        quality=measurement.scores.quality,
        seconds_per_frame=measurement.encode_seconds / measurement.num_frames,
    )


def is_dominated(points: Sequence[Point]) -> npt.NDArray[np.bool_]:
    """Returns (n,): whether another point is nowhere worse, and better somewhere."""
    values = np.array([(one.rate_kbps, -one.quality, one.seconds_per_frame) for one in points])
    no_worse = (values[None, :, :] <= values[:, None, :]).all(axis=2)
    better = (values[None, :, :] < values[:, None, :]).any(axis=2)
    dominated: npt.NDArray[np.bool_] = np.any(no_worse & better, axis=1)
    return dominated


def _front(trials: Sequence[ParetoTrial]) -> list[ParetoTrial]:
    """Returns the trials that no other beats, each settings once, from the lowest rate up."""
    once = {one.settings: one for one in trials if one.point is not None}
    known = list(once.values())
    dominated = is_dominated([one.point for one in known if one.point is not None])
    front = [one for one, beaten in zip(known, dominated, strict=True) if not beaten]
    return sorted(front, key=lambda one: one.point.rate_kbps if one.point else 0.0)


def _verified_front(
    request: TuneRequest, trials: Sequence[ParetoTrial], benches: Benches, measurer: Measurer
) -> tuple[tuple[FrontMember, ...], tuple[FrontMember, ...]]:
    """Verifies what is on the front, spread over it, and all defaults that were tried.

    Returns:
        Of the front what is of use in the verification too, and the defaults.

    Raises:
        UnreachableError: Nothing that was tried is of use, or nothing of it is verified to be.
    """
    assert isinstance(request.aim, QualityRange)
    least = request.aim.low
    useful = [one for one in trials if one.is_useful]
    if not useful:
        raise UnreachableError(
            f"none of {len(trials)} trials keeps quality {least:g}"
            + ("" if request.min_fps is None else f" at {request.min_fps:g} fps")
            + "; ask for less, or give more --trials"
        )
    front = _spread(_front(useful))
    anchor = request.anchor_settings
    defaults = {
        one.settings: one
        for one in trials
        if one.point is not None and one.settings == anchor.at(one.settings.rate_control)
    }
    looked_at = [*front, *(one for one in defaults.values() if one not in front)]
    verified = list(measurer.pool.map(lambda one: _verify(one, benches, measurer), looked_at))
    is_of_use = [
        request.is_fast_enough(one.judged.encode_fps) and one.judged.quality >= least
        for one in verified
    ]
    marked = mark_front(verified, is_of_use)
    of_use = list(itertools.compress(marked[: len(front)], is_of_use))
    if not of_use:
        raise UnreachableError(
            f"quality {least:g}"
            + ("" if request.min_fps is None else f" at min_fps {request.min_fps:g}")
            + f" is out of reach: none of the {len(front)} settings that seemed to keep it did "
            f"when it was verified; ask for less"
        )
    of_defaults = [
        member
        for trial, member in zip(looked_at, marked, strict=True)
        if trial.settings in defaults
    ]
    return _by_rate(of_use), _by_rate(of_defaults)


def mark_front(verified: Sequence[FrontMember], is_of_use: Sequence[bool]) -> list[FrontMember]:
    """Returns the members, each with whether it is of use and nothing verified beats it."""
    dominated = is_dominated([one.judged for one in verified])
    return [
        dataclasses.replace(one, is_on_front=of_use and not beaten)
        for one, of_use, beaten in zip(verified, is_of_use, dominated, strict=True)
    ]


def _spread(front: Sequence[ParetoTrial]) -> list[ParetoTrial]:
    """Returns some members spread over a front, both ends among them."""
    numbers = np.linspace(0, len(front) - 1, min(len(front), _MOST_VERIFIED))
    return [front[number] for number in sorted({round(at) for at in numbers})]


def _verify(trial: ParetoTrial, benches: Benches, measurer: Measurer) -> FrontMember:
    assert trial.point is not None
    looking = [benches.own] if benches.real is None else [benches.own, benches.real]
    measured = measurer.measure_afresh(looking, trial.settings)
    return FrontMember(
        settings=settings_json(trial.settings),
        expected=trial.point,
        verified=_point(measured[0]),
        real_quality=None if benches.real is None else measured[1].scores.quality,
        is_on_front=True,
    )


def _by_rate(members: Sequence[FrontMember]) -> tuple[FrontMember, ...]:
    return tuple(sorted(members, key=lambda one: one.verified.rate_kbps))

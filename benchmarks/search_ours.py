"""Our own search on a measured grid: the product's code, with a table in place of encoders."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import numpy as np
from ratesight.codecs.settings import Crf, EncodeSettings
from ratesight.codecs.table import ENCODERS, Choice, Encoder, OptionValue
from ratesight.metrics.object_iou import ObjectScores
from ratesight.optimizer.aim import TargetQuality
from ratesight.optimizer.events import TrialFinished, TuneEvent
from ratesight.optimizer.measuring.bench import Bench, Benches, Measurement
from ratesight.optimizer.measuring.measure import Measurer
from ratesight.optimizer.request import Sampler, TuneRequest
from ratesight.optimizer.search import additive_model
from ratesight.optimizer.search import candidate as candidate_module
from ratesight.optimizer.search import search as search_module
from ratesight.optimizer.search import study as study_module
from ratesight.optimizer.search.anchor import SearchedClip, measure_anchor
from ratesight.optimizer.search.candidate import Candidate
from ratesight.optimizer.search.entrant import Entrant
from ratesight.optimizer.search.study import open_study
from ratesight.optimizer.search.study_storage import open_storage

from .search_table import Options, SearchTable, Step

# How many trials a search has, at most.
_TRIALS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 20, 22, 25, 28, 32, 36, 40)

P = ParamSpec("P")
T = TypeVar("T")


class _AtOnce(ThreadPoolExecutor):
    """Runs what is submitted before it returns: one encode after the other, none in a thread."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # as an executor does; result() raises it
            future.set_exception(error)
        return future


@dataclass(slots=True, kw_only=True)
class TableMeasurer:
    """Looks measurements up in the table that stands for a bench, and counts them as encodes.

    It replays what a real encoder and a real machine gave, where the search asks a ``Measurer``.
    The quality of the clip stands for its frames.
    """

    pool: ThreadPoolExecutor
    seen: set[tuple[int, EncodeSettings]] = field(default_factory=set)

    def measure(self, bench: Bench, settings: EncodeSettings) -> tuple[Measurement, bool]:
        """Returns the measurement, and whether it was asked for before."""
        table = cast("SearchTable", bench)
        assert isinstance(settings.rate_control, Crf)
        log_rate, quality = table.combinations[settings.options].at(settings.rate_control.value)
        key = id(table), settings
        is_known = key in self.seen
        self.seen.add(key)
        return measurement_of(log_rate, quality), is_known

    def measure_all(
        self, benches: Sequence[Bench], settings: EncodeSettings
    ) -> tuple[list[Measurement], bool]:
        """The same for the only bench there is."""
        (bench,) = benches
        measurement, is_known = self.measure(bench, settings)
        return [measurement], is_known


def measurement_of(log_rate: float, quality: float) -> Measurement:
    """Returns what stands for an encode of which no more is known; one frame, one object."""
    return Measurement(
        rate_kbps=math.exp(log_rate),
        size_bytes=0,
        num_frames=1,
        scores=ObjectScores(weights=(np.ones(1),), deltas=(np.array([1 - quality]),)),
        encode_seconds=1.0,
        decode_seconds=0.0,
        detect_seconds=0.0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """A variant of our search.

    Attributes:
        starts: Tries the encoder's known good starts.
        warm_starts: Options to try before them.
        constants: Values of the product's constants, ``module.NAME``, changed for this variant.
    """

    sampler: Sampler = "additive"
    starts: bool = True
    warm_starts: tuple[Options, ...] = ()
    constants: tuple[tuple[str, float], ...] = ()
    num_under_way: int = 4


def replay_ours(
    table: SearchTable, seed: int, variant: Ours, trials: Sequence[int] = _TRIALS
) -> list[Step]:
    """Runs the product's search on a table; a step a number of trials.

    What a search proposes does not depend on how many trials it has, but for its play-off. So one
    search is run, with the play-off of each shorter one at its end.
    """
    with changed_constants(variant.constants):
        request = TuneRequest(
            clip=Path(table.clip),
            codec=table.codec,
            aim=TargetQuality(quality=table.target_quality),
            num_trials=max(trials),
            sampler=variant.sampler,
            seed=seed,
            num_under_way=variant.num_under_way,
        )
        return list(_steps(table, request, variant, trials))


def _steps(
    table: SearchTable, request: TuneRequest, variant: Ours, trials: Sequence[int]
) -> Iterator[Step]:
    encoder = grid_encoder(ENCODERS[table.codec], table.values)
    if not variant.starts:
        encoder = replace(encoder, starts=())
    with tempfile.TemporaryDirectory() as folder, _AtOnce(1) as pool:
        measurer, bench = cast("Measurer", TableMeasurer(pool=pool)), cast("Bench", table)
        study = open_study(
            encoder,
            preset=encoder.default_preset,
            part="encoder",
            fixed={},
            sampler=variant.sampler,
            seed=request.seed,
            storage=open_storage(Path(folder) / "study.journal"),
            name="replay",
            warm_starts=[dict(one) for one in variant.warm_starts],
        )
        clip = _result(measure_anchor(request, Benches(own=bench), measurer))
        anchor = Entrant(settings=request.anchor_settings, clips=(clip.anchor,))
        result = search_module.SearchResult(
            anchor=anchor, first=anchor, best=anchor, best_cost=0.0, cost_before=0.0, started=0.0
        )
        numbers = range(request.num_trials)
        for event in search_module._run_trials(request, [clip], study, measurer, result, numbers):
            if isinstance(event, TrialFinished) and event.trial + 1 in trials:
                yield _played_off(request, clip, result, measurer)


def _played_off(
    request: TuneRequest,
    clip: SearchedClip,
    result: search_module.SearchResult,
    measurer: Measurer,
) -> Step:
    """Returns what a search recommends that ends here; the result stays as it is."""
    ended = replace(
        result,
        eligible=[
            replace(trial, entrant=_copied(trial.entrant))
            if trial.entrant is not result.first
            else trial
            for trial in result.eligible
        ],
    )
    for _ in search_module._play_off(request, [clip], ended, measurer):
        pass
    # Settings that were proposed twice are encoded once.
    encodes = {
        (one.entrant.settings.options, crf)
        for one in ended.eligible
        for crf in one.entrant.only.measurements
    }
    return Step(len(encodes), ended.best.settings.options)


def _copied(entrant: Entrant) -> Entrant:
    own = entrant.only
    return replace(
        entrant,
        clips=(Candidate(settings=own.settings, measurements=dict(own.measurements)),),
    )


def grid_encoder(encoder: Encoder, values: Mapping[str, tuple[OptionValue, ...]]) -> Encoder:
    """Returns the row of an encoder whose search is confined to a grid.

    Starts that the grid does not have are left out.
    """
    return replace(
        encoder,
        options=tuple(
            replace(option, search=Choice(values[option.name]) if option.name in values else None)
            for option in encoder.options
        ),
        starts=tuple(
            start
            for start in encoder.starts
            if all(value in values[name] for name, value in start if name in values)
        ),
    )


def _result(events: Generator[TuneEvent, None, T]) -> T:
    """Runs a generator to its end and returns what it returns."""
    while True:
        try:
            next(events)
        except StopIteration as end:
            return cast("T", end.value)


@contextmanager
def changed_constants(constants: Sequence[tuple[str, object]]) -> Iterator[None]:
    """Changes constants of the product for a while."""
    before: list[tuple[Any, str, object]] = []
    for name, value in constants:
        module_name, _, constant = name.partition(".")
        for module in _MODULES[module_name]:
            before.append((module, constant, getattr(module, constant)))
            setattr(module, constant, value)
    try:
        yield
    finally:
        for module, constant, value in before:
            setattr(module, constant, value)


# Where a constant lives, and where it is imported to.
_MODULES: dict[str, tuple[Any, ...]] = {
    "additive_model": (additive_model,),
    "candidate": (candidate_module,),
    "search": (search_module,),
    "study": (study_module,),
}

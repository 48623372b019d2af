"""The search: the anchor's curve first, then candidates, judged on curves."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field, replace

from ..codecs.errors import EncodeError
from ..codecs.settings import sorted_options
from .aim import TargetQuality
from .bench import Bench
from .candidate import Candidate, anchor_ladder, another_crf, cost, next_anchor_crfs, next_crf
from .errors import UnreachableError
from .events import PointMeasured, TrialFinished, TuneEvent
from .measure import Measurer
from .request import TuneRequest
from .study import Proposal, Study

# How many go into the play-off, and the points each is measured at by its end.
_LEADERS, _LEADER_POINTS = 3, 5


@dataclass(slots=True, kw_only=True)
class SearchResult:
    """What a search found.

    Attributes:
        anchor: The encoder's defaults.
        first: Where it set out from: the anchor, or for regions the best options without them.
        best: The candidate of the lowest cost; ``first`` itself where none is better than the
            anchor. It need not be better than ``first``, whose cost is a lucky one: the
            verification tells.
        best_cost: Against the anchor; negative is better.
        cost_before: The lowest of the search before this one; 0 for the first.
        started: Of the clock, when the first search began.
        finished: Trials that the encoder did not refuse.
    """

    anchor: Candidate
    first: Candidate
    best: Candidate
    best_cost: float
    cost_before: float
    started: float
    finished: list[_Trial] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trial:
    """A candidate being explored, and what comes of it."""

    number: int
    proposal: Proposal
    candidate: Candidate
    exploration: Future[_Exploration]


@dataclass(slots=True, kw_only=True)
class _Exploration:
    """Points of one candidate in the order measured, and why it failed if it did."""

    points: list[PointMeasured]
    failure: str | None = None


def search(
    request: TuneRequest, bench: Bench, study: Study, measurer: Measurer
) -> Generator[TuneEvent, None, SearchResult]:
    """Searches the encoder's options; the first trial is the anchor.

    Raises:
        EncodeError: The encoder fails with its own defaults.
        UnreachableError: Its defaults cannot reach the target on this clip.
    """
    started = time.perf_counter()
    anchor = Candidate(settings=request.anchor_settings)
    yield from _measure_anchor(request, bench, anchor, measurer)
    result = SearchResult(
        anchor=anchor, first=anchor, best=anchor, best_cost=0.0, cost_before=0.0, started=started
    )
    yield from _run_trials(request, bench, study, measurer, result, range(request.num_trials))
    return result


def search_regions(
    request: TuneRequest, bench: Bench, study: Study, measurer: Measurer, plain: SearchResult
) -> Generator[TuneEvent, None, SearchResult]:
    """Searches regions of interest on top of the best options found without them.

    One after the other: what regions save hardly depends on the other options, and the two
    together have more dimensions than a few dozen trials can search.
    """
    result = SearchResult(
        anchor=plain.anchor,
        first=plain.best,
        best=plain.best,
        best_cost=0.0,
        cost_before=plain.best_cost,
        started=plain.started,
    )
    numbers = range(request.num_trials, request.num_trials + request.num_region_trials)
    yield from _run_trials(request, bench, study, measurer, result, numbers)
    return result


def _run_trials(
    request: TuneRequest,
    bench: Bench,
    study: Study,
    measurer: Measurer,
    result: SearchResult,
    numbers: range,
) -> Generator[TuneEvent, None, None]:
    """Runs trials and leaves the best in the result.

    Proposals are made and told in order, with a fixed number of them under way: the sampler sees
    the same history however long each takes and however many run at once.
    """
    under_way: deque[_Trial] = deque()
    for number in numbers:
        proposal = study.ask()
        settings = replace(request.anchor_settings, options=sorted_options(proposal.options))
        candidate = Candidate(settings=settings) if number else result.anchor
        exploration = measurer.pool.submit(
            _explore, request, bench, candidate, result, result.best_cost, number, measurer
        )
        under_way.append(
            _Trial(number=number, proposal=proposal, candidate=candidate, exploration=exploration)
        )
        if len(under_way) == request.num_under_way:
            yield from _finish(request, under_way.popleft(), study, result)
    while under_way:
        yield from _finish(request, under_way.popleft(), study, result)
    yield from _play_off(request, bench, result, measurer)


def cost_percent(request: TuneRequest, found: float) -> float:
    """Returns a cost as percent of rate, or for a target rate as points of quality."""
    if isinstance(request.aim, TargetQuality):
        return (math.exp(found) - 1) * 100
    return found * 100


def _explore(
    request: TuneRequest,
    bench: Bench,
    candidate: Candidate,
    result: SearchResult,
    best_cost: float,
    number: int,
    measurer: Measurer,
) -> _Exploration:
    """Measures one candidate, point after point; runs in a thread of the measurer."""
    exploration = _Exploration(points=[])
    if candidate is result.first:
        return exploration
    try:
        while (crf := next_crf(candidate, result.anchor, request.aim, best_cost)) is not None:
            exploration.points.append(_point(bench, candidate, crf, number, measurer))
    except EncodeError as error:
        exploration.failure = str(error)
    return exploration


def _finish(
    request: TuneRequest, trial: _Trial, study: Study, result: SearchResult
) -> Generator[TuneEvent, None, None]:
    exploration = trial.exploration.result()
    yield from exploration.points
    found = None
    if exploration.failure is None:
        found = cost(trial.candidate, result.anchor, request.aim)
        result.finished.append(trial)
        if found < result.best_cost:
            result.best, result.best_cost = trial.candidate, found
    num_points = len(trial.candidate.measurements)
    study.tell(trial.proposal, found, {"num_points": num_points})
    yield TrialFinished(
        trial=trial.number,
        num_trials=request.num_all_trials,
        options=dict(trial.proposal.options),
        cost_percent=None if found is None else cost_percent(request, found),
        best_cost_percent=cost_percent(request, min(result.best_cost, result.cost_before)),
        num_points=num_points,
        failure=exploration.failure,
        elapsed_seconds=time.perf_counter() - result.started,
    )


def _play_off(
    request: TuneRequest, bench: Bench, result: SearchResult, measurer: Measurer
) -> Generator[TuneEvent, None, None]:
    """Measures the leaders at more CRFs and picks the best again.

    The first of many that differ by less than the noise is the luckiest, not the best.
    """

    def price(trial: _Trial) -> float:
        return cost(trial.candidate, result.anchor, request.aim)

    def submit(trial: _Trial) -> Future[PointMeasured] | None:
        crf = another_crf(trial.candidate, result.anchor, request.aim)
        if crf is None or len(trial.candidate.measurements) >= _LEADER_POINTS:
            return None
        return measurer.pool.submit(_point, bench, trial.candidate, crf, trial.number, measurer)

    leaders = sorted(result.finished, key=price)[:_LEADERS]
    leaders = [trial for trial in leaders if trial.candidate is not result.first]
    # Each goes its own way, so that no core waits for the slowest.
    under_way = {future: trial for trial in leaders if (future := submit(trial))}
    while under_way:
        done, _ = wait(under_way, return_when=FIRST_COMPLETED)
        for future in done:
            trial = under_way.pop(future)
            try:
                yield future.result()
            except EncodeError:
                leaders.remove(trial)  # the encoder refuses a CRF that nobody tried before
            else:
                if further := submit(trial):
                    under_way[further] = trial
    result.best, result.best_cost = result.first, 0.0
    for trial in leaders:
        if price(trial) < result.best_cost:
            result.best, result.best_cost = trial.candidate, price(trial)


def _measure_anchor(
    request: TuneRequest, bench: Bench, anchor: Candidate, measurer: Measurer
) -> Generator[TuneEvent, None, None]:
    crfs: Sequence[float] = anchor_ladder(anchor.settings)
    while crfs:
        yield from measurer.pool.map(lambda crf: _point(bench, anchor, crf, 0, measurer), crfs)
        crfs = next_anchor_crfs(anchor, request.aim)
    _check_target(request, anchor)


def _point(
    bench: Bench, candidate: Candidate, crf: float, number: int, measurer: Measurer
) -> PointMeasured:
    measurement, is_from_store = measurer.measure(bench, candidate.at(crf))
    candidate.measurements[crf] = measurement
    return PointMeasured(
        role="search",
        trial=number,
        crf=crf,
        rate_kbps=measurement.rate_kbps,
        quality=measurement.scores.quality,
        is_from_store=is_from_store,
    )


def _check_target(request: TuneRequest, anchor: Candidate) -> None:
    aim, points = request.aim, anchor.points
    end = aim.rate_on(anchor.curve).end
    if isinstance(aim, TargetQuality):
        if end == "high":
            raise UnreachableError(
                f"target_quality {aim.quality:g} is out of reach: {request.codec} keeps "
                f"{anchor.curve.qualities[-1]:.3f} at CRF {points[0].crf:g} and "
                f"{points[0].rate_kbps:.0f} kbit/s; ask for less"
            )
    elif end is not None:
        raise UnreachableError(
            f"target_rate {aim.rate_kbps:g} kbit/s is out of reach: {request.codec} gives "
            f"{points[-1].rate_kbps:.0f} to {points[0].rate_kbps:.0f} kbit/s on this clip"
        )

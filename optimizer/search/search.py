"""The search: entrants, judged on curves against the anchor's, on one clip or many."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

from ...codecs.errors import EncodeError
from ...codecs.settings import sorted_options
from ..aim import TargetRate
from ..events import PointMeasured, TrialFinished, TuneEvent
from ..measuring.measure import Measurer
from ..measuring.pool import first_done, result_of
from ..request import TuneRequest
from .anchor import SearchedClip, point_measured
from .candidate import HOPELESS_COST, Candidate, another_crf, next_crf
from .entrant import Entrant, entrant, total_cost
from .proposer import ENCODE_FPS
from .study import Proposal, Study

# How many go into the play-off, and the points each is measured at by its end.
_LEADERS, _LEADER_POINTS = 3, 4
# In the play-off are those that seem this close to the best, the defaults among them, in log rate
# or, for a target rate, in quality: further points hardly change the order of others.
_CLOSE_COST = 0.05


@dataclass(slots=True, kw_only=True)
class SearchResult:
    """What a search found.

    Attributes:
        anchor: The encoder's defaults.
        first: Where it set out from: the anchor, or for regions the best options without them.
        best: The entrant of the lowest cost; ``first`` itself where none is better than the
            anchor. It need not be better than ``first``, whose cost is a lucky one: the
            verification tells.
        best_cost: Against the anchor; negative is better.
        cost_before: The lowest of the search before this one; 0 for the first.
        started: Of the clock, when the first search began.
        eligible: Trials measured on every clip and fast enough; the play-off is among these.
    """

    anchor: Entrant
    first: Entrant
    best: Entrant
    best_cost: float
    cost_before: float
    started: float
    eligible: list[_Trial] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Trial:
    """An entrant being explored, and what comes of it."""

    number: int
    proposal: Proposal
    entrant: Entrant
    exploration: Future[_Exploration]


@dataclass(slots=True, kw_only=True)
class _Exploration:
    """Points of one entrant in the order measured, and why it failed if it did."""

    points: list[PointMeasured]
    failure: str | None = None


def search(
    request: TuneRequest,
    clips: Sequence[SearchedClip],
    study: Study,
    measurer: Measurer,
) -> Generator[TuneEvent, None, SearchResult]:
    """Searches the encoder's options; the first trial is the anchor."""
    anchor = Entrant(settings=request.anchor_settings, clips=tuple(one.anchor for one in clips))
    result = SearchResult(
        anchor=anchor,
        first=anchor,
        best=anchor,
        best_cost=0.0,
        cost_before=0.0,
        started=time.perf_counter(),
    )
    yield from _run_trials(request, clips, study, measurer, result, range(request.num_trials))
    return result


def search_regions(
    request: TuneRequest,
    clips: Sequence[SearchedClip],
    study: Study,
    measurer: Measurer,
    plain: SearchResult,
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
    yield from _run_trials(request, clips, study, measurer, result, numbers)
    return result


def _run_trials(
    request: TuneRequest,
    clips: Sequence[SearchedClip],
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
        one = entrant(settings, len(clips)) if number else result.anchor
        exploration = measurer.pool.submit(
            _explore, clips, one, result, result.best_cost, number, measurer
        )
        under_way.append(
            _Trial(number=number, proposal=proposal, entrant=one, exploration=exploration)
        )
        if len(under_way) == request.num_under_way:
            yield from _finish(request, clips, under_way.popleft(), study, result)
    while under_way:
        yield from _finish(request, clips, under_way.popleft(), study, result)
    yield from _play_off(request, clips, result, measurer)


def cost_percent(request: TuneRequest, found: float) -> float:
    """Returns a cost as percent of rate, or for a target rate as points of quality."""
    if isinstance(request.aim, TargetRate):
        return found * 100
    return (math.exp(found) - 1) * 100


def _explore(
    clips: Sequence[SearchedClip],
    one: Entrant,
    result: SearchResult,
    best_cost: float,
    number: int,
    measurer: Measurer,
) -> _Exploration:
    """Measures one entrant, clip after clip; runs in a thread of the measurer.

    What is far behind the best on the clips so far is not tried on the others.
    """
    exploration = _Exploration(points=[])
    if one is result.first:
        return exploration
    try:
        for clip, candidate in zip(clips, one.clips, strict=True):
            while (crf := next_crf(candidate, clip.anchor, clip.aim, best_cost)) is not None:
                exploration.points.append(_point(clip, candidate, crf, number, measurer))
            if total_cost(one, clips) > best_cost + HOPELESS_COST:
                break
    except EncodeError as error:
        exploration.failure = str(error)
    return exploration


def _finish(
    request: TuneRequest,
    clips: Sequence[SearchedClip],
    trial: _Trial,
    study: Study,
    result: SearchResult,
) -> Generator[TuneEvent, None, None]:
    exploration = result_of(trial.exploration)
    yield from exploration.points
    found = None
    if exploration.failure is None:
        found = total_cost(trial.entrant, clips)
        is_measured = all(one.measurements for one in trial.entrant.clips)
        if is_measured and request.is_fast_enough(trial.entrant.encode_fps):
            result.eligible.append(trial)
            if found < result.best_cost:
                result.best, result.best_cost = trial.entrant, found
    num_points = trial.entrant.num_points
    attributes: dict[str, float] = {"num_points": num_points}
    if exploration.failure is None:
        attributes[ENCODE_FPS] = trial.entrant.encode_fps
    study.tell(trial.proposal, found, attributes)
    yield TrialFinished(
        trial=trial.number,
        num_trials=request.num_all_trials,
        options=dict(trial.proposal.options),
        parameters=trial.proposal.parameters,
        cost_percent=None if found is None else cost_percent(request, found),
        best_cost_percent=cost_percent(request, min(result.best_cost, result.cost_before)),
        num_points=num_points,
        failure=exploration.failure,
        elapsed_seconds=time.perf_counter() - result.started,
    )


def _play_off(
    request: TuneRequest, clips: Sequence[SearchedClip], result: SearchResult, measurer: Measurer
) -> Generator[TuneEvent, None, None]:
    """Measures the leaders at more CRFs, where they are close, and picks the best again.

    The first of many that differ by less than the noise is the luckiest, not the best.
    """

    def price(trial: _Trial) -> float:
        return total_cost(trial.entrant, clips)

    def submit(trial: _Trial, number: int) -> Future[PointMeasured] | None:
        clip, candidate = clips[number], trial.entrant.clips[number]
        crf = another_crf(candidate, clip.anchor, clip.aim)
        if crf is None or len(candidate.measurements) >= _LEADER_POINTS:
            return None
        return measurer.pool.submit(_point, clip, candidate, crf, trial.number, measurer)

    ranked = sorted(result.eligible, key=price)[:_LEADERS]
    leaders = [trial for trial in ranked if trial.entrant is not result.first]
    close = [trial for trial in ranked if price(trial) <= price(ranked[0]) + _CLOSE_COST]
    contenders = close if len(close) > 1 else []
    # Each goes its own way, so that no core waits for the slowest.
    under_way = {
        future: (trial, number)
        for trial in leaders
        for number in range(len(clips))
        if trial in contenders and (future := submit(trial, number))
    }
    while under_way:
        for future in first_done(under_way):
            trial, number = under_way.pop(future)
            try:
                yield result_of(future)
            except EncodeError:
                if trial in leaders:
                    leaders.remove(trial)  # the encoder refuses a CRF that nobody tried before
            else:
                if further := submit(trial, number):
                    under_way[further] = trial, number
    result.best, result.best_cost = result.first, 0.0
    for trial in leaders:
        if price(trial) < result.best_cost and request.is_fast_enough(trial.entrant.encode_fps):
            result.best, result.best_cost = trial.entrant, price(trial)


def _point(
    clip: SearchedClip, candidate: Candidate, crf: float, number: int, measurer: Measurer
) -> PointMeasured:
    measurement, is_from_store = measurer.measure(clip.bench, candidate.at(crf))
    candidate.measurements[crf] = measurement
    return point_measured(clip.bench, crf, measurement, trial=number, is_from_store=is_from_store)

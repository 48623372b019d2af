"""The search: the anchor's curve first, then candidates in batches, judged on curves."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

from ..codecs.errors import EncodeError
from ..codecs.settings import sorted_options
from .aim import TargetQuality
from .bench import Bench
from .candidate import Candidate, anchor_ladder, cost, next_anchor_crfs, next_crf
from .errors import TargetError
from .events import PointMeasured, TrialFinished, TuneEvent
from .measure import Measurer
from .request import TuneRequest
from .study import Proposal, Study


@dataclass(slots=True, kw_only=True)
class SearchResult:
    """What a search found.

    Attributes:
        anchor: The encoder's defaults.
        best: The candidate of the lowest cost; the anchor itself where none is better.
        best_cost: Against the anchor; negative is better.
    """

    anchor: Candidate
    best: Candidate
    best_cost: float = 0.0


def search(
    request: TuneRequest, bench: Bench, study: Study, measurer: Measurer
) -> Generator[TuneEvent, None, SearchResult]:
    """Runs all trials; the first is the anchor.

    Raises:
        EncodeError: The encoder fails with its own defaults.
        TargetError: Its defaults cannot reach the target on this clip.
    """
    started = time.perf_counter()
    anchor = Candidate(settings=request.anchor_settings)
    yield from _measure_anchor(request, bench, anchor, measurer)
    result = SearchResult(anchor=anchor, best=anchor)
    proposals = [study.ask()]
    candidates = [anchor]
    while True:
        failures = yield from _try(request, bench, result, proposals, candidates, measurer)
        for proposal, candidate in zip(proposals, candidates, strict=True):
            failure = failures.get(proposal.number)
            found = None if failure else cost(candidate, anchor, request.aim)
            if found is not None and found < result.best_cost:
                result.best, result.best_cost = candidate, found
            study.tell(proposal, found, {"num_points": len(candidate.measurements)})
            yield TrialFinished(
                trial=proposal.number,
                num_trials=request.num_trials,
                options=dict(proposal.options),
                cost_percent=None if found is None else cost_percent(request, found),
                best_cost_percent=cost_percent(request, result.best_cost),
                num_points=len(candidate.measurements),
                failure=failure,
                elapsed_seconds=time.perf_counter() - started,
            )
        num_left = request.num_trials - proposals[-1].number - 1
        if num_left == 0:
            return result
        proposals = [study.ask() for _ in range(min(request.num_batch, num_left))]
        candidates = [
            Candidate(
                settings=replace(request.anchor_settings, options=sorted_options(proposal.options))
            )
            for proposal in proposals
        ]


def cost_percent(request: TuneRequest, found: float) -> float:
    """Returns a cost as percent of rate, or for a target rate as points of quality."""
    if isinstance(request.aim, TargetQuality):
        return (math.exp(found) - 1) * 100
    return found * 100


def _measure_anchor(
    request: TuneRequest, bench: Bench, anchor: Candidate, measurer: Measurer
) -> Generator[TuneEvent, None, None]:
    crfs = anchor_ladder(anchor.settings)
    while crfs:
        failures = yield from _points(bench, [(0, anchor, crf) for crf in crfs], measurer)
        for failure in failures.values():
            raise failure
        crfs = next_anchor_crfs(anchor, request.aim)
    _check_target(request, anchor)


def _check_target(request: TuneRequest, anchor: Candidate) -> None:
    aim, points = request.aim, anchor.points
    end = aim.rate_on(anchor.curve).end
    if isinstance(aim, TargetQuality):
        if end == "high":
            raise TargetError(
                f"target_quality {aim.quality:g} is out of reach: {request.codec} keeps "
                f"{anchor.curve.qualities[-1]:.3f} at CRF {points[0].crf:g} and "
                f"{points[0].rate_kbps:.0f} kbit/s; ask for less"
            )
    elif end is not None:
        raise TargetError(
            f"target_rate {aim.rate_kbps:g} kbit/s is out of reach: {request.codec} gives "
            f"{points[-1].rate_kbps:.0f} to {points[0].rate_kbps:.0f} kbit/s on this clip"
        )


def _try(
    request: TuneRequest,
    bench: Bench,
    result: SearchResult,
    proposals: Sequence[Proposal],
    candidates: Sequence[Candidate],
    measurer: Measurer,
) -> Generator[TuneEvent, None, dict[int, str]]:
    """Measures a batch in rounds, each one more CRF for those that need it.

    The best of the batches before is what a candidate must beat; so the order in which the
    encodes of one batch end does not matter.
    """
    failures: dict[int, str] = {}
    while True:
        todo = []
        for proposal, candidate in zip(proposals, candidates, strict=True):
            if candidate is result.anchor or proposal.number in failures:
                continue
            crf = next_crf(candidate, result.anchor, request.aim, result.best_cost)
            if crf is not None:
                todo.append((proposal.number, candidate, crf))
        if not todo:
            return failures
        failed = yield from _points(bench, todo, measurer)
        failures |= {trial: str(error) for trial, error in failed.items()}


def _points(
    bench: Bench, todo: Sequence[tuple[int, Candidate, float]], measurer: Measurer
) -> Generator[TuneEvent, None, dict[int, EncodeError]]:
    """Measures one CRF for each (trial, candidate, CRF); returns the failures by trial."""
    failures = {}
    settings = [candidate.at(crf) for _, candidate, crf in todo]
    for measured in measurer.measure(bench, settings):
        trial, candidate, crf = todo[measured.index]
        if isinstance(measured.outcome, EncodeError):
            failures[trial] = measured.outcome
            continue
        candidate.measurements[crf] = measured.outcome
        yield PointMeasured(
            role="search",
            trial=trial,
            crf=crf,
            rate_kbps=measured.outcome.rate_kbps,
            quality=measured.outcome.scores.quality,
            is_from_store=measured.is_from_store,
        )
    return failures

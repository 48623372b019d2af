"""The curves of one title: every encoder, settings and frame height, in few encodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ...codecs.settings import EncodeSettings
from ...codecs.source import Source
from ..contestants import Contestant
from ..curves.curve import RdCurve
from ..curves.hull import excess_at, is_hopeless
from ..measuring.bench import Bench
from ..measuring.measure import Measurer
from ..search.candidate import Candidate, measure_points, next_crfs
from .request import PerTitleRequest, at_height

# How much dearer than the others, as a natural log, a contestant must be at every point to be given
# up, or on a stretch for that not to be refined. Noise of 0.015 in quality is a quarter of the rate
# where curves are flat.
_HOPELESS_MARGIN = 0.25
# With so many points a curve is known but for stretches between them.
_ROUGH_POINTS = 4


def fit_variant(request: PerTitleRequest, variant: Contestant, source: Source) -> Contestant:
    """Returns a variant as it is on a title: one that is not higher keeps its own height.

    At a title's own height it has the name of the contestant, whatever the heights asked for.
    """
    height = variant.settings.height
    if height is None or height < source.height:
        return variant
    plain = replace(variant.settings, height=None)
    own = (at_height(one, None) for one in request.contestants if one.settings.height is None)
    return next(
        (one for one in own if one.settings == plain),
        Contestant(name=variant.name, settings=plain),
    )


def measure_title(
    quality_range: tuple[float, float],
    bench: Bench,
    measurer: Measurer,
    candidates: Sequence[Candidate],
) -> set[Candidate]:
    """Measures all curves of a title and returns those that are far behind.

    Each encoder and its settings begin at the largest height; where its curve has the best and
    the lowest quality asked for, the smaller ones begin.

    Args:
        quality_range: That curves reach over.
    """
    largest: dict[EncodeSettings, Candidate] = {}
    for one in candidates:
        largest.setdefault(replace(one.settings, height=None), one)
    first = list(largest.values())
    todo = [(one, crf) for one in first for crf in next_crfs(one, *quality_range)]
    given_up = _explore(quality_range, bench, measurer, first, (), todo)
    smaller = [one for one in candidates if one not in first]
    todo = [
        (one, crf)
        for one in smaller
        for crf in _start(quality_range, largest[replace(one.settings, height=None)])
    ]
    return given_up | _explore(quality_range, bench, measurer, smaller, first, todo)


def _explore(
    quality_range: tuple[float, float],
    bench: Bench,
    measurer: Measurer,
    candidates: Sequence[Candidate],
    known: Sequence[Candidate],
    todo: Sequence[tuple[Candidate, float]],
) -> set[Candidate]:
    """Measures candidates until their curves are known or hopeless; returns the latter.

    Args:
        known: Others that they are compared with.
        todo: Where to begin.
    """
    low, high = quality_range
    given_up: set[Candidate] = set()
    while todo:
        measure_points(bench, measurer, todo)
        for one in candidates:
            rivals = _rivals(one, (*known, *candidates), given_up)
            if is_hopeless(one.points, rivals, low, high, margin=_HOPELESS_MARGIN):
                given_up.add(one)
        todo = [
            (one, crf)
            for one in candidates
            if one not in given_up
            for crf in next_crfs(one, low, high)
            if _is_near(one, crf, _rivals(one, (*known, *candidates), given_up))
        ]
    return given_up


def _rivals(
    candidate: Candidate, everybody: Sequence[Candidate], given_up: set[Candidate]
) -> list[RdCurve]:
    """Returns the curves of the others that are still in the running.

    Of those there is always one: the best quality of all is out of reach for the others.
    """
    return [
        one.curve
        for one in everybody
        if one is not candidate and one.measurements and one not in given_up
    ]


def _is_near(candidate: Candidate, crf: float, rivals: Sequence[RdCurve]) -> bool:
    """Returns whether a candidate may be the cheapest at a CRF, as far as its curve is known.

    Beyond its ends it may: a curve always reaches over all qualities, else one setting for all
    titles would not be found where it is.
    """
    is_inside = min(candidate.measurements) < crf < max(candidate.measurements)
    if len(candidate.measurements) < _ROUGH_POINTS or not rivals or not is_inside:
        return True
    quality = candidate.curve.quality_at_crf(crf)
    rate_kbps = candidate.curve.rate_at(quality).value
    return excess_at(rate_kbps, quality, rivals) <= _HOPELESS_MARGIN


def _start(quality_range: tuple[float, float], larger: Candidate) -> list[float]:
    """Returns two CRFs at which a smaller height is measured first."""
    curve, (low, high) = larger.curve, quality_range
    crfs = {
        float(round(curve.crf_at(curve.rate_at(quality).value).value)) for quality in (low, high)
    }
    if len(crfs) > 1:
        return sorted(crfs)
    # The curve ends short of the whole range.
    return sorted({min(larger.measurements), max(larger.measurements)})

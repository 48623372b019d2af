"""One setting for all titles: the cheapest that keeps a quality, from the curves of each title."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..curves.bootstrap import median_interval
from ..measuring.store import Json
from ..search.candidate import Candidate
from .ladder import Fixed, FixedTitle, Keeps

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedChoice:
    """A contestant at a CRF."""

    contestant: str
    crf: float


def far_behind(variants: Sequence[str], given_up: Sequence[Collection[str]]) -> tuple[str, ...]:
    """Returns the variants that were given up on most titles: no setting for all of them.

    Where that would be each of them, those stay that were given up on the fewest.

    Args:
        given_up: Of each title.
    """
    counts = {name: sum(name in some for some in given_up) for name in variants}
    allowed = max(len(given_up) / 2, min(counts.values()))
    return tuple(name for name, count in counts.items() if count > allowed)


def choose_fixed(
    curves: Mapping[str, Sequence[Candidate]], qualities: Sequence[float], keeps: Keeps
) -> FixedChoice | None:
    """Returns the contestant and CRF of the lowest total rate; None where none keeps the quality.

    Of each contestant that is the highest CRF, in half steps, that keeps the quality.

    Args:
        curves: By contestant, of the same titles in the same order.
        qualities: Of each title; kept on all of them or on the median one.
    """
    found: list[tuple[float, FixedChoice]] = []
    for contestant, candidates in curves.items():
        low, high = candidates[0].search_crf
        crfs = np.arange(high, low - 0.5, -0.5)
        kept_of_each = np.array([_qualities(one, crfs) for one in candidates])
        above = kept_of_each - np.array(qualities)[:, None]
        pooled = above.min(axis=0) if keeps == "all titles" else np.median(above, axis=0)
        kept = np.flatnonzero(pooled >= 0)
        if len(kept):
            crf = float(crfs[kept[0]])
            total = sum(_rate(one, crf) for one in candidates)
            found.append((total, FixedChoice(contestant=contestant, crf=crf)))
    return min(found, key=lambda one: one[0])[1] if found else None


def _qualities(candidate: Candidate, crfs: Floats) -> Floats:
    """Returns a title's qualities at CRFs.

    Below the lowest one measured it is at least as good as there; above the highest it is unknown,
    and nothing is relied on.
    """
    curve = candidate.curve
    found: Floats = np.array([curve.quality_at_crf(crf) for crf in crfs])
    found[crfs > max(candidate.measurements)] = 0.0
    return found


def _rate(candidate: Candidate, crf: float) -> float:
    """Returns a title's rate, beyond the CRFs measured by the slope of log rate there."""
    points = candidate.points
    crfs = np.array([one.crf for one in points])
    log_rates = np.log([one.rate_kbps for one in points])
    if len(crfs) > 1 and not crfs[0] <= crf <= crfs[-1]:
        end, inner = (0, 1) if crf < crfs[0] else (-1, -2)
        slope = (log_rates[inner] - log_rates[end]) / (crfs[inner] - crfs[end])
        return float(np.exp(log_rates[end] + slope * (crf - crfs[end])))
    return float(np.exp(np.interp(crf, crfs, log_rates)))


def compare_fixed(
    choice: FixedChoice,
    settings: dict[str, Json],
    titles: Sequence[FixedTitle],
) -> Fixed:
    """Returns what per-title saves over a single setting, over two titles or more."""
    changes = np.array([one.change_percent for one in titles])
    first, third = np.percentile(changes, [25, 75])
    own, single = (
        sum(rates)
        for rates in zip(*((one.own_rate_kbps, one.rate_kbps) for one in titles), strict=True)
    )
    return Fixed(
        contestant=choice.contestant,
        crf=choice.crf,
        settings=settings,
        titles=tuple(titles),
        median_percent=float(np.median(changes)),
        quartiles_percent=(float(first), float(third)),
        interval_percent=median_interval(changes),
        total_percent=(own / single - 1) * 100,
        num_worse=int((changes > 0).sum()),
        num_short=sum(one.quality < one.enough_quality for one in titles),
        num_own_short=sum(one.own_quality < one.enough_quality for one in titles),
    )

"""The number to quote: what the machine sees that a recommendation is for."""

from __future__ import annotations

from dataclasses import dataclass

from ..curves.curve import fit_curve
from ..recommendation import Recommendation

Interval = tuple[float | None, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """What recommended settings save against the encoder's defaults, as one machine sees it.

    Attributes:
        percent, interval_percent: Change of the rate at equal quality, with its 95 % interval;
            negative is saved.
        rate_kbps, anchor_rate_kbps: The rates that it is of.
        quality: Where they are, on that machine's scale.
        bd_rate_percent, bd_rate_interval_percent, bd_rate_qualities: Over all qualities shared, or
            those asked for; None where they share too little.
    """

    percent: float
    interval_percent: Interval
    rate_kbps: float
    anchor_rate_kbps: float
    quality: float
    bd_rate_percent: float | None
    bd_rate_interval_percent: Interval | None
    bd_rate_qualities: tuple[float, float] | None


def saving_of(found: Recommendation) -> Saving:
    """Returns what the real machine sees, where there is one beside that of the search.

    A learned metric errs, and a search finds where it errs in its own favour. Of defaults that are
    kept nothing is saved by any machine, and their rate is where the search has them.
    """
    real = found.told_real
    if real is None:
        return saving_by_search(found)
    change = real.change
    overall = change.bd_rate
    return Saving(
        percent=change.percent,
        interval_percent=(change.low_percent, change.high_percent),
        rate_kbps=change.rate_kbps,
        anchor_rate_kbps=change.anchor_rate_kbps,
        quality=fit_curve(real.winner_curve).quality_at(change.rate_kbps).value,
        bd_rate_percent=None if overall is None else overall.percent,
        bd_rate_interval_percent=change.bd_rate_interval_percent,
        bd_rate_qualities=None if overall is None else (overall.low_quality, overall.high_quality),
    )


def saving_by_search(found: Recommendation) -> Saving:
    """Returns what the machine of the search sees."""
    return Saving(
        percent=found.rate_change_percent,
        interval_percent=found.rate_change_interval_percent,
        rate_kbps=found.rate_kbps,
        anchor_rate_kbps=found.anchor_rate_kbps,
        quality=fit_curve(found.winner_curve).quality_at(found.rate_kbps).value,
        bd_rate_percent=found.bd_rate_percent,
        bd_rate_interval_percent=found.bd_rate_interval_percent,
        bd_rate_qualities=found.bd_rate_qualities,
    )

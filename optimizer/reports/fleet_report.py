"""The record of a fleet: a row a clip, and what all of them save together."""

from __future__ import annotations

from collections.abc import Iterator

from ..curves.bd_rate import is_below_0, percent_text, saving_text
from ..curves.bootstrap import LEAST_CLIPS
from ..fleet import Fleet
from .plain_text import counted
from .provenance import software
from .record import Picture, SummaryRecord, Table


def fleet_columns(found: Fleet) -> tuple[str, ...]:
    """Returns the columns of ``fleet_rows``."""
    second = ("second detector",) if _has_second(found) else ()
    return (
        "clip", "encoder", "quality kept", "defaults, kbit/s", "recommended, kbit/s",
        "measured change", "to expect", *second, "verified",
    )  # fmt: skip


def fleet_rows(found: Fleet) -> Iterator[tuple[str, ...]]:
    """Yields a row a clip, with 95 % intervals over frames."""
    for one in found.clips:
        kept = "defaults kept" if one.keeps_defaults else f"{one.rate_kbps:.1f}"
        second = (_percent(one.second_percent),) if _has_second(found) else ()
        yield (
            one.clip,
            one.encoder,
            f"{one.quality:.3f}",
            f"{one.anchor_rate_kbps:.1f}",
            kept,
            saving_text(one.percent, one.interval_percent),
            "" if one.keeps_defaults else _percent(one.expected_percent),
            *second,
            "yes" if one.is_verified else "NO",
        )


def fleet_headline(found: Fleet) -> str:
    """Returns what is saved of all rates together, in one sentence."""
    return (
        f"{saving_text(found.percent, found.interval_percent)} rate of "
        f"{counted(len(found.clips), 'clip')} together at equal quality: "
        f"{found.anchor_rate_kbps:.0f} to {found.rate_kbps:.0f} kbit/s"
    )


def fleet_lines(found: Fleet) -> list[str]:
    """Returns what stands beside the headline: storage, what was measured, doubts."""
    before, after = found.terabytes_a_month
    lines = [
        f"30 days of all of them take {before:.3g} TB with the defaults, {after:.3g} TB as "
        f"recommended"
    ]
    if found.is_corrected:
        lines.append(
            f"measured: {found.measured_percent:+.1f} %; above is what to expect, each saving "
            f"drawn to the others by as much as it may err, since settings are recommended by what "
            f"was measured of them"
        )
    else:
        lines.append(
            f"as measured, and too good where savings may be chance: to correct that takes "
            f"{LEAST_CLIPS} clips with intervals of their own"
        )
    if found.second_percent is not None:
        lines.append(
            f"as the second detector measured it: {found.second_percent:+.1f} %, on "
            f"{found.num_second} of {len(found.clips)}"
        )
    median = percent_text(found.median_percent, found.median_interval_percent)
    lines.append(
        f"the best of each search, recommended or not, on the median clip: {median}; defaults kept "
        f"on {found.num_keeping} of {len(found.clips)}, a saving that may be chance on "
        f"{found.num_unsure}, verification failed on {found.num_not_verified}"
    )
    return lines


def fleet_record(found: Fleet, *, name: str, picture: Picture) -> SummaryRecord:
    """Returns the record of ``ratesight fleet``.

    Args:
        name: Of its folder of results.
    """
    return SummaryRecord(
        command="fleet",
        name=name,
        title=f"{counted(len(found.clips), 'clip')}, each tuned by itself",
        headline=fleet_headline(found),
        number=f"{found.percent:+.1f} %",
        commands=(),
        tables=(
            Table(
                title="Clip by clip",
                columns=fleet_columns(found),
                rows=tuple(fleet_rows(found)),
                read="as the real machine sees it where there was one, on frames that the search "
                "did not see: the quality that what is recommended keeps; rates at equal quality; "
                "the measured change by the best of the search, also where the defaults are kept, "
                "negative is saved, in brackets the 95 % interval over frames; and the change to "
                "expect of what is recommended, drawn to those of the other clips by as much as "
                "it may err.",
            ),
        ),
        pictures=(picture,),
        notes=(*(f"{line[0].upper()}{line[1:]}." for line in fleet_lines(found)), *found.notes),
        provenance=software(),
        is_sure=is_below_0(found.interval_percent),
    )


def _has_second(found: Fleet) -> bool:
    return any(one.second_percent is not None for one in found.clips)


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:+.1f} %"

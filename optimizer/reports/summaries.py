"""Records of runs that are told in tables and pictures: of many clips, or of a front."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import compress

from ..curves.bd_comparison import Comparison
from ..curves.bd_rate import is_below_0, percent_text, saving_text
from ..pareto.files import member_row
from ..pareto.front import ParetoFront
from ..set_recommendation import SetRecommendation
from ..titles.files import (
    FIXED_COLUMNS,
    RUNG_COLUMNS,
    fixed_rows,
    rung_rows,
    summary_notes,
)
from ..titles.ladder import PerTitle
from ..titles.request import PerTitleRequest
from .plain_text import counted
from .provenance import looked_at
from .record import Picture, SummaryRecord, Table
from .sentences import bd_rate_of

# Of tables that only some summaries have.
CLIPS_TITLE, CRFS_TITLE = "Clip by clip", "The CRF of each clip"
FIXED_TITLE = "Against one setting for all"


def set_columns(found: SetRecommendation) -> tuple[str, ...]:
    """Returns the columns of ``set_rows``."""
    if found.real_comparison is None:
        return "clip", "CRF: defaults, tuned", "rate at target", "BD-rate"
    return "clip", "CRF: defaults, tuned", "rate at equal quality", "BD-rate", "metric's BD-rate"


def set_rows(found: SetRecommendation) -> Iterator[tuple[str, ...]]:
    """Yields a row a clip: what was found, against the defaults, with 95 % intervals.

    As the real machine sees it, where there is one.
    """
    for one in found.clips:
        told = one.change if found.real_comparison is None else one.real_change
        at_target = "-"
        if told is not None:
            at_target = saving_text(told.percent, (told.low_percent, told.high_percent))
        crfs = f"{one.anchor_crf:g}, {one.crf:g}"
        row = (one.clip, crfs, at_target, bd_rate_of(told, "-"))
        yield row if found.real_comparison is None else (*row, bd_rate_of(one.change, "-"))


def counted_clips(comparison: Comparison) -> str:
    """Returns how many clips a median is over, and how many have no number."""
    num_without = comparison.num_not_available
    text = counted(len(comparison.clips) - num_without, "clip")
    return f"{text} ({num_without} without one)" if num_without else text


def _clip_table(found: SetRecommendation) -> Table:
    """Returns what was found on each clip; the CRF of each where nothing was."""
    if not found.clips:
        return Table(
            title=CRFS_TITLE,
            columns=("clip", "CRF"),
            rows=tuple((clip, f"{crf:g}") for clip, crf in found.clip_crfs.items()),
            read="where the defaults meet the target on each clip, as the search measured it.",
        )
    return Table(
        title=CLIPS_TITLE,
        columns=set_columns(found),
        rows=tuple(set_rows(found)),
        read="what was found against the defaults on each clip, negative is saved, in brackets the "
        "95 % interval over frames; measured on frames that the search did not see.",
    )


def _settings_table(found: SetRecommendation) -> Table:
    options = found.settings["options"]
    assert isinstance(options, dict)
    return Table(
        title="Settings",
        columns=("option", "value"),
        rows=(
            ("CRF", found.crf_text),
            *((option, str(value)) for option, value in options.items()),
        ),
        read="the CRF for all clips, and the options that differ from the preset.",
    )


def set_record(found: SetRecommendation, *, name: str, encode_command: str) -> SummaryRecord:
    """Returns the record of a run of ``ratesight tune`` on several clips."""
    number = ""
    headline = f"Nothing saves on the median clip: keep the defaults, CRF {found.crf_text}."
    is_sure = False
    # The real machine's number is the one to quote, where there is one.
    told, num_not_saving = found.real_comparison, found.real_num_not_saving
    if told is None:
        told, num_not_saving = found.comparison, found.num_not_saving
    if not found.keeps_defaults and told is not None:
        number = f"{told.bd_rate_percent:+.1f} %"
        is_sure = is_below_0(told.interval_percent)
        text = saving_text(told.bd_rate_percent, told.interval_percent)
        by = "" if found.real_comparison is None else " of the real machine"
        headline = (
            f"median BD-rate{by} on {counted_clips(told)}, {text}; {num_not_saving} of "
            f"{len(found.clips)} save nothing"
        )
    skipped = tuple(f"{one.clip} was skipped: {one.reason}" for one in found.skipped)
    gap: tuple[str, ...] = ()
    if found.quality_gap is not None:
        gap = (f"{'verified' if found.is_verified else 'FAILED VERIFICATION'}: {gap_text(found)}",)
    return SummaryRecord(
        command="tune",
        name=name,
        title=f"{found.codec} {found.preset} for {counted(found.num_clips, 'clip')}",
        headline=headline,
        number=number,
        commands=(("Encode a clip with these settings", encode_command),),
        tables=(_clip_table(found), _settings_table(found)),
        pictures=(),
        notes=(*gap, *found.notes, *skipped),
        provenance=found.provenance,
        is_sure=is_sure,
    )


def gap_text(found: SetRecommendation) -> str:
    """Returns how far the verified quality is from the expected one."""
    return (
        f"quality verified minus expected, median clip: {found.quality_gap:+.4f} (tolerance "
        f"{found.tolerance:g})"
    )


def front_record(
    front: ParetoFront, *, name: str, title: str, encode_command: str, pictures: Sequence[Picture]
) -> SummaryRecord:
    """Returns the record of a run of ``ratesight tune --aim pareto``."""
    rows = []
    for role, members in (("front", front.front), ("defaults", front.defaults)):
        for number, member in enumerate(members, 1):
            row = member_row(member)
            label = f"{number:02d}" if role == "front" else "defaults"
            rows.append((label, *row.values()))
    columns = ("", *member_row(front.front[0])) if front.front else ("",)
    # The real machine's, where there is one.
    filled = [at == 0 or any(row[at] for row in rows) for at in range(len(columns))]
    columns, *rows = (tuple(compress(row, filled)) for row in (columns, *rows))
    return SummaryRecord(
        command="tune",
        name=name,
        title=title,
        headline=front_headline(front),
        number="",
        commands=(("Encode with the first of them", encode_command),),
        tables=(
            Table(
                title="The front",
                columns=tuple(one.replace("_", " ") for one in columns),
                rows=tuple(rows),
                read="a row a setting, verified by a fresh encode of the whole clip, on frames "
                "that the search did not see where the clip has others; what is not on the front "
                "any more was beaten there, or is not of use. Speed is of one encode on one "
                "thread, beside the others of the run.",
            ),
        ),
        pictures=tuple(pictures),
        notes=front.notes,
        provenance=front.provenance,
    )


def front_headline(front: ParetoFront) -> str:
    """Returns how many settings nothing beats, and how many only seemed to be."""
    num_beaten = sum(not one.is_on_front for one in front.front)
    text = f"{len(front.front) - num_beaten} settings that nothing tried beats in rate, quality and"
    more = f"; {num_beaten} more were beaten when they were verified" if num_beaten else ""
    return f"{text} speed together{more}"


def ladder_record(
    found: PerTitle, request: PerTitleRequest, *, name: str, picture: Picture
) -> SummaryRecord:
    """Returns the record of a run of ``ratesight recommend``."""
    tables = [
        Table(
            title="The ladder of each title",
            columns=RUNG_COLUMNS,
            # Each row with its title, since the page sorts them.
            rows=tuple(
                (title.clip, *row[1:]) for title in found.titles for row in rung_rows(title)
            ),
            read="a row a rung, the cheapest that keeps the quality; verified is measured on "
            "frames that the choice did not see, with its 95 % interval, and the gap is how far "
            "that is from what was expected.",
        )
    ]
    number, headline = "", f"the cheapest encoder, height and CRF for {len(found.titles)} titles"
    is_sure = False
    if found.fixed:
        tables.append(
            Table(
                title=FIXED_TITLE,
                columns=FIXED_COLUMNS,
                rows=tuple(tuple(row) for row in fixed_rows(found)),
                read="kept on all titles, or on the median one; change: of each title's rate, "
                "negative is saved, in brackets the 95 % interval over titles; sum: of all rates "
                "together; worse: titles that cost more; short: titles below the quality, per "
                "title and with one setting.",
            )
        )
    told = [(one.target_quality, one.found) for one in found.fixed if one.found is not None]
    if told:
        quality, fixed = told[0]
        number = f"{fixed.median_percent:+.1f} %"
        is_sure = is_below_0(fixed.interval_percent)
        headline = (
            f"rate at task quality {quality:g} against one setting for all, "
            f"{percent_text(fixed.median_percent, fixed.interval_percent)}: the median of "
            f"{len(fixed.titles)} titles"
        )
    commands = [
        (f"{title.clip}, quality {rung.target_quality:g}", rung.chosen.ffmpeg_command)
        for title in found.titles
        for rung in title.rungs
        if rung.chosen is not None
    ]
    notes = [f"{title.clip}: {note}" for title in found.titles for note in title.notes]
    notes += [f"{one.clip} was skipped: {one.reason}" for one in found.skipped]
    notes += list(summary_notes(found))
    return SummaryRecord(
        command="recommend",
        name=name,
        title=f"A ladder for {len(found.titles)} titles",
        headline=headline,
        number=number,
        commands=tuple(commands),
        tables=tuple(tables),
        pictures=(picture,),
        notes=tuple(notes),
        provenance={
            **looked_at(
                request,
                {one.clip: one.clip_content_sha256 for one in found.titles},
                found.machine_version,
            ),
            "real_machine": found.real_machine,
            "num_segments": request.num_segments,
            "segment_seconds": request.segment_seconds,
            "max_verified_frames": request.max_verified_frames,
            "tolerance": request.tolerance,
            "num_encodes": found.num_encodes,
            "num_from_store": found.num_from_store,
        },
        is_sure=is_sure,
    )

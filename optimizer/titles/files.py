"""Ladders as JSON, CSV, a settings file a rung, and rows of tables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from ..contestants import same_frames_notes
from ..curves.bd_rate import percent_text
from ..measuring.store import Json
from ..reports.output import csv_text, make_empty, write_whole
from .ladder import Chosen, FixedRung, PerTitle, Rung, TitleLadder

RUNG_COLUMNS = ("title", "quality", "encoder", "CRF", "kbit/s", "verified", "gap")
FIXED_COLUMNS = (
    "quality", "kept on", "setting for all", "change", "quartiles", "sum", "worse", "short",
)  # fmt: skip

_CSV_COLUMNS = (
    "title", "target_quality", "metric_target_quality", "contestant", "codec", "preset", "width",
    "height", "crf", "rate_kbps", "quality", "quality_low", "quality_high", "real_quality",
    "expected_real_quality", "quality_gap", "is_verified", "settings_file", "ffmpeg_command",
    "reason",
)  # fmt: skip


def write_ladders(found: PerTitle, folder: Path) -> None:
    """Writes ``recommendations.json``, ``ladder.csv`` and, in ``rungs``, a file a rung.

    ``ratesight encode`` takes the latter.

    Raises:
        OutputError: The folder cannot be written.
    """
    rungs = folder / "rungs"
    make_empty(rungs)
    rows = []
    for title in found.titles:
        for rung in title.rungs:
            rows.append(_csv_row(title, rung))
            if rung.chosen is not None:
                text = json.dumps(_rung_json(title, rung, rung.chosen), allow_nan=False, indent=1)
                write_whole(text + "\n", rungs / _name(title, rung))
    write_whole(csv_text(_CSV_COLUMNS, rows), folder / "ladder.csv")
    text = json.dumps(found.to_json(), indent=1)
    write_whole(text + "\n", folder / "recommendations.json")


def _name(title: TitleLadder, rung: Rung) -> str:
    return f"{title.clip}-q{rung.target_quality:g}.json"


def _rung_json(title: TitleLadder, rung: Rung, chosen: Chosen) -> Json:
    """Returns a rung in the form that ``read_settings`` reads."""
    return {
        "clip": title.clip,
        "clip_content_sha256": title.clip_content_sha256,
        "target_quality": rung.target_quality,
        "metric_target_quality": rung.metric_target_quality,
        "settings": chosen.settings,
        "rate_kbps": chosen.rate_kbps,
        "verified_quality": chosen.quality,
        "is_verified": chosen.is_verified,
        "ffmpeg_command": chosen.ffmpeg_command,
    }


def _csv_row(title: TitleLadder, rung: Rung) -> list[object]:
    one = rung.chosen
    if one is None:
        blanks = [""] * (len(_CSV_COLUMNS) - 4)
        return [title.clip, *_targets(rung), *blanks, rung.reason]
    low, high = one.quality_interval or (None, None)
    return [
        title.clip,
        *_targets(rung),
        one.contestant,
        one.settings["codec"],
        one.settings["preset"],
        one.width,
        one.height,
        f"{one.crf:g}",
        f"{one.rate_kbps:.3f}",
        f"{one.quality:.6f}",
        "" if low is None else f"{low:.6f}",
        "" if high is None else f"{high:.6f}",
        "" if one.real_quality is None else f"{one.real_quality:.6f}",
        "" if one.expected_real_quality is None else f"{one.expected_real_quality:.6f}",
        f"{one.quality_gap:+.6f}",
        str(one.is_verified).lower(),
        f"rungs/{_name(title, rung)}",
        one.ffmpeg_command,
        "",
    ]


def _targets(rung: Rung) -> tuple[str, str]:
    metric = rung.metric_target_quality
    return f"{rung.target_quality:g}", "" if metric is None else f"{metric:.6f}"


def rung_rows(title: TitleLadder) -> Iterator[list[str]]:
    """Yields a row a rung, under RUNG_COLUMNS."""
    for number, rung in enumerate(title.rungs):
        name, quality = title.clip if number == 0 else "", f"{rung.target_quality:g}"
        one = rung.chosen
        if one is None:
            yield [name, quality, "out of reach", "", "", f"most {rung.most_quality:.3f}", ""]
            continue
        verified = f"{one.quality:.3f}"
        if one.quality_interval is not None:
            low, high = one.quality_interval
            verified += f" ({low:.2f} to {high:.2f})"
        if one.real_quality is not None:
            verified += f", real {one.real_quality:.3f}"
        gap = f"{one.quality_gap:+.3f}" + ("" if one.is_verified else " short")
        rate = f"{one.rate_kbps:.0f}"
        yield [name, quality, one.contestant, f"{one.crf:g}", rate, verified, gap]


def fixed_rows(found: PerTitle) -> Iterator[list[str]]:
    """Yields a row a quality and what is kept on, under FIXED_COLUMNS."""
    for rung in found.fixed:
        kept_on = rung.keeps.partition(" ")[0]
        yield [f"{rung.target_quality:g}", kept_on, *_fixed_cells(rung)]


def summary_notes(found: PerTitle) -> Iterator[str]:
    """Yields what a reader should know of all titles together."""
    rungs = [one.chosen for title in found.titles for one in title.rungs if one.chosen is not None]
    yield from same_frames_notes((one.clip, one.clip_content_sha256) for one in found.titles)
    num_short = sum(not one.is_verified for one in rungs)
    if num_short:
        yield (
            f"{num_short} of {len(rungs)} rungs keep less than was expected of them by more than "
            f"the tolerance {found.tolerance:g} on the frames of the verification"
        )
    if found.not_fixed:
        yield f"behind on most titles, no setting for all: {', '.join(found.not_fixed)}"
    if found.not_compared is not None:
        yield f"not compared with one setting for all: {found.not_compared}"


def _fixed_cells(rung: FixedRung) -> list[str]:
    one = rung.found
    if one is None:
        return ["none keeps it", "", "", "", "", ""]
    low, high = one.quartiles_percent
    return [
        f"{one.contestant} CRF {one.crf:g}",
        percent_text(one.median_percent, one.interval_percent),
        f"{low:+.0f} to {high:+.0f}",
        f"{one.total_percent:+.1f} %",
        f"{one.num_worse} of {len(one.titles)}",
        f"{one.num_own_short}, {one.num_short}",
    ]

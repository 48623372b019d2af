"""A comparison as JSON, CSV and rows of tables."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..compare import Compared
from ..curves.bd_comparison import Comparison
from ..curves.bd_rate import percent_text, saving_text
from .output import csv_text, write_whole


def write_comparison(compared: Compared, folder: Path) -> None:
    """Writes ``comparison.json``, all of it, and ``curves.csv``.

    Raises:
        OutputError: The folder cannot be written.
    """
    text = json.dumps(compared.to_json(), indent=1)
    write_whole(text + "\n", folder / "comparison.json")
    write_whole(curves_csv(compared), folder / "curves.csv")


def curves_csv(compared: Compared) -> str:
    """Returns a row a point, as ``ratesight bdrate`` reads them, with its interval over frames."""
    rows = []
    for curve in compared.curves:
        for one, interval in zip(curve.points, curve.intervals, strict=True):
            rate, quality = f"{one.rate_kbps:.3f}", f"{one.quality:.6f}"
            ends = ["", ""] if interval is None else [f"{end:.6f}" for end in interval]
            rows.append([curve.clip, curve.contestant, f"{one.crf:g}", rate, quality, *ends])
    columns = ["clip", "contestant", "crf", "rate", "quality", "quality_low", "quality_high"]
    return csv_text(columns, rows)


def matrix_rows(compared: Compared, names: Sequence[str]) -> Iterator[list[str]]:
    """Yields a row an anchor: its name, then the BD-rate of each test against it."""
    pairs = {(pair.anchor, pair.test): pair.comparison for pair in compared.pairs}
    for anchor in names:
        yield [anchor, *(_median(pairs.get((anchor, test))) for test in names)]


def clip_rows(compared: Compared, names: Sequence[str]) -> Iterator[list[str]]:
    """Yields a row a clip: its name, then each test against the first contestant."""
    for clip in dict.fromkeys(curve.clip for curve in compared.curves):
        found = [compared.comparison(names[0], test) for test in names[1:]]
        yield [clip, *(clip_cell(one, clip)[0] for one in found)]


def comparison_notes(compared: Compared) -> Iterator[str]:
    """Yields what a reader should know: of clips, and why there is no number."""
    yield from compared.notes
    for pair in compared.pairs:
        if pair.comparison is None:
            yield f"{pair.test} against {pair.anchor}: {pair.reason}"
            continue
        for one in pair.comparison.clips:
            if one.reason is not None:
                yield f"{pair.test} against {pair.anchor} on {one.clip}: {one.reason}"


def comparison_lines(found: Comparison) -> list[str]:
    """Returns a comparison as text: clip by clip, then the median."""
    lines = []
    for one in found.clips:
        name = one.clip or "BD-rate"
        if one.result is None:
            lines.append(f"{name}: n/a, {one.reason}")
        else:
            result = one.result
            change = percent_text(result.percent, one.interval_percent, digits=2)
            lines.append(
                f"{name}: {change} over quality "
                f"{result.low_quality:g} to {result.high_quality:g} (overlap {result.overlap:.0%})"
            )
        lines += [f"  {note}" for note in one.notes]
    if len(found.clips) > 1:
        assert found.quartiles_percent is not None
        low, high = found.quartiles_percent
        lines.append(
            f"median of {len(found.clips) - found.num_not_available} clips: "
            f"{percent_text(found.bd_rate_percent, found.interval_percent, digits=2)}, quartiles "
            f"{low:+.2f} and {high:+.2f} %, {found.num_not_available} n/a"
        )
    return [*lines, f"method {found.method}, policy {found.policy}"]


def _median(comparison: Comparison | None) -> str:
    if comparison is None:
        return "-"
    return saving_text(comparison.bd_rate_percent, comparison.interval_percent)


def clip_cell(comparison: Comparison | None, clip: str) -> tuple[str, str]:
    """Returns the BD-rate of a clip as text, and as what it is sorted by."""
    for one in comparison.clips if comparison else ():
        if one.clip == clip and one.result is not None:
            percent = one.result.percent
            return saving_text(percent, one.interval_percent), f"{percent:.4f}"
    return "n/a", ""

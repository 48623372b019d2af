"""A comparison as JSON, CSV and rows of tables."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from .bd_comparison import Comparison
from .compare import Compared
from .errors import OutputError


def write_comparison(compared: Compared, folder: Path) -> None:
    """Writes ``comparison.json``, all of it, and ``curves.csv``, a row a point.

    Raises:
        OutputError: The folder cannot be written.
    """
    try:
        text = json.dumps(dataclasses.asdict(compared), allow_nan=False, indent=1)
        (folder / "comparison.json").write_text(text + "\n")
        with (folder / "curves.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["clip", "contestant", "crf", "rate", "quality"])
            for curve in compared.curves:
                for one in curve.points:
                    rate, quality = f"{one.rate_kbps:.3f}", f"{one.quality:.6f}"
                    rows.writerow([curve.clip, curve.contestant, f"{one.crf:g}", rate, quality])
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror}") from error


def matrix_rows(compared: Compared, names: Sequence[str]) -> Iterator[list[str]]:
    """Yields a row an anchor: its name, then the BD-rate of each test against it."""
    pairs = {(pair.anchor, pair.test): pair.comparison for pair in compared.pairs}
    for anchor in names:
        yield [anchor, *(_median(pairs.get((anchor, test))) for test in names)]


def clip_rows(compared: Compared, names: Sequence[str]) -> Iterator[list[str]]:
    """Yields a row a clip: its name, then each test against the first contestant."""
    pairs = {pair.test: pair for pair in compared.pairs if pair.anchor == names[0]}
    for clip in dict.fromkeys(curve.clip for curve in compared.curves):
        yield [clip, *(_of_clip(pairs[test].comparison, clip) for test in names[1:])]


def _median(comparison: Comparison | None) -> str:
    if comparison is None:
        return "-"
    return _percent(comparison.bd_rate_percent, comparison.interval_percent)


def _of_clip(comparison: Comparison | None, clip: str) -> str:
    for one in comparison.clips if comparison else ():
        if one.clip == clip and one.result is not None:
            return _percent(one.result.percent, one.interval_percent)
    return "n/a"


def _percent(value: float, interval: tuple[float, float] | None) -> str:
    ends = "" if interval is None else f" ({interval[0]:+.1f} to {interval[1]:+.1f})"
    return f"{value:+.1f} %{ends}"

"""Curves in CSV files, of ours or measured anywhere."""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..errors import CurveError
from .bd_comparison import FrameQualities


def read_curves(path: Path, contestant: str | None = None) -> dict[str, FrameQualities]:
    """Returns the curves of a CSV file by clip; one without a name where there is no such column.

    Columns ``rate`` and ``quality``; where there is a column ``frame`` too, each row is one frame
    of the encode of that rate. Other columns are left alone.

    Args:
        contestant: Whose curves, by the column ``contestant``; not needed where the file has one.

    Raises:
        CurveError: The file cannot be read, a column is missing, a value is not a number, or the
            contestant is not there, or not said where there are several.
    """
    by_clip: dict[str, dict[float, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for number, row in _rows(path, contestant):
        try:
            rate, quality = float(row["rate"] or ""), float(row["quality"] or "")
        except ValueError:
            raise CurveError(
                f"rate and quality must be numbers, {path} has {row['rate']!r} and "
                f"{row['quality']!r} in line {number}"
            ) from None
        frames = by_clip[row.get("clip") or ""][rate]
        frame = row.get("frame") or ""
        if frame in frames:
            raise CurveError(
                f"each rate{' and frame' if frame else ''} must be there once, {path} has "
                f"{rate:g} again in line {number}"
            )
        frames[frame] = quality
    if not by_clip:
        raise CurveError(f"curves must have rows, {path} has none")
    return {clip: _gathered(path, clip, points) for clip, points in by_clip.items()}


def _rows(path: Path, contestant: str | None) -> list[tuple[int, dict[str, str | None]]]:
    """Returns the rows of one contestant, each with the number of its line."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file, skipinitialspace=True)
            # Tables of a run, such as points.csv, name the unit.
            names = list(rows.fieldnames or ())
            if "rate" not in names:
                rows.fieldnames = ["rate" if name == "rate_kbps" else name for name in names]
            missing = {"rate", "quality"} - set(rows.fieldnames or ())
            if missing:
                raise CurveError(
                    f"curves need columns rate and quality, {path} has no {sorted(missing)[0]} in "
                    f"its first line, {','.join(rows.fieldnames or ())!r}; part columns by commas "
                    f"and name them in small letters"
                )
            numbered = [(rows.line_num, row) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise CurveError(f"curves must be a readable CSV file, {path}: {reason}") from error
    names = list(dict.fromkeys(row.get("contestant") or "" for _, row in numbered))
    listed = ", ".join(name or "one without a name" for name in names)
    if contestant is None:
        if len(names) > 1:
            raise CurveError(
                f"curves must be of one contestant, {path} has {listed}; choose one with "
                f"--anchor-contestant or --test-contestant"
            )
        return numbered
    if names == [""]:
        raise CurveError(
            f"contestant must be in a column contestant, {path} has none, got {contestant!r}"
        )
    if contestant not in names:
        raise CurveError(f"contestant must be one of {listed}, as in {path}, got {contestant!r}")
    return [(number, row) for number, row in numbered if row["contestant"] == contestant]


def _gathered(path: Path, clip: str, points: Mapping[float, Mapping[str, float]]) -> FrameQualities:
    # In order of time, for the blocks of neighbours: as text, 10 would come before 2.
    frames: Sequence[str] = sorted(next(iter(points.values())), key=_frame_order)
    for rate, qualities in points.items():
        if qualities.keys() != set(frames):
            raise CurveError(
                f"each rate must have the same frames, {path} has others at {rate:g}"
                f"{f' of {clip}' if clip else ''}"
            )
    return FrameQualities(
        np.array(list(points)),
        np.array([[qualities[frame] for frame in frames] for qualities in points.values()]),
        frames=tuple(frames),
    )


def _frame_order(frame: str) -> tuple[float, str]:
    """Returns what frames are sorted by: numbers by value, other names after them."""
    try:
        number = float(frame)
    except ValueError:
        return math.inf, frame
    return (number if math.isfinite(number) else math.inf), frame

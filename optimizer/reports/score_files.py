"""A score as CSV and rows of a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ..clip_score import Score
from .output import csv_text, write_whole


def score_rows(score: Score) -> Iterator[list[str]]:
    """Yields a row a metric: name, value, 5th percentile and minimum of frames, frames, regions."""
    for one in score.metrics:
        name = f"{one.metric}, dB" if one.metric in ("psnr", "xpsnr") else one.metric
        digits = ".2f" if one.metric in ("psnr", "xpsnr") else ".4f"
        values = [format(value, digits) for value in (one.value, one.p5, one.min)]
        regions = "-" if one.num_regions is None else str(one.num_regions)
        yield [name, *values, str(len(one.frames)), regions]


def write_frames(score: Score, path: Path) -> None:
    """Writes a CSV row a frame that has a value: its index, its time, and each metric.

    A field is empty where the frame was not looked at, or has no region.

    Raises:
        OutputError: The file cannot be written.
    """
    columns = [{frame.frame: frame for frame in one.frames} for one in score.metrics]
    rows = []
    for index in sorted({index for column in columns for index in column}):
        values = [f"{column[index].value:.6f}" if index in column else "" for column in columns]
        rows.append([index, f"{float(index / score.frame_rate):.6f}", *values])
    names = ["frame", "time_seconds", *(one.metric for one in score.metrics)]
    write_whole(csv_text(names, rows), path)


def write_regions(score: Score, path: Path) -> None:
    """Writes a CSV row a region: its frame, time, box and class, and each metric of regions.

    A field is empty where nobody named a class, or a metric did not look at the region.

    Raises:
        OutputError: The file cannot be written.
    """
    metrics = [one for one in score.metrics if one.num_regions is not None]
    found = dict[tuple[int, tuple[float, ...], str, int], dict[str, float]]()
    for one in metrics:
        for frame in one.frames:
            # Several regions may lie at one place.
            known = Counter[tuple[tuple[float, ...], str]]()
            for region in frame.regions:
                number = known[region.box, region.class_name]
                known[region.box, region.class_name] += 1
                place = (frame.frame, region.box, region.class_name, number)
                found.setdefault(place, {})[one.metric] = region.value
    rows = []
    for (index, box, class_name, _), values in sorted(found.items(), key=lambda row: row[0][0]):
        sides = [f"{side:.2f}" for side in box]
        told = [f"{values[one.metric]:.6f}" if one.metric in values else "" for one in metrics]
        time_seconds = f"{float(index / score.frame_rate):.6f}"
        rows.append([index, time_seconds, *sides, class_name, *told])
    names = ["frame", "time_seconds", "x0", "y0", "x1", "y1", "class"]
    write_whole(csv_text([*names, *(one.metric for one in metrics)], rows), path)

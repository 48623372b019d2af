"""A report as files: the page, and all that it shows as CSV, JSON and PNG."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path

from ..compare import Compared, CompareRequest
from ..events import (
    ClipLoaded,
    PointMeasured,
    Recommended,
    SearchFinished,
    TrialFinished,
    TuneEvent,
)
from ..measuring.bench import settings_json
from .comparison_files import curves_csv
from .output import csv_text, remove_earlier, safe_names, write_whole
from .page import (
    compare_drawings,
    compare_html,
    picture_drawings,
    summary_html,
    tune_drawings,
    tune_html,
)
from .pictures import draw_comparison, draw_curves
from .provenance import looked_at
from .record import (
    CompareRecord,
    Picture,
    Record,
    SummaryRecord,
    TuneRecord,
    read_record,
    record_json,
    without_pictures,
)
from .summaries import CLIPS_TITLE, CRFS_TITLE, FIXED_TITLE

PAGE = "report.html"

# What only some records of a kind have, as files.
_NOT_ALWAYS = {
    "tune": ("speed.png", "lost_sight.png", "importance-*.png", "slices-*.png"),
    "compare": ("curves-*.png",),
    "summary": tuple(f"{name}.csv" for name in safe_names([CLIPS_TITLE, CRFS_TITLE, FIXED_TITLE])),
}


def tune_record(events: Sequence[TuneEvent], *, name: str, encode_command: str) -> TuneRecord:
    """Returns the record of a run from everything that it said.

    Args:
        name: Of its folder of results.
        encode_command: Ours, that makes the same encode of a whole file.
    """
    (clip,) = (one for one in events if isinstance(one, ClipLoaded))
    (last,) = (one for one in events if isinstance(one, Recommended))
    return TuneRecord(
        name=name,
        encode_command=encode_command,
        clip=clip,
        recommendation=last.recommendation,
        trials=tuple(one for one in events if isinstance(one, TrialFinished)),
        points=tuple(one for one in events if isinstance(one, PointMeasured)),
        searches=tuple(one for one in events if isinstance(one, SearchFinished)),
        look=last.look,
    )


def compare_record(request: CompareRequest, compared: Compared, *, name: str) -> CompareRecord:
    """Returns the record of a comparison.

    Args:
        name: Of its folder of results.
    """
    return CompareRecord(
        name=name,
        contestants=tuple(one.name for one in request.contestants),
        settings=tuple(settings_json(one.settings) for one in request.contestants),
        quality_range=(request.low_quality, request.high_quality),
        compared=compared,
        provenance=looked_at(request, compared.clips_content_sha256, compared.machine_version),
    )


def read_picture(path: Path, *, title: str, read: str) -> Picture:
    """Returns a picture that was written as PNG.

    Args:
        read: How to read it, in a sentence.
    """
    data = base64.b64encode(path.read_bytes()).decode()
    return Picture(name=path.name, title=title, read=read, png_base64=data)


def write_report(record: Record, folder: Path) -> Path:
    """Writes a report into a folder and returns the page.

    Raises:
        OutputError: The folder cannot be written.
    """
    # As it is read from the store, so that it is made again to the last byte.
    record = read_record(record_json(record))
    remove_earlier(folder, *_NOT_ALWAYS[record.kind])
    report = json.dumps(record_json(without_pictures(record)), allow_nan=False, indent=1) + "\n"
    match record:
        case TuneRecord():
            downloads = {
                "trials.csv": _trials_csv(record),
                "points.csv": _points_csv(record.points),
                "frames.csv": _frames_csv(record),
            }
            page = tune_html(record, {**downloads, "report.json": report})
            draw_curves(record.recommendation, folder / "curves.png", record.points)
            drawings = [
                *(one for one in tune_drawings(record) if one.name != "curves"),
                *picture_drawings(record),
            ]
        case CompareRecord():
            downloads = {"curves.csv": curves_csv(record.compared)}
            page = compare_html(record, {**downloads, "report.json": report})
            drawings = compare_drawings(record)
            draw_comparison(record.compared, folder / "curves.png")
        case SummaryRecord():
            names = safe_names([one.title for one in record.tables])
            downloads = {
                f"{name}.csv": csv_text(table.columns, table.rows)
                for name, table in zip(names, record.tables, strict=True)
            }
            page = summary_html(record, {**downloads, "report.json": report})
            drawings = []
            for picture in record.pictures:
                write_whole(base64.b64decode(picture.png_base64), folder / picture.name)
    for name, text in {**downloads, "report.json": report}.items():
        write_whole(text, folder / name)
    for drawing in drawings:
        drawing.write_png(folder)
    write_whole(page, folder / PAGE)
    return folder / PAGE


def _trials_csv(record: TuneRecord) -> str:
    """Returns a row a trial: what it cost, and each parameter that any trial has."""
    names = sorted({name for one in record.trials for name in one.parameters})
    return csv_text(
        ["trial", "cost_percent", "num_points", "failure", *names],
        (
            [
                one.trial,
                one.cost_percent,
                one.num_points,
                one.failure,
                *(one.parameters.get(name) for name in names),
            ]
            for one in record.trials
        ),
    )


def _points_csv(points: Sequence[PointMeasured]) -> str:
    """Returns a row an encode."""
    return csv_text(
        [
            "role", "trial", "crf", "rate_kbps", "quality", "quality_low", "quality_high",
            "encode_seconds", "is_from_store",
        ],
        (
            [
                one.role, one.trial, one.crf, one.rate_kbps, one.quality,
                *(one.quality_interval or (None, None)), one.encode_seconds,
                int(one.is_from_store),
            ]
            for one in points
        ),
    )  # fmt: skip


def _frames_csv(record: TuneRecord) -> str:
    """Returns a row a frame looked at: its quality in each version, empty without an object."""
    look = record.look
    return csv_text(
        ["frame", "time_seconds", "num_objects", *(one.version for one in look.tracks)],
        (
            list(row)
            for row in zip(
                look.frames,
                look.times_seconds,
                look.num_objects,
                *(one.qualities for one in look.tracks),
                strict=True,
            )
        ),
    )

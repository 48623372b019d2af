"""A report as one HTML page that needs no network: what to use first, then why."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.image import imsave

from ..curves.bd_rate import is_below_0, may_be_chance, saving_text
from ..recommendation import Recommendation
from ..search.clip_benches import SAME_FRAMES
from . import close_figures, figures
from .close_look import LossMap, Moment
from .comparison_files import clip_cell, comparison_notes, matrix_rows
from .drawing import NARROW, WIDE, Drawing
from .pictures import LOSS_COLORS
from .record import CompareRecord, SummaryRecord, TuneRecord
from .saving import saving_of
from .sentences import (
    ONE_THREAD,
    SHOT_COLUMNS,
    at_text,
    bd_rate_text,
    contender_lines,
    examined_rows,
    headline,
    machine_text,
    real_lines,
    shot_lines,
    shot_rows,
)

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A drawing as it stands in the page: for a desk and for a phone."""

    name: str
    title: str
    wide: Markup
    narrow: Markup


def tune_html(record: TuneRecord, downloads: Mapping[str, str]) -> str:
    """Returns the page of a run of ``ratesight tune``.

    Args:
        downloads: Files by name that the page carries along, as text.
    """
    found = record.recommendation
    saving = saving_of(found)
    drawings = {one.name: one for one in tune_drawings(record)}
    maps = record.look.loss_maps
    return _page(
        "tune.html",
        downloads,
        record=record,
        clip_name=Path(str(found.provenance.get("clip", record.name))).name,
        headline=headline(found),
        at=at_text(found),
        percent=saving.percent,
        interval=_interval(saving.percent, saving.interval_percent),
        is_sure=is_below_0(saving.interval_percent),
        by_shots=None if found.shots is None else _by_shots(found),
        shot_columns=SHOT_COLUMNS,
        shot_rows=[] if found.per_shot is None else shot_rows(found.per_shot),
        one_thread=ONE_THREAD,
        bd_rate=bd_rate_text(found),
        rows=examined_rows(found),
        losses=list(_losses(found)),
        lines=[
            *contender_lines(found),
            *real_lines(found),
            *([] if found.per_shot is None else shot_lines(found.per_shot)),
        ],
        overlaps=any(note.startswith(SAME_FRAMES) for note in found.notes),
        drawings={name: _figure(one) for name, one in drawings.items()}
        | ({} if "speed" in drawings else {"speed": None}),
        moments=[_moment(one) for one in record.look.moments],
        maps=None
        if maps is None
        else {
            "metric": maps.metric,
            "frame": maps.frame,
            "time_seconds": maps.time_seconds,
            "maps": [_loss_map(one) for one in maps.maps],
        },
        parts=[
            {
                "name": one.part,
                "num_trials": len(_trials_of(record, one.part)),
                "importance": _figure(drawings[f"importance-{one.part}"])
                if f"importance-{one.part}" in drawings
                else None,
                "slices": _figure(drawings[f"slices-{one.part}"])
                if f"slices-{one.part}" in drawings
                else None,
            }
            for one in record.searches
        ],
        trials=list(_trial_rows(record)),
        machine=machine_text(found.machines),
        provenance=_flat({**found.provenance, "seconds": dict(found.seconds)}),
    )


def tune_drawings(record: TuneRecord) -> list[Drawing]:
    """Returns all figures of a run that can be drawn of it."""
    found, look = record.recommendation, record.look
    drawings = [
        ("curves", "Rate and quality", figures.curves(found, record.points)),
        ("frames", "Quality over time", close_figures.frames(look)),
        (
            "pareto",
            "All encodes of the search",
            figures.pareto(record.points, _chosen(record)),
        ),
        ("speed", "Cost and encode time", figures.speed(record.trials, record.points)),
    ]
    for one in record.searches:
        trials = _trials_of(record, one.part)
        drawings += [
            (
                f"importance-{one.part}",
                "What each parameter is worth",
                figures.importance(one),
            ),
            (
                f"slices-{one.part}",
                "Cost over each parameter",
                figures.slices(one, trials),
            ),
        ]
    return [
        Drawing(name=name, title=title, draw=draw)
        for name, title, draw in drawings
        if draw is not None
    ]


def picture_drawings(record: TuneRecord) -> list[Drawing]:
    """Returns figures that are pictures: the page has them as such, with boxes to switch off."""
    maps = record.look.loss_maps
    return [
        Drawing(
            name="pictures",
            title="What the machine sees",
            draw=close_figures.pictures(record.look.moments),
        ),
        *(
            []
            if maps is None
            else [Drawing(name="lost_sight", title="Lost sight", draw=close_figures.heat(maps))]
        ),
    ]


def compare_html(record: CompareRecord, downloads: Mapping[str, str]) -> str:
    """Returns the page of a run of ``ratesight compare``."""
    names, compared = record.contestants, record.compared
    clips = list(dict.fromkeys(curve.clip for curve in compared.curves))
    return _page(
        "compare.html",
        downloads,
        record=record,
        clips=clips,
        best=_best(record),
        skipped=compared.skipped,
        matrix=list(_matrix(record)),
        clip_rows=[
            (clip, [clip_cell(compared.comparison(names[0], one), clip) for one in names[1:]])
            for clip in clips
        ],
        drawings=[_figure(one) for one in compare_drawings(record)],
        settings=list(zip(names, record.settings, strict=True)),
        notes=list(comparison_notes(compared)),
        provenance=_flat(
            {
                **record.provenance,
                "num_encodes": compared.num_encodes,
                "num_from_store": compared.num_from_store,
            }
        ),
    )


def summary_html(record: SummaryRecord, downloads: Mapping[str, str]) -> str:
    """Returns the page of a run that is told in tables and pictures."""
    return _page("summary.html", downloads, record=record, provenance=_flat(record.provenance))


def compare_drawings(record: CompareRecord) -> list[Drawing]:
    """Returns the curves of each clip."""
    compared = record.compared
    clips = list(dict.fromkeys(curve.clip for curve in compared.curves))
    return [
        Drawing(
            name=f"curves-{number}",
            title=clip,
            draw=figures.contestants(
                [one for one in compared.curves if one.clip == clip], record.contestants
            ),
        )
        for number, clip in enumerate(clips)
    ]


def _page(template: str, downloads: Mapping[str, str], **shown: Any) -> str:
    from ratesight import __version__

    script = (_TEMPLATES / "script.js").read_text()
    return (
        _environment()
        .get_template(template)
        .render(
            style=Markup((_TEMPLATES / "style.css").read_text()),
            script=Markup(script),
            # The page's own script and no other, whatever should find its way into it.
            script_sha256=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            version=__version__,
            downloads=[(name, _data_url(name, text)) for name, text in downloads.items()],
            **shown,
        )
    )


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _data_url(name: str, text: str) -> str:
    kind = {"csv": "text/csv", "json": "application/json"}[name.rpartition(".")[2]]
    return f"data:{kind};base64,{base64.b64encode(text.encode()).decode()}"


def _figure(drawing: Drawing) -> Figure:
    return Figure(
        name=drawing.name,
        title=drawing.title,
        wide=Markup(drawing.svg(WIDE)),
        narrow=Markup(drawing.svg(NARROW)),
    )


def _by_shots(found: Recommendation) -> dict[str, Any]:
    """Returns what a recommended CRF for each shot saves against one for all of them."""
    assert found.per_shot is not None
    change = found.per_shot.told_change
    interval = (change.low_percent, change.high_percent)
    return {
        "percent": change.percent,
        "is_sure": is_below_0(interval),
        "interval": _interval(change.percent, interval),
    }


def _interval(percent: float, interval: tuple[float | None, float | None]) -> str:
    """Returns the interval of the saving; where the curves end, that."""
    if interval == (None, None):
        return "unknown, too little was measured"
    ends = ["beyond what was measured" if end is None else f"{end:+.1f} %" for end in interval]
    is_chance = may_be_chance(percent, interval)
    return " to ".join(ends) + (", may be chance" if is_chance else "")


def _losses(found: Recommendation) -> Iterator[str]:
    """Yields what the tuned settings do worse than the defaults, each where it meets the target."""
    if found.keeps_defaults:
        return
    for name, field, form, least in (
        ("task quality, worst frame", "quality_min", ".3f", 0.005),
        ("task quality, 5th percentile of frames", "quality_p5", ".3f", 0.005),
        ("mAP 50-95", "map50_95", ".3f", 0.005),
        ("precision: more is made up", "precision", ".3f", 0.005),
        ("recall", "recall", ".3f", 0.005),
        ("PSNR in dB: it looks worse to people", "psnr_db", ".2f", 0.05),
        ("encode speed in frames a second", "encode_fps", ".1f", 0.05 * found.anchor.encode_fps),
    ):
        anchor, winner = getattr(found.anchor, field), getattr(found.winner, field)
        if anchor is not None and winner is not None and winner < anchor - least:
            yield f"{name}: {anchor:{form}} with the defaults, {winner:{form}} tuned"
    saving = saving_of(found)
    for what, percent, interval in (
        ("saving", saving.percent, saving.interval_percent),
        ("BD-rate", saving.bd_rate_percent, saving.bd_rate_interval_percent),
    ):
        if percent is not None and may_be_chance(percent, interval):
            yield f"the interval of the {what} does not end below 0: it may be chance"


def _moment(moment: Moment) -> dict[str, Any]:
    views = [
        {
            "version": view.version,
            "crf": view.crf,
            "rate_kbps": view.rate_kbps,
            "quality": view.quality,
            "sights": view.sights,
            "num_lost": sum(one.fate == "lost" for one in view.sights),
            "num_made_up": sum(one.fate == "made up" for one in view.sights),
            "jpeg_base64": view.jpeg_base64,
        }
        for view in moment.views
    ]
    return {
        "frame": moment.frame,
        "time_seconds": moment.time_seconds,
        "choice": moment.choice,
        "width": moment.width,
        "height": moment.height,
        "views": views,
    }


def _loss_map(one: LossMap) -> dict[str, Any]:
    losses = np.array(one.losses)
    colors = LinearSegmentedColormap.from_list("loss", LOSS_COLORS)(losses)
    heat = io.BytesIO()
    # A pixel a square: the browser makes it larger, and smooth.
    imsave(heat, colors, format="png")
    return {
        "version": one.version,
        "jpeg_base64": one.jpeg_base64,
        "heat_base64": base64.b64encode(heat.getvalue()).decode(),
        "mean": float(losses.mean()),
        "worst": float(losses.max()),
    }


def _trials_of(record: TuneRecord, part: Literal["encoder", "regions"]) -> list[Any]:
    """Returns the trials of a part of the search: those of regions come after the others."""
    num_encoder = record.recommendation.num_trials
    return [one for one in record.trials if (one.trial < num_encoder) == (part == "encoder")]


def _chosen(record: TuneRecord) -> int | None:
    """Returns the trial whose settings are recommended."""
    settings = record.recommendation.settings["options"]
    return next((one.trial for one in record.trials if one.options == settings), None)


def _trial_rows(record: TuneRecord) -> Iterator[dict[str, Any]]:
    chosen = _chosen(record)
    for one in record.trials:
        seconds = [
            point.encode_seconds
            for point in record.points
            if point.role == "search" and point.trial == one.trial and point.encode_seconds
        ]
        what = ", ".join(f"{name}={value}" for name, value in one.options.items())
        yield {
            "trial": one.trial,
            "cost": "" if one.cost_percent is None else f"{one.cost_percent:+.1f}",
            "num_points": one.num_points,
            "seconds": f"{float(np.median(seconds)):.2f}" if seconds else "",
            "what": f"failed: {one.failure}" if one.failure else what or "the encoder's defaults",
            "is_chosen": one.trial == chosen,
        }


def _best(record: CompareRecord) -> dict[str, Any] | None:
    """Returns the contestant that saves most against the first."""
    found = [
        (pair.comparison.bd_rate_percent, pair.test, pair.comparison)
        for pair in record.compared.pairs
        if pair.anchor == record.contestants[0] and pair.comparison is not None
    ]
    if not found:
        return None
    percent, test, comparison = min(found, key=lambda one: one[0])
    return {
        "percent": percent,
        "test": test,
        "text": saving_text(percent, comparison.interval_percent),
        "is_sure": is_below_0(comparison.interval_percent),
        "num_clips": len(comparison.clips) - comparison.num_not_available,
    }


def _matrix(record: CompareRecord) -> Iterator[list[dict[str, str]]]:
    pairs = {(one.anchor, one.test): one.comparison for one in record.compared.pairs}
    for row in matrix_rows(record.compared, record.contestants):
        cells = [{"text": row[0], "tone": ""}]
        for test, text in zip(record.contestants, row[1:], strict=True):
            comparison = pairs.get((row[0], test))
            interval = None if comparison is None else comparison.interval_percent
            tone = ""
            if is_below_0(interval):
                tone = "good"
            elif interval is not None and min(interval) > 0:
                tone = "bad"
            cells.append({"text": text, "tone": tone})
        yield cells


def _flat(values: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    """Returns nested values as lines: long lists by their length."""
    lines: list[tuple[str, str]] = []
    for name, value in values.items():
        label = f"{before}{name}".replace("_", " ")
        if isinstance(value, Mapping):
            lines += _flat(value, f"{name}: ")
        elif isinstance(value, Sequence) and not isinstance(value, str):
            lines.append((label, f"{len(value)} of them" if len(value) > 8 else _words(value)))
        elif value is not None:
            lines.append((label, f"{value:.3f}" if isinstance(value, float) else str(value)))
    return lines


def _words(values: Sequence[Any]) -> str:
    return ", ".join(str(one) for one in values) or "none"

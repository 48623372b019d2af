"""The picture of ladders: hulls and rungs, one field a title."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from ..curves.curve import fit_curve
from ..reports.pictures import rate_axis, save_figure
from ..reports.plain_text import picture_text
from .ladder import PerTitle, TitleLadder

# Okabe and Ito's colours, told apart by colour-blind readers; one a contestant.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#666666", "#F0E442")
_STYLES = ("-", "--", ":", "-.")
_COLUMNS = 3


def draw_ladders(found: PerTitle, path: Path) -> None:
    """Writes a PNG of the curves, the hull and the rungs of each title.

    Raises:
        OutputError: The file cannot be written.
    """
    names = list(dict.fromkeys(one.contestant for title in found.titles for one in title.curves))
    columns = min(_COLUMNS, len(found.titles))
    rows = -(-len(found.titles) // columns)
    figure = Figure(figsize=(4.8 * columns, 3.9 * rows + 0.8), dpi=130, layout="constrained")
    fields = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, title in zip(fields, found.titles, strict=False):
        _draw_title(axes, title, names)
    for axes in fields[len(found.titles) :]:
        axes.set_axis_off()
    lines = []
    for number, name in enumerate(names):
        color, style = _look(number)
        lines.append(Line2D([], [], label=picture_text(name), color=color, linestyle=style))
    hull = Line2D([], [], label="hull", color="black", linewidth=2.5, alpha=0.25)
    figure.legend(
        handles=[*lines, hull], loc="outside upper left", ncols=2 * columns, fontsize=7,
        frameon=False,
    )  # fmt: skip
    text = (
        "Circles are rungs, as chosen, with their CRF; crosses are the same as verified on frames "
        "that the choice did not see. Faint curves were given up early."
    )
    figure.supxlabel(textwrap.fill(text, 62 * columns), fontsize=7)
    save_figure(figure, path)


def _look(number: int) -> tuple[str, str]:
    """Returns colour and line style of a contestant."""
    return _COLORS[number % len(_COLORS)], _STYLES[number // len(_COLORS) % len(_STYLES)]


def _draw_title(axes: Axes, title: TitleLadder, names: list[str]) -> None:
    chosen = [one.chosen for one in title.rungs if one.chosen is not None]
    for curve in title.curves:
        color, style = _look(names.index(curve.contestant))
        fitted = fit_curve(curve.points)
        log_rates = np.linspace(fitted.log_rates[0], fitted.log_rates[-1], 100)
        is_behind = curve.contestant in title.given_up
        axes.plot(
            np.exp(log_rates),
            fitted.qualities_at(log_rates),
            color=color,
            linestyle=style,
            linewidth=1.2,
            alpha=0.3 if is_behind else 1.0,
        )
        axes.plot(
            [one.rate_kbps for one in curve.points],
            [one.quality for one in curve.points],
            ".",
            color=color,
            markersize=3,
            alpha=0.3 if is_behind else 1.0,
        )
    corners = [one.point for one in title.hull]
    axes.plot(
        [one.rate_kbps for one in corners],
        [one.quality for one in corners],
        color="black",
        linewidth=2.5,
        alpha=0.25,
    )
    for one in chosen:
        color, _ = _look(names.index(one.contestant))
        at = (one.expected_rate_kbps, one.expected_quality)
        axes.plot(*at, "o", color=color, markersize=6, markeredgecolor="black")
        axes.plot(one.rate_kbps, one.quality, "x", color="black", markersize=5)
        axes.annotate(f"{one.crf:g}", at, xytext=(5, -10), textcoords="offset points", fontsize=7)
    asked = [one.choice_quality for one in title.rungs]
    for quality in asked:
        axes.axhline(quality, color="black", linewidth=0.5, linestyle=":")
    shown = [*asked, *(one.quality for one in chosen)]
    room = max(0.03, (max(shown) - min(shown)) * 0.4)
    axes.set_ylim(max(0.0, min(shown) - room), min(1.0, max(shown) + room / 2))
    rate_axis(axes)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))  # small fields have no room for more
    axes.set_ylabel("task quality")
    axes.tick_params(labelsize=8)
    name = f"{title.clip}, {title.width}x{title.height}"
    axes.set_title(picture_text(name), fontsize=9, loc="left")

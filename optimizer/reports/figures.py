"""The figures of a report: as inline SVG that follows the page's colours, and as PNG.

Each is a function of what is shown and of the room there is, since text that fits a desk is
unreadable on a phone when it is only made smaller.
"""

from __future__ import annotations

import base64
import io
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from ..curves.curve import RdPoint
from ..events import PointMeasured, SearchFinished, TrialFinished
from ..recommendation import Recommendation
from .moment import CloseLook, LossMaps, Moment, Sight, Version
from .output import write_whole
from .pictures import (
    ANCHOR_COLOR,
    COLORS,
    LOSS_COLORS,
    MARKERS,
    WINNER_COLOR,
    draw_curve,
    rate_axis,
)

# Inches: a desk's column, and a phone of 360 pixels.
WIDE, NARROW = 7.4, 3.5
# How many parameters are shown; the others hardly matter.
_MOST_BARS, _MOST_SLICES = 10, 6
# Okabe and Ito: seen, lost, made up.
FATE_COLORS = {"kept": "#009E73", "lost": "#D55E00", "made up": "#F0E442"}
_VERSION_STYLES: dict[Version, tuple[str, str]] = {
    "defaults": (ANCHOR_COLOR, "-"),
    "defaults at equal rate": (ANCHOR_COLOR, ":"),
    "tuned": (WINNER_COLOR, "-"),
}
# What stands for the page's own colours in an SVG, and what they are there.
_INK = "#111111"
_PAGE_COLORS = {
    _INK: "currentColor",
    ANCHOR_COLOR: "var(--anchor)",
    WINNER_COLOR: "var(--tuned)",
    "#ffffff": "var(--paper)",
}
_STYLE = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "legend.fontsize": 8,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    # Names of clips and options are words, not formulas: "$" would be an error.
    "text.parse_math": False,
    "svg.fonttype": "none",
}

Draw = Callable[[float], Figure]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """One figure of a report.

    Attributes:
        name: Of its PNG file, without the ending; and of its ids in the page.
        title: What it shows.
        draw: Makes it for a width in inches.
    """

    name: str
    title: str
    draw: Draw

    def svg(self, width: float) -> str:
        """Returns it as an SVG element that follows the page's colours."""
        data = io.StringIO()
        with _style({"svg.hashsalt": self.name}):
            figure = self.draw(width)
            figure.savefig(data, format="svg", transparent=True, metadata=_NO_METADATA)
        text = data.getvalue()
        text = text[text.index("<svg") :]
        name = f"{self.name}-{'wide' if width >= WIDE else 'narrow'}"
        text = re.sub(r'\bid="', f'id="{name}-', text)
        text = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", text)
        # The element fills its column, and its rules for all elements stay out of the page.
        text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)
        text = re.sub(r'(<svg[^>]*?) (?:width|height)="[^"]*"', r"\1", text)
        text = re.sub(r'(<svg[^>]*?) (?:width|height)="[^"]*"', r"\1", text)
        for color, meaning in _PAGE_COLORS.items():
            text = text.replace(f": {color.lower()}", f": {meaning}")
        return text.replace("<svg ", '<svg role="img" ', 1)

    def write_png(self, folder: Path) -> None:
        """Writes it as PNG.

        Raises:
            OutputError: The folder cannot be written.
        """
        path = folder / f"{self.name}.png"
        with _style({}):
            figure = self.draw(WIDE)
            picture = io.BytesIO()
            figure.savefig(picture, format="png", dpi=150)
        write_whole(picture.getvalue(), path)


_NO_METADATA = {"Creator": None, "Date": None, "Format": None, "Type": None}


@contextmanager
def _style(more: dict[str, str]) -> Iterator[None]:
    with mpl.rc_context({**_STYLE, **more}), warnings.catch_warnings():
        # A name in letters that the font has not; a browser has them.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        warnings.filterwarnings("ignore", message=".*Matplotlib currently does not support")
        yield


def curves(recommendation: Recommendation, points: Sequence[PointMeasured]) -> Draw:
    """Returns the verified curves of anchor and winner, each point with its interval."""

    def draw(width: float) -> Figure:
        figure, axes = _axes(width, 0.62)
        lines = [("anchor", recommendation.anchor_curve, ANCHOR_COLOR, "o", "defaults")]
        if not recommendation.keeps_defaults:
            role = _winner_role(recommendation)
            lines.append((role, recommendation.winner_curve, WINNER_COLOR, "s", "tuned"))
        for role, curve, color, marker, label in lines:
            _intervals(axes, [one for one in points if one.role == role], color)
            draw_curve(axes, curve, color, marker, label, names_crf=width >= WIDE)
        if (quality := recommendation.steered_quality) is not None:
            axes.axhline(quality, color=_INK, linewidth=0.8, linestyle=":")
            if not recommendation.keeps_defaults:
                axes.annotate(
                    "",
                    (recommendation.rate_kbps, quality),
                    (recommendation.anchor_rate_kbps, quality),
                    arrowprops={"arrowstyle": "->", "color": WINNER_COLOR, "linewidth": 1.8},
                )
        if (rate := recommendation.target_rate_kbps) is not None:
            axes.axvline(rate, color=_INK, linewidth=0.8, linestyle=":")
        rate_axis(axes)
        axes.set_ylabel("task quality")
        axes.legend(loc="lower right", frameon=False)
        return figure

    return draw


def _winner_role(recommendation: Recommendation) -> str:
    """Returns under which role the recommended settings were verified."""
    for one in recommendation.contenders:
        if one.curve == recommendation.winner_curve:
            return one.role
    return "options"


def _intervals(axes: Axes, points: Sequence[PointMeasured], color: str) -> None:
    for one in points:
        if one.quality_interval is not None:
            axes.plot(
                [one.rate_kbps] * 2, one.quality_interval, color=color, alpha=0.45, linewidth=1.2
            )


def contestants(
    lines: Sequence[tuple[str, int, Sequence[RdPoint], Sequence[tuple[float, float] | None]]],
) -> Draw:
    """Returns the curves of one clip: name, number of the colour, points, and their intervals."""

    def draw(width: float) -> Figure:
        figure, axes = _axes(width, 0.62)
        for name, number, points, intervals in lines:
            color = COLORS[number % len(COLORS)]
            for point, interval in zip(points, intervals, strict=False):
                if interval is not None:
                    axes.plot([point.rate_kbps] * 2, interval, color=color, alpha=0.45)
            draw_curve(
                axes, points, color, MARKERS[number % len(MARKERS)], name, names_crf=width >= WIDE
            )
        rate_axis(axes)
        axes.set_ylabel("task quality")
        axes.legend(loc="lower right", frameon=False)
        return figure

    return draw


def pareto(points: Sequence[PointMeasured], chosen: int | None) -> Draw:
    """Returns all encodes of the search, and those that no other beats in rate and quality.

    Args:
        chosen: The trial that is recommended.
    """
    searched = [one for one in points if one.role == "search"]
    front = _front([(one.rate_kbps, -one.quality) for one in searched])

    def draw(width: float) -> Figure:
        figure, axes = _axes(width, 0.55)
        for is_anchor, color, marker, label in (
            (False, WINNER_COLOR, "o", "an encode of a trial"),
            (True, ANCHOR_COLOR, "D", "an encode with the defaults"),
        ):
            some = [one for one in searched if (one.trial == 0) == is_anchor]
            axes.plot(
                [one.rate_kbps for one in some],
                [one.quality for one in some],
                marker,
                color=color,
                markersize=4,
                alpha=0.65,
                markeredgewidth=0,
                label=label,
            )
        axes.plot(
            [searched[at].rate_kbps for at in front],
            [searched[at].quality for at in front],
            color=COLORS[2],
            drawstyle="steps-post",
            linewidth=1.4,
            label="Pareto front",
        )
        if ringed := [one for one in searched if one.trial == chosen]:
            axes.plot(
                [one.rate_kbps for one in ringed],
                [one.quality for one in ringed],
                "o",
                color=_INK,
                markersize=9,
                markerfacecolor="none",
                markeredgewidth=1.2,
                label="recommended",
            )
        lowest = min((one.quality for one in searched if one.trial), default=0.0)
        bottom = max(-0.03, lowest - 0.05)
        axes.set_ylim(bottom=bottom)
        rate_axis(axes)
        axes.set_xlim(left=0.92 * min(one.rate_kbps for one in searched if one.quality >= bottom))
        axes.set_ylabel("task quality")
        axes.legend(loc="lower right", frameon=False)
        return figure

    return draw


def speed(trials: Sequence[TrialFinished], points: Sequence[PointMeasured]) -> Draw | None:
    """Returns the cost of each trial over the time its encodes take; None where nobody knows."""
    seconds: dict[int, list[float]] = {}
    for one in points:
        if one.role == "search" and one.trial is not None and one.encode_seconds is not None:
            seconds.setdefault(one.trial, []).append(one.encode_seconds)
    known = [
        (float(np.median(seconds[one.trial])), one.cost_percent, one.trial)
        for one in trials
        if one.cost_percent is not None and one.trial in seconds
    ]
    if len(known) < 2:
        return None
    front = _front([(time, cost) for time, cost, _ in known])

    def draw(width: float) -> Figure:
        figure, axes = _axes(width, 0.5)
        for time, cost, trial in known:
            color, marker = (WINNER_COLOR, "o") if trial else (ANCHOR_COLOR, "D")
            axes.plot([time], [cost], marker, color=color, markersize=5, markeredgewidth=0)
        axes.plot(
            [known[at][0] for at in front],
            [known[at][1] for at in front],
            color=COLORS[2],
            drawstyle="steps-post",
            linewidth=1.4,
            label="Pareto front",
        )
        axes.set_xlabel("encode seconds (median of the trial)")
        axes.set_ylabel("cost in the search, %")
        axes.set_ylim(*_cost_limits([cost for _, cost, _ in known]))
        axes.set_xlim(left=0)
        axes.grid(alpha=0.25)
        axes.legend(loc="upper right", frameon=False)
        return figure

    return draw


def _front(costs: Sequence[tuple[float, float]]) -> list[int]:
    """Returns indices of what nothing else is as good as in both, by the first; lower is better."""
    front: list[int] = []
    for at in sorted(range(len(costs)), key=lambda at: costs[at]):
        if not front or costs[at][1] < costs[front[-1]][1]:
            front.append(at)
    return front


def importance(found: SearchFinished) -> Draw | None:
    """Returns what each parameter is worth by each evaluator; None where nobody can tell."""
    names = ranked(found)[:_MOST_BARS]
    if not names:
        return None

    def draw(width: float) -> Figure:
        figure, axes = _axes(width, 0.14 + 0.035 * len(names) * (1 if width >= WIDE else 1.5))
        rows = np.arange(len(names))
        height = 0.8 / len(found.importances)
        for number, (evaluator, shares) in enumerate(found.importances.items()):
            axes.barh(
                rows + (number - 0.5) * height,
                [shares.get(name, 0.0) for name in names],
                height=height,
                color=(WINNER_COLOR, COLORS[5])[number % 2],
                label=evaluator,
            )
        axes.set_yticks(rows, names)
        axes.invert_yaxis()
        axes.set_xlabel("share of what the costs differ by")
        axes.legend(loc="lower right", frameon=False)
        return figure

    return draw


def ranked(found: SearchFinished) -> list[str]:
    """Returns parameters by what they are worth on average over the evaluators."""
    names = {name for shares in found.importances.values() for name in shares}

    def worth(name: str) -> tuple[float, str]:
        return (-sum(shares.get(name, 0.0) for shares in found.importances.values()), name)

    return sorted(names, key=worth)


def slices(found: SearchFinished, trials: Sequence[TrialFinished]) -> Draw | None:
    """Returns the cost of each trial over each of the parameters that matter most."""
    names = ranked(found)[:_MOST_SLICES]
    told = [one for one in trials if one.cost_percent is not None]
    if not names or not told:
        return None
    limits = _cost_limits([one.cost_percent for one in told if one.cost_percent is not None])

    def draw(width: float) -> Figure:
        columns = 3 if width >= WIDE else 2
        rows = -(-len(names) // columns)
        figure = Figure(figsize=(width, 1.75 * rows), layout="constrained")
        fields = figure.subplots(rows, columns, squeeze=False, sharey=True)
        for axes, name in zip(fields.ravel(), names, strict=False):
            _slice(axes, name, told)
            axes.set_ylim(*limits)
            axes.axhline(0, color=_INK, linewidth=0.6, linestyle=":")
        for axes in fields.ravel()[len(names) :]:
            axes.set_axis_off()
        for axes in fields[:, 0]:
            axes.set_ylabel("cost, %")
        return figure

    return draw


def _slice(axes: Axes, name: str, trials: Sequence[TrialFinished]) -> None:
    shown = [one for one in trials if name in one.parameters]
    values = [one.parameters[name] for one in shown]
    if any(isinstance(value, str) for value in values):
        words = sorted({str(value) for value in values})
        places: list[float] = [float(words.index(str(value))) for value in values]
        axes.set_xticks(range(len(words)), words)
        axes.set_xlim(-0.5, len(words) - 0.5)
    else:
        places = [float(value) for value in values]
        is_whole = all(isinstance(value, int) for value in values)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=is_whole))
    for place, one in zip(places, shown, strict=True):
        assert one.cost_percent is not None, "told"
        color, marker = (WINNER_COLOR, "o") if one.trial else (ANCHOR_COLOR, "D")
        axes.plot(
            [place], [one.cost_percent], marker, color=color, markersize=4, alpha=0.7,
            markeredgewidth=0,
        )  # fmt: skip
    axes.set_title(name, loc="left", fontsize=9)
    axes.grid(alpha=0.25)


def _cost_limits(costs: Sequence[float]) -> tuple[float, float]:
    """Returns where an axis of costs ends: what is hopeless may lie outside."""
    low = min(0.0, *costs)
    high = max(float(np.percentile(costs, 85)), 5.0)
    room = (high - low) * 0.08
    return low - room, high + room


def frames(look: CloseLook) -> Draw:
    """Returns quality over time of every version."""

    def draw(width: float) -> Figure:
        figure, axes = _axes(width, 0.42)
        for track in look.tracks:
            color, style = _VERSION_STYLES[track.version]
            values = [np.nan if one is None else one for one in track.qualities]
            axes.plot(
                look.times_seconds,
                values,
                style,
                color=color,
                marker="." if len(values) < 120 else None,
                markersize=4,
                linewidth=1.2,
                label=f"{track.version}, {track.rate_kbps:.0f} kbit/s",
            )
        axes.set_xlabel("seconds")
        axes.set_ylabel("task quality")
        axes.set_ylim(-0.03, 1.03)
        axes.grid(alpha=0.25)
        columns = 3 if width >= WIDE else 1
        figure.legend(loc="outside upper left", frameon=False, ncols=columns)
        return figure

    return draw


def pictures(moments: Sequence[Moment]) -> Draw:
    """Returns the chosen frames, a row each: original, and what encodes leave of it."""

    def draw(width: float) -> Figure:
        width *= 1.5
        columns = max(len(one.views) for one in moments)
        shape = max(one.height / one.width for one in moments)
        height = (width / columns * shape + 0.5) * len(moments)
        figure = Figure(figsize=(width, height), layout="constrained")
        fields = figure.subplots(len(moments), columns, squeeze=False)
        for row, moment in zip(fields, moments, strict=True):
            for axes, view in zip(row, moment.views, strict=False):
                shown = imread(io.BytesIO(base64.b64decode(view.jpeg_base64)), format="jpg")
                show_picture(axes, shown, view.sights)
                rate = "" if view.rate_kbps is None else f", {view.rate_kbps:.0f} kbit/s"
                axes.set_title(f"{view.version}{rate}", fontsize=8, loc="left")
            row[0].set_xlabel(f"{moment.time_seconds:.2f} s, {moment.choice}", loc="left")
        return figure

    return draw


def show_picture(axes: Axes, picture: npt.NDArray[np.uint8], sights: Sequence[Sight]) -> None:
    """Shows an RGB picture with what is kept, lost and made up."""
    axes.imshow(picture)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    for sight in sights:
        x0, y0, x1, y1 = sight.box
        axes.add_patch(
            Rectangle(
                (x0, y0), x1 - x0, y1 - y0, fill=False, linewidth=1.2,
                edgecolor=FATE_COLORS[sight.fate],
            )
        )  # fmt: skip


def heat(maps: LossMaps) -> Draw:
    """Returns where a learned metric loses sight, on each version of one frame."""

    def draw(width: float) -> Figure:
        shown = [
            imread(io.BytesIO(base64.b64decode(one.jpeg_base64)), format="jpg") for one in maps.maps
        ]
        rows, columns, _ = shown[0].shape
        figure = Figure(
            figsize=(width, width / len(shown) * rows / columns + 0.9), layout="constrained"
        )
        fields = figure.subplots(1, len(shown), squeeze=False).ravel()
        for axes, one, picture in zip(fields, maps.maps, shown, strict=True):
            axes.imshow(picture.mean(axis=-1), cmap="gray", vmin=0, vmax=255)
            scale = axes.imshow(
                np.array(one.losses),
                cmap=LinearSegmentedColormap.from_list("loss", LOSS_COLORS),
                vmin=0,
                vmax=1,
                extent=(-0.5, columns - 0.5, rows - 0.5, -0.5),
                interpolation="bilinear",
            )
            axes.set_axis_off()
            axes.set_title(one.version, fontsize=9, loc="left")
        figure.colorbar(scale, ax=fields, label="predicted loss", shrink=0.8)
        return figure

    return draw


def _axes(width: float, shape: float) -> tuple[Figure, Axes]:
    """Returns an empty figure; on a phone it is taller."""
    shape = shape if width >= WIDE else shape * 1.4
    figure = Figure(figsize=(width, width * shape), layout="constrained")
    return figure, figure.subplots()

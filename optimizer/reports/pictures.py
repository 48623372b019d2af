"""The pictures of our results, as PNG."""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from ..compare import Compared
from ..contestants import CurveMeasured
from ..curves.curve import RdPoint, fit_curve
from ..events import PointMeasured
from ..fleet import Fleet
from ..recommendation import Recommendation
from .output import write_whole
from .plain_text import picture_text
from .saving import saving_of
from .sentences import headline

if TYPE_CHECKING:
    from ..clip_score import HeatMap

# Of lines and letters; a page has its own in its place.
INK = "#111111"
# Okabe and Ito's colours, told apart by colour-blind readers.
ANCHOR_COLOR, WINNER_COLOR, SHOTS_COLOR = "#666666", "#0072B2", "#D55E00"
COLORS = ("#666666", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
# From nothing to vermilion, so that the picture shows where all is well.
LOSS_COLORS = ((0.94, 0.89, 0.26, 0.0), (0.9, 0.62, 0.0, 0.5), (0.84, 0.37, 0.0, 0.9))
_BGR_TO_LUMA = np.array([0.114, 0.587, 0.299])  # ITU-R BT.601-7 section 2.5.1
# Of the losses that the colours of a heat map span: less is rounding.
_LEAST_HEAT_RANGE = 0.1
# For what is written above and below a narrow picture, and beside the colours of a low one.
_LEAST_HEAT_INCHES, _LEAST_BAR_INCHES = 4.0, 3.0
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
# Of a picture of savings, in percent beside what it shows.
_FLEET_ROOM = 3.0
# Highest over lowest rate from which on an axis is labelled at 1, 2 and 5 of each decade.
_WIDE_RATES = 8


def draw_curves(
    recommendation: Recommendation, path: Path, points: Sequence[PointMeasured] = ()
) -> None:
    """Writes a PNG of the verified curves of anchor and winner, with the target marked.

    Args:
        points: Of the verification, for their intervals.

    Raises:
        OutputError: The file cannot be written.
    """
    figure = Figure(figsize=(7, 4.6), dpi=150, layout="constrained")
    axes = figure.subplots()
    plot_recommendation(axes, recommendation, points)
    title = f"{recommendation.codec} {recommendation.preset}: {headline(recommendation)}"
    axes.set_title(title, fontsize=10, loc="left")
    save_figure(figure, path)


def plot_recommendation(
    axes: Axes,
    recommendation: Recommendation,
    points: Sequence[PointMeasured],
    *,
    names_crf: bool = True,
) -> None:
    """Draws the verified curves of anchor and winner, by the real machine too, and the target."""
    is_default, real = recommendation.keeps_defaults, recommendation.real
    for role, color, marker, label, curve, real_curve in (
        (
            "anchor", ANCHOR_COLOR, "o", "defaults", recommendation.anchor_curve,
            () if real is None else real.anchor_curve,
        ),
        (
            _winner_role(recommendation), WINNER_COLOR, "s", "tuned",
            () if is_default else recommendation.winner_curve,
            () if is_default or real is None else real.winner_curve,
        ),
    ):  # fmt: skip
        if curve:
            for one in points:
                if one.role == role:
                    _plot_interval(axes, one.rate_kbps, one.quality_interval, color)
            draw_curve(axes, curve, color, marker, label, names_crf=names_crf)
        if real_curve:
            of_real = f"{label}, real machine"
            draw_curve(axes, real_curve, color, marker, of_real, style="--", names_crf=names_crf)
    if (per_shot := recommendation.per_shot) is not None:
        label = "a CRF for each shot (mean)"
        draw_curve(axes, per_shot.curve, SHOTS_COLOR, "^", label, names_crf=names_crf)
    if (quality := recommendation.steered_quality) is not None:
        axes.axhline(quality, color=INK, linewidth=0.8, linestyle=":")
        whose = "" if recommendation.metric_target_quality is None else " of the real machine"
        axes.annotate(
            f"target {recommendation.target_quality:g}{whose}",
            (1, quality),
            xycoords=("axes fraction", "data"),
            xytext=(-4, 3),
            textcoords="offset points",
            ha="right",
            fontsize=8,
        )
        if not is_default:
            saving = saving_of(recommendation)
            axes.annotate(
                "",
                (saving.rate_kbps, saving.quality),
                (saving.anchor_rate_kbps, saving.quality),
                arrowprops={"arrowstyle": "->", "color": WINNER_COLOR, "linewidth": 1.8},
            )
    elif recommendation.target_rate_kbps is not None:
        axes.axvline(recommendation.target_rate_kbps, color=INK, linewidth=0.8, linestyle=":")
    _finish(axes)


def _winner_role(recommendation: Recommendation) -> str:
    """Returns under which role the recommended settings were verified."""
    for one in recommendation.contenders:
        if one.curve == recommendation.winner_curve:
            return one.role
    return "options"


def _plot_interval(
    axes: Axes, rate_kbps: float, interval: tuple[float, float] | None, color: str
) -> None:
    if interval is not None:
        axes.plot([rate_kbps] * 2, interval, color=color, alpha=0.45, linewidth=1.2)


def _finish(axes: Axes) -> None:
    rate_axis(axes)
    axes.set_ylabel("task quality")
    axes.legend(loc="lower right", frameon=False, fontsize=8)


def color_and_marker(number: int) -> tuple[str, str]:
    """Returns how the contestant of a number is drawn: one of 49 ways."""
    turn = number // len(COLORS)
    return COLORS[number % len(COLORS)], _MARKERS[(number + turn) % len(_MARKERS)]


def draw_comparison(compared: Compared, path: Path) -> None:
    """Writes a PNG of all curves, one field a clip.

    Raises:
        OutputError: The file cannot be written.
    """
    clips = list(dict.fromkeys(curve.clip for curve in compared.curves))
    names = list(dict.fromkeys(curve.contestant for curve in compared.curves))
    columns = min(3, len(clips))
    rows = -(-len(clips) // columns)
    figure = Figure(figsize=(4.6 * columns, 3.6 * rows), dpi=130, layout="constrained")
    fields = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, clip in zip(fields, clips, strict=False):
        plot_contestants(axes, [one for one in compared.curves if one.clip == clip], names)
        axes.set_title(picture_text(clip), fontsize=9, loc="left")
    for axes in fields[len(clips) :]:
        axes.set_axis_off()
    save_figure(figure, path)


def draw_fleet(found: Fleet, path: Path) -> None:
    """Writes a PNG of what each clip saves, and all of them together.

    Raises:
        OutputError: The file cannot be written.
    """
    clips = sorted(found.clips, key=lambda one: one.percent)
    figure = Figure(figsize=(7.4, 1.2 + 0.24 * len(clips)), dpi=130, layout="constrained")
    axes = figure.subplots()
    ends = (*(one.interval_percent for one in clips), found.interval_percent or ())
    known = [end for some in ends for end in some if end is not None]
    shown = [0.0, found.percent, *(one.percent for one in clips), *known]
    low_edge = max(min(shown) - _FLEET_ROOM, -100.0)
    # Beyond twice the rate one outlier would press all others together.
    edges = low_edge, min(max(shown) + _FLEET_ROOM, 100.0)
    for at, one in enumerate(clips):
        color = ANCHOR_COLOR if one.keeps_defaults else WINNER_COLOR
        low, high = one.interval_percent
        line = (edges[0] if low is None else low, edges[1] if high is None else high)
        axes.plot(line, (at, at), color=color, alpha=0.45, linewidth=1.6)
        axes.plot(one.percent, at, "o", color=color, markersize=4)
    if found.interval_percent is not None:
        axes.plot(found.interval_percent, (len(clips),) * 2, color=INK, linewidth=2.0)
    axes.plot(found.percent, len(clips), "D", color=INK, markersize=6)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_xlim(*edges)
    axes.set_ylim(len(clips) + 0.6, -0.6)
    names = [*(picture_text(one.clip) for one in clips), "all together"]
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_xlabel("change of the rate at equal quality, %")
    axes.grid(axis="x", alpha=0.25)
    save_figure(figure, path)


def plot_contestants(
    axes: Axes, curves: Sequence[CurveMeasured], names: Sequence[str], *, names_crf: bool = True
) -> None:
    """Draws the curves of one clip, each point with its interval.

    Args:
        names: Of all contestants, whose order gives their colours.
    """
    for curve in curves:
        color, marker = color_and_marker(names.index(curve.contestant))
        for point, interval in zip(curve.points, curve.intervals, strict=True):
            _plot_interval(axes, point.rate_kbps, interval, color)
        draw_curve(axes, curve.points, color, marker, curve.contestant, names_crf=names_crf)
    _finish(axes)


def draw_heat_map(heat_map: HeatMap, path: Path) -> None:
    """Writes a PNG of where the machine loses sight, over the distorted frame.

    Raises:
        OutputError: The file cannot be written.
    """
    height, width, _ = heat_map.picture.shape
    sides = np.array([8.0, 8.0 * height / width])
    sides *= min(1, 8 / sides[1])
    size = (max(sides[0], _LEAST_HEAT_INCHES) + 1.2, max(sides[1] + 1, _LEAST_BAR_INCHES))
    figure = Figure(figsize=size, dpi=130, layout="constrained")
    axes = figure.subplots()
    grey = heat_map.picture @ _BGR_TO_LUMA
    # Of this frame: most of a strong encode loses nearly all, and would be of one colour.
    low = heat_map.losses.min()
    high = max(heat_map.losses.max(), low + _LEAST_HEAT_RANGE)
    axes.imshow(grey, cmap="gray", vmin=0, vmax=255)
    shown = axes.imshow(
        heat_map.losses,
        cmap=LinearSegmentedColormap.from_list("loss", LOSS_COLORS),
        vmin=low,
        vmax=high,
        extent=(-0.5, width - 0.5, height - 0.5, -0.5),
        interpolation="bilinear",
    )
    for region in heat_map.score.regions:
        x0, y0, x1, y1 = region.box
        axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=WINNER_COLOR))
        axes.annotate(
            f"{region.value:.2f}",
            (x0, y0),
            xytext=(2, -8),
            textcoords="offset points",
            color="white",
            fontsize=7,
            bbox={"facecolor": WINNER_COLOR, "edgecolor": "none", "pad": 1},
        )
    axes.set_axis_off()
    title = (
        f"{heat_map.metric} {heat_map.score.value:.3f}, frame {heat_map.score.frame} "
        f"({heat_map.score.time_seconds:.2f} s), the worst of those looked at"
    )
    figure.suptitle(textwrap.fill(title, int(12 * size[0])), fontsize=10)
    figure.colorbar(shown, ax=axes, label="predicted loss (0 nothing, 1 all)", shrink=0.9)
    text = (
        "Colour is where the machine would lose what there is, from the least to the most of this "
        "frame; boxes are the regions scored, with what is kept of them (1 = all)."
    )
    figure.supxlabel(textwrap.fill(text, int(15 * (size[0] - 1.2))), fontsize=8)
    save_figure(figure, path)


def rate_axis(axes: Axes) -> None:
    """Makes the axis of rates logarithmic, with plain numbers."""
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    # Of even steps those at the low end would be decades apart, of round ones hardly any be there.
    is_wide = high > _WIDE_RATES * low
    steps = LogLocator(subs=(1, 2, 5)) if is_wide else MaxNLocator(6, steps=[1, 2, 2.5, 5, 10])
    axes.xaxis.set_major_locator(steps)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("rate in kbit/s")
    axes.grid(alpha=0.25)


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a PNG.

    Raises:
        OutputError: The file cannot be written.
    """
    picture = io.BytesIO()
    with warnings.catch_warnings():
        # A name in letters that the font has not: it gets boxes, and that is no error.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        FigureCanvasAgg(figure)
        lay_out(figure)
        figure.savefig(picture, format="png")
    write_whole(picture.getvalue(), path)


def lay_out(figure: Figure) -> None:
    """Places what a figure holds, on its canvas and at its resolution.

    Where its layout engine is left to do that, saving draws the figure twice.
    """
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine(None)


def draw_curve(
    axes: Axes,
    points: Sequence[RdPoint],
    color: str,
    marker: str,
    label: str,
    *,
    style: str = "-",
    names_crf: bool = True,
) -> None:
    """Draws points and the monotone curve through them, each with its CRF unless told not to."""
    curve = fit_curve(points)
    log_rates = np.linspace(curve.log_rates[0], curve.log_rates[-1], 200)
    axes.plot(
        np.exp(log_rates),
        curve.qualities_at(log_rates),
        color=color,
        linewidth=1.4,
        linestyle=style,
    )
    axes.plot(
        [one.rate_kbps for one in points],
        [one.quality for one in points],
        marker,
        color=color,
        markerfacecolor=color if style == "-" else "white",
        markersize=5,
        label=picture_text(label),
    )
    for one in points if names_crf else ():
        axes.annotate(
            f"{one.crf:.3g}",
            (one.rate_kbps, one.quality),
            xytext=(4, -9),
            textcoords="offset points",
            fontsize=6,
            color=color,
        )

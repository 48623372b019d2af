"""The pictures and sentences of our results; ``figures`` imports matplotlib besides."""

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
from ..curves.bd_rate import saving_text
from ..curves.curve import RdPoint, fit_curve
from ..curves.interval import RateChange
from ..recommendation import MachinesUsed, PerShot, Recommendation
from .output import write_whole
from .plain_text import picture_text

if TYPE_CHECKING:
    from ..clip_score import HeatMap

# Okabe and Ito's colours, told apart by colour-blind readers.
ANCHOR_COLOR, WINNER_COLOR, _SHOTS_COLOR = "#666666", "#0072B2", "#D55E00"
COLORS = ("#666666", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
# From nothing to vermilion, so that the picture shows where all is well.
LOSS_COLORS = ((0.94, 0.89, 0.26, 0.0), (0.9, 0.62, 0.0, 0.5), (0.84, 0.37, 0.0, 0.9))
_BGR_TO_LUMA = np.array([0.114, 0.587, 0.299])  # ITU-R BT.601-7 section 2.5.1
# Of the losses that the colours of a heat map span: less is rounding.
_LEAST_HEAT_RANGE = 0.1
# For what is written above and below a narrow picture.
_LEAST_HEAT_INCHES = 4.0
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
# Highest over lowest rate from which on an axis is labelled at 1, 2 and 5 of each decade.
_WIDE_RATES = 8


def draw_curves(recommendation: Recommendation, path: Path) -> None:
    """Writes a PNG of the verified curves of anchor and winner, with the target marked.

    Raises:
        OutputError: The file cannot be written.
    """
    figure = Figure(figsize=(7, 4.6), dpi=150, layout="constrained")
    axes = figure.subplots()
    is_default = recommendation.keeps_defaults
    preset = f"{recommendation.codec} {recommendation.preset}"
    draw_curve(axes, recommendation.anchor_curve, ANCHOR_COLOR, "o", f"{preset}, defaults")
    if not is_default:
        draw_curve(axes, recommendation.winner_curve, WINNER_COLOR, "s", f"{preset}, tuned")
    if (real := recommendation.real) is not None:
        what = f"by the real machine, {preset}"
        draw_curve(axes, real.anchor_curve, ANCHOR_COLOR, "o", f"{what}, defaults", style="--")
        if not is_default:
            draw_curve(axes, real.winner_curve, WINNER_COLOR, "s", f"{what}, tuned", style="--")
    if (per_shot := recommendation.per_shot) is not None:
        draw_curve(axes, per_shot.curve, _SHOTS_COLOR, "^", "the same, a CRF for each shot (mean)")
    rates = (recommendation.anchor_rate_kbps, recommendation.rate_kbps)
    if (quality := recommendation.steered_quality) is not None:
        axes.axhline(quality, color="black", linewidth=0.8, linestyle=":")
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
            axes.annotate(
                "",
                (rates[1], quality),
                (rates[0], quality),
                arrowprops={"arrowstyle": "->", "color": WINNER_COLOR, "linewidth": 1.6},
            )
    elif recommendation.target_rate_kbps is not None:
        axes.axvline(recommendation.target_rate_kbps, color="black", linewidth=0.8, linestyle=":")
    rate_axis(axes)
    axes.set_ylabel("task quality (1 = sees what it saw on the original)")
    axes.set_title(headline(recommendation), fontsize=10, loc="left")
    axes.legend(loc="lower right", frameon=False, fontsize=8)
    save_figure(figure, path)


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
        for curve in compared.curves:
            if curve.clip == clip:
                color, marker = color_and_marker(names.index(curve.contestant))
                draw_curve(axes, curve.points, color, marker, curve.contestant)
        rate_axis(axes)
        axes.set_title(picture_text(clip), fontsize=9, loc="left")
        axes.set_ylabel("task quality")
    fields[0].legend(loc="lower right", frameon=False, fontsize=8)
    for axes in fields[len(clips) :]:
        axes.set_axis_off()
    save_figure(figure, path)


def draw_heat_map(heat_map: HeatMap, path: Path) -> None:
    """Writes a PNG of where the machine loses sight, over the distorted frame.

    Raises:
        OutputError: The file cannot be written.
    """
    height, width, _ = heat_map.picture.shape
    sides = np.array([8.0, 8.0 * height / width])
    sides *= min(1, 8 / sides[1])
    size = (max(sides[0], _LEAST_HEAT_INCHES) + 1.2, sides[1] + 1)
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


def headline(recommendation: Recommendation) -> str:
    """Returns what is saved, in one sentence with its interval."""
    if recommendation.target_quality is not None:
        at = f"at task quality {recommendation.target_quality:g}"
    else:
        at = f"at the quality reached with {recommendation.target_rate_kbps:g} kbit/s"
    if recommendation.keeps_defaults:
        if recommendation.shots is not None:
            return f"Options save nothing {at}: keep the defaults, with a CRF for each shot"
        return f"Nothing saved {at}: keep the encoder's defaults"
    return f"{rate_change_text(recommendation)} rate {at}"


def rate_change_text(recommendation: Recommendation) -> str:
    """Returns the rate change with its interval, such as ``-31.0 % (-35.2 to -27.1)``."""
    return saving_text(
        recommendation.rate_change_percent, recommendation.rate_change_interval_percent
    )


def bd_rate_text(recommendation: Recommendation) -> str | None:
    """Returns the BD-rate with its interval and qualities; None where there is none."""
    if recommendation.bd_rate_percent is None or recommendation.bd_rate_qualities is None:
        return None
    low, high = recommendation.bd_rate_qualities
    text = saving_text(recommendation.bd_rate_percent, recommendation.bd_rate_interval_percent)
    return f"{text} BD-rate over task quality {low:.3f} to {high:.3f}"


def examined_rows(recommendation: Recommendation) -> list[tuple[str, str, str]]:
    """Returns what is measured of the defaults and of the winner: name and both as text."""
    anchor, winner = recommendation.anchor, recommendation.winner
    rows = [
        (
            "rate at target, kbit/s",
            recommendation.anchor_rate_kbps,
            recommendation.rate_kbps,
            ".1f",
        ),
        ("CRF", anchor.crf, winner.crf, "g"),
        ("measured there: kbit/s", anchor.rate_kbps, winner.rate_kbps, ".1f"),
        ("task quality", anchor.quality, winner.quality, ".4f"),
        ("task quality, 5th percentile of frames", anchor.quality_p5, winner.quality_p5, ".4f"),
        ("the real machine's quality", anchor.real_quality, winner.real_quality, ".4f"),
        ("mAP 50-95", anchor.map50_95, winner.map50_95, ".4f"),
        ("mAP 50", anchor.map50, winner.map50, ".4f"),
        ("precision", anchor.precision, winner.precision, ".4f"),
        ("recall", anchor.recall, winner.recall, ".4f"),
        ("PSNR, dB", anchor.psnr_db, winner.psnr_db, ".2f"),
        ("SSIM", anchor.ssim, winner.ssim, ".4f"),
        ("XPSNR, dB", anchor.xpsnr_db, winner.xpsnr_db, ".2f"),
        ("encode speed, fps", anchor.encode_fps, winner.encode_fps, ".1f"),
    ]
    return [
        (name, format(of_anchor, form), format(of_winner, form))
        for name, of_anchor, of_winner, form in rows
        if of_anchor is not None and of_winner is not None
    ]


def machine_text(used: MachinesUsed) -> str:
    """Returns what the search went by, and who found its regions."""
    weights = "" if used.metric_sha256 is None else f" (weights {used.metric_sha256})"
    return (
        f"metric {used.metric}{weights}, regions by {used.regions_by} "
        f"(weights {used.regions_sha256})"
    )


def real_lines(recommendation: Recommendation) -> list[str]:
    """Returns what the real machine says of a search by a learned metric."""
    real = recommendation.real
    if real is None:
        return []
    target, metric_target = recommendation.target_quality, recommendation.metric_target_quality
    lines = []
    if target is not None and metric_target is not None:
        lines.append(moved_target_text(target, metric_target))
    lines += [
        f"the real machine says {real.quality:.4f}, {real.expected_quality:.4f} expected (gap "
        f"{real.quality_gap:+.4f}, tolerance {recommendation.tolerance:g})"
    ]
    if not recommendation.keeps_defaults:
        change = real.change
        interval = (change.low_percent, change.high_percent)
        lines.insert(
            0,
            f"by the real machine {saving_text(change.percent, interval)} rate at the quality "
            f"that it gives the tuned settings, BD-rate {_bd_rate(change)}",
        )
    return lines


def moved_target_text(quality: float, metric_quality: float) -> str:
    """Returns how a target of the real machine reads on the scale of the metric that steers."""
    return (
        f"target quality {quality:g} of the real machine: on this clip the metric says "
        f"{metric_quality:.3f} there"
    )


def contender_lines(recommendation: Recommendation) -> list[str]:
    """Returns what each verified contender saves, and what the other machines say of it."""
    lines = []
    for one in recommendation.contenders:
        what = {"options": "options alone", "regions": "with regions"}[one.role]
        compared = [
            ("against the defaults", one.change, one.real_change, one.second_change),
            (
                "against options alone",
                one.change_from_options,
                one.real_change_from_options,
                one.second_change_from_options,
            ),
        ]
        for against, change, real, second in compared:
            if change is None or (against == "against the defaults" and _is_alone(recommendation)):
                continue
            line = f"{what} {against}: BD-rate {_bd_rate(change)}"
            for name, other in (("real machine", real), ("second detector", second)):
                if other is not None:
                    line += f", {name} {_bd_rate(other)}"
            lines.append(line)
    return lines


def shot_lines(found: PerShot) -> list[str]:
    """Returns what a CRF for each shot saves against one for all of them."""
    change = found.change
    at_target = saving_text(change.percent, (change.low_percent, change.high_percent))
    lines = [
        f"a CRF for each shot: {at_target} rate at the target against one CRF, "
        f"BD-rate {_bd_rate(change)}",
        f"measured there: {found.rate_kbps:.1f} kbit/s, task quality {found.quality:.4f}",
    ]
    for name, other in (
        ("real machine", found.real_change),
        ("second detector", found.second_change),
    ):
        if other is not None:
            lines.append(f"{name}: BD-rate {_bd_rate(other)}")
    return lines


def _is_alone(recommendation: Recommendation) -> bool:
    """Returns whether the headline says all there is to say."""
    only = recommendation.contenders
    return len(only) == 1 and only[0].second_change is None


def _bd_rate(change: RateChange) -> str:
    if change.bd_rate is None:
        return "none, the curves share too little quality"
    return saving_text(change.bd_rate.percent, change.bd_rate_interval_percent)


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

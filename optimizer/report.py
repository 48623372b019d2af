"""The picture of a recommendation. The only file that imports matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from .curve import RdPoint, fit_curve
from .errors import OutputError
from .recommendation import Recommendation

# Okabe and Ito's colours, told apart by colour-blind readers.
_ANCHOR_COLOR, _WINNER_COLOR = "#666666", "#0072B2"


def draw_curves(recommendation: Recommendation, path: Path) -> None:
    """Writes a PNG of the verified curves of anchor and winner, with the target marked.

    Raises:
        OutputError: The file cannot be written.
    """
    figure = Figure(figsize=(7, 4.6), dpi=150, layout="constrained")
    axes = figure.subplots()
    is_default = recommendation.winner_curve == recommendation.anchor_curve
    preset = f"{recommendation.codec} {recommendation.preset}"
    _draw(axes, recommendation.anchor_curve, _ANCHOR_COLOR, "o", f"{preset}, defaults")
    if not is_default:
        _draw(axes, recommendation.winner_curve, _WINNER_COLOR, "s", f"{preset}, tuned")
    rates = (recommendation.anchor_rate_kbps, recommendation.rate_kbps)
    if recommendation.target_quality is not None:
        quality = recommendation.target_quality
        axes.axhline(quality, color="black", linewidth=0.8, linestyle=":")
        axes.annotate(
            f"target {quality:g}",
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
                arrowprops={"arrowstyle": "->", "color": _WINNER_COLOR, "linewidth": 1.6},
            )
    elif recommendation.target_rate_kbps is not None:
        axes.axvline(recommendation.target_rate_kbps, color="black", linewidth=0.8, linestyle=":")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("rate in kbit/s")
    axes.set_ylabel("task quality (1 = sees what it saw on the original)")
    axes.set_title(headline(recommendation), fontsize=10, loc="left")
    axes.grid(alpha=0.25)
    axes.legend(loc="lower right", frameon=False, fontsize=8)
    try:
        figure.savefig(path, format="png")
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error


def headline(recommendation: Recommendation) -> str:
    """Returns what is saved, in one sentence with its interval."""
    if recommendation.target_quality is not None:
        at = f"at task quality {recommendation.target_quality:g}"
    else:
        at = f"at the quality reached with {recommendation.target_rate_kbps:g} kbit/s"
    return f"{rate_change_text(recommendation)} rate {at}"


def rate_change_text(recommendation: Recommendation) -> str:
    """Returns the rate change with its interval, such as ``-31.0 % (-35.2 to -27.1)``."""
    low, high = recommendation.rate_change_interval_percent
    text = f"{recommendation.rate_change_percent:+.1f} %"
    if low is None and high is None:
        return text
    ends = ("below" if low is None else f"{low:+.1f}", "above" if high is None else f"{high:+.1f}")
    return f"{text} ({ends[0]} to {ends[1]})"


def bd_rate_text(recommendation: Recommendation) -> str | None:
    """Returns the BD-rate with its interval and qualities; None where there is none."""
    if recommendation.bd_rate_percent is None or recommendation.bd_rate_qualities is None:
        return None
    low, high = recommendation.bd_rate_qualities
    text = f"{recommendation.bd_rate_percent:+.1f} %"
    if recommendation.bd_rate_interval_percent is not None:
        ends = recommendation.bd_rate_interval_percent
        text += f" ({ends[0]:+.1f} to {ends[1]:+.1f})"
    return f"{text} BD-rate over task quality {low:.3f} to {high:.3f}"


def _draw(axes: Axes, points: Sequence[RdPoint], color: str, marker: str, label: str) -> None:
    curve = fit_curve(points)
    rates = np.exp(np.linspace(curve.log_rates[0], curve.log_rates[-1], 200))
    axes.plot(rates, [curve.quality_at(rate).value for rate in rates], color=color, linewidth=1.4)
    axes.plot(
        [one.rate_kbps for one in points],
        [one.quality for one in points],
        marker,
        color=color,
        markersize=5,
        label=label,
    )
    for one in points:
        axes.annotate(
            f"{one.crf:g}",
            (one.rate_kbps, one.quality),
            xytext=(4, -9),
            textcoords="offset points",
            fontsize=6,
            color=color,
        )

"""The picture of a Pareto front: rate against quality, speed as colour."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from ..reports.pictures import ANCHOR_COLOR, rate_axis, save_figure
from .front import ParetoFront

# Below the lowest quality of use, this much is shown.
_MARGIN = 0.08


def draw_front(found: ParetoFront, path: Path) -> None:
    """Writes a PNG of the front, the defaults and all that was tried.

    Raises:
        OutputError: The file cannot be written.
    """
    figure = Figure(figsize=(7.4, 4.6), dpi=150, layout="constrained")
    axes = figure.subplots()
    tried = [one.point for one in found.trials if one.point is not None]
    speeds = [one.encode_fps for one in tried]
    axes.scatter(
        [one.rate_kbps for one in tried],
        [one.quality for one in tried],
        s=10,
        color="#CCCCCC",
        label="tried (search frames)" + ("" if found.metric_low_quality is None else ", metric"),
    )
    defaults = [one.judged for one in found.defaults]
    axes.plot(
        [one.rate_kbps for one in defaults],
        [one.quality for one in defaults],
        color=ANCHOR_COLOR,
        marker="o",
        markersize=4,
        label="defaults (verified)",
    )
    front = [one.judged for one in found.front]
    dots = axes.scatter(
        [one.rate_kbps for one in front],
        [one.quality for one in front],
        s=46,
        c=[one.encode_fps for one in front],
        cmap="viridis",
        norm=LogNorm(min(speeds), max(speeds) * 1.001),
        edgecolor="black",
        linewidth=0.6,
        zorder=3,
        label="front (verified)",
    )
    for number, one in enumerate(front, 1):
        axes.annotate(
            f"{number}",
            (one.rate_kbps, one.quality),
            xytext=(5, -9),
            textcoords="offset points",
            fontsize=7,
        )
    bar = figure.colorbar(dots, ax=axes, label="encode speed, fps (one thread)")
    ticks = np.geomspace(min(speeds), max(speeds), 5)
    bar.set_ticks(list(ticks), labels=[f"{tick:.0f}" for tick in ticks])
    bar.minorticks_off()
    axes.axhline(found.low_quality, color="black", linewidth=0.8, linestyle=":")
    rate_axis(axes)
    # What is of no use is left out of sight; the rest spans decades of rate.
    floor = min(found.low_quality, found.metric_low_quality or 1) - _MARGIN
    shown = [one.rate_kbps for one in (*tried, *front, *defaults) if one.quality >= floor]
    axes.set_xlim(min(shown) * 0.85, max(shown) * 1.2)
    axes.set_ylim(floor, 1.005)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.set_ylabel("task quality (1 = sees what it saw on the original)")
    axes.set_title(
        f"{found.codec}: nothing tried beats the numbered ones in rate, quality and speed together",
        fontsize=9,
        loc="left",
    )
    axes.legend(loc="lower right", frameon=False, fontsize=8)
    save_figure(figure, path)

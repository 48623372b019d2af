"""Draws the replayed searches: ``python -m benchmarks.search_replay_picture``."""

from __future__ import annotations

import json
import math
import statistics
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .search_replay import RESULTS

PICTURE = RESULTS.with_name("search_replay.png")

# Okabe and Ito's colours.
_LINES = {
    "ours": ("ours", "#0072B2", "o"),
    "TPE": ("TPE, CRF one more parameter", "#D55E00", "s"),
    "random": ("random", "#666666", "^"),
    "grid": ("grid", "#CC79A7", "D"),
}
_TOP_PERCENT = 30


def main() -> None:
    """Writes the picture."""
    results = json.loads(RESULTS.read_text())
    tables = results["tables"]
    rows = -(-len(tables) // 3)
    figure = Figure(figsize=(10, 2.7 * rows + 0.6), dpi=110, layout="constrained")
    panels = list(figure.subplots(rows, 3, squeeze=False, sharex=True, sharey=True).flat)
    for axes in panels[len(tables) :]:
        axes.set_axis_off()
    for axes, one in zip(panels, tables, strict=False):
        axes.set_title(f"{Path(one['clip']).stem}, {one['codec']}", fontsize=9)
        axes.axhspan(0, 3, color="#009E73", alpha=0.15, linewidth=0)
        for method, (title, color, marker) in _LINES.items():
            runs = [
                run
                for run in results["runs"]
                if (run["clip"], run["codec"], run["method"]) == (one["clip"], one["codec"], method)
            ]
            if runs:
                _draw(axes, runs[0], title, color, marker)
        axes.set_xscale("log")
        axes.set_xticks([10, 20, 50, 100, 200], ["10", "20", "50", "100", "200"])
        axes.minorticks_off()
        axes.tick_params(labelbottom=True, labelsize=8)
        axes.set_ylim(0, _TOP_PERCENT)
        axes.set_xlabel("encodes", fontsize=8)
        axes.grid(alpha=0.25)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=9)
    figure.supylabel("rate above the grid's best, %, median over seeds", fontsize=10)
    figure.savefig(PICTURE)


def _draw(axes: Axes, run: dict[str, Any], title: str, color: str, marker: str) -> None:
    medians = {
        int(moment): statistics.median_high(math.inf if one is None else one for one in excesses)
        for moment, excesses in run["excess_percent_at"].items()
        if int(moment) <= max(run["budget"], 100)
    }
    known = {moment: excess for moment, excess in medians.items() if math.isfinite(excess)}
    axes.plot(
        list(known), list(known.values()), color=color, marker=marker, markersize=3.5, label=title
    )


if __name__ == "__main__":
    main()

"""Figures of curves, and of what a search tried: each a function of what is shown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..contestants import CurveMeasured
from ..events import PointMeasured, SearchFinished, TrialFinished
from ..recommendation import Recommendation
from .drawing import WIDE, Draw, empty_axes
from .pictures import (
    ANCHOR_COLOR,
    COLORS,
    INK,
    WINNER_COLOR,
    plot_contestants,
    plot_recommendation,
    rate_axis,
)

# How many parameters are shown; the others hardly matter.
_MOST_BARS, _MOST_SLICES = 10, 6


def curves(recommendation: Recommendation, points: Sequence[PointMeasured]) -> Draw:
    """Returns the verified curves of anchor and winner, each point with its interval."""

    def draw(width: float) -> Figure:
        figure, axes = empty_axes(width, 0.62)
        plot_recommendation(axes, recommendation, points, names_crf=width >= WIDE)
        return figure

    return draw


def contestants(found: Sequence[CurveMeasured], names: Sequence[str]) -> Draw:
    """Returns the curves of one clip.

    Args:
        names: Of all contestants.
    """

    def draw(width: float) -> Figure:
        figure, axes = empty_axes(width, 0.62)
        plot_contestants(axes, found, names, names_crf=width >= WIDE)
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
        figure, axes = empty_axes(width, 0.55)
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
                color=INK,
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
        figure, axes = empty_axes(width, 0.5)
        for time, cost, trial in known:
            color, marker = (WINNER_COLOR, "o") if trial else (ANCHOR_COLOR, "D")
            axes.plot([time], [cost], marker, color=color, markersize=5, markeredgewidth=0)
        axes.plot(
            [known[at][0] for at in front],
            [known[at][1] for at in front],
            color=COLORS[2],
            drawstyle="steps-post",
            linewidth=1.4,
            # A front may be one trial, which no line shows.
            marker="o",
            markersize=9,
            markerfacecolor="none",
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
        figure, axes = empty_axes(width, 0.14 + 0.035 * len(names) * (1 if width >= WIDE else 1.5))
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
            axes.axhline(0, color=INK, linewidth=0.6, linestyle=":")
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

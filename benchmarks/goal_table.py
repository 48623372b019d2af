"""What the learned metrics were to reach, and what they do. Needs the standard library alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .metric_tables import best_of, ceiling, ordinary_best, place

# SRCC of regions, and of clips and settings.
_LEAST = {
    ("objects", "object"): 0.85,
    ("objects", "setting"): 0.97,
    ("faces", "object"): 0.90,
    ("plates", "object"): 0.85,
}
# Above the best ordinary metric, for objects.
_ABOVE = {"object": 0.20, "setting": 0.08, "within": 0.05}
_LARGEST_LOSS_UNSEEN_CODEC = 0.03
_LEAST_TIMES_CHEAPER_THAN_X, _LARGEST_NOISE = 10, 0.5
_LEVELS = {"object": "a region", "setting": "a setting", "within": "within an object"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A row of the table.

    Attributes:
        remark: What else there is to say, above all of what cannot be reached.
    """

    what: str
    wanted: str
    measured: str
    is_reached: bool
    remark: str = ""


def goals(correlation: dict[str, Any], cost: dict[str, Any], noise: dict[str, Any]) -> str:
    """Returns every goal with what was measured."""
    rows = [
        *_correlations(correlation["tasks"]),
        *_margins(correlation["tasks"]["objects"]),
        *_unseen_machines(correlation),
        *_unseen_codec(correlation),
        *_costs(cost),
        _noise(noise),
    ]
    lines = ["| goal | wanted | measured | reached | |", "|---|---|---|---|---|"]
    lines += [
        f"| {one.what} | {one.wanted} | {one.measured} | "
        f"{'yes' if one.is_reached else 'no'} | {one.remark} |"
        for one in rows
    ]
    return "\n".join(lines) + "\n"


def _correlations(tasks: dict[str, Any]) -> Iterator[Goal]:
    for (task, level), wanted in _LEAST.items():
        value = best_of(tasks[task], level, "ours")
        yield Goal(
            what=f"{task}, {_LEVELS[level]}: SRCC",
            wanted=f"{wanted:.2f}",
            measured=f"{value:.4f}",
            is_reached=value >= wanted,
        )


def _margins(tables: dict[str, Any]) -> Iterator[Goal]:
    for level, wanted in _ABOVE.items():
        value, (_, ordinary) = best_of(tables, level, "ours"), ordinary_best(tables, level)
        possible = ceiling(tables, level) - ordinary
        yield Goal(
            what=f"objects, {_LEVELS[level]}: above the best ordinary metric",
            wanted=f"{wanted:+.2f}",
            measured=f"{value - ordinary:+.3f}",
            is_reached=value - ordinary >= wanted,
            remark=f"a perfect predictor of the three machines: {possible:+.2f}",
        )


def _unseen_machines(correlation: dict[str, Any]) -> Iterator[Goal]:
    for name in correlation["held_out_machines"]:
        for task, tables in correlation["tasks"].items():
            rows = [
                row
                for row in tables["object"]
                if (row["target"], row["subset"]) == (f"{name}, common", "all")
            ]
            if not rows:
                continue
            machines = {row["predictor"]: row["srcc"][0] for row in rows if row["of"] == "machine"}
            value = max(row["srcc"][0] for row in rows if row["predictor"] == "ours")
            others = ", ".join(f"{one} {srcc:.3f}" for one, srcc in machines.items())
            yield Goal(
                what=f"{task}: {name}, which took no part in the training",
                wanted=f"as {others} predict it" if len(machines) > 1 else f"as {others} does",
                measured=f"{value:.3f}",
                is_reached=value >= max(machines.values()),
            )


def _unseen_codec(correlation: dict[str, Any]) -> Iterator[Goal]:
    unseen = correlation["unseen_codec"]
    for task, tables in correlation["tasks"].items():
        seen, alike, new = (
            best_of(tables, "object", "ours", subset)
            for subset in ("seen codecs", f"as lossy as {unseen}", unseen)
        )
        yield Goal(
            what=f"{task}: {unseen}, which was not trained on",
            wanted=f"at most {_LARGEST_LOSS_UNSEEN_CODEC:.2f} lower",
            measured=f"{new - seen:+.3f}",
            is_reached=new - seen >= -_LARGEST_LOSS_UNSEEN_CODEC,
            remark=f"on pairs of the others that lose as much {new - alike:+.3f}",
        )


def _costs(cost: dict[str, Any]) -> Iterator[Goal]:
    for measured in cost["machines"]:
        where = place(measured)
        times = [row["milliseconds_a_frame"] for row in measured["rows"]]
        both = [one["objects distorted"] + one["objects reference"] for one in times]
        cheaper = min(one["yolov8x"] / value for one, value in zip(times, both, strict=True))
        whole = max(value / one["yolov8n"] for one, value in zip(times, both, strict=True))
        cached = max(one["objects distorted"] / one["yolov8n"] for one in times)
        yield Goal(
            what=f"{where}: a frame and its original, times cheaper than YOLOv8x",
            wanted=str(_LEAST_TIMES_CHEAPER_THAN_X),
            measured=f"{cheaper:.2g}",
            is_reached=cheaper >= _LEAST_TIMES_CHEAPER_THAN_X,
        )
        yield Goal(
            what=f"{where}: a frame and its original, in shares of YOLOv8n",
            wanted="1",
            measured=f"{whole:.2f}",
            is_reached=whole <= 1,
        )
        yield Goal(
            what=f"{where}: a frame with the original's features cached, in shares of YOLOv8n",
            wanted="0.5",
            measured=f"{cached:.2f}",
            is_reached=cached <= 1 / 2,
        )


def _noise(noise: dict[str, Any]) -> Goal:
    value, low, high = noise["median_ratio"]["deviation"]
    shared = noise["median_ratio"]["shared"][0]
    return Goal(
        what="deviation of a clip's score over samples of frames, in shares of the detector's",
        wanted=f"{_LARGEST_NOISE}",
        measured=f"{value:.2f}",
        is_reached=value <= _LARGEST_NOISE,
        remark=f"95 % interval {low:.2f} to {high:.2f}; what three detectors share: {shared:.2f}",
    )

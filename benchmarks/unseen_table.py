"""The README's table of ``benchmarks.unseen_clips``; needs nothing but the standard library."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def table(results: dict[str, Any]) -> str:
    """Returns a row an encoder and half: median BD-rates on the clips tuned on, and on others."""
    columns = (
        "encoder | steered by | tuned on | on these clips | on the other clips | on the other "
        "clips, by a detector that took no part | other clips that lose, of those compared"
    )
    lines = [f"| {columns} |", "|" + "---|" * 7]
    for run in results["runs"]:
        half = f"half {run['tuned_on'] + 1}"
        if run["keeps_defaults"]:
            lines.append(f"| {run['codec']} | {run['metric']} | {half} | defaults kept | | | |")
            continue
        cells = [_median(run[name]) for name in ("on_its_own_clips", "steering", "outside")]
        losing = ", ".join(_losing(run[name]) for name in ("steering", "outside"))
        lines.append(
            f"| {run['codec']} | {run['metric']} | {half} | {' | '.join(cells)} | {losing} |"
        )
    return "\n".join(lines) + "\n"


def _median(numbers: Mapping[str, Any]) -> str:
    if numbers["median_bd_rate_percent"] is None:
        return "not comparable"
    text = f"{numbers['median_bd_rate_percent']:+.1f} %"
    interval = numbers["interval_percent"]
    return text if interval is None else f"{text} ({interval[0]:+.0f} to {interval[1]:+.0f})"


def _losing(numbers: Mapping[str, Any]) -> str:
    known = [
        one["bd_rate_percent"]
        for one in numbers["clips"].values()
        if one["bd_rate_percent"] is not None
    ]
    return f"{sum(value > 0 for value in known)} of {len(known)}"

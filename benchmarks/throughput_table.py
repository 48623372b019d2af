"""The README's table of ``benchmarks.throughput``; needs nothing but the standard library."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any


def table(results: dict[str, Any]) -> str:
    """Returns ratios of wall times, medians over the rounds, with the range of the rounds."""
    columns = (
        "frames a second looked at | processor time against bare encodes: here, on Dask workers | "
        "wall time against bare encodes: 1 job, 2 jobs, 2 Dask workers | wall time of 1 job "
        "against 2"
    )
    lines = [f"| encoder | {columns} |", "|" + "---|" * 5]
    for codec in dict.fromkeys(one["codec"] for one in results["rounds"]):
        rounds = [one for one in results["rounds"] if one["codec"] == codec]
        names = [name for name in rounds[0]["wall_seconds"] if name.endswith(", 2 workers")]
        for name in names:
            way = name.removesuffix(", 2 workers")
            processor = ", ".join(
                _median(rounds, "processor", f"{way}, {how}", "encode, 2 jobs")
                for how in ("2 jobs", "2 workers")
            )
            wall = ", ".join(
                _median(rounds, "wall", f"{way}, {how}", f"encode, {how[0]} jobs")
                for how in ("1 jobs", "2 jobs", "2 workers")
            )
            gain = _median(rounds, "wall", f"{way}, 1 jobs", f"{way}, 2 jobs")
            rate = way.removeprefix("measure at ").removesuffix(" fps")
            lines.append(f"| {codec} | {rate} | {processor} | {wall} | {gain} |")
    counts = [one["codec"] for one in results["rounds"]]
    num_rounds = min(counts.count(codec) for codec in counts)
    return "\n".join(lines) + (
        f"\n\nFactors: the median of {num_rounds} rounds (lowest to highest); {results['encodes']} "
        f"settings on {results['seconds']:g} s of {Path(results['clip']).stem}, YOLOv8n, "
        f"{results['machine']['cores']} cores that other work used too, so that wall times say "
        f"little.\n"
    )


def _median(rounds: list[dict[str, Any]], clock: str, above: str, below: str) -> str:
    seconds = [one[f"{clock}_seconds"] for one in rounds]
    values = [one[above] / one[below] for one in seconds]
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"

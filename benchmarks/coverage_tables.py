"""The tables of ``benchmarks.interval_coverage``."""

from __future__ import annotations

from typing import Any


def intervals(results: dict[str, Any]) -> str:
    """Returns in how many of simulated intervals the truth lies."""
    lines = [
        "| frames | correlation of errors | curves | change at 0.95 | with an unknown end | "
        "BD-rate |",
        "|---|---|---|---|---|---|",
    ]
    for row in results["rows"]:
        cells = (
            f"{row['frames']}",
            f"{row['correlation']:g}",
            "tilted" if row["tilt"] else "parallel",
            f"{row['at_target'] * 100:.0f} %",
            f"{row['with_an_unknown_end'] * 100:.0f} %",
            f"{row['bd_rate'] * 100:.0f} %",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", f"{results['runs']} runs each."]) + "\n"


def fleets(results: dict[str, Any]) -> str:
    """Returns what is told of simulated fleets, and how often its interval holds the truth."""
    lines = [
        "| log ratio of rates: mean, deviation, of its error, slope over log rate | clips | truly "
        "saved by what is recommended | as measured | its interval holds the truth | as expected | "
        "its interval holds the truth |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in results["fleets"]:
        told, held, ratio = row["told_percent"], row["held"], row["log_ratio"]
        cells = (
            ", ".join(f"{ratio[name]:g}" for name in ("mean", "spread", "error", "slope")),
            f"{row['clips']}",
            f"{row['truth_percent']:+.1f} %",
            *(
                text
                for name in ("measured", "expected")
                for text in (f"{told[name]:+.1f} %", f"{held[name] * 100:.0f} %")
            ),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", f"{results['runs']} runs each."]) + "\n"

"""The tables of per-title ladders, and of what they save."""

from __future__ import annotations

import statistics
from collections import Counter
from typing import Any


def ladders(results: dict[str, Any]) -> str:
    """Returns a row a title."""
    qualities = sorted(
        {rung["target_quality"] for title in results["titles"] for rung in title["rungs"]},
        reverse=True,
    )
    lines = [
        f"| title | {' | '.join(f'quality {quality:g}' for quality in qualities)} |",
        "|---" * (len(qualities) + 1) + "|",
    ]
    for title in results["titles"]:
        rungs = {rung["target_quality"]: rung["chosen"] for rung in title["rungs"]}
        cells = " | ".join(_cell(rungs[quality]) for quality in qualities)
        lines.append(f"| {title['clip']}, {title['width']}x{title['height']} | {cells} |")
    return "\n".join(lines) + "\n"


def savings(results: dict[str, Any]) -> str:
    """Returns what ladders save over one setting for all titles, then the counts."""
    lines = []
    if results["fixed"]:
        lines = [
            "| quality | kept on | one setting for all | per-title against it: median (95 % "
            "interval), quartiles | sum of rates | titles that cost more | short of the quality: "
            "per title, one setting |",
            "|---" * 7 + "|",
        ]
    lines += [_fixed_row(rung) for rung in results["fixed"]]
    return "\n".join([*lines, "", *_sentences(results)]) + "\n"


def _cell(chosen: dict[str, Any] | None) -> str:
    if chosen is None:
        return "out of reach"
    return (
        f"{chosen['contestant']}, CRF {chosen['crf']:g}: {chosen['rate_kbps']:.0f} kbit/s, "
        f"{chosen['quality']:.2f}"
    )


def _fixed_row(rung: dict[str, Any]) -> str:
    start = f"| {rung['target_quality']:g} | {rung['keeps']} | "
    found = rung["found"]
    if found is None:
        return f"{start}none keeps it | | | | |"
    interval = ""
    if found["interval_percent"] is not None:
        low, high = found["interval_percent"]
        interval = f" ({low:+.0f} to {high:+.0f})"
    first, third = found["quartiles_percent"]
    return (
        f"{start}{found['contestant']}, CRF {found['crf']:g} | {found['median_percent']:+.1f} %"
        f"{interval}, {first:+.0f} to {third:+.0f} | "
        f"{found['total_percent']:+.1f} % | {found['num_worse']} of {len(found['titles'])} | "
        f"{found['num_own_short']}, {found['num_short']} |"
    )


def _sentences(results: dict[str, Any]) -> list[str]:
    titles = results["titles"]
    rungs = [rung["chosen"] for title in titles for rung in title["rungs"]]
    chosen = [one for one in rungs if one is not None]
    used = Counter(one["contestant"] for one in chosen)
    counts = ", ".join(f"{name} {count}" for name, count in used.most_common())
    gaps = [one["quality_gap"] for one in chosen]
    encodes = [sum(len(curve["points"]) for curve in title["curves"]) for title in titles]
    spared = [title["num_encodes_spared"] for title in titles]
    skipped = ", ".join(one["clip"] for one in results["skipped"])
    return [
        f"Of {len(rungs)} rungs {len(rungs) - len(chosen)} are out of reach; the others use "
        f"{counts}. On frames that the choice did not see, quality is off by a median of "
        f"{statistics.median(gaps):+.3f}, and {sum(not one['is_verified'] for one in chosen)} fall "
        f"short by more than {results['tolerance']:g}. A title took {statistics.median(encodes):g} "
        f"encodes for its curves in the median; giving up what is far behind spared about "
        f"{sum(spared)} in all." + (f" Skipped: {skipped}." if skipped else "")
    ]

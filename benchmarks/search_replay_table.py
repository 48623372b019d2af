"""The tables of ``benchmarks.search_replay``; needs nothing but the standard library."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# By name in the results.
_SHOWN = {
    "ours": "ours",
    "TPE": "TPE, CRF one more parameter",
    "random": "random",
    "grid": "grid",
}
_PROPOSE = {
    "ours": "a model of what options do",
    "ours, GP": "GP (5 seeds)",
    "ours, TPE": "TPE",
    "ours, NSGA-II": "NSGA-II",
    "ours, CMA-ES": "CMA-ES",
    "ours, random": "random",
}


def table(results: dict[str, Any]) -> str:
    """Returns encodes to come within 3 % and 1 % of the best, medians over the seeds."""
    shown = {name: title for name, title in _SHOWN.items() if _runs(results, name)}
    lines = [
        f"| clip | encoder | {' | '.join(shown.values())} | TPE against ours |",
        "|" + "---|" * (len(shown) + 3),
    ]
    for one in results["tables"]:
        runs = _by_method(results, one)
        cells = [_cell(runs[name]) if name in runs else "" for name in shown]
        ratio = _times(runs, "ours")
        if math.isnan(ratio):
            said = "neither gets there"
        elif math.isinf(ratio):
            said = f"over {runs['TPE']['budget'] / _median(runs['ours'], 3):.1f} times"
        else:
            said = f"{ratio:.1f} times" if ratio else "only TPE gets there"
        lines.append(
            f"| {Path(one['clip']).stem} | {one['codec']} | {' | '.join(cells)} | {said} |"
        )
    return "\n".join(lines) + "\n\n" + _sentences(results)


def _sentences(results: dict[str, Any]) -> str:
    grids = [one["combinations"] for one in results["tables"]]
    encodes = [one["encodes"] for one in results["tables"]]
    near = [one["within_3_percent"] for one in results["tables"]]
    num_seeds = len(results["runs"][0]["encodes_to_3_percent"])
    return (
        f"Encodes until what is recommended is, and stays, within 3 % (1 %) of the rate of the "
        f"grid's best at the target quality: the median over {num_seeds} seeds, - where at least "
        f"half of them never get there. Grids of {min(grids)} settings, {min(encodes)} to "
        f"{max(encodes)} encodes; within 3 % of the best lie {min(near)} to {max(near)} settings. "
        f"{_against_tpe(results)}\n"
    )


def summary(results: dict[str, Any]) -> str:
    """Returns how ours does against plain TPE, and what it matters who proposes."""
    return f"{_against_tpe(results)}\n{_proposers(results)}"


def _against_tpe(results: dict[str, Any]) -> str:
    groups = [
        f"{_median_times(results, 'ours', tables)} {of}"
        for of, tables in (
            (f"over all {len(results['tables'])} grids", results["tables"]),
            ("on the grids that the search was made with", _tables(results, is_held_out=False)),
            ("on those by which nothing was chosen", _tables(results, is_held_out=True)),
        )
        if tables
    ]
    return (
        f"Plain TPE takes so many times as many encodes as ours to come within 3 %, in the median: "
        f"{'; '.join(groups)}."
    )


def _proposers(results: dict[str, Any]) -> str:
    """Returns what it matters who proposes, all else being ours; nothing where it was not run."""
    tables = results["tables"]
    shown = {
        name: title for name, title in _PROPOSE.items() if len(_runs(results, name)) == len(tables)
    }
    if len(shown) < 2:
        return ""
    lines = [
        "| who proposes, all else being ours | grids on which it comes within 3 % | encodes, "
        "median over the grids | plain TPE against it, median |",
        "|---|---|---|---|",
    ]
    for name, title in shown.items():
        needed = [_median(_by_method(results, one)[name], 3) for one in tables]
        num_near = sum(math.isfinite(one) for one in needed)
        lines.append(
            f"| {title} | {num_near} of {len(tables)} | "
            f"{_encodes(statistics.median_high(needed))} | {_median_times(results, name, tables)} |"
        )
    return "\n" + "\n".join(lines) + "\n"


def _tables(results: dict[str, Any], *, is_held_out: bool) -> list[dict[str, Any]]:
    return [one for one in results["tables"] if one.get("is_held_out", False) == is_held_out]


def _by_method(results: dict[str, Any], one: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        run["method"]: run
        for run in results["runs"]
        if (run["clip"], run["codec"]) == (one["clip"], one["codec"])
    }


def _times(runs: dict[str, dict[str, Any]], method: str) -> float:
    """Returns how many times as many encodes plain TPE takes; NaN where neither gets there."""
    return _median(runs["TPE"], 3) / _median(runs[method], 3)


def _median_times(results: dict[str, Any], method: str, tables: Sequence[dict[str, Any]]) -> str:
    ratios = [_times(_by_method(results, one), method) for one in tables]
    told = [ratio for ratio in ratios if not math.isnan(ratio)]
    return f"{statistics.median(told):.1f} times" if told else "neither gets there"


def _runs(results: dict[str, Any], method: str) -> Sequence[dict[str, Any]]:
    return [run for run in results["runs"] if run["method"] == method]


def _cell(run: dict[str, Any]) -> str:
    three, one = (_median(run, within) for within in (3, 1))
    return f"{_encodes(three)} ({_encodes(one)})"


def _encodes(median: float) -> str:
    return "-" if math.isinf(median) else f"{median:.0f}"


def _median(run: dict[str, Any], within: int) -> float:
    """Returns the median over seeds, infinite where at least half never get there."""
    needed = run[f"encodes_to_{within}_percent"]
    return statistics.median_high(math.inf if one is None else one for one in needed)

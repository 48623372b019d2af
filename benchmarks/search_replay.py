"""Replays searches on measured grids: how many encodes until they recommend nearly the best.

``python -m benchmarks.search_replay`` needs the grids of ``benchmarks.search_grid`` and no encode:
everything that is measured was measured once, for real, and is looked up. A CRF between two
measured ones is read off the combination's own line, log rate and quality linear in CRF.

Our search is the product's own code, told to search the grid's options. Of the others each trial
is one encode, at a CRF that is one more parameter.
"""

from __future__ import annotations

import argparse
import json
import math
import warnings
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from ratesight.codecs.table import ENCODERS, Codec
from ratesight.codecs.whole_file import whole_file

from .machine import describe_machine
from .search_grid import CLIPS, HELD_OUT, VALUES, combinations, grid_file
from .search_ours import Ours, grid_encoder, replay_ours
from .search_plain import PlainSampler, replay_grid, replay_plain
from .search_table import SearchTable, Step, encodes_needed, read_table

RESULTS = Path(__file__).parent / "results" / "search_replay.json"

SEEDS = 20
BUDGET = 300
# A proposal of Optuna's Gaussian process takes as long as a small encode, its 300th ten times that.
_GP_SEEDS, _GP_BUDGET = 5, 100
WITHIN = (0.01, 0.03)

# What is printed, by name. The first is the product as it is.
_PLAIN: dict[str, PlainSampler] = {
    "random": "random",
    "TPE": "tpe",
    "TPE, our starts": "tpe",
    "NSGA-II": "nsga2",
    "CMA-ES": "cmaes",
    "GP": "gp",
}
OURS: dict[str, Ours] = {
    "ours": Ours(),
    "ours, GP": Ours(sampler="gp"),
    "ours, random": Ours(sampler="random"),
    "ours, TPE": Ours(sampler="tpe"),
    "ours, NSGA-II": Ours(sampler="nsga2"),
    "ours, CMA-ES": Ours(sampler="cmaes"),
    "ours, no starts": Ours(starts=False),
    "ours, never gives up": Ours(
        constants=(("candidate.HOPELESS_COST", math.inf), ("search.HOPELESS_COST", math.inf))
    ),
    "ours, gives up at 5 %": Ours(
        constants=(("candidate.HOPELESS_COST", 0.05), ("search.HOPELESS_COST", 0.05))
    ),
    "ours, always a play-off": Ours(constants=(("search._CLOSE_COST", math.inf),)),
    "ours, no play-off": Ours(constants=(("search._LEADER_POINTS", 0),)),
    "ours, 5 leaders": Ours(constants=(("search._LEADERS", 5),)),
    "ours, 1 point": Ours(constants=(("candidate._POINTS_TO_BELIEVE", 1),)),
    "ours, 3 points": Ours(constants=(("candidate._POINTS_TO_BELIEVE", 3),)),
    "ours, GP, 10 start-ups": Ours(sampler="gp", constants=(("study._STARTUP_TRIALS", 10),)),
    "ours, one at a time": Ours(num_under_way=1),
    "ours, warm start": Ours(),
}
METHODS = (*OURS, *_PLAIN, "grid")
# Encodes at which the picture says how near a method is.
MOMENTS = (10, 15, 20, 25, 30, 40, 50, 60, 80, 100, 125, 150, 200, 250, 300)


def main() -> None:
    """Replays what is missing in the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", nargs="+", choices=list(CLIPS), default=list(CLIPS))
    parser.add_argument("--codecs", nargs="+", choices=ENCODERS, default=list(ENCODERS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--again", action="store_true", help="also what the results have")
    parser.add_argument("--jobs", type=int, default=2, help="replays side by side")
    arguments = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"tables": [], "runs": []}
    with ProcessPoolExecutor(arguments.jobs, initializer=quiet) as pool:
        for codec in arguments.codecs:
            tables = [table for clip in CLIPS if (table := _table(clip, codec)) is not None]
            for table in tables:
                if table.clip not in arguments.clips:
                    continue
                _put(results["tables"], _table_summary(table))
                for method in arguments.methods:
                    is_there = any(
                        (run["clip"], run["codec"], run["method"]) == (table.clip, codec, method)
                        for run in results["runs"]
                    )
                    others = [one for one in tables if one is not table]
                    if (is_there and not arguments.again) or _is_idle(method, others):
                        continue
                    run = replay(table, method, others, pool)
                    _put(results["runs"], run)
                    _write(results)
                    shown = {
                        key: run[key] for key in ("clip", "codec", "method", "encodes_to_3_percent")
                    }
                    print(json.dumps(shown), flush=True)


def replay(
    table: SearchTable, method: str, others: Sequence[SearchTable], pool: Executor
) -> dict[str, Any]:
    """Replays a method with every seed.

    Args:
        others: Tables of other clips, whose best settings are the warm start.
    """
    seeds = range(_GP_SEEDS if method in ("GP", "ours, GP", "ours, GP, 10 start-ups") else SEEDS)
    replays = list(pool.map(partial(_steps, table, method, others), seeds))
    return {
        "clip": table.clip,
        "codec": table.codec,
        "method": method,
        "budget": max(steps[-1].num_encodes for steps in replays),
        **{
            f"encodes_to_{within * 100:g}_percent": [
                encodes_needed(table, steps, within) for steps in replays
            ]
            for within in WITHIN
        },
        "excess_percent_at": {
            str(moment): [_excess_percent(table, steps, moment) for steps in replays]
            for moment in MOMENTS
        },
    }


def _steps(table: SearchTable, method: str, others: Sequence[SearchTable], seed: int) -> list[Step]:
    if method in OURS:
        variant = OURS[method]
        if method == "ours, warm start":
            variant = replace(variant, warm_starts=tuple(one.best for one in others))
        return replay_ours(table, seed, variant)
    if method in _PLAIN:
        budget = _GP_BUDGET if method == "GP" else BUDGET
        starts = grid_encoder(ENCODERS[table.codec], table.values).starts
        return replay_plain(
            table, seed, _PLAIN[method], budget, starts if method == "TPE, our starts" else ()
        )
    return replay_grid(table, seed)


def _is_idle(method: str, others: Sequence[SearchTable]) -> bool:
    """Says whether there is nothing to start warm with."""
    return method == "ours, warm start" and not others


def _excess_percent(table: SearchTable, steps: Sequence[Step], moment: int) -> float | None:
    """Returns how far from the best a method is by then; None before it recommends anything."""
    chosen = None
    for step in steps:
        if step.num_encodes <= moment:
            chosen = step.options
    return None if chosen is None else round(table.excess(chosen) * 100, 2)


def _table(clip: str, codec: Codec) -> SearchTable | None:
    """Returns a table, None where the grid is not all there yet."""
    file = grid_file(clip, codec)
    if not file.exists():
        return None
    table = read_table(file, VALUES[codec])
    wanted = sum(1 for _ in combinations(ENCODERS[codec], VALUES[codec]))
    return table if len(table.combinations) == wanted else None


def _table_summary(table: SearchTable) -> dict[str, Any]:
    return {
        "clip": table.clip,
        "codec": table.codec,
        "is_held_out": table.clip in HELD_OUT,
        "target_quality": table.target_quality,
        "combinations": len(table.combinations),
        "encodes": sum(len(one.crfs) for one in table.combinations.values()),
        "defaults_excess_percent": round(table.excess(()) * 100, 2),
        "within_1_percent": table.num_within(0.01),
        "within_3_percent": table.num_within(0.03),
        "best": dict(table.best),
    }


def _put(rows: list[dict[str, Any]], row: dict[str, Any]) -> None:
    """Puts a row in the place of the one of the same name, or at the end."""
    names = ("clip", "codec", "method")
    same = [all(one.get(name) == row.get(name) for name in names) for one in rows]
    if any(same):
        rows[same.index(True)] = row
    else:
        rows.append(row)


def _write(results: dict[str, Any]) -> None:
    """Writes a line a row."""
    results["machine"] = describe_machine()
    parts = [
        f' "{name}": [\n'
        + ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
        + "\n ]"
        for name, rows in results.items()
        if name != "machine"
    ]
    parts.append(f' "machine": {json.dumps(results["machine"])}')
    with whole_file(RESULTS) as part:
        part.write_text("{\n" + ",\n".join(parts) + "\n}\n")


def quiet() -> None:
    """Lets Optuna say nothing of each trial, and take one core."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


if __name__ == "__main__":
    main()

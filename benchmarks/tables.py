"""Writes the tables of all READMEs from the JSON in results/: ``python -m benchmarks.tables``.

Needs nothing but the standard library; with ``--check`` it only says whether they agree.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from . import (
    cost_model,
    coverage_tables,
    goal_table,
    ladder_table,
    metric_tables,
    search_replay_table,
    throughput_table,
    tuning_tables,
    unseen_table,
    verification_table,
)

_HERE = Path(__file__).parent
README = _HERE.parent / "README.md"
IN_FULL = _HERE / "README.md"
CARD = _HERE.parent / "metrics" / "weights" / "README.md"


def main() -> int:
    """Returns 0 where the READMEs agree with the results, or have been made to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    correlation, noise = _load("correlation"), _load("metric_noise")
    texts = {
        README: {
            "whole clips summary": tuning_tables.whole(_load("whole_objects")),
            "whole fleets": tuning_tables.whole_fleets(_load("whole_fleet")),
            "tuning summary": tuning_tables.medians(_load("tuning")["runs"]),
            "cost": tuning_tables.cost(_load("tuning_times"), _load("memory")),
            "regions summary": tuning_tables.region_medians(_load("regions")["runs"]),
            "per shot summary": tuning_tables.shot_medians(_load("per_shot")["runs"]),
            "correlation": metric_tables.correlations(correlation),
        },
        IN_FULL: {
            "tuning": tuning_tables.tuning(_load("tuning")),
            "per title": ladder_table.savings(_load("per_title")),
            "search replay summary": search_replay_table.summary(_load("search_replay")),
            "unseen clips": unseen_table.table(_load("unseen_clips")),
            "steering": tuning_tables.steering(
                {
                    "YOLOv8n": _load("tuning"),
                    "`objects`": _load("tuning_objects"),
                    "`objects` in built-in regions": _load("tuning_built_in"),
                }
            ),
            "whole clips": tuning_tables.steering(
                {"YOLOv8n": _load("whole_detector"), "`objects`": _load("whole_objects")}
            ),
            "another machine": metric_tables.another_machine(correlation),
            "generalisation": metric_tables.generalisation(correlation),
            "light versions": metric_tables.light(correlation),
            "metric cost": metric_tables.cost(_load("metric_cost")),
            "metric noise": metric_tables.noise(noise),
            "interval coverage": coverage_tables.intervals(_load("interval_coverage")),
            "fleet coverage": coverage_tables.fleets(_load("interval_coverage")),
            "titles": cost_model.table(_load("tuning_times"), _load("metric_cost")),
            "regions": tuning_tables.regions(_load("regions")),
            "per title ladders": ladder_table.ladders(_load("per_title")),
            "per shot": tuning_tables.per_shot(_load("per_shot")),
            "search replay": search_replay_table.table(_load("search_replay")),
            "throughput": throughput_table.table(_load("throughput")),
            "verification": verification_table.table(_load("verification_change")),
        },
        CARD: {
            "generalisation": metric_tables.generalisation(correlation),
            "views": metric_tables.views(_load("region_views")),
            "goals": goal_table.goals(correlation, _load("metric_cost"), noise),
            "proposals": metric_tables.proposals(_load("proposals")),
        },
    }
    agree = True
    for file, tables in texts.items():
        before = after = file.read_text()
        for name, table in tables.items():
            after = _between(after, name, table)
        agree &= after == before
        if not arguments.check:
            file.write_text(after)
    return 0 if agree or not arguments.check else 1


def _load(name: str) -> dict[str, Any]:
    results: dict[str, Any] = json.loads((_HERE / "results" / f"{name}.json").read_text())
    return results


def _between(text: str, name: str, table: str) -> str:
    """Returns a text with what stands between the two marks of a table replaced."""
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not pattern.search(text):
        raise SystemExit(f"there are no marks for the table {name}")
    return pattern.sub(lambda marks: f"{marks[1]}{table}{marks[2]}", text)


if __name__ == "__main__":
    sys.exit(main())

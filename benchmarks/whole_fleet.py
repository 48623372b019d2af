"""Adds up what ``benchmarks.whole_clips`` found, as ``ratesight fleet`` does: an encoder a fleet.

``python -m benchmarks.whole_fleet`` takes seconds and needs no clips. Of clips that no metric was
trained on.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ratesight.optimizer.fleet import fleet
from ratesight.optimizer.recommendation import Recommendation
from ratesight.optimizer.recommendation_file import recommendation_from_json

from .clip_split import TEST_CLIPS
from .result_file import write_results
from .whole_clips import RESULTS as RUNS

RESULTS = Path(__file__).parent / "results" / "whole_fleet.json"


def main() -> None:
    """Adds up all runs that there are."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    runs = {
        steering: {
            (run["codec"], run["clip"]): run
            for run in json.loads(path.read_text())["runs"]
            if run["clip"] in TEST_CLIPS and "error" not in run
        }
        for steering, path in RUNS.items()
    }
    # The same clips, whoever steered.
    shared = set.intersection(*(set(some) for some in runs.values()))
    fleets = [
        {
            "steering": steering,
            "codec": codec,
            **fleet(
                _recommendation(some[codec, clip]) for clip in TEST_CLIPS if (codec, clip) in shared
            ).to_json(),
        }
        for codec in sorted({codec for codec, _ in shared})
        for steering, some in runs.items()
    ]
    write_results({"fleets": fleets}, RESULTS)


def _recommendation(run: dict[str, Any]) -> Recommendation:
    """Returns what a run recommends; results are without what names a machine's paths."""
    told = {"clip": run["clip"], "second_detector": "yolov5n.torchscript"}
    fields = {name: value for name, value in run.items() if name not in ("clip", "commit")}
    return recommendation_from_json(
        {**fields, "ffmpeg_command": None, "provenance": {**run["provenance"], **told}}
    )


if __name__ == "__main__":
    main()

"""Real searches over all options of an encoder, by each sampler: what they find, verified.

``python -m benchmarks.search_samplers --data ../shared/data`` takes about an hour an encoder on
two cores, writes after every search, and goes on where it was stopped. The grids that
``search_replay`` looks up have six options; here all that the product searches are free. What a
search found is verified on frames that it did not look at, against the encoder's defaults.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

from ratesight.codecs.table import Codec
from ratesight.optimizer.aim import TargetQuality
from ratesight.optimizer.events import PointMeasured, Recommended
from ratesight.optimizer.measuring.machine_choice import MachineChoice
from ratesight.optimizer.recommendation import Contender
from ratesight.optimizer.request import Sampler, TuneRequest
from ratesight.optimizer.tune import tune_events

from .machine import describe_machine
from .result_file import commit_here, write_results
from .search_grid import CLIPS, grid_file
from .tuning import parse_arguments

RESULTS = Path(__file__).parent / "results" / "search_samplers.json"

SAMPLERS: tuple[Sampler, ...] = ("additive", "gp", "tpe")
_SEEDS, _TRIALS, _SECONDS = 3, 25, 2.0


def main() -> None:
    """Runs what is missing in the results."""
    arguments = parse_arguments(__doc__, CLIPS)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"runs": []}
    done = {
        (run["codec"], run["seed"], run["clip"], run["sampler"]): run for run in results["runs"]
    }
    searches = itertools.product(arguments.codecs, range(_SEEDS), arguments.clips, SAMPLERS)
    for codec, seed, clip, sampler in searches:
        if (codec, seed, clip, sampler) in done:
            continue
        request = TuneRequest(
            clip=arguments.data / "clips" / clip,
            codec=codec,
            aim=TargetQuality(quality=_target_quality(clip, codec)),
            machine=MachineChoice(
                asked_metric="objects", detector=str(arguments.data / "weights" / "yolov8n.pt")
            ),
            num_trials=_TRIALS,
            num_warm_starts=0,
            sampler=sampler,
            seed=seed,
            frame_rate=CLIPS[clip],
            max_seconds=_SECONDS,
            store=arguments.store,
        )
        run = {"codec": codec, "seed": seed, "clip": clip, "sampler": sampler}
        results["runs"].append({**run, "commit": commit_here(), **_found(request)})
        results["machine"] = describe_machine()
        write_results(results, RESULTS)
        print(json.dumps(results["runs"][-1]), flush=True)


def _target_quality(clip: str, codec: Codec) -> float:
    """Returns what the defaults keep at a usual CRF."""
    found: float = json.loads(grid_file(clip, codec).read_text())["target_quality"]
    return found


def _found(request: TuneRequest) -> dict[str, Any]:
    """Runs a search; returns what its best options change, recommended or not."""
    num_encodes = 0
    for event in tune_events(request):
        if isinstance(event, PointMeasured) and event.role == "search":
            num_encodes += 1
        if isinstance(event, Recommended):
            best = [one for one in event.recommendation.contenders if one.role == "options"]
            return {
                "encodes": num_encodes,
                "search_cost_percent": event.recommendation.search_cost_percent,
                **(_verified(best[0]) if best else _DEFAULTS),
            }
    raise AssertionError("a search ends with a recommendation or an error")


# Nothing was found that seemed better.
_DEFAULTS = {"options": {}, "change_percent": 0.0, "bd_rate_percent": 0.0}


def _verified(contender: Contender) -> dict[str, Any]:
    change = contender.change
    return {
        "options": contender.settings["options"],
        "change_percent": round(change.percent, 2),
        "bd_rate_percent": None if change.bd_rate is None else round(change.bd_rate.percent, 2),
    }


if __name__ == "__main__":
    main()

"""Searches over all options of x264, emulated: what each sampler finds in 10 to 25 trials.

``python -m benchmarks.search_emulated`` takes some minutes and needs no encode. The emulators are
tree ensembles, fitted to candidates that real searches by several samplers measured on three clips
(``results/search_candidates.json``: the learned metric ``objects``, 2 s of each clip, cost in log
rate at the target quality). They are smoother than the truth, and know little of options that
nobody tried together: they tell samplers apart, not what is saved.

What a search is told has noise; what it finds is the emulator's own cost of the candidate that
seemed the best. The search's own expectations were chosen on these emulators, with other seeds.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from ratesight.codecs.table import ENCODERS, OptionValue
from ratesight.optimizer.request import Sampler
from ratesight.optimizer.search.option_space import OptionSpace
from ratesight.optimizer.search.study import open_study
from ratesight.optimizer.search.study_storage import open_storage
from sklearn.ensemble import ExtraTreesRegressor

from .machine import describe_machine
from .result_file import write_results
from .search_replay import quiet

CANDIDATES = Path(__file__).parent / "results" / "search_candidates.json"
RESULTS = Path(__file__).parent / "results" / "search_emulated.json"

SAMPLERS: tuple[Sampler, ...] = ("additive", "gp", "tpe", "nsga2", "cmaes", "random")
_FIRST_SEED, _SEEDS = 100, 12
_MOMENTS = (10, 15, 20, 25)
_UNDER_WAY = 4
# Standard deviation of a cost that is read off two encodes, and what is worse than hopeless.
_NOISE, _WORST_COST = 0.025, 0.6
_ENCODER = ENCODERS["x264"]
_SPACE = OptionSpace(encoder=_ENCODER, preset=_ENCODER.default_preset, part="encoder", fixed={})

Options = Mapping[str, OptionValue]


class Emulator:
    """What options cost against the defaults, in log rate.

    Attributes:
        out_of_bag_r2: Share of the variance of candidates that trees explain which did not see
            them.
    """

    def __init__(self, candidates: list[dict[str, Any]]) -> None:
        points = np.array([_SPACE.coordinates(one["options"]) for one in candidates])
        costs = np.minimum([one["cost"] for one in candidates], _WORST_COST)
        self._trees = ExtraTreesRegressor(
            300, min_samples_leaf=2, random_state=0, oob_score=True, bootstrap=True
        ).fit(points, costs)
        self._of_defaults = 0.0
        self._of_defaults = self.cost({})
        self.out_of_bag_r2 = float(self._trees.oob_score_)

    def cost(self, options: Options) -> float:
        point = _SPACE.coordinates(options)[None]
        return float(self._trees.predict(point)[0]) - self._of_defaults


def main() -> None:
    """Runs every sampler on every emulator."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2, help="searches side by side")
    arguments = parser.parse_args()
    clips = json.loads(CANDIDATES.read_text())["clips"]
    emulators = {clip: Emulator(candidates) for clip, candidates in clips.items()}
    results: dict[str, Any] = {
        "emulators": {
            clip: {"candidates": len(clips[clip]), "out_of_bag_r2": round(one.out_of_bag_r2, 2)}
            for clip, one in emulators.items()
        },
        "runs": [],
    }
    seeds = range(_FIRST_SEED, _FIRST_SEED + _SEEDS)
    with ProcessPoolExecutor(arguments.jobs, initializer=quiet) as pool:
        for sampler in SAMPLERS:
            for clip, emulator in emulators.items():
                found = list(pool.map(partial(_search, emulator, sampler), seeds))
                run = {
                    "clip": clip,
                    "sampler": sampler,
                    "log_rate_found_at": {
                        str(moment): [round(one[moment], 4) for one in found] for moment in _MOMENTS
                    },
                }
                results["runs"].append(run)
                print(json.dumps({**run, "log_rate_found_at": _means([run])}), flush=True)
    results["mean_log_rate"] = {
        sampler: _means([run for run in results["runs"] if run["sampler"] == sampler])
        for sampler in SAMPLERS
    }
    results["machine"] = describe_machine()
    write_results(results, RESULTS)
    print(json.dumps(results["mean_log_rate"], indent=1))


def _search(emulator: Emulator, sampler: Sampler, seed: int) -> dict[int, float]:
    """Returns what a search finds, by number of trials."""
    rng = np.random.default_rng(seed)
    truth: list[float] = []
    told: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        study = open_study(
            _ENCODER,
            preset=_ENCODER.default_preset,
            part="encoder",
            fixed={},
            sampler=sampler,
            seed=seed,
            storage=open_storage(Path(folder) / "study.journal"),
            name="emulated",
        )
        asked = [study.ask() for _ in range(_UNDER_WAY - 1)]
        for number in range(max(_MOMENTS)):
            asked.append(study.ask())
            cost = emulator.cost(asked[number].options)
            # The defaults are what all is compared with.
            seen = cost + _NOISE * float(rng.standard_normal()) if number else 0.0
            study.tell(asked[number], seen, {})
            truth.append(cost)
            told.append(seen)
    return {moment: truth[int(np.argmin(told[:moment]))] for moment in _MOMENTS}


def _means(runs: list[dict[str, Any]]) -> dict[str, float]:
    return {
        str(moment): round(
            float(np.mean([run["log_rate_found_at"][str(moment)] for run in runs])), 4
        )
        for moment in _MOMENTS
    }


if __name__ == "__main__":
    main()

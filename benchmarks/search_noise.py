"""How well noisy points choose: simulated curves, whose truth is known, under the product's search.

``python -m benchmarks.search_noise`` takes a minute and needs no clip. A candidate is a curve of
the defaults, moved in rate, in CRF and made a little flatter or steeper; each measured quality has
noise. Of every set of candidates one is the defaults once more. Told are, over many sets, the rank
correlation of estimated and true cost, how much worse the chosen candidate is than the best, and
how far from 0 the copy of the defaults seems to be: each in log rate, with the encodes spent.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ratesight.codecs.settings import Crf, EncodeSettings
from ratesight.optimizer.aim import TargetQuality
from ratesight.optimizer.search.candidate import (
    Candidate,
    cost,
    first_crfs,
    next_anchor_crfs,
    next_crf,
)
from scipy.stats import spearmanr

from .result_file import write_results
from .search_ours import changed_constants, measurement_of

RESULTS = Path(__file__).parent / "results" / "search_noise.json"

_SETS, _CANDIDATES = 40, 20
_NOISES = (0.005, 0.015)
# Log rate at which the defaults keep half of the quality, and the target.
_CURVES = ((5.2, 0.85), (5.8, 0.75))
VARIANTS: dict[str, Mapping[str, object]] = {
    "as it is": {},
    "more points of the defaults": {
        "candidate._LADDER": (0.3, 0.5, 0.7, 0.9),
        "candidate._AROUND": (-4, -2, 0, 2, 4, 7),
        "candidate._ANCHOR_POINTS": 12,
    },
    "1 point a candidate": {"candidate._POINTS_TO_BELIEVE": 1},
    "3 points a candidate": {"candidate._POINTS_TO_BELIEVE": 3},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """An encoder whose quality is a logistic function of log rate.

    Attributes:
        middle: Log rate at which half of the quality is kept.
        log_rate: What it costs more than the defaults at equal quality.
        crf: What CRF means more than for the defaults.
        width: Of the logistic function, in log rate.
        noise: Standard deviation of a measured quality.
    """

    middle: float
    noise: float
    random: np.random.Generator
    log_rate: float = 0.0
    crf: float = 0.0
    width: float = 0.45

    def measure(self, candidate: Candidate, crf: float) -> None:
        """Adds a point."""
        log_rate = 7.5 - 0.115 * (crf - self.crf - 20)
        true = 1 / (1 + math.exp(-(log_rate - self.log_rate - self.middle) / self.width))
        quality = min(max(true + self.random.normal(0, self.noise), 0.0), 1.0)
        candidate.measurements[crf] = measurement_of(log_rate, quality)


def main() -> None:
    """Simulates all variants and writes what they give."""
    rows = []
    for name, constants in VARIANTS.items():
        with changed_constants(tuple(constants.items())):
            for noise in _NOISES:
                for middle, target in _CURVES:
                    row = {
                        "variant": name,
                        "noise": noise,
                        "target_quality": target,
                        **_simulate(noise, middle, TargetQuality(quality=target)),
                    }
                    rows.append(row)
                    print(json.dumps(row), flush=True)
    write_results({"rows": rows}, RESULTS)


def _simulate(noise: float, middle: float, aim: TargetQuality) -> dict[str, float]:
    sets = np.array([_one_set(seed, noise, middle, aim) for seed in range(_SETS)])
    correlations, regrets, copies, encodes = sets.T
    return {
        "rank_correlation": round(float(np.median(correlations)), 3),
        "worse_than_best": round(float(regrets.mean()), 4),
        "copy_standard_deviation": round(float(copies.std()), 4),
        "encodes": round(float(encodes.mean()), 1),
    }


def _one_set(seed: int, noise: float, middle: float, aim: TargetQuality) -> tuple[float, ...]:
    random = np.random.default_rng(seed)
    settings = EncodeSettings(codec="x264", preset="medium", rate_control=Crf(value=30))
    anchor, defaults = (
        Candidate(settings=settings),
        Simulated(middle=middle, noise=noise, random=random),
    )
    crfs = first_crfs(settings)
    while crfs:
        for crf in crfs:
            defaults.measure(anchor, crf)
        crfs = next_anchor_crfs(anchor, aim)
    true = np.concatenate([[0.0], random.normal(-0.02, 0.1, _CANDIDATES - 1)])
    found: list[float] = []
    num_encodes = len(anchor.measurements)
    for number, log_rate in enumerate(true):
        encoder = Simulated(
            middle=middle,
            noise=noise,
            random=random,
            log_rate=log_rate,
            crf=random.normal(0, 3) if number else 0.0,
            width=0.45 * math.exp(random.normal(0, 0.1)) if number else 0.45,
        )
        candidate = Candidate(settings=settings)
        best_cost = min(found, default=0.0)
        while (wanted := next_crf(candidate, anchor, aim, best_cost)) is not None:
            encoder.measure(candidate, wanted)
        num_encodes += len(candidate.measurements)
        found.append(cost(candidate, anchor, aim))
    chosen = float(true[int(np.argmin(found))] - true.min())
    return float(spearmanr(found, true).statistic), chosen, found[0], num_encodes


if __name__ == "__main__":
    main()

"""Measures in how many of 95 % intervals the truth lies, on simulated curves whose truth is known.

``python -m benchmarks.interval_coverage`` takes some minutes. A run looks at frames that are hard
or easy to see, alike from one to the next and the same for both curves, and at errors of each
encode that may be alike from one frame to the next too. Both curves are straight in log rate over
log loss; the test saves 9.5 % at quality 0.95, and more or less elsewhere where it is tilted.

A fleet is of clips that differ in rate, and in what the best of a search saves on them. What is
measured of that errs, and decides whether it is recommended.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ratesight.metrics.boxes import Floats
from ratesight.metrics.object_iou import ObjectScores
from ratesight.optimizer.aim import TargetQuality
from ratesight.optimizer.curves.bootstrap import over_clips
from ratesight.optimizer.curves.interval import rate_change
from ratesight.optimizer.curves.shrinkage import expected_percents
from ratesight.optimizer.measuring.bench import Measurement

from .machine import describe_machine
from .result_file import write_results

Ints = npt.NDArray[np.intp]

RESULTS = Path(__file__).parent / "results" / "interval_coverage.json"
_NUM_RUNS, _NUM_RESAMPLES = 100, 200
# Frames looked at, correlation of an encode's errors on neighbouring ones, tilt of the test curve.
_FRAMES, _CORRELATIONS, _TILTS = (25, 100), (0.0, 0.5, 0.8), (0.0, 0.3)
# Blocks of two seconds at five frames a second.
_BLOCK_FRAMES = 10
_TARGET, _SHIFT, _STEEPNESS = 0.95, -0.1, 1.2
_LOG_RATES = np.log(400) + np.arange(-3, 4) * 0.23
# Of the logarithm of a frame's difficulty: deviation, correlation of neighbours.
_HARD, _ALIKE = 0.6, 0.8
# Deviation of an encode's error on a frame, in loss.
_ERROR = 0.02
# Clips of a fleet; of the log ratio of their rates: mean, deviation, deviation of its error.
_CLIPS = (6, 30, 100)
_SAVINGS = (
    (-0.15, 0.1, 0.05),
    (-0.15, 0.1, 0.1),
    (-0.05, 0.15, 0.05),
    (-0.05, 0.1, 0.2),
    (-0.03, 0.03, 0.08),
    (0.0, 0.1, 0.05),
    (0.05, 0.1, 0.05),
    (0.0, 0.0, 0.08),
)
# By how much the log ratio rises with the log of the rate, with the second of these.
_SLOPES = (-0.05, 0.05)
# Deviation of the logarithm of an error from clip to clip, and of how well it is known; by how much
# too large it is taken, as our intervals over frames have it.
_ERRORS_DIFFER, _ERRORS_KNOWN, _TAKEN_LARGER = 0.5, 0.3, 1.2
_NUM_OF_ALL = 1_000_000


def main() -> None:
    """Simulates every combination."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    rows = []
    for num_frames, correlation, tilt in product(_FRAMES, _CORRELATIONS, _TILTS):
        rows.append(_covered(num_frames, correlation, tilt))
        print(json.dumps(rows[-1]), flush=True)
    fleets = []
    sloped = ((*savings, slope) for savings, slope in product(_SAVINGS[1:2], _SLOPES))
    for savings, num_clips in product([*((*one, 0.0) for one in _SAVINGS), *sloped], _CLIPS):
        fleets.append(_of_fleets(num_clips, *savings))
        print(json.dumps(fleets[-1]), flush=True)
    content = {"machine": describe_machine(), "runs": _NUM_RUNS, "resamples": _NUM_RESAMPLES}
    write_results(content | {"rows": rows, "fleets": fleets}, RESULTS)


def _covered(num_frames: int, correlation: float, tilt: float) -> dict[str, Any]:
    """Returns the share of intervals that hold the truth, and of those with an unknown end."""
    hits, overall_hits, num_open = [], [], 0
    for seed in range(_NUM_RUNS):
        rng = np.random.default_rng(seed)
        hard = np.exp(_HARD * _series(rng, num_frames, 1, _ALIKE)[0] - _HARD**2 / 2)
        curves = [
            _curve(rng, hard, correlation, shift, _STEEPNESS / (1 + lean))
            for shift, lean in ((0.0, 0.0), (_SHIFT, tilt))
        ]
        found = rate_change(
            *curves, TargetQuality(quality=_TARGET), max_crf=51, block_frames=_BLOCK_FRAMES,
            seed=seed, num_resamples=_NUM_RESAMPLES,
        )  # fmt: skip
        ends = (found.low_percent, found.high_percent)
        low, high = -np.inf if ends[0] is None else ends[0], np.inf if ends[1] is None else ends[1]
        hits.append(low <= np.expm1(_SHIFT) * 100 <= high)
        num_open += None in ends
        if found.bd_rate is not None and found.bd_rate_interval_percent is not None:
            truth = _true_bd_rate(found.bd_rate.low_quality, found.bd_rate.high_quality, tilt)
            low, high = found.bd_rate_interval_percent
            overall_hits.append(low <= truth <= high)
    return {
        "frames": num_frames,
        "correlation": correlation,
        "tilt": tilt,
        "at_target": float(np.mean(hits)),
        "with_an_unknown_end": num_open / _NUM_RUNS,
        "bd_rate": float(np.mean(overall_hits)),
    }


def _curve(
    rng: np.random.Generator, hard: Floats, correlation: float, shift: float, steepness: float
) -> dict[float, Measurement]:
    losses = (1 - _TARGET) * np.exp(-steepness * (_LOG_RATES - np.log(400)))
    errors = _ERROR * _series(rng, len(hard), len(losses), correlation)
    return {
        30.0 - at: Measurement(
            rate_kbps=float(np.exp(log_rate + shift)),
            size_bytes=1,
            num_frames=len(hard),
            scores=ObjectScores(
                weights=(np.ones(1),) * len(hard),
                deltas=tuple(loss * hard[:, None] + error[:, None]),
            ),
            encode_seconds=1.0,
            decode_seconds=1.0,
            detect_seconds=1.0,
        )
        for at, (log_rate, loss, error) in enumerate(zip(_LOG_RATES, losses, errors, strict=True))
    }


def _of_fleets(
    num_clips: int, mean: float, spread: float, error: float, slope: float
) -> dict[str, Any]:
    """Returns what fleets save by what is recommended, and what is told of it and expected."""

    def draw(rng: np.random.Generator, count: int) -> tuple[Floats, Floats, Floats, Floats]:
        """Returns rates, true and measured changes, and what is known of the errors of these."""
        log_rates = rng.normal(size=count)
        true = mean + spread * rng.normal(size=count) + slope * log_rates
        errors = error * np.exp(_ERRORS_DIFFER * rng.normal(size=count))
        measured = true + errors * rng.normal(size=count)
        known = _TAKEN_LARGER * errors * np.exp(_ERRORS_KNOWN * rng.normal(size=count))
        return np.exp(log_rates), np.expm1(true) * 100, np.expm1(measured) * 100, known

    def of_sums(rates: Floats, changes: Floats, measured: Floats) -> float:
        return float((rates * np.where(measured < 0, changes, 0.0)).sum() / rates.sum())

    rates, true, measured, _ = draw(np.random.default_rng(0), _NUM_OF_ALL)
    truth = of_sums(rates, true, measured)
    told: dict[str, list[float]] = {"measured": [], "expected": []}
    hits: dict[str, list[bool]] = {"measured": [], "expected": []}
    for seed in range(_NUM_RUNS):
        drawn = draw(np.random.default_rng(1 + seed), num_clips)

        def as_measured(at: Ints, drawn: Sequence[Floats] = drawn) -> float:
            rates, _, measured, _ = (one[at] for one in drawn)
            return of_sums(rates, measured, measured)

        def as_expected(at: Ints, drawn: Sequence[Floats] = drawn) -> float:
            rates, _, measured, known = (one[at] for one in drawn)
            return of_sums(rates, expected_percents(measured, known), measured)

        for name, percent_of in (("measured", as_measured), ("expected", as_expected)):
            told[name].append(percent_of(np.arange(num_clips)))
            interval = over_clips(percent_of, num_clips)
            assert interval is not None
            hits[name].append(interval[0] <= truth <= interval[1])
    return {
        "clips": num_clips,
        "log_ratio": {"mean": mean, "spread": spread, "error": error, "slope": slope},
        "truth_percent": truth,
        "told_percent": {name: float(np.mean(some)) for name, some in told.items()},
        "held": {name: float(np.mean(some)) for name, some in hits.items()},
    }


def _series(rng: np.random.Generator, length: int, count: int, correlation: float) -> Floats:
    """Returns (count, length) standard normal numbers, each correlated with the one before."""
    series = rng.normal(size=(count, length))
    for at in range(1, length):
        series[:, at] *= np.sqrt(1 - correlation**2)
        series[:, at] += correlation * series[:, at - 1]
    return series


def _true_bd_rate(low: float, high: float, tilt: float) -> float:
    """Returns the BD-rate between two qualities without any error."""
    distances = np.log((1 - np.linspace(low, min(high, 0.9999), 1000)) / (1 - _TARGET))
    return float(np.expm1(np.mean(_SHIFT - distances * tilt / _STEEPNESS)) * 100)


if __name__ == "__main__":
    main()

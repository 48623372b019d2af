"""Measures how much a clip's score depends on which frames are looked at.

``python -m benchmarks.metric_noise --data ../shared/data`` takes some minutes. Every clip is
encoded at two CRFs; the frames fall into disjoint samples, and each sample scores the clip: by the
detector, and by the learned metric in the detector's regions. A score that hardly moves at all
would be quiet too, so that the standard deviation is also given in shares of the rate, by the slope
of quality over log rate between the two CRFs.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from ratesight.codecs.encode import decode_bgr, encode
from ratesight.codecs.settings import Crf, EncodeSettings
from ratesight.codecs.source import load_source
from ratesight.metrics.boxes import Floats
from ratesight.metrics.detector import load_detector
from ratesight.metrics.learned import load_learned_metric
from ratesight.metrics.object_iou import ObjectScores
from ratesight.metrics.objects import ObjectMachine
from ratesight.metrics.task import TaskMachine, object_scores

from .machine import describe_machine
from .object_pairs import TEST_CLIPS
from .result_file import write_results

RESULTS = Path(__file__).parent / "results" / "metric_noise.json"
_SECONDS, _FRAMES, _SAMPLES, _CRFS = 4.0, 80, 8, (28, 34)
_SEED, _DRAWS = 0, 2000
_KINDS = ("deviation", "deviation_in_log_rate")


def main() -> None:
    """Measures every clip that no metric was trained on."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    arguments = parser.parse_args()
    detector = load_detector(str(arguments.data / "weights" / "yolov8n.pt"))
    machines: dict[str, TaskMachine[Any]] = {
        "detector": ObjectMachine(detector=detector),
        "objects": load_learned_metric("objects", detector),
    }
    rows = []
    for clip in TEST_CLIPS:
        with load_source(arguments.data / "clips" / clip, max_seconds=_SECONDS) as source:
            count = min(_FRAMES, source.num_frames) // _SAMPLES * _SAMPLES
            wanted = [int(at) for at in np.linspace(0, source.num_frames - 1, count)]
            originals = [source.bgr(index) for index in wanted]
            references = {name: one.look(originals) for name, one in machines.items()}
            scores: dict[str, list[ObjectScores]] = {name: [] for name in machines}
            rates = []
            for crf in _CRFS:
                settings = EncodeSettings(
                    codec="x264", preset="medium", rate_control=Crf(value=crf)
                )
                encoding = encode(source, settings)
                rates.append(encoding.rate_kbps)
                pictures = list(decode_bgr(encoding, frozenset(wanted), source.color_space))
                for name, machine in machines.items():
                    losses = machine.losses(references[name], pictures)
                    scores[name].append(object_scores(references[name], losses))
        row: dict[str, Any] = {"clip": clip, "num_frames": count, "rate_kbps": rates}
        for name, both in scores.items():
            row[name] = noise(np.array([_sampled(one) for one in both]), rates)
        rows.append(row)
        print(json.dumps(row), flush=True)
    content = {"machine": describe_machine(), "samples": _SAMPLES, "crfs": _CRFS, "rows": rows}
    content |= {"seed": _SEED, "median_ratio": (ratios := median_ratios(rows))}
    print(ratios)
    write_results(content, RESULTS)


def noise(samples: Floats, rates: list[float]) -> dict[str, Any]:
    """Returns how much (CRFs, samples) qualities deviate, as such and as logarithms of the rate."""
    slope = abs(samples[0].mean() - samples[1].mean()) / abs(np.log(rates[0] / rates[1]))
    deviation = float(np.sqrt((samples.std(axis=1, ddof=1) ** 2).mean()))
    return {
        "quality": float(samples[0].mean()),
        "quality_at_higher_crf": float(samples[1].mean()),
        "deviation": deviation,
        "deviation_in_log_rate": float(deviation / slope),
        "samples": samples.tolist(),
    }


def median_ratios(rows: list[dict[str, Any]]) -> dict[str, list[float]]:
    """Returns the median over clips of the metric's deviation in shares of the detector's.

    With its 95 % interval: clips are drawn anew, and of each the samples, the same of both.
    """
    random = np.random.default_rng(_SEED)
    drawn = [
        _ratios([_drawn(rows[clip], random) for clip in random.integers(len(rows), size=len(rows))])
        for _ in range(_DRAWS)
    ]
    low, high = np.quantile(drawn, (0.025, 0.975), axis=0)
    values = zip(_ratios(rows), low, high, strict=True)
    return {kind: [float(one) for one in some] for kind, some in zip(_KINDS, values, strict=True)}


def _ratios(rows: list[dict[str, Any]]) -> Floats:
    ratios = [[row["objects"][kind] / row["detector"][kind] for kind in _KINDS] for row in rows]
    return np.asarray(np.median(ratios, axis=0))


def _drawn(row: dict[str, Any], random: np.random.Generator) -> dict[str, Any]:
    """Returns a clip by samples of it, drawn with replacement."""
    chosen = random.integers(_SAMPLES, size=_SAMPLES)
    return {
        name: noise(np.array(row[name]["samples"])[:, chosen], row["rate_kbps"])
        for name in ("objects", "detector")
    }


def _sampled(scores: ObjectScores) -> Floats:
    """Returns the quality by each of the disjoint samples of frames."""
    weights, losses = scores.frame_weights, scores.frame_losses
    parts = [
        1 - losses[start::_SAMPLES].sum() / weights[start::_SAMPLES].sum()
        for start in range(_SAMPLES)
    ]
    return np.array(parts)


if __name__ == "__main__":
    main()

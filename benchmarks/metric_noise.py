"""Measures how much a clip's score depends on which frames are looked at.

``python -m benchmarks.metric_noise --data ../shared/data`` takes half an hour. Every clip is
encoded by every encoder at two CRFs; the frames fall into disjoint samples of ten, and each sample
scores the clip: by the detector, and by the learned metric in the detector's regions. A score that
hardly moves at all would be quiet too, so that the standard deviation is also given in shares of
the rate, by the slope of quality over log rate between the two CRFs. Samples differ in what they
show, too: by what two further detectors have in common with the first, the root of their
covariance.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from ratesight.codecs.encode import decode_bgr, encode
from ratesight.codecs.settings import Crf, EncodeSettings
from ratesight.codecs.source import load_source
from ratesight.codecs.table import ENCODERS, Codec
from ratesight.metrics.boxes import Floats
from ratesight.metrics.detector import load_detector
from ratesight.metrics.learned import load_learned_metric
from ratesight.metrics.object_iou import ObjectScores
from ratesight.metrics.objects import ObjectMachine
from ratesight.metrics.task import TaskMachine, object_scores

from .clip_split import TEST_CLIPS
from .machine import describe_machine
from .object_pairs import MACHINES
from .result_file import write_results

RESULTS = Path(__file__).parent / "results" / "metric_noise.json"
_SECONDS, _FRAMES_A_SAMPLE, _MOST_SAMPLES = 10.0, 10, 20
_CRFS: dict[Codec, tuple[int, int]] = {"x264": (28, 34), "x265": (28, 34), "svtav1": (38, 48)}
_SEED, _DRAWS = 0, 2000
_KINDS = ("deviation", "deviation_in_log_rate")
_DETECTORS = tuple(file.partition(".")[0] for file in MACHINES)  # the first finds the regions


def main() -> None:
    """Measures every clip that no metric was trained on."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    arguments = parser.parse_args()
    weights = arguments.data / "weights"
    detectors = [load_detector(str(weights / file)) for file in MACHINES]
    machines: dict[str, TaskMachine[Any]] = {
        name: ObjectMachine(detector=one) for name, one in zip(_DETECTORS, detectors, strict=True)
    }
    machines["objects"] = load_learned_metric("objects", detectors[0])
    rows = []
    for clip in TEST_CLIPS:
        with load_source(arguments.data / "clips" / clip, max_seconds=_SECONDS) as source:
            num_samples = min(_MOST_SAMPLES, source.num_frames // _FRAMES_A_SAMPLE)
            count = num_samples * _FRAMES_A_SAMPLE
            wanted = [int(at) for at in np.linspace(0, source.num_frames - 1, count)]
            originals = [source.bgr(index) for index in wanted]
            references = {name: one.look(originals) for name, one in machines.items()}
            for codec, crfs in _CRFS.items():
                scores: dict[str, list[ObjectScores]] = {name: [] for name in machines}
                rates = []
                for crf in crfs:
                    encoding = encode(source, _settings(codec, crf))
                    rates.append(encoding.rate_kbps)
                    pictures = list(decode_bgr(encoding, frozenset(wanted), source.color_space))
                    for name, machine in machines.items():
                        losses = machine.losses(references[name], pictures)
                        scores[name].append(object_scores(references[name], losses))
                row: dict[str, Any] = {
                    "clip": clip, "codec": codec, "num_frames": count, "rate_kbps": rates
                }  # fmt: skip
                for name, both in scores.items():
                    row[name] = noise(np.array([_sampled(one, num_samples) for one in both]), rates)
                rows.append(row)
                print(json.dumps(row), flush=True)
    content = {"machine": describe_machine(), "crfs": _CRFS, "detectors": _DETECTORS, "rows": rows}
    content |= {"seed": _SEED, "median_ratio": (ratios := median_ratios(rows))}
    print(ratios)
    write_results(content, RESULTS)


def _settings(codec: Codec, crf: int) -> EncodeSettings:
    preset = ENCODERS[codec].default_preset
    return EncodeSettings(codec=codec, preset=preset, rate_control=Crf(value=crf))


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

    Of a clip's encodes the mean variance counts. With its 95 % interval: clips are drawn anew, and
    of each the samples, the same of all machines and encoders. ``shared`` is what the detectors
    have in common, in the same shares.
    """
    random = np.random.default_rng(_SEED)
    by_clip: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_clip.setdefault(row["clip"], []).append(row)
    clips = list(by_clip.values())
    drawn = [
        _ratios(
            [_drawn(clips[index], random) for index in random.integers(len(clips), size=len(clips))]
        )
        for _ in range(_DRAWS)
    ]
    low, high = np.quantile(drawn, (0.025, 0.975), axis=0)
    values = zip(_ratios(clips), low, high, strict=True)
    kinds = zip((*_KINDS, "shared"), values, strict=True)
    return {kind: [float(one) for one in some] for kind, some in kinds}


def _ratios(clips: Sequence[Sequence[dict[str, Any]]]) -> Floats:
    """Returns the median over clips of each ratio."""
    detector = _DETECTORS[0]
    ratios = [
        [_pooled(rows, "objects", kind) / _pooled(rows, detector, kind) for kind in _KINDS]
        + [_shared(rows) / _pooled(rows, detector, "deviation")]
        for rows in clips
    ]
    return np.asarray(np.median(ratios, axis=0))


def _shared(rows: Sequence[dict[str, Any]]) -> float:
    """Returns the root of the mean covariance of two detectors' scores, over all encodes."""
    covariances = []
    for row in rows:
        of_sample = {name: np.array(row[name]["samples"]) for name in _DETECTORS}
        off = {name: one - one.mean(axis=1, keepdims=True) for name, one in of_sample.items()}
        for one, other in combinations(off.values(), 2):
            covariances.append((one * other).sum() / (one.size - len(one)))
    return float(np.sqrt(max(0.0, np.mean(covariances))))


def _pooled(rows: Sequence[dict[str, Any]], name: str, kind: str) -> float:
    return float(np.sqrt(np.mean([row[name][kind] ** 2 for row in rows])))


def _drawn(rows: Sequence[dict[str, Any]], random: np.random.Generator) -> list[dict[str, Any]]:
    """Returns a clip by samples of it, drawn with replacement."""
    num_samples = len(rows[0]["objects"]["samples"][0])
    chosen = random.integers(num_samples, size=num_samples)
    return [
        {
            name: noise(np.array(row[name]["samples"])[:, chosen], row["rate_kbps"])
            for name in ("objects", *_DETECTORS)
        }
        for row in rows
    ]


def _sampled(scores: ObjectScores, num_samples: int) -> Floats:
    """Returns the quality by each of the disjoint samples of frames."""
    weights, losses = scores.frame_weights, scores.frame_losses
    parts = [
        1 - losses[start::num_samples].sum() / weights[start::num_samples].sum()
        for start in range(num_samples)
    ]
    return np.array(parts)


if __name__ == "__main__":
    main()

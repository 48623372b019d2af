"""Trains what proposes regions without a detector, and writes its weights and figures.

``python -m benchmarks.train_proposals --data ../shared/data`` asks the teachers, whose answers are
cached, in a quarter of an hour, and trains all layers from ImageNet's weights in an hour and a half
on one core, in minutes on CUDA.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
from ratesight.codecs.whole_file import whole_file
from ratesight.metrics.boxes import Detections
from ratesight.metrics.coco_map import mean_average_precision
from ratesight.metrics.detection_counts import DetectionCounts, count_detections
from ratesight.metrics.learned import to_tensor
from ratesight.metrics.region_proposals import (
    PROPOSED,
    Entry,
    ProposalDetector,
    ProposalNetwork,
    load_proposal_detector,
    used_levels,
)
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from .machine import describe_machine
from .pairs import SPLITS
from .proposal_examples import make_example
from .proposal_loss import loss_of
from .proposal_scenes import Taught, read_taught
from .result_file import write_results
from .similarity_examples import read_ahead
from .train_metrics import load_backbone

RESULTS = Path(__file__).parent / "results" / "proposals.json"
# The score that regions count from; each class is shifted so that it is the best one.
SCORE = 0.4
_SEED = 0
_EPOCHS, _BATCH, _DECAY = 32, 8, 0.05
_FEATURES_RATE, _HEAD_RATE = 3e-4, 2e-3
# What is judged and written is a moving average of the weights over so many steps.
_AVERAGED_STEPS = 300
# How many examples tell the mean and spread of the features before the training.
_NORMALISED = 200
# Scores down to which average precision and the best score are looked for.
_FAINT = 0.02


def main() -> None:
    """Trains, writes, reports."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--cache", type=Path, default=Path("pairs"), help="of what the teachers see"
    )
    parser.add_argument("--out", type=Path, default=Path("metrics/weights"))
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--jobs", type=int, default=1, help="processes that ask the teachers")
    parser.add_argument(
        "--epochs", type=int, default=_EPOCHS, help="0 judges the weights that are there"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(_SEED)
    # No two pictures have one size, and each would cost seconds until cuDNN has its plans.
    torch.backends.cudnn.enabled = False
    cv2.setNumThreads(1)
    device = "cuda:0" if torch.cuda.is_available() else "cpu"
    network = ProposalNetwork().eval().to(device).to(memory_format=torch.channels_last)
    if arguments.epochs:
        load_backbone(
            network.features, arguments.data / "weights" / "mobilenetv3_small_timm.safetensors"
        )
    else:
        network = load_proposal_detector(weights=arguments.out / "proposals.safetensors").network
    splits = SPLITS if arguments.epochs else SPLITS[1:]
    taught = read_taught(arguments.data, arguments.cache, arguments.jobs, splits)
    started = time.perf_counter()
    parts = {split: [one for one in taught if one.split == split] for split in splits}
    course: dict[str, object] = {}
    num_pictures = {split: len(some) for split, some in parts.items()}
    if arguments.epochs:
        network, log = train(network, parts["train"], parts["validation"], arguments.epochs, device)
        course = {
            "log": log,
            "seed": _SEED,
            "epochs": arguments.epochs,
            "training_seconds": round(time.perf_counter() - started),
        }
    elif arguments.results.exists():
        before = json.loads(arguments.results.read_text())
        course, num_pictures = before["course"], before["pictures"] | num_pictures
    shift_scores(network, parts["validation"], device)
    arguments.out.mkdir(parents=True, exist_ok=True)
    weights = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
    with whole_file(arguments.out / "proposals.safetensors") as part:
        save_file(weights, part)
    figures = {
        split: evaluate(detector_of(network, device), parts[split])
        for split in ("validation", "test")
    }
    results = {
        "pictures": num_pictures,
        "score": SCORE,
        "figures": figures,
        "course": course,
        "machine": describe_machine(),
    }
    write_results(results, arguments.results)
    print(json.dumps(figures["test"], indent=1))


def train(
    network: ProposalNetwork,
    taught: Sequence[Taught],
    validation: Sequence[Taught],
    num_epochs: int,
    device: str,
) -> tuple[ProposalNetwork, list[dict[str, float]]]:
    """Trains all layers; returns the epoch that finds best on validation pictures, and the course.

    What is judged and returned is a moving average of the weights.
    """
    random = np.random.default_rng(_SEED)
    started = time.perf_counter()
    normalise(network, taught, random, device)
    optimizer = torch.optim.AdamW(
        [{"params": network.features.parameters()}, {"params": network.head.parameters()}],
        weight_decay=_DECAY,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        [_FEATURES_RATE, _HEAD_RATE],
        total_steps=num_epochs * (len(taught) // _BATCH),
        pct_start=0.1,
    )
    average = get_ema_multi_avg_fn(1 - 1 / _AVERAGED_STEPS)  # type: ignore[no-untyped-call]
    averaged = AveragedModel(network, multi_avg_fn=average)
    judged = averaged.module
    assert isinstance(judged, ProposalNetwork)
    log: list[dict[str, float]] = []
    best, kept = -1.0, copy.deepcopy(judged)
    for epoch in range(num_epochs):
        network.train()
        losses = []
        order = random.permutation(len(taught))
        # Each has random numbers of its own: threads make them in any order.
        draws = zip(order, random.spawn(len(order)), strict=True)
        examples = read_ahead(lambda draw: make_example(taught, int(draw[0]), draw[1]), draws)
        for _ in range(len(order) // _BATCH):
            batch = list(islice(examples, _BATCH))
            count = max(1, sum(len(one.classes) for one in batch))
            optimizer.zero_grad()
            total = 0.0
            for example in batch:
                loss = loss_of(network, example, device) / count
                loss.backward()  # type: ignore[no-untyped-call]  # torch has no type for it
                total += float(loss.detach())
            nn.utils.clip_grad_norm_(network.parameters(), 10.0)
            optimizer.step()
            schedule.step()
            averaged.update_parameters(network)
            losses.append(total)
        found = evaluate(detector_of(judged, device), validation)["all"]
        precision: dict[str, float] = {kind: found[kind]["average_precision_50"] for kind in found}
        log.append({"epoch": epoch + 1, "loss": float(np.mean(losses)), **precision})
        print(log[-1], f"{time.perf_counter() - started:.0f} s", flush=True)
        if np.mean(list(precision.values())) > best:
            best = float(np.mean(list(precision.values())))
            kept = copy.deepcopy(judged)
    return kept.eval(), log


def normalise(
    network: ProposalNetwork, taught: Sequence[Taught], random: np.random.Generator, device: str
) -> None:
    """Gives the head the mean and spread of the features that it begins with."""
    sums: list[list[Tensor]] = [[] for _ in network.head.entries]
    for index in random.choice(len(taught), min(_NORMALISED, len(taught)), replace=False):
        picture = make_example(taught, int(index), random).picture
        with torch.inference_mode():
            seen = to_tensor(picture[None], device)
            for level, some in zip(used_levels(network.features.levels(seen)), sums, strict=True):
                some.append(torch.stack([level.mean((0, 2, 3)), (level**2).mean((0, 2, 3))]))
    for entry, some in zip(network.head.entries, sums, strict=True):
        mean, square = torch.stack(some).mean(0)
        assert isinstance(entry, Entry)
        entry.mean.copy_(mean[:, None, None])
        entry.spread.copy_((square - mean**2).clamp_min(1e-4).sqrt()[:, None, None])


def shift_scores(network: ProposalNetwork, validation: Sequence[Taught], device: str) -> None:
    """Makes ``SCORE`` the one of the best F2 on validation pictures, for each class."""
    seen = look(detector_of(network, device), validation)
    targets = [one.regions for one in validation]
    head = network.head
    assert head.centres.bias is not None
    with torch.no_grad():
        for index, kind in enumerate(PROPOSED):
            values = {
                float(score): _f2(_counts(targets, seen, kind, float(score)))
                for score in np.arange(0.1, 0.8, 0.02)
            }
            best = max(values, key=lambda score: values[score])
            head.centres.bias[index] += float(
                np.log(SCORE / (1 - SCORE)) - np.log(best / (1 - best))
            )
            print(f"{kind}: best F2 {values[best]:.3f} at {best:.2f}")


def evaluate(
    detector: ProposalDetector, taught: Sequence[Taught]
) -> dict[str, dict[str, dict[str, float]]]:
    """Returns the figures of each group of pictures and class, against the teachers."""
    seen = look(detector, taught)
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for group in ("all", *sorted({one.group for one in taught})):
        chosen = [index for index, one in enumerate(taught) if group in ("all", one.group)]
        targets = [taught[index].regions for index in chosen]
        found = [seen[index] for index in chosen]
        figures[group] = {}
        for kind in PROPOSED:
            some = [_only(one, kind) for one in targets]
            if not any(one.class_names for one in some):
                continue
            counts = _counts(targets, found, kind, SCORE)
            average = mean_average_precision(some, [_only(one, kind) for one in found])
            figures[group][kind] = {
                "regions": counts.num_objects,
                "recall": round(counts.recall, 4),
                "precision": round(counts.precision, 4),
                "average_precision_50": round(average.map50, 4),
                "average_precision_50_95": round(average.map50_95, 4),
            }
    return figures


def look(detector: ProposalDetector, taught: Sequence[Taught]) -> list[Detections]:
    """Returns all that is proposed on each picture."""
    return [detector.detect([one.picture()], _FAINT)[0] for one in taught]


def detector_of(network: ProposalNetwork, device: str) -> ProposalDetector:
    """Returns a network in training as a detector."""
    return ProposalDetector(
        network=network.eval(), kinds=PROPOSED, weights_sha256="", device=device
    )


def _counts(
    targets: Sequence[Detections], seen: Sequence[Detections], kind: str, score: float
) -> DetectionCounts:
    wanted = [_only(one, kind) for one in targets]
    found = [_only(one, kind).at_least(score) for one in seen]
    return count_detections(wanted, wanted, found, score)


def _f2(counts: DetectionCounts) -> float:
    """Returns F2: a region too many costs little, one that misses an object all of it."""
    return 5 * counts.precision * counts.recall / max(1e-9, 4 * counts.precision + counts.recall)


def _only(detections: Detections, kind: str) -> Detections:
    keep = np.array([name == kind for name in detections.class_names], dtype=bool)
    return Detections(
        boxes=detections.boxes[keep],
        scores=detections.scores[keep],
        class_names=(kind,) * int(keep.sum()),
    )


if __name__ == "__main__":
    main()

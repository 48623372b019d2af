"""Trains the learned metrics and writes their weights.

``python -m benchmarks.train_metrics --data ../shared/data --cache FOLDER`` builds the labelled
pairs that are missing, trains the heads on features of the ImageNet network, then all layers at a
low rate, and keeps the epoch that ranks best on the validation part. It goes on where it was
stopped as far as pairs and first statistics go; on CUDA where there is one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import timm
import torch
from ratesight.metrics.learned import class_number, to_tensor
from ratesight.metrics.similarity_network import (
    BACKBONE,
    NUM_STATISTICS,
    Regions,
    SimilarityNetwork,
    backbone,
)
from safetensors.torch import load_file, save_file
from scipy.stats import spearmanr
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from .build_pairs import build_pairs
from .machine import describe_machine
from .pairs import TRAINING_MACHINES, Pairs, all_pairs, read_pictures

TASKS, GENERAL = tuple(TRAINING_MACHINES), "general"
_SEED = 0
_HEAD_EPOCHS, _HEAD_RATE, _HEAD_BATCH = 6, 1e-3, 512
_ALL_RATE_HEADS, _ALL_RATE_BACKBONE, _ALL_VERSIONS = 2e-4, 1e-4, 4
_ALL_EXAMPLES, _ALL_REGIONS = 4, 12
# Originals of a task seen in an epoch, drawn anew for each; and over how many steps weights are
# averaged.
_ALL_VISITS, _AVERAGED_STEPS = 1300, 500
_DECAY = 0.1
# How much the order of one region's versions counts beside their values, and from which
# difference of the target on.
_ORDER_WEIGHT, _ORDER_DIFFERENCE = 1.0, 0.05
# How often the score and class of a region are withheld, so that the head works without.
_WITHHELD = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One frame of an original, and what is to be learned of its versions.

    Attributes:
        targets: (versions, n) mean over the training machines that see the region.
    """

    pairs: Pairs
    frame: int
    regions: Regions
    targets: Tensor


def main() -> None:
    """Builds, trains, writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("metrics/weights"))
    parser.add_argument("--jobs", type=int, default=2, help="processes that build pairs")
    parser.add_argument("--epochs", type=int, default=4, help="of all layers")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    build_pairs(arguments.data, arguments.cache, arguments.jobs)
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(_SEED)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = SimilarityNetwork((*TASKS, GENERAL))
    start = arguments.data / "weights" / "mobilenetv3_small_timm.safetensors"
    load_backbone(network, start)
    network.eval().to(device).to(memory_format=torch.channels_last)
    examples = {
        split: list(read_examples(arguments.cache, split)) for split in ("train", "validation")
    }
    log: list[dict[str, float | str]] = []
    train_heads(network, examples, arguments.cache, start, log)
    train_all(network, examples, arguments.cache, arguments.epochs, arguments.out, log)


def load_backbone(network: SimilarityNetwork, weights: Path) -> None:
    """Gives the features the weights of timm's ImageNet model."""
    model = timm.create_model(BACKBONE, pretrained=False)
    model.load_state_dict(load_file(weights))
    stem, stages = backbone(model.eval())
    network.stem.load_state_dict(stem.state_dict())
    network.stages.load_state_dict(stages.state_dict())


def read_examples(cache: Path, split: str) -> Iterator[Example]:
    """Yields the frames of a split that have a region with a target."""
    for pairs in all_pairs(cache, TASKS):
        if pairs.split != split:
            continue
        machines = TRAINING_MACHINES[pairs.task]
        for frame, regions in enumerate(pairs.regions):
            used = [i for i, one in enumerate(regions) if any(m in one.machines for m in machines)]
            if not used:
                continue
            chosen = [regions[index] for index in used]
            scores = [
                np.mean([one.machines[m].score for m in machines if m in one.machines])
                for one in chosen
            ]
            targets = [
                [target(version[frame][index], machines) for index in used]
                for version in pairs.labels
            ]
            yield Example(
                pairs=pairs,
                frame=frame,
                regions=Regions(
                    boxes=torch.tensor([one.box for one in chosen], dtype=torch.float32),
                    scores=torch.tensor(scores, dtype=torch.float32),
                    classes=torch.tensor([class_number(one.class_name) for one in chosen]),
                ),
                targets=torch.tensor(targets, dtype=torch.float32),
            )


def target(label: dict[str, tuple[float, float]], machines: Sequence[str]) -> float:
    """Returns the mean over machines and over what they kept, hard and soft."""
    return float(np.mean([label[name] for name in machines if name in label]))


def pictures_of(example: Example, cache: Path) -> Tensor:
    """Returns (1 + versions, 3, height, width) in [-1, 1], the original first."""
    return to_tensor(read_pictures(cache, example.pairs.name)[:, example.frame])


def train_heads(
    network: SimilarityNetwork,
    examples: dict[str, list[Example]],
    cache: Path,
    start: Path,
    log: list[dict[str, float | str]],
) -> None:
    """Trains the heads on statistics of the features as they are, which are made once."""
    device = next(network.parameters()).device
    known = {
        split: first_statistics(network, some, cache, start) for split, some in examples.items()
    }
    for task in network.heads:
        rows = {split: rows_of(task, examples[split], known[split]) for split in examples}
        train_head(network, task, rows["train"], device)
        quality = predict(network, task, rows["validation"], device)
        srcc = float(spearmanr(quality, rows["validation"].targets)[0])
        log.append({"stage": "heads", "task": task, "validation_srcc": srcc})
        print(f"head {task}: {len(rows['train'].targets)} rows, validation SRCC {srcc:.3f}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Pairs of regions, one a row.

    Attributes:
        statistics: (rows, views, channels, statistics).
        region: (rows,) number of the region, the same for all of its versions.
    """

    statistics: Tensor
    regions: Regions
    targets: Tensor
    region: Tensor


def rows_of(task: str, examples: Sequence[Example], known: Sequence[Tensor]) -> Rows:
    """Returns the rows of a task, of all tasks for the general one."""
    chosen = [
        (example, statistics)
        for example, statistics in zip(examples, known, strict=True)
        if task in (GENERAL, example.pairs.task)
    ]
    boxes, scores, classes, region, first = [], [], [], [], 0
    for example, _ in chosen:
        versions, count = example.targets.shape
        boxes.append(example.regions.boxes.repeat(versions, 1))
        scores.append(example.regions.scores.repeat(versions))
        classes.append(example.regions.classes.repeat(versions))
        region.append(torch.arange(first, first + count).repeat(versions))
        first += count
    regions = Regions(boxes=torch.cat(boxes), scores=torch.cat(scores), classes=torch.cat(classes))
    return Rows(
        statistics=torch.cat([one.transpose(1, 2).flatten(0, 1) for _, one in chosen]),
        regions=regions if task != GENERAL else withheld(regions, 1.0),
        targets=torch.cat([example.targets.flatten() for example, _ in chosen]),
        region=torch.cat(region),
    )


def first_statistics(
    network: SimilarityNetwork, examples: Sequence[Example], cache: Path, start: Path
) -> list[Tensor]:
    """Returns (versions, views, n, channels, statistics) of each example, from the cache if there.

    They belong to the weights that training starts from.
    """
    digest = hashlib.sha256(start.read_bytes()).hexdigest()[:12]
    folder = cache / f"statistics_{digest}_{NUM_STATISTICS}"
    folder.mkdir(exist_ok=True)
    device = next(network.parameters()).device
    network.eval()
    found = []
    for example in examples:
        file = folder / f"{example.pairs.name}_{example.frame}.npy"
        if not file.exists():
            pictures = pictures_of(example, cache)
            with torch.inference_mode():
                reference = network.reference(
                    pictures[:1].to(device), example.regions.boxes.to(device)
                )
                parts = [
                    network.statistics(reference, part.to(device)).cpu()
                    for part in torch.split(pictures[1:], _ALL_VERSIONS)
                ]
            partial = file.with_suffix(".part")
            with partial.open("wb") as stream:
                np.save(stream, torch.cat(parts).numpy())
            partial.rename(file)
        found.append(torch.from_numpy(np.load(file)))
    return found


def train_head(network: SimilarityNetwork, task: str, rows: Rows, device: torch.device) -> None:
    """Trains one head on rows, its normalisation included."""
    head = network.head(task)
    spread, mean = torch.std_mean(rows.statistics, 0)
    head.mean.copy_(mean[:, None])
    head.spread.copy_((spread + 1e-3)[:, None])  # a channel that never differs stays at 0
    random = np.random.default_rng(_SEED)
    optimizer = torch.optim.AdamW(head.parameters(), lr=_HEAD_RATE, weight_decay=_DECAY)
    num_steps = _HEAD_EPOCHS * max(1, len(rows.targets) // _HEAD_BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _HEAD_RATE, num_steps)
    head.train()
    for _ in range(_HEAD_EPOCHS):
        # Versions of one region stay together, so that their order can be learned.
        shuffled = random.random(int(rows.region.max()) + 1)[rows.region.numpy()]
        order = np.argsort(shuffled, kind="stable")
        for start in range(0, len(order) - _HEAD_BATCH + 1, _HEAD_BATCH):
            batch = order[start : start + _HEAD_BATCH]
            part = take(rows, batch)
            regions = withheld(part.regions, _WITHHELD)
            logits = head(
                part.statistics.transpose(0, 1)[None].to(device), to_device(regions, device)
            )[0]
            loss = loss_of(logits, part.targets.to(device), part.region.to(device))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch has no type for it
            optimizer.step()
            schedule.step()
    head.eval()


def loss_of(logits: Tensor, targets: Tensor, region: Tensor) -> Tensor:
    """Returns cross entropy, and the order of the versions of each region, mean over members.

    Args:
        logits: (rows, members).
        targets: (rows,) in [0, 1].
        region: (rows,) number of the region.
    """
    wanted = targets[:, None].expand_as(logits)
    loss = nn.functional.binary_cross_entropy_with_logits(logits, wanted)
    difference = targets[:, None] - targets[None]
    better = (region[:, None] == region[None]) & (difference > _ORDER_DIFFERENCE)
    if better.any():
        first, second = better.nonzero(as_tuple=True)
        margins = nn.functional.softplus(logits[second] - logits[first])
        loss = loss + _ORDER_WEIGHT * (margins * difference[first, second, None]).mean()
    return loss


def predict(
    network: SimilarityNetwork, task: str, rows: Rows, device: torch.device
) -> npt.NDArray[np.float64]:
    """Returns the quality of each row, as the mean over the head's members."""
    found = []
    with torch.inference_mode():
        for start in range(0, len(rows.targets), 4096):
            part = take(rows, np.arange(start, min(start + 4096, len(rows.targets))))
            statistics = part.statistics.transpose(0, 1)[None].to(device)
            logits = network.head(task)(statistics, to_device(part.regions, device))[0]
            found.append(torch.sigmoid(logits).mean(-1).cpu())
    return torch.cat(found).numpy().astype(np.float64)


def take(rows: Rows, index: npt.NDArray[np.intp]) -> Rows:
    """Returns some of the rows."""
    return Rows(
        statistics=rows.statistics[index],
        regions=Regions(
            boxes=rows.regions.boxes[index],
            scores=rows.regions.scores[index],
            classes=rows.regions.classes[index],
        ),
        targets=rows.targets[index],
        region=rows.region[index],
    )


def withheld(regions: Regions, chance: float) -> Regions:
    """Returns regions, of some of which score and class are not known."""
    is_hidden = torch.rand(len(regions.scores)) < chance
    return Regions(
        boxes=regions.boxes,
        scores=torch.where(is_hidden, 0.0, regions.scores),
        classes=torch.where(is_hidden, class_number(""), regions.classes),
    )


def to_device(regions: Regions, device: torch.device) -> Regions:
    """Returns regions on a device."""
    return Regions(
        boxes=regions.boxes.to(device),
        scores=regions.scores.to(device),
        classes=regions.classes.to(device),
    )


def train_all(
    network: SimilarityNetwork,
    examples: dict[str, list[Example]],
    cache: Path,
    num_epochs: int,
    out: Path,
    log: list[dict[str, float | str]],
) -> None:
    """Trains all layers on pictures, and writes the weights of the epoch that ranks best.

    What is judged and written is a moving average of the weights.
    """
    device = next(network.parameters()).device
    random = np.random.default_rng(_SEED)
    features = [*network.stem.parameters(), *network.stages.parameters()]
    optimizer = torch.optim.AdamW(
        [
            {"params": features, "lr": _ALL_RATE_BACKBONE, "weight_decay": 0.01},
            {"params": network.heads.parameters(), "lr": _ALL_RATE_HEADS, "weight_decay": _DECAY},
        ]
    )
    # An original is seen the more often the more versions it has.
    visits: defaultdict[str, list[int]] = defaultdict(list)
    for index, example in enumerate(examples["train"]):
        count = math.ceil(len(example.targets) / (2 * _ALL_VERSIONS))
        visits[example.pairs.task] += [index] * count
    num_steps = sum(min(_ALL_VISITS, len(some)) for some in visits.values()) // _ALL_EXAMPLES
    average = get_ema_multi_avg_fn(1 - 1 / _AVERAGED_STEPS)  # type: ignore[no-untyped-call]
    averaging = AveragedModel(network, multi_avg_fn=average)
    averaged = averaging.module
    assert isinstance(averaged, SimilarityNetwork)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        [_ALL_RATE_BACKBONE, _ALL_RATE_HEADS],
        num_epochs * num_steps,
        pct_start=0.1,
    )
    best = validate(network, examples["validation"], cache)
    report(log, "start", best)
    write(network, out, log)
    for epoch in range(num_epochs):
        started = time.perf_counter()
        network.train()
        drawn = [random.permutation(some)[:_ALL_VISITS] for some in visits.values()]
        order = random.permutation(np.concatenate(drawn))
        losses = []
        for step in range(num_steps):
            optimizer.zero_grad()
            for index in order[step * _ALL_EXAMPLES : (step + 1) * _ALL_EXAMPLES]:
                example = examples["train"][index]
                loss = example_loss(network, example, cache, random, device) / _ALL_EXAMPLES
                loss.backward()  # type: ignore[no-untyped-call]  # torch has no type for it
                losses.append(float(loss.detach()) * _ALL_EXAMPLES)
            nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            averaging.update_parameters(network)
            if step % 50 == 0:
                left = (time.perf_counter() - started) / (step + 1)
                left *= num_steps - step - 1
                recent = np.mean(losses[-50 * _ALL_EXAMPLES :])
                print(f"epoch {epoch + 1} loss {recent:.4f}, {left / 60:.1f} min left", flush=True)
        found = validate(averaged, examples["validation"], cache)
        report(log, f"epoch {epoch + 1}", found)
        if np.mean(list(found.values())) > np.mean(list(best.values())):
            best = found
            write(averaged, out, log)


def example_loss(
    network: SimilarityNetwork,
    example: Example,
    cache: Path,
    random: np.random.Generator,
    device: torch.device,
) -> Tensor:
    """Returns the loss of some versions and regions of one frame, perhaps mirrored."""
    num_versions, num_regions = example.targets.shape
    versions = random.permutation(num_versions)[:_ALL_VERSIONS]
    some = torch.from_numpy(random.permutation(num_regions)[:_ALL_REGIONS])
    stored = read_pictures(cache, example.pairs.name)[:, example.frame]
    pictures = to_tensor(stored[[0, *(versions + 1)]])
    regions = Regions(
        boxes=example.regions.boxes[some],
        scores=example.regions.scores[some],
        classes=example.regions.classes[some],
    )
    if random.random() < 0.5:
        pictures = pictures.flip(3)
        x0, y0, x1, y1 = regions.boxes.unbind(1)
        width = pictures.shape[3]
        boxes = torch.stack([width - x1, y0, width - x0, y1], 1)
        regions = Regions(boxes=boxes, scores=regions.scores, classes=regions.classes)
    pictures = pictures.to(device)
    reference = network.reference(pictures[:1], regions.boxes.to(device))
    statistics = network.statistics(reference, pictures[1:])
    targets = example.targets[versions][:, some].to(device)
    region = torch.arange(len(some), device=device).expand(len(versions), -1)
    total = torch.zeros((), device=device)
    for task in (example.pairs.task, GENERAL):
        known = withheld(regions, 1.0 if task == GENERAL else _WITHHELD)
        logits = network.head(task)(statistics, to_device(known, device))
        total = total + loss_of(logits.flatten(0, 1), targets.flatten(), region.flatten())
    return total


def validate(
    network: SimilarityNetwork, examples: Sequence[Example], cache: Path
) -> dict[str, float]:
    """Returns the rank correlation of each task's head on all regions."""
    device = next(network.parameters()).device
    network.eval()
    found: defaultdict[str, list[float]] = defaultdict(list)
    wanted: defaultdict[str, list[float]] = defaultdict(list)
    with torch.inference_mode():
        for example in examples:
            pictures = pictures_of(example, cache).to(device)
            regions = to_device(example.regions, device)
            reference = network.reference(pictures[:1], regions.boxes)
            for task in (example.pairs.task, GENERAL):
                known = regions if task != GENERAL else to_device(withheld(regions, 1.0), device)
                parts = [
                    network.quality(task, reference, part, known)
                    for part in torch.split(pictures[1:], _ALL_VERSIONS)
                ]
                found[task] += torch.cat(parts).flatten().tolist()
                wanted[task] += example.targets.flatten().tolist()
    return {task: float(spearmanr(found[task], wanted[task])[0]) for task in found}


def report(log: list[dict[str, float | str]], stage: str, found: dict[str, float]) -> None:
    """Notes and prints what a stage reached."""
    for task, srcc in found.items():
        log.append({"stage": stage, "task": task, "validation_srcc": srcc})
    print(stage, " ".join(f"{task} {srcc:.4f}" for task, srcc in found.items()), flush=True)


def write(network: SimilarityNetwork, out: Path, log: Sequence[dict[str, float | str]]) -> None:
    """Writes weights and the course of the training, each under its final name when complete."""
    out.mkdir(parents=True, exist_ok=True)
    partial = out / "similarity.part"
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, partial)
    partial.rename(out / "similarity.safetensors")
    partial = out / "training.part"
    partial.write_text(json.dumps({"log": log, "machine": describe_machine()}, indent=1))
    partial.rename(out / "training.json")


if __name__ == "__main__":
    main()

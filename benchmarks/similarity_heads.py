"""Trains the heads of the learned metrics on statistics of features that stay as they are."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from ratesight.metrics.similarity_network import NUM_STATISTICS, Regions, SimilarityNetwork
from scipy.stats import spearmanr
from torch import Tensor, nn

from .similarity_examples import GENERAL, WITHHELD, Example, pictures_of, to_device, withheld

_SEED = 0
_EPOCHS, _RATE, _BATCH = 6, 1e-3, 512
DECAY = 0.1
# How much the order of one region's versions counts beside their values, and from which
# difference of the target on.
_ORDER_WEIGHT, _ORDER_DIFFERENCE = 1.0, 0.05
# Versions that go through the network at once.
_VERSIONS = 4


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
                    for part in torch.split(pictures[1:], _VERSIONS)
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
    optimizer = torch.optim.AdamW(head.parameters(), lr=_RATE, weight_decay=DECAY)
    num_steps = _EPOCHS * max(1, len(rows.targets) // _BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, num_steps)
    head.train()
    for _ in range(_EPOCHS):
        # Versions of one region stay together, so that their order can be learned.
        shuffled = random.random(int(rows.region.max()) + 1)[rows.region.numpy()]
        order = np.argsort(shuffled, kind="stable")
        for start in range(0, len(order) - _BATCH + 1, _BATCH):
            batch = order[start : start + _BATCH]
            part = take(rows, batch)
            regions = withheld(part.regions, WITHHELD)
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

"""Trains the heads of the learned metrics on statistics of features that stay as they are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from ratesight.codecs.whole_file import whole_file
from ratesight.metrics.learned import to_tensor
from ratesight.metrics.similarity_network import NUM_STATISTICS, Regions, SimilarityNetwork
from ratesight.metrics.views import view_scale
from scipy.stats import spearmanr
from torch import Tensor, nn

from .pairs import load_array
from .similarity_examples import (
    GENERAL,
    WITHHELD,
    Example,
    Pictures,
    Scale,
    own_size,
    pictures_of,
    read_ahead,
    seen_at,
    withheld,
)

_SEED = 0
_BATCH = 512
# Versions that the network sees at once where it is not trained.
TOGETHER = 12
DECAY = 0.1
# How much the order of one region's versions counts beside their values, and from which
# difference of the target on.
_ORDER_WEIGHT, _ORDER_DIFFERENCE = 1.0, 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How long heads are trained, how fast at the most, and on what.

    Attributes:
        is_fresh: They are new; otherwise they go on from what they are.
        scales: At which each task sees a picture; the last is judged.
    """

    epochs: int
    rate: float
    is_fresh: bool
    scales: tuple[Scale, ...]


FIRST = Course(epochs=6, rate=1e-3, is_fresh=True, scales=(own_size,))
# Faces and plates are there at every size, which makes their epochs long.
LAST = {
    task: Course(epochs=epochs, rate=2e-3, is_fresh=False, scales=(own_size, view_scale))
    for task, epochs in (("objects", 12), ("faces", 6), ("plates", 6), (GENERAL, 12))
}


def train_heads(
    network: SimilarityNetwork,
    tasks: Iterable[str],
    examples: dict[str, list[Example]],
    cache: Path,
    start: Path,
    course: Course,
    log: list[dict[str, float | str]],
) -> None:
    """Trains heads of some tasks on statistics of the features as they are, which are made once.

    A head that goes on stays as it was where that ranks the validation part better.

    Args:
        start: File of the weights that the features have.
        log: What each head reaches is added.
    """
    device = next(network.parameters()).device
    for task in tasks:
        train, validation = (
            rows_of(task, *seen_by(task, network, examples[split], cache, start, scales))
            for split, scales in (("train", course.scales), ("validation", course.scales[-1:]))
        )
        head = network.head(task)
        before = {name: value.clone() for name, value in head.state_dict().items()}
        reached = {} if course.is_fresh else {"as it was": srcc_of(network, task, validation)}
        train_head(network, task, train, device, course)
        reached["heads"] = srcc_of(network, task, validation)
        if reached["heads"] < max(reached.values()):
            head.load_state_dict(before)
        for stage, srcc in reached.items():
            line = {"scale": course.scales[-1].__name__, "task": task, "validation_srcc": srcc}
            log.append({"stage": stage, **line})
        told = ", ".join(f"{stage} {srcc:.4f}" for stage, srcc in reached.items())
        print(f"head {task}: {len(train.targets)} rows, validation SRCC {told}", flush=True)


def srcc_of(network: SimilarityNetwork, task: str, rows: Rows) -> float:
    """Returns how well a head ranks rows."""
    device = next(network.parameters()).device
    return float(spearmanr(predict(network, task, rows, device), rows.targets)[0])


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
    """Returns the rows of examples with their statistics; the general task knows no score."""
    boxes, scores, classes, region, first = [], [], [], [], 0
    for example in examples:
        versions, count = example.targets.shape
        boxes.append(example.regions.boxes.repeat(versions, 1))
        scores.append(example.regions.scores.repeat(versions))
        classes.append(example.regions.classes.repeat(versions))
        region.append(torch.arange(first, first + count).repeat(versions))
        first += count
    regions = Regions(boxes=torch.cat(boxes), scores=torch.cat(scores), classes=torch.cat(classes))
    return Rows(
        statistics=torch.cat([one.transpose(1, 2).flatten(0, 1) for one in known]),
        regions=regions if task != GENERAL else withheld(regions, 1.0),
        targets=torch.cat([example.targets.flatten() for example in examples]),
        region=torch.cat(region),
    )


def seen_by(
    task: str,
    network: SimilarityNetwork,
    examples: Sequence[Example],
    cache: Path,
    start: Path,
    scales: Sequence[Scale],
) -> tuple[list[Example], list[Tensor]]:
    """Returns what there is for a task, with boxes as the network sees them, and its statistics.

    These are (versions, views, n, channels, statistics) of each, from the cache if there. They
    belong to the weights in ``start``. What is of the same size at several scales is there once.
    """
    digest = hashlib.sha256(start.read_bytes()).hexdigest()[:12]
    folder = cache / f"statistics_{digest}_{NUM_STATISTICS}"
    folder.mkdir(exist_ok=True)
    network.eval()

    def wanted() -> Iterator[tuple[Example, float]]:
        for example in examples:
            if task in (GENERAL, example.pairs.task):
                sides = pictures_of(example, cache).shape[1:3]
                for factor in dict.fromkeys(scale(*sides, task) for scale in scales):
                    yield example, factor

    def read(one: tuple[Example, float]) -> tuple[Path, Example, Pictures]:
        example, factor = one
        file = folder / f"{example.pairs.name}_{example.frame}_{factor:.4f}.npy"
        pictures = pictures_of(example, cache)
        needed = pictures[:1] if file.exists() else pictures
        return file, *seen_at(factor, example, needed)

    seen, found = [], []
    for file, example, pictures in read_ahead(read, wanted()):
        if not file.exists():
            made = _statistics(network, pictures, example.regions.boxes)
            with whole_file(file) as part, part.open("wb") as stream:
                np.save(stream, made.numpy())
        found.append(torch.tensor(load_array(file)))
        seen.append(example)
    return seen, found


def _statistics(network: SimilarityNetwork, pictures: Pictures, boxes: Tensor) -> Tensor:
    """Returns (versions, views, n, channels, statistics)."""
    device = next(network.parameters()).device
    with torch.inference_mode():
        reference = network.reference(to_tensor(pictures[:1], device), boxes.to(device))
        parts = [
            network.statistics(
                reference, to_tensor(pictures[start : start + TOGETHER], device)
            ).cpu()
            for start in range(1, len(pictures), TOGETHER)
        ]
    return torch.cat(parts)


def train_head(
    network: SimilarityNetwork,
    task: str,
    rows: Rows,
    device: torch.device,
    course: Course = FIRST,
) -> None:
    """Trains one head on rows; a fresh one gets their mean and spread to normalise by.

    What other heads learnt before changes nothing.
    """
    torch.manual_seed(_SEED)
    head = network.head(task)
    if course.is_fresh:
        spread, mean = torch.std_mean(rows.statistics, 0)
        head.mean.copy_(mean[:, None])
        head.spread.copy_((spread + 1e-3)[:, None])  # a channel that never differs stays at 0
    random = np.random.default_rng(_SEED)
    optimizer = torch.optim.AdamW(head.parameters(), lr=course.rate, weight_decay=DECAY)
    num_steps = course.epochs * max(1, len(rows.targets) // _BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, course.rate, num_steps)
    head.train()
    for _ in range(course.epochs):
        # Versions of one region stay together, so that their order can be learned.
        shuffled = random.random(int(rows.region.max()) + 1)[rows.region.numpy()]
        order = np.argsort(shuffled, kind="stable")
        for start in range(0, len(order) - _BATCH + 1, _BATCH):
            batch = order[start : start + _BATCH]
            part = take(rows, batch)
            regions = withheld(part.regions, WITHHELD)
            logits = head(part.statistics.transpose(0, 1)[None].to(device), regions.to(device))[0]
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
            logits = network.head(task)(statistics, part.regions.to(device))[0]
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

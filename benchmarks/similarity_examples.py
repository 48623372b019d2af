"""What the learned metrics are trained on: regions of frames, and what machines keep of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from ratesight.metrics.coco_classes import class_number
from ratesight.metrics.similarity_network import Regions
from ratesight.metrics.views import resized
from torch import Tensor

from .distortions import Picture
from .pairs import TRAINING_MACHINES, Pairs, all_pairs, read_pictures

TASKS, GENERAL = tuple(TRAINING_MACHINES), "general"
# How often the score and class of a region are withheld, so that the head works without.
WITHHELD = 0.3

# By how much a picture of that height and width in pixels is enlarged for a task.
Scale = Callable[[int, int, str], float]

Pictures = npt.NDArray[np.uint8]
# Pictures are read and resized by threads while the network looks at earlier ones.
_READERS, _AHEAD = 4, 16
ItemT = TypeVar("ItemT")
ReadT = TypeVar("ReadT")


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


def own_size(height: int, width: int, task: str) -> float:
    """Enlarges nothing; ``ratesight.metrics.views.view_scale`` is what the product does."""
    return 1.0


def pictures_of(example: Example, cache: Path) -> Pictures:
    """Returns (1 + versions, height, width, 3) BGR, the original first."""
    return read_pictures(cache, example.pairs.name)[:, example.frame]


def seen_at(factor: float, example: Example, pictures: Pictures) -> tuple[Example, Pictures]:
    """Returns pictures of an example enlarged, and the example with its boxes in pixels of them."""
    seen = np.stack([resized(one, factor) for one in pictures])
    boxes = boxes_in(seen[0], pictures[0], example.regions.boxes)
    return replace(example, regions=replace(example.regions, boxes=boxes)), seen


def read_ahead(read: Callable[[ItemT], ReadT], items: Iterable[ItemT]) -> Iterator[ReadT]:
    """Yields what is read of each item, in their order, while the next are read already."""
    with ThreadPoolExecutor(_READERS) as readers:
        reading: deque[Future[ReadT]] = deque()
        for item in items:
            reading.append(readers.submit(read, item))
            if len(reading) > _AHEAD:
                yield reading.popleft().result()
        while reading:
            yield reading.popleft().result()


def boxes_in(seen: Picture, picture: Picture, boxes: Tensor) -> Tensor:
    """Returns (n, 4) boxes of a picture, in pixels of the same at another size."""
    # Sides are rounded to whole pixels, each by itself.
    ratio = torch.tensor(seen.shape[1::-1]) / torch.tensor(picture.shape[1::-1])
    return boxes * ratio.repeat(2)


def withheld(regions: Regions, chance: float) -> Regions:
    """Returns regions, of some of which score and class are not known."""
    is_hidden = torch.rand(len(regions.scores)) < chance
    return Regions(
        boxes=regions.boxes,
        scores=torch.where(is_hidden, 0.0, regions.scores),
        classes=torch.where(is_hidden, class_number(""), regions.classes),
    )

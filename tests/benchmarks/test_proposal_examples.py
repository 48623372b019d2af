"""What proposals are trained on: boxes stay on what they are around, however it is varied."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
from ratesight.metrics.boxes import Detections

RED = (0, 0, 255)


@pytest.fixture(scope="module")
def training(benchmark: Callable[[str], ModuleType]) -> ModuleType:
    return benchmark("proposal_examples")


@pytest.fixture(scope="module")
def taught(training: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """Four grey pictures of other sizes, each with two red boxes: an object and a face."""
    folder = tmp_path_factory.mktemp("scenes")
    return [_taught(training, folder / f"{width}.png", width, height)
            for width, height in ((640, 360), (300, 300), (352, 288), (200, 500))]  # fmt: skip


def _taught(training: ModuleType, file: Path, width: int, height: int) -> Any:
    picture = np.full((height, width, 3), 128, np.uint8)
    boxes = np.array(
        [
            [width * 0.1, height * 0.2, width * 0.4, height * 0.5],
            [width * 0.6, height * 0.6, width * 0.9, height * 0.8],
        ]
    ).round()
    for x, y, right, bottom in boxes.astype(int):
        picture[y:bottom, x:right] = RED
    cv2.imwrite(str(file), picture)
    regions = Detections(boxes=boxes, scores=np.ones(2), class_names=("object", "face"))
    return training.Taught(
        name=file.stem, file=file, split="train", group="photos", regions=regions
    )


def redness(example: Any) -> tuple[float, float]:
    """Returns how much of what boxes hold is red, and how much of what is red they hold."""
    height, width = example.picture.shape[:2]
    is_red = example.picture[..., 2].astype(int) - example.picture[..., 0] > 40
    is_box = np.zeros((height, width), bool)
    for box in (*example.boxes, *example.ignored):
        x, y, right, bottom = (round(float(side)) for side in box)
        is_box[y:bottom, x:right] = True
    both = (is_red & is_box).sum()
    return both / max(1, is_box.sum()), both / max(1, is_red.sum())


@pytest.mark.parametrize("seed", range(40))
def test_boxes_stay_on_what_they_are_around(
    training: ModuleType, taught: list[Any], seed: int
) -> None:
    random = np.random.default_rng(seed)

    example = training.make_example(taught, seed % len(taught), random)

    assert max(example.picture.shape[:2]) <= training.MAX_SIDE
    filled, held = redness(example)
    assert filled > 0.85
    assert held > 0.85
    assert len(example.boxes) == len(example.classes)
    assert len(example.ignored) == len(example.ignored_classes)


def test_some_are_four_pictures_side_by_side(training: ModuleType, taught: list[Any]) -> None:
    random = np.random.default_rng(0)

    counts = [
        len(one.boxes) + len(one.ignored)
        for one in (training.make_example(taught, 0, random) for _ in range(60))
    ]

    assert 0.2 < np.mean([count > 2 for count in counts]) < 0.6
    assert max(counts) == 8

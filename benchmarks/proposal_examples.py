"""Varied training pictures of what proposes regions: cut, scaled, four side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from ratesight.metrics.boxes import Floats
from ratesight.metrics.region_proposals import MAX_SIDE, PROPOSED
from torch import Tensor

from .distortions import Picture
from .proposal_scenes import Taught

# The share of examples that are four pictures side by side, each at most half as large.
_MOSAICS = 0.4
# Mostly smaller than they are: that is quicker, and what is seen from afar is what is missed.
_SCALES, _CROPS, _MIN_SIDE = (0.35, 1.2), (0.5, 1.0), 128
# A region of which less is left after a crop is neither there nor missed.
_MIN_LEFT = 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """What the network sees of one picture, and the regions that it is to find.

    Attributes:
        picture: (height, width, 3) BGR.
        boxes: (n, 4) in its pixels.
        classes: (n,) of ``PROPOSED``.
        ignored: (m, 4) and their classes: neither there nor missed.
    """

    picture: Picture
    boxes: Tensor
    classes: Tensor
    ignored: Tensor
    ignored_classes: Tensor


def make_example(taught: Sequence[Taught], index: int, random: np.random.Generator) -> Example:
    """Returns a picture of another scale, crop and side; sometimes with three others beside it."""
    if random.random() >= _MOSAICS:
        return _version(taught[index], MAX_SIDE, random)
    others = random.integers(len(taught), size=3)
    return _mosaic([_version(taught[one], MAX_SIDE // 2, random) for one in (index, *others)])


def _version(one: Taught, max_side: int, random: np.random.Generator) -> Example:
    boxes = one.regions.boxes
    classes = np.array([PROPOSED.index(name) for name in one.regions.class_names], np.int64)
    picture, moved, left = varied(one.picture(), boxes, max_side, random)
    is_there, is_cut = left >= _MIN_LEFT, (left > 0) & (left < _MIN_LEFT)
    return Example(
        picture=picture,
        boxes=torch.tensor(moved[is_there], dtype=torch.float32),
        classes=torch.tensor(classes[is_there]),
        ignored=torch.tensor(moved[is_cut], dtype=torch.float32),
        ignored_classes=torch.tensor(classes[is_cut]),
    )


def _mosaic(four: Sequence[Example]) -> Example:
    """Returns four pictures as one, two by two, on grey where they leave something free."""
    height, width = (max(one.picture.shape[axis] for one in four) for axis in (0, 1))
    canvas = np.full((2 * height, 2 * width, 3), 128, np.uint8)
    offsets = []
    for number, one in enumerate(four):
        y, x = number // 2 * height, number % 2 * width
        canvas[y : y + one.picture.shape[0], x : x + one.picture.shape[1]] = one.picture
        offsets.append(torch.tensor([x, y, x, y], dtype=torch.float32))
    pairs = list(zip(four, offsets, strict=True))
    return Example(
        picture=canvas,
        boxes=torch.cat([one.boxes + offset for one, offset in pairs]),
        classes=torch.cat([one.classes for one in four]),
        ignored=torch.cat([one.ignored + offset for one, offset in pairs]),
        ignored_classes=torch.cat([one.ignored_classes for one in four]),
    )


def varied(
    picture: Picture, boxes: Floats, max_side: int, random: np.random.Generator
) -> tuple[Picture, Floats, Floats]:
    """Returns a picture scaled, cropped, mirrored and of other contrast.

    Returns:
        The picture, the boxes in it, and the share of each that is left.
    """
    height, width = picture.shape[:2]
    scale = float(np.exp(random.uniform(*np.log(_SCALES))))
    crop = random.uniform(*_CROPS, 2) if random.random() < 0.6 else np.ones(2)
    scale = max(scale, _MIN_SIDE / min(width * crop[0], height * crop[1]))
    scale = min(scale, max_side / max(width * crop[0], height * crop[1]))
    part_width, part_height = (int(side) for side in (width * crop[0], height * crop[1]))
    x, y = (
        int(random.integers(side - part + 1))
        for side, part in ((width, part_width), (height, part_height))
    )
    part = picture[y : y + part_height, x : x + part_width]
    new_width, new_height = round(part_width * scale), round(part_height * scale)
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    part = cv2.resize(part, (new_width, new_height), interpolation=way).astype(np.float32)
    gain, offset = random.uniform(0.7, 1.3), random.uniform(-25, 25)
    part = np.clip((part - 128) * gain + 128 + offset, 0, 255).astype(np.uint8)
    ratio = np.tile([new_width / part_width, new_height / part_height], 2)
    limits = np.array([new_width, new_height] * 2, dtype=np.float64)
    moved = (boxes - np.array([x, y, x, y])) * ratio
    clipped = np.clip(moved, 0, limits)
    left = _areas(clipped) / np.maximum(_areas(moved), 1e-9)
    if random.random() < 0.5:
        part = np.ascontiguousarray(part[:, ::-1])
        clipped = np.stack(
            [new_width - clipped[:, 2], clipped[:, 1], new_width - clipped[:, 0], clipped[:, 3]], 1
        )
    return part, clipped, left


def _areas(boxes: Floats) -> Floats:
    areas: Floats = np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None), axis=1)
    return areas

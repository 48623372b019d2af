"""How the network of the learned metrics sees pictures: one row a task."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from .boxes import Floats, Picture
from .face_detector import MIN_SIDE_PIXELS

LearnedTask = Literal["objects", "faces", "plates", "general"]
LEARNED_TASKS: tuple[LearnedTask, ...] = get_args(LearnedTask)
# Side of the squares of a heat map, and their distance, in pixels of what the network sees.
_HEAT_SIDE, _HEAT_STEP = 64, 32


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What the network is shown of a picture, and told about its regions.

    Attributes:
        max_side: Longest side in pixels of what it sees; more is reduced.
        is_enlarged: Less is enlarged.
        is_whole: It sees all regions in the whole picture. Else each is cut out by itself: seen
            together, one's score would depend on where the others are.
        margin: What is kept around a region that is cut out, in its sides.
        is_margin_in_heights: In its heights on all sides instead.
        min_side_pixels: A smaller region does not count.
        is_told: It is told the score and the class of a detection.
    """

    max_side: int
    is_enlarged: bool = False
    is_whole: bool = False
    margin: float = 0.0
    is_margin_in_heights: bool = False
    min_side_pixels: float = 0.0
    is_told: bool = True


# Detectors look at the whole picture at 640, and enlarge a smaller one: seen so, objects of
# validation photos are ranked better, SRCC 0.752 instead of 0.732 by heads trained for it
# (benchmarks.region_views). Faces and plates are looked at in their own size, with the margins that
# training showed.
VIEWS: dict[LearnedTask, View] = {
    "objects": View(max_side=640, is_whole=True, is_enlarged=True),
    "faces": View(max_side=1280, margin=0.5, min_side_pixels=MIN_SIDE_PIXELS),
    "plates": View(max_side=1280, margin=2.0, is_margin_in_heights=True),
    "general": View(max_side=640, is_whole=True, is_told=False),
}


def view_scale(height: int, width: int, task: LearnedTask) -> float:
    """Returns by how much a picture of that many pixels is reduced or enlarged for the network."""
    view = VIEWS[task]
    scale = view.max_side / max(height, width)
    return scale if view.is_enlarged else min(1.0, scale)


def cut_out(picture: Picture, box: Floats, view: View) -> tuple[Picture, npt.NDArray[np.int_]]:
    """Returns a region of a picture with its margins, and the (x, y) of its left upper corner.

    Args:
        box: (4,) x0 y0 x1 y1 in pixels, inside the picture.
    """
    sides = box[2:] - box[:2]
    kept = view.margin * (sides[1] if view.is_margin_in_heights else sides)
    corner = np.floor((box[:2] - kept).clip(0)).astype(int)
    x1, y1 = np.ceil(box[2:] + kept).astype(int)
    return picture[corner[1] : y1, corner[0] : x1], corner


def resized(picture: Picture, scale: float) -> Picture:
    """Returns the picture at a scale, of at least a pixel; enlarged as detectors do it."""
    import cv2

    if scale == 1:
        return picture
    height, width = (max(1, round(side * scale)) for side in picture.shape[:2])
    filter_ = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (width, height), interpolation=filter_), np.uint8)


def heat_squares(height: int, width: int, task: LearnedTask) -> tuple[Floats, tuple[int, int]]:
    """Returns the squares of a heat map, (rows * columns, 4), and its rows and columns.

    Their centres are an even grid over a picture of that many pixels.
    """
    scale = view_scale(height, width, task)
    step, half = _HEAT_STEP / scale, _HEAT_SIDE / scale / 2
    rows, columns = math.ceil(height / step), math.ceil(width / step)
    y, x = np.meshgrid(
        (np.arange(rows) + 0.5) * height / rows,
        (np.arange(columns) + 0.5) * width / columns,
        indexing="ij",
    )
    squares = np.stack([x - half, y - half, x + half, y + half], axis=-1)
    return squares.reshape(-1, 4), (rows, columns)

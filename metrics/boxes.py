"""Boxes that a detector or a person drew on one frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Picture = npt.NDArray[np.uint8]  # (height, width, 3) BGR


@dataclass(frozen=True, slots=True, kw_only=True)
class Detections:
    """Objects on one frame.

    Attributes:
        boxes: (n, 4) x0 y0 x1 y1 in pixels.
        scores: (n,) in [0, 1]; 1 for annotations.
        class_names: n names.
    """

    boxes: Floats
    scores: Floats
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.boxes.shape != (len(self.class_names), 4):
            raise ValueError(f"boxes must be (n, 4), got {self.boxes.shape = }")
        if self.scores.shape != (len(self.class_names),):
            raise ValueError(f"scores must be (n,), got {self.scores.shape = }")

    def at_least(self, score: float) -> Detections:
        """Returns the objects with that score or a higher one."""
        return self.where(self.scores >= score)

    def where(self, keep: npt.NDArray[np.bool_]) -> Detections:
        """Returns the objects for which (n,) is true."""
        return Detections(
            boxes=self.boxes[keep],
            scores=self.scores[keep],
            class_names=tuple(np.array(self.class_names, dtype=object)[keep]),
        )


def clipped(boxes: Floats, picture: npt.NDArray[np.uint8]) -> Floats:
    """Returns (n, 4) boxes as far as they are in a (height, width, 3) picture."""
    height, width = picture.shape[:2]
    inside: Floats = np.clip(boxes, 0, np.array([width, height, width, height]))
    return inside


def objects_inside(
    objects: Detections, picture: npt.NDArray[np.uint8], min_side_pixels: float
) -> Detections:
    """Returns objects that are in the picture in part: detectors draw boxes on its very edge.

    Args:
        min_side_pixels: Shorter side of the smallest that counts.
    """
    boxes = clipped(objects.boxes, picture)
    is_inside: npt.NDArray[np.bool_] = np.all(boxes[:, 2:] > boxes[:, :2], axis=1)
    is_large = (objects.boxes[:, 2:] - objects.boxes[:, :2]).min(axis=1) >= min_side_pixels
    return objects.where(is_inside & is_large)


def iou_matrix(first: Floats, second: Floats) -> Floats:
    """Returns the intersection over union of every pair of boxes.

    Args:
        first: (n, 4) x0 y0 x1 y1.
        second: (m, 4) x0 y0 x1 y1.

    Returns:
        (n, m) in [0, 1]; 0 where a box has no area.
    """
    top_left = np.maximum(first[:, None, :2], second[None, :, :2])
    bottom_right = np.minimum(first[:, None, 2:], second[None, :, 2:])
    overlap = np.prod(np.clip(bottom_right - top_left, 0, None), axis=2)
    union = _areas(first)[:, None] + _areas(second)[None, :] - overlap
    ious: Floats = np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)
    return ious


def _areas(boxes: Floats) -> Floats:
    areas: Floats = np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None), axis=1)
    return areas

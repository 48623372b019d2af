"""Tracks: the same object from frame to frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from .boxes import Detections, Floats, iou_matrix

# Boxes of one object on neighbouring frames looked at overlap by at least that; a faster one
# starts a new track, which costs nothing but the boxes between.
_LEAST_IOU = 0.2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Track:
    """One object over time.

    Attributes:
        class_name: Of all its boxes.
        frames: (n,) rising indices of frames it was seen on.
        boxes: (n, 4) x0 y0 x1 y1 in pixels.
        weight: In [0, 1], what the object matters.
    """

    class_name: str
    frames: npt.NDArray[np.int64]
    boxes: Floats
    weight: float = 1.0

    def boxes_at(self, frames: npt.NDArray[np.int64]) -> Floats:
        """Returns (m, 4) boxes: linear between two sightings, the nearest one before and after."""
        moved = [np.interp(frames, self.frames, self.boxes[:, side]) for side in range(4)]
        return np.stack(moved, axis=1)


def link(
    frames: Sequence[int], detections: Sequence[Detections], *, max_missed: int = 2
) -> tuple[Track, ...]:
    """Links detections into tracks: same class, most overlap in total (Hungarian method).

    Args:
        frames: Rising indices of the frames looked at.
        detections: One entry for each of them.
        max_missed: An object may be missed on so many of them in a row and still be the same.

    Source: Bewley et al., "Simple online and realtime tracking", arXiv 1602.00763, without its
    motion model, since what comes next is known here.
    """
    tracks: list[_Growing] = []
    alive: list[_Growing] = []
    for order, (frame, seen) in enumerate(zip(frames, detections, strict=True)):
        alive = [track for track in alive if order - track.last_order <= max_missed + 1]
        taken = set()
        if alive and seen.class_names:
            overlap = iou_matrix(np.array([track.boxes[-1] for track in alive]), seen.boxes)
            classes = np.array([track.class_name for track in alive], dtype=object)
            overlap *= np.equal.outer(classes, np.array(seen.class_names, dtype=object))
            overlap[overlap < _LEAST_IOU] = 0
            for row, column in zip(*linear_sum_assignment(overlap, maximize=True), strict=True):
                if overlap[row, column] > 0:
                    alive[row].add(order, frame, seen.boxes[column])
                    taken.add(int(column))
        for column, class_name in enumerate(seen.class_names):
            if column not in taken:
                track = _Growing(class_name)
                track.add(order, frame, seen.boxes[column])
                tracks.append(track)
                alive.append(track)
    return tuple(
        Track(
            class_name=track.class_name,
            frames=np.array(track.frames, dtype=np.int64),
            boxes=np.array(track.boxes, dtype=np.float64),
        )
        for track in tracks
    )


class _Growing:
    """A track that may still get boxes."""

    def __init__(self, class_name: str) -> None:
        self.class_name = class_name
        self.last_order = 0
        self.frames: list[int] = []
        self.boxes: list[Floats] = []

    def add(self, order: int, frame: int, box: Floats) -> None:
        self.last_order = order
        self.frames.append(frame)
        self.boxes.append(box)

"""Precision and recall: what is seen that is not there, and what is there and not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .boxes import Detections
from .object_iou import object_ious

Mask = npt.NDArray[np.bool_]

# PASCAL VOC's overlap of a detection that counts as one of the object.
SAME_OBJECT_IOU = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionCounts:
    """Counts over all frames looked at.

    Attributes:
        num_objects: Reference objects.
        num_found: Those of them that are still detected.
        num_detections: Detections on the distorted pictures that would be objects by their score.
        num_false: Those of them that the original has not.
    """

    num_objects: int
    num_found: int
    num_detections: int
    num_false: int

    @property
    def precision(self) -> float:
        """Share of detections that are on the original too, in [0, 1]; 1 where there is none."""
        if self.num_detections == 0:
            return 1.0
        return 1 - self.num_false / self.num_detections

    @property
    def recall(self) -> float:
        """Share of reference objects still detected, in [0, 1]; 1 where there is none."""
        return self.num_found / self.num_objects if self.num_objects else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameDetections:
    """What compression did to one frame.

    Attributes:
        is_found: (n,) whether each reference object is still detected.
        claimed: Detections on the distorted picture that would be objects by their score.
        is_known: (m,) whether each of these is on the original too.
    """

    is_found: Mask
    claimed: Detections
    is_known: Mask


def frame_detections(
    there: Detections, before: Detections, after: Detections, score: float
) -> FrameDetections:
    """Returns what is found again on one frame, and what is made up: as ``count_detections``."""
    claimed = after.at_least(score)
    return FrameDetections(
        is_found=object_ious(there, after) >= SAME_OBJECT_IOU,
        claimed=claimed,
        is_known=(object_ious(claimed, before) >= SAME_OBJECT_IOU)
        | (object_ious(claimed, there) >= SAME_OBJECT_IOU),
    )


def count_detections(
    objects: Sequence[Detections],
    seen: Sequence[Detections],
    distorted: Sequence[Detections],
    score: float,
) -> DetectionCounts:
    """Returns what compression hid and what it made up; same class, IoU of at least 0.5.

    Args:
        objects: Reference objects of each frame.
        seen: Everything detected on the original: what was there with a low score already and
            only got a higher one is not made up.
        distorted: Detections after compression; all of them may find an object.
        score: From which on a detection counts as one that sees an object.
    """
    num_objects = num_found = num_detections = num_false = 0
    for there, before, after in zip(objects, seen, distorted, strict=True):
        frame = frame_detections(there, before, after, score)
        num_objects += len(there.class_names)
        num_found += int(frame.is_found.sum())
        num_detections += len(frame.claimed.class_names)
        num_false += int((~frame.is_known).sum())
    return DetectionCounts(
        num_objects=num_objects,
        num_found=num_found,
        num_detections=num_detections,
        num_false=num_false,
    )

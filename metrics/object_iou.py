"""Delta Object IoU: how much of its objects a detector loses to compression.

Source: Dremin et al., "Machine vision-aware quality metrics for compressed image and video
assessment", arXiv 2411.06776. Object IoU is the IoU of an object's box with the best detection of
its class, 0 without one; the delta is Object IoU on the original minus that on the distorted
picture. Deviations: the delta is clipped at 0, so that luck on one object does not pay for the
loss of another, and objects are weighted by the score of the reference detection, so that one that
flickers on the original counts less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .boxes import Detections, Floats, iou_matrix
from .errors import NoObjectsError

if TYPE_CHECKING:
    from .task import Reference

VERSION = "delta-object-iou 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceObjects:
    """Objects of one original frame, and how well the detector sees them there.

    Attributes:
        objects: What must still be seen; scores are the weights.
        object_ious: (n,) Object IoU on the original: 1 where the detector itself is the reference.
        seen: All that the detector sees there, objects or not.
    """

    objects: Detections
    object_ious: Floats
    seen: Detections


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectScores:
    """Delta Object IoU of every reference object of the frames looked at.

    Attributes:
        weights: One (n,) array a frame, in (0, 1].
        deltas: One (n,) array a frame, in [0, 1]; 0 is nothing lost.
    """

    weights: tuple[Floats, ...]
    deltas: tuple[Floats, ...]

    @property
    def frame_weights(self) -> Floats:
        """(frames,) sum of the weights in each frame."""
        return np.array([weights.sum() for weights in self.weights])

    @property
    def frame_losses(self) -> Floats:
        """(frames,) weighted sum of the deltas in each frame."""
        pairs = zip(self.weights, self.deltas, strict=True)
        return np.array([float(weights @ deltas) for weights, deltas in pairs])

    @property
    def quality(self) -> float:
        """1 minus the weighted mean delta over all objects, in [0, 1]; higher is better."""
        return float(pooled_quality(self.frame_weights, self.frame_losses))

    @property
    def frame_qualities(self) -> Floats:
        """Quality of every frame that has an object."""
        weights, losses = self.frame_weights, self.frame_losses
        return 1 - losses[weights > 0] / weights[weights > 0]


def pooled_quality(frame_weights: Floats, frame_losses: Floats) -> npt.NDArray[np.float64]:
    """Returns 1 - weighted mean loss over the last axis, so that resamples pool in one call."""
    quality: Floats = 1 - frame_losses.sum(axis=-1) / frame_weights.sum(axis=-1)
    return quality


def object_ious(objects: Detections, detections: Detections) -> Floats:
    """Returns the IoU of each object with the best detection of its class.

    Returns:
        (n,) in [0, 1]; 0 where no detection of the class overlaps.
    """
    if not objects.class_names or not detections.class_names:
        return np.zeros(len(objects.class_names))
    same_class = np.equal.outer(
        np.array(objects.class_names, dtype=object), np.array(detections.class_names, dtype=object)
    )
    best: Floats = (iou_matrix(objects.boxes, detections.boxes) * same_class).max(axis=1)
    return best


def object_losses(reference: ReferenceObjects, distorted: Detections) -> Floats:
    """Returns the Delta Object IoU of each object of a frame, (n,) in [0, 1]."""
    lost: Floats = np.clip(reference.object_ious - object_ious(reference.objects, distorted), 0, 1)
    return lost


def require_objects(reference: Sequence[Reference]) -> None:
    """Refuses a clip without anything to look for.

    Raises:
        NoObjectsError: No frame has a reference object.
    """
    if not any(frame.objects.class_names for frame in reference):
        raise NoObjectsError(
            f"the machine must see at least one object on the original, it sees none on "
            f"{len(reference)} frames; look at another part of the clip, or tune it with a lower "
            f"--reference-score or with --annotations"
        )

"""Finding objects as a task: any detector, scored by Delta Object IoU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .boxes import Detections, Floats, Picture
from .detector import Detector
from .object_iou import VERSION, ReferenceObjects, object_losses
from .task import Json, TaskMachine, detections_from_json, detections_to_json


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectMachine:
    """A detector that is its own reference.

    Attributes:
        reference_score: A detection on the original is an object from this score on.
        match_score: A detection on the distorted picture may match from this score on.
    """

    detector: Detector
    reference_score: float = 0.4
    match_score: float = 0.25

    def __post_init__(self) -> None:
        for name in ("reference_score", "match_score"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} must be between 0 and 1, got {getattr(self, name):g}")

    @property
    def version(self) -> str:
        return (
            f"{VERSION} {self.detector.version} "
            f"reference {self.reference_score:g} match {self.match_score:g}"
        )

    @property
    def batch_size(self) -> int:
        return self.detector.batch_size

    def look(self, pictures: Sequence[Picture]) -> list[ReferenceObjects]:
        """Returns what the detector sees on each original."""
        lowest = min(self.reference_score, self.match_score)
        return [
            ReferenceObjects(
                objects=(objects := seen.at_least(self.reference_score)),
                object_ious=np.ones(len(objects.class_names)),
                seen=seen,
            )
            for seen in self.detector.detect(pictures, lowest)
        ]

    def prepare(
        self, references: Sequence[ReferenceObjects], pictures: Sequence[Picture]
    ) -> list[ReferenceObjects]:
        """Returns the references as they are: all of them is stored."""
        return list(references)

    def losses(
        self, references: Sequence[ReferenceObjects], pictures: Sequence[Picture]
    ) -> list[Floats]:
        """Returns the Delta Object IoU of each object."""
        return self.losses_among(references, self.detector.detect(pictures, self.match_score))

    def losses_among(
        self, references: Sequence[ReferenceObjects], found: Sequence[Detections]
    ) -> list[Floats]:
        """Returns the same where the detections, of any score, are known already."""
        return [
            object_losses(reference, seen.at_least(self.match_score))
            for reference, seen in zip(references, found, strict=True)
        ]

    def to_json(self, reference: ReferenceObjects) -> Json:
        return {
            "objects": detections_to_json(reference.objects),
            "object_ious": reference.object_ious.tolist(),
            "seen": detections_to_json(reference.seen),
        }

    def from_json(self, value: Json) -> ReferenceObjects:
        assert isinstance(value, dict)
        return ReferenceObjects(
            objects=detections_from_json(value["objects"]),
            object_ious=np.array(value["object_ious"], dtype=np.float64),
            seen=detections_from_json(value["seen"]),
        )


if TYPE_CHECKING:

    def _is_a_task_machine(machine: ObjectMachine) -> TaskMachine[ReferenceObjects]:
        return machine

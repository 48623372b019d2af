"""One shape for every machine: what it saw on the original, and what it loses of that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import numpy as np

from .boxes import Detections, Floats, Picture
from .object_iou import ObjectScores, require_objects

# What is lost where, (rows, columns) in [0, 1], of an original and a distorted picture.
HeatMapOf = Callable[[Picture, Picture], Floats]
Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


class Reference(Protocol):
    """What a machine saw on one original picture, and whatever it needs to look for it again."""

    @property
    def objects(self) -> Detections:
        """What must still be seen; the scores are the weights."""


ReferenceT = TypeVar("ReferenceT", bound=Reference)


class TaskMachine(Protocol[ReferenceT]):
    """A machine with a task: find objects, recognise faces, read plates."""

    @property
    def version(self) -> str:
        """Name, weights hashes and everything else that its answers depend on."""

    @property
    def batch_size(self) -> int:
        """Pictures that are best given at once."""

    def look(self, pictures: Sequence[Picture]) -> list[ReferenceT]:
        """Returns what there is to lose on each original, (height, width, 3) BGR."""

    def prepare(
        self, references: Sequence[ReferenceT], pictures: Sequence[Picture]
    ) -> list[ReferenceT]:
        """Returns stored references with what ``losses`` needs of their originals besides.

        Args:
            pictures: The originals; asked for one by one, and only where they are needed.
        """

    def losses(self, references: Sequence[ReferenceT], pictures: Sequence[Picture]) -> list[Floats]:
        """Returns what is lost of each object, (n,) in [0, 1] a picture; 0 is nothing.

        Args:
            references: What was seen on the originals of these pictures, one entry each.
            pictures: Distorted, of the originals' size.
        """

    def to_json(self, reference: ReferenceT) -> Json:
        """Returns a reference in the form that it is stored in."""

    def from_json(self, value: Json) -> ReferenceT:
        """Returns a stored reference."""


def object_scores(references: Sequence[Reference], losses: Sequence[Floats]) -> ObjectScores:
    """Returns the losses of all frames with the weights of their objects.

    Raises:
        NoObjectsError: No frame has a reference object.
    """
    require_objects(references)
    for reference, lost in zip(references, losses, strict=True):
        if lost.shape != reference.objects.scores.shape:
            raise ValueError(
                f"losses must be one for each object, got {lost.shape} for "
                f"{len(reference.objects.class_names)} objects"
            )
    return ObjectScores(
        weights=tuple(reference.objects.scores for reference in references), deltas=tuple(losses)
    )


def detections_to_json(objects: Detections) -> dict[str, Json]:
    """Returns objects in the form that they are stored in."""
    return {
        "boxes": objects.boxes.tolist(),
        "scores": objects.scores.tolist(),
        "class_names": list(objects.class_names),
    }


def detections_from_json(value: Json) -> Detections:
    """Returns stored objects."""
    assert isinstance(value, dict)
    class_names = value["class_names"]
    assert isinstance(class_names, list)
    return Detections(
        boxes=np.array(value["boxes"], dtype=np.float64).reshape(-1, 4),
        scores=np.array(value["scores"], dtype=np.float64),
        class_names=tuple(str(name) for name in class_names),
    )

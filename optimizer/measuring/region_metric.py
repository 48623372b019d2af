"""Metrics that look at regions of a frame: where to look, and what is lost there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ...codecs.region import ClipRegions
from ...metrics.boxes import Detections, Floats, Picture
from ...metrics.detector import Detector, Finder
from ...metrics.learned import LearnedMetric, LearnedReference, load_learned_metric
from ...metrics.task import TaskMachine
from ...metrics.views import LearnedTask
from ..errors import RequestError
from .machine_choice import check_image_size, check_named
from .machine_table import MACHINE_KINDS, load_finder


class RegionMetric(Protocol):
    """One row of a score: a machine, real or predicted, and where it looks."""

    @property
    def name(self) -> str: ...

    @property
    def batch_size(self) -> int:
        """Pictures that are best given at once."""

    @property
    def learned(self) -> LearnedMetric | None:
        """What can say where it loses sight; None for a real machine."""

    @property
    def remedy(self) -> str:
        """What helps where there is no region."""

    def look(
        self, frames: Sequence[int], originals: Sequence[Picture], distorted: Sequence[Picture]
    ) -> list[tuple[Detections, Floats]]:
        """Returns the regions of each frame, scores being weights, and (n,) losses in [0, 1].

        Args:
            frames: Indices of the frames in the clip.
            originals, distorted: (height, width, 3) BGR, one of each a frame.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundRegions:
    """Regions that the machine finds itself on originals."""

    name: str
    machine: TaskMachine[Any]

    @property
    def batch_size(self) -> int:
        return self.machine.batch_size

    @property
    def learned(self) -> LearnedMetric | None:
        return self.machine if isinstance(self.machine, LearnedMetric) else None

    @property
    def remedy(self) -> str:
        return "lower --reference-score" + (", or give --regions" if self.learned else "")

    def look(
        self, frames: Sequence[int], originals: Sequence[Picture], distorted: Sequence[Picture]
    ) -> list[tuple[Detections, Floats]]:
        """Returns what the machine saw on the originals, and what it loses of that."""
        references = self.machine.look(originals)
        losses = self.machine.losses(references, distorted)
        return [(one.objects, lost) for one, lost in zip(references, losses, strict=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenRegions:
    """Regions that a user gave; those of weight 0 are background."""

    name: str
    metric: LearnedMetric
    regions: ClipRegions

    @property
    def batch_size(self) -> int:
        return self.metric.batch_size

    @property
    def learned(self) -> LearnedMetric | None:
        return self.metric

    @property
    def remedy(self) -> str:
        return "or give regions of a weight above 0 on these frames"

    def look(
        self, frames: Sequence[int], originals: Sequence[Picture], distorted: Sequence[Picture]
    ) -> list[tuple[Detections, Floats]]:
        """Returns the given regions, and what the machine is predicted to lose there."""
        given = [self._objects(frame) for frame in frames]
        # A weight is no score of a detector: nobody knows how sure one would be.
        unscored = [
            LearnedReference(
                objects=Detections(
                    boxes=objects.boxes,
                    scores=np.zeros(len(objects.class_names)),
                    class_names=objects.class_names,
                )
            )
            for objects in given
        ]
        losses = self.metric.losses(self.metric.prepare(unscored, originals), distorted)
        return list(zip(given, losses, strict=True))

    def _objects(self, frame: int) -> Detections:
        regions = [one for one in self.regions.frames[frame] if one.weight > 0]
        return Detections(
            boxes=np.array(
                [(one.x0, one.y0, one.x1, one.y1) for one in regions], dtype=np.float64
            ).reshape(-1, 4),
            scores=np.array([one.weight for one in regions], dtype=np.float64),
            class_names=("",) * len(regions),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Finders:
    """Who finds the regions on originals; our own proposals do where one is None.

    Attributes:
        detector: Of objects: a file, or a name that ultralytics downloads.
        face_detector: YuNet's ONNX file.
        plate_detector: Of plates, as ``detector``.
        image_size: Longest side that detectors see.
        reference_score: A detection is a region from this score on.
    """

    detector: str | None = None
    face_detector: str | None = None
    plate_detector: str | None = None
    image_size: int = 640
    reference_score: float = 0.4

    def __post_init__(self) -> None:
        if not 0 < self.reference_score < 1:
            raise RequestError(
                f"reference_score must be between 0 and 1, got {self.reference_score:g}"
            )
        check_image_size(self.image_size)
        for name in ("detector", "face_detector", "plate_detector"):
            check_named(name, getattr(self, name))

    def of(self, task: LearnedTask) -> str | None:
        """Returns the weights for a task."""
        weights: str | None = getattr(self, MACHINE_KINDS[task].finder)
        return weights


def load_region_metrics(
    tasks: Sequence[LearnedTask], finders: Finders, regions: ClipRegions | None
) -> list[RegionMetric]:
    """Returns learned metrics that look at the given regions, or at what a finder sees.

    Raises:
        WeightsError: A model cannot be loaded.
    """
    found: list[RegionMetric] = []
    shared: dict[str, SharedFinder] = {}
    for task in tasks:
        if regions is not None:
            metric = load_learned_metric(task, _Nowhere(), min_score=finders.reference_score)
            found.append(GivenRegions(name=task, metric=metric, regions=regions))
            continue
        weights = finders.of(task)
        # Given one detector, all of its kind look at what it sees.
        of = task if weights is None else MACHINE_KINDS[task].finder
        if of not in shared:
            shared[of] = SharedFinder(
                finder=load_finder(task, weights, image_size=finders.image_size)
            )
        metric = load_learned_metric(task, shared[of], min_score=finders.reference_score)
        found.append(FoundRegions(name=task, machine=metric))
    return found


@dataclass(slots=True, kw_only=True)
class SharedFinder:
    """A finder of several metrics that look at the same pictures, one after the other.

    Not safe to use from several threads.

    Attributes:
        pictures, min_score, seen: What was asked last, and what it saw.
    """

    finder: Finder
    pictures: Sequence[Picture] = ()
    min_score: float = 1.0
    seen: Sequence[Detections] = ()

    @property
    def version(self) -> str:
        return self.finder.version

    @property
    def batch_size(self) -> int:
        return self.finder.batch_size

    def detect(self, pictures: Sequence[Picture], min_score: float) -> list[Detections]:
        """Returns what it sees on each picture, looked at once where it is asked again."""
        is_same = min_score == self.min_score and len(pictures) == len(self.pictures)
        if not is_same or any(
            one is not other for one, other in zip(pictures, self.pictures, strict=True)
        ):
            self.seen = self.finder.detect(pictures, min_score)
            self.pictures, self.min_score = list(pictures), min_score
        return list(self.seen)


@dataclass(frozen=True, slots=True)
class _Nowhere:
    """Stands for a finder where the regions are given."""

    @property
    def version(self) -> str:
        return "given"

    @property
    def batch_size(self) -> int:
        return 4

    def detect(self, pictures: Sequence[Picture], min_score: float) -> list[Detections]:
        """Returns no object on any picture."""
        nothing = Detections(boxes=np.zeros((0, 4)), scores=np.zeros(0), class_names=())
        return [nothing for _ in pictures]


if TYPE_CHECKING:

    def _are_region_metrics(found: FoundRegions, given: GivenRegions) -> list[RegionMetric]:
        return [found, given]

    def _are_detectors(nowhere: _Nowhere, shared: SharedFinder) -> list[Detector]:
        return [nowhere, shared]

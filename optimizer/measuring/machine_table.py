"""The kinds of machines that must still see: one row each.

A kind is a learned metric, the real machine that it predicts, and who finds the regions of both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from ...metrics.views import LEARNED_TASKS, LearnedTask

if TYPE_CHECKING:
    from ...metrics.detector import Finder
    from ...metrics.objects import ObjectMachine
    from ...metrics.region_proposals import Proposed
    from ...metrics.task import TaskMachine
    from .machine_choice import MachineChoice

RealMachineName = Literal["detector", "face-embedder", "plate-reader"]
MetricName = Literal[RealMachineName, LearnedTask]
# Options that give a machine its files, in MachineChoice.
FileOption = Literal["detector", "face_detector", "face_embedder", "plate_detector"]
REAL_MACHINES: tuple[RealMachineName, ...] = get_args(RealMachineName)
METRIC_NAMES: tuple[MetricName, ...] = (*REAL_MACHINES, *LEARNED_TASKS)


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineKind:
    """One kind of machines.

    Attributes:
        real: The real machine, as a metric.
        finder: The option of whose weights finds the regions on originals.
        proposed: What the built-in proposals look for where there are no such weights.
        needed: Files without which there is no real machine.
        remedy: What to give where they are missing.
        takes_annotations: The real machine may be told what is there.
        draws_boxes: The real machine is a detector, that a second one can be compared with.
        load_finder: From weights, and the longest side in pixels of what a detector sees.
        load_real: From the finder, and a choice that has what is needed.
    """

    real: RealMachineName
    finder: FileOption
    proposed: tuple[Proposed, ...]
    needed: tuple[FileOption, ...]
    remedy: str = ""
    takes_annotations: bool = False
    draws_boxes: bool = False
    load_finder: Callable[[str, int], Finder]
    load_real: Callable[[Finder, MachineChoice], TaskMachine[Any]]

    @property
    def files(self) -> tuple[FileOption, ...]:
        """Options that are of use to this kind."""
        return tuple(dict.fromkeys((self.finder, *self.needed)))


# Torch, Ultralytics and the readers take seconds to load, so each of these loads what it needs.


def _load_detector(weights: str, image_size: int) -> Finder:
    from ...metrics.detector import load_detector

    return load_detector(weights, image_size=image_size)


def object_machine(finder: Finder, choice: MachineChoice) -> ObjectMachine:
    """Returns a detector as a machine, with the scores of a choice."""
    from ...metrics.objects import ObjectMachine

    return ObjectMachine(
        detector=finder,
        reference_score=choice.thresholds.reference,
        match_score=choice.thresholds.match,
    )


def _load_yunet(weights: str, image_size: int) -> Finder:
    from ...metrics.face_detector import load_yunet

    return load_yunet(Path(weights))


def _load_face_machine(finder: Finder, choice: MachineChoice) -> TaskMachine[Any]:
    from ...metrics.face_detector import YuNet
    from ...metrics.face_embedder import load_face_embedder
    from ...metrics.faces import FaceMachine

    assert isinstance(finder, YuNet), "checked by MachineChoice"
    assert choice.face_embedder is not None, "checked by MachineChoice"
    return FaceMachine(
        detector=finder,
        embedder=load_face_embedder(choice.face_embedder, choice.face_levels),
        min_score=choice.thresholds.reference,
    )


def _load_plate_detector(weights: str, image_size: int) -> Finder:
    from ...metrics.plates import TightPlates

    # The metric learned on boxes that fit, and the reader reads no frame about a plate.
    return TightPlates(detector=_load_detector(weights, image_size))


def _load_plate_machine(finder: Finder, choice: MachineChoice) -> TaskMachine[Any]:
    from ...metrics.plate_reader import load_rapidocr
    from ...metrics.plates import PlateMachine

    return PlateMachine(
        detector=finder,
        reader=load_rapidocr(),
        min_score=choice.thresholds.reference,
        loose=(1, 1),
    )


MACHINE_KINDS: dict[LearnedTask, MachineKind] = {
    "objects": MachineKind(
        real="detector",
        finder="detector",
        proposed=("object",),
        needed=("detector",),
        remedy="a weights file, or a name such as yolo11n.pt",
        takes_annotations=True,
        draws_boxes=True,
        load_finder=_load_detector,
        load_real=object_machine,
    ),
    "faces": MachineKind(
        real="face-embedder",
        finder="face_detector",
        proposed=("face",),
        needed=("face_embedder", "face_detector"),
        remedy="ONNX files",
        load_finder=_load_yunet,
        load_real=_load_face_machine,
    ),
    "plates": MachineKind(
        real="plate-reader",
        finder="plate_detector",
        proposed=("plate",),
        needed=(),  # RapidOCR ships its weights, and our proposals find plates
        takes_annotations=True,
        load_finder=_load_plate_detector,
        load_real=_load_plate_machine,
    ),
    # Any machine; of the real ones a detector can verify it.
    "general": MachineKind(
        real="detector",
        finder="detector",
        proposed=("object", "face", "plate"),
        needed=("detector",),
        draws_boxes=True,
        load_finder=_load_detector,
        load_real=object_machine,
    ),
}


def task_of(metric: MetricName) -> LearnedTask:
    """Returns the task of a machine: a learned metric is named like its own."""
    named = (task for task, kind in MACHINE_KINDS.items() if metric in (task, kind.real))
    return next(named)


def metrics_of(option: FileOption) -> tuple[MetricName, ...]:
    """Returns the metrics that a file is for, the real machine first."""
    kinds = {task: kind for task, kind in MACHINE_KINDS.items() if option in kind.files}
    return tuple(dict.fromkeys([*(kind.real for kind in kinds.values()), *kinds]))


def load_finder(task: LearnedTask, weights: str | None, *, image_size: int = 640) -> Finder:
    """Returns who finds the regions of a task: our own proposals where there are no weights.

    Args:
        weights: YuNet's for faces, else a detector's: a file, or a name that is downloaded.
        image_size: Longest side that a detector sees.

    Raises:
        WeightsError: They cannot be loaded.
    """
    kind = MACHINE_KINDS[task]
    if weights is not None:
        return kind.load_finder(weights, image_size)
    from ...metrics.region_proposals import load_proposal_detector

    return load_proposal_detector(kind.proposed)

"""Which machine must still see, and who finds its regions."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast, get_args

from ...metrics.face_embedder import Levels
from ..errors import RequestError
from .bench import Thresholds

if TYPE_CHECKING:
    from ...metrics.learned import LearnedTask

# A real machine, or a learned metric that predicts machines of a kind.
RealMachineName = Literal["detector", "face-embedder", "plate-reader"]
MetricName = Literal[RealMachineName, "objects", "faces", "plates", "general"]
REAL_MACHINES: tuple[RealMachineName, ...] = get_args(RealMachineName)
_TASKS: dict[RealMachineName, LearnedTask] = {
    "detector": "objects",
    "face-embedder": "faces",
    "plate-reader": "plates",
}
# The metrics that a machine's file is for.
METRICS_OF: dict[str, tuple[MetricName, ...]] = {
    "detector": ("detector", "objects", "general"),
    "face_detector": ("face-embedder", "faces"),
    "face_embedder": ("face-embedder", "faces"),
    "plate_detector": ("plate-reader", "plates"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineChoice:
    """The machine of a search and the real one of its verification.

    Attributes:
        asked_metric: What the search goes by: a real machine (``detector``, ``face-embedder``,
            ``plate-reader``) or a learned metric. ``detector`` where None and there is a detector,
            else ``objects``.
        detector: Weights file, or a name that ultralytics downloads. It is the machine itself, or
            finds the regions of objects and is the real machine.
        image_size: Longest side that detectors see.
        face_detector: YuNet's ONNX file: finds the regions of faces.
        face_embedder: With it, the real machine for faces.
        face_levels: How the embedder wants its pictures.
        plate_detector: As ``detector``, for plates.
    """

    asked_metric: MetricName | None = None
    detector: str | None = None
    image_size: int = 640
    thresholds: Thresholds = field(default_factory=Thresholds)
    face_detector: str | None = None
    face_embedder: Path | None = None
    face_levels: Levels | None = None
    plate_detector: str | None = None

    def __post_init__(self) -> None:
        check_image_size(self.image_size)
        metric = self.metric
        if metric not in get_args(MetricName):
            known = ", ".join(get_args(MetricName))
            raise RequestError(f"metric must be one of {known}, got {metric!r}")
        if metric == "detector" and self.detector is None:
            raise RequestError(
                "metric detector needs a detector: a weights file, or a name such as yolo11n.pt; "
                "or give metric objects, which needs none"
            )
        if metric == "face-embedder" and self.face_embedder is None:
            raise RequestError(
                "metric face-embedder needs a face_embedder and a face_detector: ONNX files; faces "
                "needs none"
            )
        for name, metrics in METRICS_OF.items():
            check_named(name, getattr(self, name))
            if getattr(self, name) is not None and metric not in metrics:
                raise RequestError(
                    f"{name} is for metric {' or '.join(metrics)}, got metric {metric}"
                )
        if self.face_embedder is not None and self.face_detector is None:
            raise RequestError(
                "face_embedder needs face_detector too: it wants aligned faces, and proposals have "
                "no landmarks"
            )
        if self.face_levels is not None and self.face_embedder is None:
            raise RequestError("face_levels says how a face_embedder wants its pictures, give one")
        if self.face_levels is not None and self.face_levels not in get_args(Levels):
            known = ", ".join(get_args(Levels))
            raise RequestError(f"face_levels must be one of {known}, got {self.face_levels!r}")

    @property
    def metric(self) -> MetricName:
        """What the search goes by."""
        return self.asked_metric or ("objects" if self.detector is None else "detector")

    @property
    def has_real_machine(self) -> bool:
        """A real machine judges: it steers, or verifies what a learned metric predicts of it."""
        return (
            self.detector is not None
            or task_of(self.metric) == "plates"
            or self.face_embedder is not None
        )

    @property
    def finder(self) -> str | None:
        """Weights of who finds the regions; None for the built-in proposals."""
        return self.detector or self.face_detector or self.plate_detector


def check_image_size(image_size: int) -> None:
    """Refuses a size at which no detector sees anything.

    Raises:
        RequestError: It is.
    """
    if image_size < 32:
        raise RequestError(f"image_size must be at least 32, got {image_size}")


def check_named(what: str, weights: Path | str | None) -> None:
    """Refuses an empty name, as of a variable that is not set in a script.

    Raises:
        RequestError: It is one.
    """
    if weights is not None and str(weights) in ("", "."):
        raise RequestError(f"{what} must be a file, or the name of one, got nothing; leave it out")


def task_of(metric: MetricName) -> LearnedTask:
    """Returns the task of a machine: a learned metric is named like its own."""
    return _TASKS[metric] if metric in REAL_MACHINES else cast("LearnedTask", metric)

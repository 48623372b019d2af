"""Which machine must still see, and who finds its regions."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from ...metrics.detector import wrong_image_size
from ...metrics.face_embedder import Levels
from ..errors import RequestError
from .bench import Thresholds
from .machine_table import (
    MACHINE_KINDS,
    METRIC_NAMES,
    REAL_MACHINES,
    FileOption,
    MachineKind,
    MetricName,
    metrics_of,
    task_of,
)

_FILES: tuple[FileOption, ...] = get_args(FileOption)


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
        if metric not in METRIC_NAMES:
            raise RequestError(f"metric must be one of {', '.join(METRIC_NAMES)}, got {metric!r}")
        if metric in REAL_MACHINES and not self.has_real_machine:
            raise RequestError(
                f"metric {metric} needs a {' and a '.join(self.kind.needed)}: {self.kind.remedy}; "
                f"or give metric {task_of(metric)}, which needs none"
            )
        for name in _FILES:
            check_named(name, getattr(self, name))
            if getattr(self, name) is not None and metric not in metrics_of(name):
                raise RequestError(
                    f"{name} is for metric {' or '.join(metrics_of(name))}, got metric {metric}"
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
    def kind(self) -> MachineKind:
        """The kind of machines that the metric is of."""
        return MACHINE_KINDS[task_of(self.metric)]

    @property
    def has_real_machine(self) -> bool:
        """A real machine judges: it steers, or verifies what a learned metric predicts of it."""
        return all(getattr(self, name) is not None for name in self.kind.needed)

    @property
    def finder(self) -> str | None:
        """Weights of who finds the regions; None for the built-in proposals."""
        weights: str | None = getattr(self, self.kind.finder)
        return weights


def machine_of(
    *,
    metric: MetricName | None,
    detector: Path | str | None,
    face_detector: Path | str | None,
    face_embedder: Path | str | None,
    face_levels: Levels | None,
    plate_detector: Path | str | None,
    image_size: int,
    reference_score: float,
    match_score: float | None,
) -> MachineChoice:
    """Returns the machine that the arguments of a call, or options, choose.

    Args:
        match_score: The usual one where None.

    Raises:
        RequestError: They do not go together.
    """
    return MachineChoice(
        asked_metric=metric,
        detector=None if detector is None else str(detector),
        face_detector=None if face_detector is None else str(face_detector),
        face_embedder=None if face_embedder is None else Path(face_embedder),
        face_levels=face_levels,
        plate_detector=None if plate_detector is None else str(plate_detector),
        image_size=image_size,
        thresholds=Thresholds.of_objects(reference_score, match_score),
    )


def check_image_size(image_size: int) -> None:
    """Refuses a size that no detector sees.

    Raises:
        RequestError: It is.
    """
    if (wrong := wrong_image_size(image_size)) is not None:
        raise RequestError(wrong)


def check_named(what: str, weights: Path | str | None) -> None:
    """Refuses an empty name, as of a variable that is not set in a script.

    Raises:
        RequestError: It is one.
    """
    if weights is not None and str(weights) in ("", "."):
        raise RequestError(f"{what} must be a file, or the name of one, got nothing; leave it out")

"""Real detectors: any model that ultralytics loads. The only file that imports it."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import math
import pickle
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from .boxes import Detections, Picture
from .errors import WeightsError
from .libraries import library_versions, onnx_errors
from .one_thread import one_torch_thread
from .weights_file import check_weights

# What loading a damaged or foreign file raises, seen with truncated, random, text and zip files.
_LOAD_ERRORS = (
    OSError, RuntimeError, ValueError, TypeError, LookupError, AttributeError, ImportError,
    EOFError, NotImplementedError, SyntaxError, AssertionError, pickle.UnpicklingError,
)  # fmt: skip


class Detector(Protocol):
    """Anything that draws boxes on pictures."""

    @property
    def version(self) -> str:
        """Name, weights hash and everything else that its answers depend on."""

    @property
    def batch_size(self) -> int:
        """Pictures that are best given at once."""

    def detect(self, pictures: Sequence[Picture], min_score: float) -> list[Detections]:
        """Returns the objects on each (height, width, 3) BGR picture."""


class Finder(Detector, Protocol):
    """A detector from a file of weights, by which its regions can be made again."""

    @property
    def weights_sha256(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class UltralyticsDetector:
    """A detector that ultralytics runs; safe to call from several threads at once.

    Attributes:
        weights: Path of the file that was loaded.
        weights_sha256: Of that file.
        image_size: Longest side in pixels that the network sees.
        device: ``cpu`` or ``cuda:0``.
        task: What an export is for, ``detect``, ``segment`` or ``pose``; None for others, which
            say it themselves.
        libraries: Names and versions of those that its answers depend on.
    """

    weights: Path
    weights_sha256: str
    image_size: int
    device: str
    task: str | None
    batch_size: int
    libraries: str
    models: threading.local = field(default_factory=threading.local, compare=False)

    @property
    def version(self) -> str:
        return (
            f"{self.libraries} {self.weights_sha256} "
            f"size {self.image_size} on {self.device.partition(':')[0]}"
        )

    def detect(self, pictures: Sequence[Picture], min_score: float) -> list[Detections]:
        """Returns the objects with at least that score on each (height, width, 3) BGR picture."""
        model = self._model()
        found: list[Detections] = []
        with one_torch_thread(), _quiet():
            for start in range(0, len(pictures), self.batch_size):
                batch = list(pictures[start : start + self.batch_size])
                results = model.predict(
                    batch, imgsz=self.image_size, conf=min_score, device=self.device, verbose=False
                )
                found += [_detections(result) for result in results]
        return found

    def _model(self) -> Any:
        """Returns this thread's own model: ultralytics' predictor keeps state between calls."""
        if not hasattr(self.models, "model"):
            self.models.model = _load(str(self.weights), self.task)
        return self.models.model


def wrong_image_size(image_size: int) -> str | None:
    """Returns what is wrong with a size; None where a network sees exactly that.

    YOLO's cells are 32 pixels large: ultralytics takes the next multiple, and says so in a warning.
    """
    if image_size >= 32 and image_size % 32 == 0:
        return None
    near = max(32, round(image_size / 32) * 32)
    return f"image_size must be a multiple of 32, got {image_size}; take {near}"


def load_detector(
    weights: str, *, image_size: int = 640, task: str = "detect"
) -> UltralyticsDetector:
    """Loads any ultralytics model, on CUDA where there is one.

    Args:
        weights: A file, or a name such as ``yolo11n.pt`` that ultralytics downloads.
        image_size: Longest side in pixels that the network sees, a multiple of 32.
        task: What an export is taken to be for, until it says otherwise itself.

    Raises:
        WeightsError: There is no such file, it cannot be downloaded, it holds no detector, or
            more than a detector.
    """
    if (wrong := wrong_image_size(image_size)) is not None:
        raise WeightsError(wrong)
    _import_quietly()
    is_export = not weights.endswith(".pt")
    model = _load(weights, task if is_export else None)
    _check_draws_boxes(weights, model.task)
    file = Path(str(getattr(model, "ckpt_path", None) or weights))
    if not file.is_file():
        raise WeightsError(f"detector must be a weights file, {weights} is none")

    import torch

    # OpenCV enlarges or shrinks the picture, torchvision drops boxes of one object.
    libraries = ["ultralytics", "torch", "torchvision", "cv2"]
    if file.suffix == ".onnx":
        libraries.append("onnxruntime")
    has_cuda = torch.cuda.is_available()
    detector = UltralyticsDetector(
        weights=file,
        weights_sha256=hashlib.sha256(file.read_bytes()).hexdigest()[:16],
        image_size=image_size,
        device="cuda:0" if has_cuda else "cpu",
        task=task if is_export else None,
        # On a CPU a larger batch is no faster and holds more memory in every thread.
        batch_size=32 if has_cuda else 4,
        libraries=library_versions(*libraries),
    )
    detector.models.model = model
    errors = _LOAD_ERRORS + (onnx_errors() if file.suffix == ".onnx" else ())
    failure = None
    try:
        detector.detect([np.zeros((64, 64, 3), np.uint8)], min_score=0.9)
    except errors as error:
        failure = error
    told = getattr(getattr(model.predictor, "model", None), "task", None)
    if is_export and told not in (None, task):
        # With another task its masks, keypoints and angles would be taken for classes.
        _check_draws_boxes(weights, told)
        return load_detector(weights, image_size=image_size, task=told)
    if failure is not None:
        raise WeightsError(f"detector {weights} does not run: {_one_line(failure)}") from failure
    seen = np.max(model.predictor.args.imgsz)
    if seen != image_size:
        # An export of one size takes no other, and ultralytics does not say so.
        raise WeightsError(
            f"image_size must be {seen} for {weights}, got {image_size}: it was exported for that "
            f"size only; export it with dynamic=True for any"
        )
    return detector


def _check_draws_boxes(weights: str, task: str) -> None:
    if task not in ("detect", "segment", "pose"):
        raise WeightsError(f"detector must draw boxes, {weights} is a model for {task!r}")


def _import_quietly() -> None:
    """Imports ultralytics, which logs to stdout: that belongs to our result.

    In the caller's thread alone: redirecting is the whole process's, and from two threads at once
    it once left stdout redirected for good. Its log goes; what matters is raised anyway.
    """
    with contextlib.redirect_stdout(sys.stderr):
        from ultralytics.nn import tasks
        from ultralytics.utils import nms
    if not hasattr(tasks, "SAFE_LOAD"):
        raise WeightsError(
            "ultralytics must load weights safely, update it: pip install -U ultralytics"
        )
    # It gives up on what is left of a batch after 2 s of the clock, and calls that nothing seen: a
    # machine that was stopped in between would have lost every object.
    if not isinstance(nms.non_max_suppression, functools.partial):
        nms.non_max_suppression = functools.partial(nms.non_max_suppression, max_time_img=math.inf)
    # Ultralytics loads TorchScript in the only way there is; its user can do nothing about it.
    warnings.filterwarnings("ignore", "`torch.jit", FutureWarning)
    # What a file that is no model looks like to it; that is raised anyway.
    warnings.filterwarnings("ignore", "Detected pickle protocol", UserWarning)
    log = logging.getLogger("ultralytics")
    if _is_told not in log.filters:
        log.addFilter(_is_told)


_asked = threading.local()


def _is_told(record: logging.LogRecord) -> bool:
    """Keeps what Ultralytics logs of our calls to itself; what matters is raised anyway."""
    return record.levelno >= logging.CRITICAL or not getattr(_asked, "is_by_us", False)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Has Ultralytics log nothing of what this thread asks of it."""
    before = getattr(_asked, "is_by_us", False)
    _asked.is_by_us = True
    try:
        yield
    finally:
        _asked.is_by_us = before


_loading = threading.Lock()


@contextlib.contextmanager
def _safe_loading() -> Iterator[None]:
    """Has Ultralytics make only its own and torch's layers of a pickle, which runs what it names.

    (torch.load with weights_only; and no text of a model is evaluated.) The models that a program
    beside us loads are its own affair.
    """
    from ultralytics.nn import tasks

    with _loading:
        before = tasks.SAFE_LOAD
        tasks.SAFE_LOAD = True
        try:
            yield
        finally:
            tasks.SAFE_LOAD = before


def _load(weights: str, task: str | None) -> Any:
    """Returns a model; an export says what it is for when it first runs, a .pt at once."""
    from ultralytics import YOLO

    check_weights(weights)
    try:
        with _safe_loading(), _quiet():
            model = YOLO(weights, task=task)
    except (FileNotFoundError, ConnectionError) as error:
        raise WeightsError(
            f"detector must be a weights file or a name that ultralytics can download, "
            f"{weights} is neither here nor reachable; download it where there is a network "
            f"(python -c \"from ultralytics import YOLO; YOLO('yolo11n.pt')\") and give its "
            f"path as detector"
        ) from error
    except _LOAD_ERRORS as error:
        raise WeightsError(
            f"detector must be a model that ultralytics loads, {weights} is not: {_one_line(error)}"
        ) from error
    return model


def _one_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}{f': {text[0][:200]}' if text else ''}"


def _detections(result: Any) -> Detections:
    names = result.names
    boxes = result.boxes
    return Detections(
        boxes=boxes.xyxy.cpu().numpy().astype(np.float64).reshape(-1, 4),
        scores=boxes.conf.cpu().numpy().astype(np.float64),
        class_names=tuple(names[int(index)] for index in boxes.cls.cpu().numpy()),
    )

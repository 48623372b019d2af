"""Finding faces and their landmarks: YuNet through OpenCV."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .boxes import Detections, Floats, Picture
from .detector import Detector
from .errors import WeightsError

# A face of a shorter side is not recognised. Of pairs of LFW, MobileFaceNet tells 99 % right at 55
# pixels, 96 % at 24, 94 % at 20, 87 % at 16.
MIN_SIDE_PIXELS = 20

# Boxes that overlap by more are one face; OpenCV's own default.
_NMS_IOU = 0.3
# Candidates before that; OpenCV's own default, more than any picture has.
_MAX_CANDIDATES = 5000
_REMEDY = (
    "get face_detection_yunet_2023mar.onnx from opencv_zoo on GitHub (models/face_detection_yunet) "
    "and give its path"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Faces:
    """Faces on one picture.

    Attributes:
        objects: Boxes, scores, and ``face`` as the class of each.
        landmarks: (n, 5, 2) x y in pixels: the eye on the picture's left, the one on its right,
            nose, left and right corner of the mouth.
    """

    objects: Detections
    landmarks: Floats

    def __post_init__(self) -> None:
        if self.landmarks.shape != (len(self.objects.class_names), 5, 2):
            raise ValueError(f"landmarks must be (n, 5, 2), got {self.landmarks.shape = }")


@dataclass(frozen=True, slots=True, kw_only=True)
class YuNet:
    """A face detector; safe to call from several threads at once.

    A ``Detector`` too, so that faces can be scored by Delta Object IoU as any object. OpenCV's
    number of threads belongs to the whole process and is left alone: faces are found once, on the
    original.

    Attributes:
        weights_sha256: Of the file.
        model: Its bytes.
    """

    weights_sha256: str
    opencv_version: str
    model: npt.NDArray[np.uint8] = field(repr=False, compare=False)
    networks: threading.local = field(default_factory=threading.local, compare=False)

    @property
    def version(self) -> str:
        return f"YuNet opencv {self.opencv_version} {self.weights_sha256}"

    @property
    def batch_size(self) -> int:
        return 4  # It sees one picture at a time: more would only hold memory.

    def find(self, pictures: Sequence[Picture], min_score: float) -> list[Faces]:
        """Returns the faces with at least that score on each (height, width, 3) BGR picture."""
        return [self._find(picture, min_score) for picture in pictures]

    def detect(self, pictures: Sequence[Picture], min_score: float) -> list[Detections]:
        """Returns their boxes alone."""
        return [faces.objects for faces in self.find(pictures, min_score)]

    def _find(self, picture: Picture, min_score: float) -> Faces:
        network = self._network()
        height, width, _ = picture.shape
        network.setInputSize((width, height))
        network.setScoreThreshold(min_score)
        _, rows = network.detect(np.ascontiguousarray(picture))
        found = np.zeros((0, 15)) if rows is None else np.asarray(rows, dtype=np.float64)
        # Width and height; then landmarks that are all one point, which no face can be put upon.
        found = found[(found[:, 2:4] > 0).all(axis=1)]
        found = found[np.ptp(found[:, 4:14].reshape(-1, 5, 2), axis=1).max(axis=1) > 0]
        return Faces(
            objects=Detections(
                boxes=np.concatenate([found[:, :2], found[:, :2] + found[:, 2:4]], axis=1),
                scores=np.clip(found[:, 14], 0, 1),
                class_names=("face",) * len(found),
            ),
            landmarks=found[:, 4:14].reshape(-1, 5, 2),
        )

    def _network(self) -> Any:
        """Returns this thread's own network: it keeps the size of a picture between calls."""
        if not hasattr(self.networks, "network"):
            self.networks.network = _create(self.model)
        return self.networks.network


def load_yunet(weights: Path) -> YuNet:
    """Loads YuNet from its ONNX file.

    Raises:
        WeightsError: There is no such file, or it is not YuNet.
    """
    import cv2

    try:
        content = weights.read_bytes()
    except OSError as error:
        raise WeightsError(
            f"face detector must be a readable file, {weights}: {error.strerror}; {_REMEDY}"
        ) from error
    # Without it every network comes with a warning about targets that nobody asked for.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    detector = YuNet(
        weights_sha256=hashlib.sha256(content).hexdigest()[:16],
        opencv_version=cv2.__version__,
        model=np.frombuffer(content, dtype=np.uint8),
    )
    try:
        detector.find([np.zeros((64, 64, 3), np.uint8)], min_score=0.9)
    except cv2.error as error:
        raise WeightsError(f"face detector must be YuNet, {weights} is not; {_REMEDY}") from error
    return detector


def _create(model: npt.NDArray[np.uint8]) -> Any:
    import cv2

    nothing = np.zeros(0, np.uint8)
    return cv2.FaceDetectorYN.create(
        "onnx", model, nothing, (64, 64), 0.5, _NMS_IOU, _MAX_CANDIDATES
    )


if TYPE_CHECKING:

    def _is_a_detector(detector: YuNet) -> Detector:
        return detector

"""Reading licence plates as a task: how far the text that is read moves under compression.

Source: Dremin et al., "Machine vision-aware quality metrics for compressed image and video
assessment", arXiv 2411.06776. The similarity of a plate is the Jaro similarity of the text read on
the distorted picture and the text read on the original, or the true one. Deviations: the loss is
the similarity on the original minus that, clipped to [0, 1], which is 1 - Jaro where the reader is
its own reference, and lets it lose nothing of a true text that it could not read anyway; plates are
weighted by the scores of detector and reader on the original; the boxes of the original are read on
both pictures, so that the loss is that of the reader alone. What detection loses is
``ObjectMachine`` with the same plate detector.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import compress
from typing import TYPE_CHECKING

import numpy as np

from .boxes import Detections, Floats, Picture
from .detector import Detector, Finder
from .plate_reader import PlateReader, Reading, normalized
from .task import Json, TaskMachine, detections_from_json, detections_to_json

VERSION = "plate-jaro 2"
# Width and height of a plate detector's boxes as a multiple of the plate's: those of a YOLOv8n. By
# it 84 % of 108 texts are read instead of 69 %: else the frame around a plate is read too.
LOOSE = (1.1, 1.35)


@dataclass(frozen=True, slots=True, kw_only=True)
class TightPlates:
    """A plate detector whose boxes are shrunk until they fit.

    Attributes:
        loose: As of ``PlateMachine``.
    """

    detector: Finder
    loose: tuple[float, float] = LOOSE

    @property
    def version(self) -> str:
        return f"{self.detector.version} loose {self.loose[0]:g}x{self.loose[1]:g}"

    @property
    def batch_size(self) -> int:
        return self.detector.batch_size

    @property
    def weights_sha256(self) -> str:
        return self.detector.weights_sha256

    def detect(self, pictures: Sequence[Picture], min_score: float) -> list[Detections]:
        """Returns the plates on each (height, width, 3) BGR picture."""
        return [shrunk(one, self.loose) for one in self.detector.detect(pictures, min_score)]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlateReference:
    """Plates of one original picture.

    Attributes:
        objects: Boxes as they are read, and weights.
        texts: n normalised texts, none of them empty.
        similarities: (n,) Jaro similarity of what is read on the original: 1 where the reader is
            its own reference.
    """

    objects: Detections
    texts: tuple[str, ...]
    similarities: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class PlateMachine:
    """A plate detector and a reader; the detector is only asked about originals.

    Attributes:
        min_score: A plate on the original counts from this score of the detector on.
        min_reading_score: And from this score of the reader on.
        loose: Width and height of the detector's boxes as a multiple of the plate's: a box is
            shrunk by them before it is read; (1, 1) for a detector whose boxes fit. Boxes that are
            given are read as they are.
    """

    detector: Detector
    reader: PlateReader
    min_score: float = 0.4
    min_reading_score: float = 0.5
    loose: tuple[float, float] = LOOSE

    def __post_init__(self) -> None:
        for name in ("min_score", "min_reading_score"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} must be between 0 and 1, got {getattr(self, name):g}")
        if not min(self.loose) > 0:
            raise ValueError(f"loose must be above 0, got {self.loose}")

    @property
    def version(self) -> str:
        return (
            f"{VERSION} {self.detector.version} {self.reader.version} "
            f"score {self.min_score:g} reading {self.min_reading_score:g} "
            f"loose {self.loose[0]:g}x{self.loose[1]:g}"
        )

    @property
    def batch_size(self) -> int:
        return self.detector.batch_size

    def look(self, pictures: Sequence[Picture]) -> list[PlateReference]:
        """Returns the plates that can be read on each original, (height, width, 3) BGR."""
        found = self.detector.detect(pictures, self.min_score)
        return self.look_at(pictures, [shrunk(plates, self.loose) for plates in found])

    def look_at(
        self,
        pictures: Sequence[Picture],
        plates: Sequence[Detections],
        texts: Sequence[Sequence[str | None]] | None = None,
    ) -> list[PlateReference]:
        """Returns plates whose boxes, and perhaps texts, are known already.

        Args:
            plates: Boxes that fit the plates on each picture.
            texts: The true text of each plate, None for one that is read here; None where all are.
                A plate that cannot be read, or of whose true text nothing is read, has nothing to
                lose, and is left out.

        Raises:
            ValueError: Texts do not fit the plates, or one has no letter and no digit.
        """
        references = []
        for index, (picture, known) in enumerate(zip(pictures, plates, strict=True)):
            readings = self.reader.read([crop(picture, box) for box in known.boxes])
            told = (None,) * len(readings) if texts is None else _normal(texts[index], known)
            references.append(self._reference(known, readings, told))
        return references

    def prepare(
        self, references: Sequence[PlateReference], pictures: Sequence[Picture]
    ) -> list[PlateReference]:
        """Returns the references as they are: all of them is stored."""
        return list(references)

    def losses(
        self, references: Sequence[PlateReference], pictures: Sequence[Picture]
    ) -> list[Floats]:
        """Returns what is lost of each plate's text, in [0, 1]."""
        lost = []
        for reference, picture in zip(references, pictures, strict=True):
            readings = self.reader.read([crop(picture, box) for box in reference.objects.boxes])
            similarities = _similarities(reference.texts, readings)
            lost.append(np.clip(reference.similarities - similarities, 0, 1))
        return lost

    def to_json(self, reference: PlateReference) -> Json:
        return {
            "objects": detections_to_json(reference.objects),
            "texts": list(reference.texts),
            "similarities": reference.similarities.tolist(),
        }

    def from_json(self, value: Json) -> PlateReference:
        assert isinstance(value, dict)
        texts = value["texts"]
        assert isinstance(texts, list)
        return PlateReference(
            objects=detections_from_json(value["objects"]),
            texts=tuple(str(text) for text in texts),
            similarities=np.array(value["similarities"], dtype=np.float64),
        )

    def _reference(
        self, known: Detections, readings: Sequence[Reading], told: Sequence[str | None]
    ) -> PlateReference:
        pairs = list(zip(told, readings, strict=True))
        # Nobody doubts a text that is told.
        scores = np.array([reading.score if text is None else 1.0 for text, reading in pairs])
        every = [text or reading.text for text, reading in pairs]
        similarities = _similarities(every, readings)
        is_read = (scores >= self.min_reading_score) & (similarities > 0)
        return PlateReference(
            objects=replace(known, scores=known.scores * scores).where(is_read),
            texts=tuple(compress(every, is_read)),
            similarities=similarities[is_read],
        )


def jaro(first: str, second: str) -> float:
    """Returns the Jaro similarity of two texts, in [0, 1]; 1 for equal ones.

    Source: Jaro, JASA 84(406) 1989, as in rapidfuzz.

    Examples:
        >>> round(jaro("MARTHA", "MARHTA"), 3)
        0.944
    """
    from rapidfuzz.distance import Jaro

    return Jaro.similarity(first, second)


def shrunk(plates: Detections, loose: tuple[float, float]) -> Detections:
    """Returns boxes of the same centres, their width and height divided by ``loose``."""
    centres = (plates.boxes[:, :2] + plates.boxes[:, 2:]) / 2
    halves = (plates.boxes[:, 2:] - plates.boxes[:, :2]) / 2 / np.array(loose)
    return Detections(
        boxes=np.concatenate([centres - halves, centres + halves], axis=1),
        scores=plates.scores,
        class_names=plates.class_names,
    )


def crop(picture: Picture, box: Floats) -> Picture:
    """Returns the pixels that a box touches; none where it lies beyond the picture."""
    height, width, _ = picture.shape
    x0, y0 = max(0, math.floor(box[0])), max(0, math.floor(box[1]))
    x1, y1 = min(width, math.ceil(box[2])), min(height, math.ceil(box[3]))
    return picture[y0 : max(y0, y1), x0 : max(x0, x1)]


def _normal(texts: Sequence[str | None], plates: Detections) -> tuple[str | None, ...]:
    normal = tuple(None if text is None else normalized(text) for text in texts)
    if len(normal) != len(plates.class_names) or "" in normal:
        raise ValueError(
            f"texts must be one for each plate, with a letter or digit, got {list(texts)} for "
            f"{len(plates.class_names)} plates"
        )
    return normal


def _similarities(texts: Sequence[str], readings: Sequence[Reading]) -> Floats:
    return np.array(
        [jaro(text, reading.text) for text, reading in zip(texts, readings, strict=True)],
        dtype=np.float64,
    )


if TYPE_CHECKING:

    def _is_a_task_machine(machine: PlateMachine) -> TaskMachine[PlateReference]:
        return machine

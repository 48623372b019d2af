"""Reading licence plates."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from .boxes import Picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a reader makes of one plate.

    Attributes:
        text: Normalised, empty where nothing can be read.
        score: In [0, 1], how sure the reader is; 0 for an empty text.
    """

    text: str
    score: float


class PlateReader(Protocol):
    """Anything that reads one line of text."""

    @property
    def version(self) -> str:
        """Name, weights hash and everything else that its answers depend on."""

    def read(self, plates: Sequence[Picture]) -> list[Reading]:
        """Returns the text of each plate, (height, width, 3) BGR, any size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RapidOcrReader:
    """RapidOCR without its search for text; one thread, safe to call from several at once.

    Attributes:
        weights_sha256: Of the network that reads.
    """

    weights_sha256: str
    rapidocr_version: str
    onnxruntime_version: str
    engine: Any = field(repr=False, compare=False)

    @property
    def version(self) -> str:
        return (
            f"rapidocr {self.rapidocr_version} onnxruntime {self.onnxruntime_version} "
            f"{self.weights_sha256}"
        )

    def read(self, plates: Sequence[Picture]) -> list[Reading]:
        """Returns the text of each plate, (height, width, 3) BGR; one at a time.

        The engine pads the plates of a batch to the longest: a text would depend on the others.
        """
        return [self._read(plate) for plate in plates]

    def _read(self, plate: Picture) -> Reading:
        from rapidocr.utils.process_img import ResizeImgError

        if not plate.size:
            return Reading(text="", score=0)
        try:
            found = self.engine(plate, use_det=False, use_cls=False, use_rec=True)
        except ResizeImgError:  # a sliver, hundreds of times as long as high
            return Reading(text="", score=0)
        text = normalized(found.txts[0]) if found.txts else ""
        return Reading(text=text, score=float(found.scores[0]) if text else 0.0)


def load_rapidocr() -> RapidOcrReader:
    """Loads the reader that comes with its weights."""
    import onnxruntime
    import rapidocr

    engine = rapidocr.RapidOCR(
        params={
            "Global.log_level": "critical",
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    )
    reader = RapidOcrReader(
        weights_sha256=_weights_sha256(Path(rapidocr.__file__).parent / "models"),
        rapidocr_version=importlib.metadata.version("rapidocr"),
        onnxruntime_version=onnxruntime.__version__,
        engine=engine,
    )
    reader.read([np.zeros((32, 96, 3), np.uint8)])  # loads the network now, in one thread
    return reader


def normalized(text: str) -> str:
    """Returns a text with letters as capitals, and without all that is no letter and no digit.

    Examples:
        >>> normalized("京P·l3n67")
        '京PL3N67'
    """
    return "".join(sign for sign in text.upper() if sign.isalnum())


def _weights_sha256(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*rec*.onnx")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


if TYPE_CHECKING:

    def _is_a_reader(reader: RapidOcrReader) -> PlateReader:
        return reader

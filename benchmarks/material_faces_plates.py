"""Photos of faces and plates, with what is known of them."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FacePhoto:
    """A photo with one person in the middle.

    Attributes:
        box: (4,) x0 y0 x1 y1 in pixels.
        landmarks: (5, 2) x y in pixels, in the order of ``ratesight.metrics.face_detector.Faces``.
        score: In [0, 1], of the detector that found both.
    """

    path: Path
    person: str
    box: Floats
    landmarks: Floats
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FacePair:
    """Two photos, of one person or of two.

    Attributes:
        fold: 0 for the first half of the pairs of either kind, 1 for the second.
    """

    first: Path
    second: Path
    is_same: bool
    fold: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlatePicture:
    """A picture with one plate, whose text is known.

    Attributes:
        box: (4,) x0 y0 x1 y1 in pixels; None where the picture shows nothing but the plate.
        source: Folder that it came in, one for each kind of picture.
    """

    path: Path
    text: str
    box: Floats | None
    source: str


def read_face_photos(folder: Path) -> list[FacePhoto]:
    """Returns the photos that ``boxes_yunet.json`` lists, in its order."""
    faces = json.loads((folder / "boxes_yunet.json").read_text())["faces"]
    return [
        FacePhoto(
            path=folder / face["file"],
            person=face["identity"],
            box=_corners(face["box"]),
            landmarks=np.array(face["landmarks5"], dtype=np.float64),
            score=face["score"],
        )
        for face in faces
    ]


def read_face_pairs(folder: Path) -> list[FacePair]:
    """Returns the pairs of ``pairs_600.txt``, in the format of LFW's lists.

    Its first line counts the pairs of either kind. Then a person and the numbers of two photos, or
    two persons with the number of a photo each.
    """
    first, *lines = (folder / "pairs_600.txt").read_text().splitlines()
    num_of_a_kind = int(first.split()[-1])
    pairs = []
    for index, line in enumerate(lines):
        fields = line.split("\t")
        person, number, *others = fields
        pairs.append(
            FacePair(
                first=_photo(folder, person, number),
                second=_photo(folder, others[0] if len(others) == 2 else person, others[-1]),
                is_same=len(fields) == 3,
                fold=int(index % num_of_a_kind >= num_of_a_kind / 2),
            )
        )
    return pairs


def read_plate_pictures(folder: Path) -> list[PlatePicture]:
    """Returns the pictures that ``labels.csv`` lists, in its order."""
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [
        PlatePicture(
            path=folder / row["file"],
            text=row["text"],
            box=_corners([float(value) for value in row["box_xywh"].split()])
            if row["box_xywh"]
            else None,
            source=row["file"].partition("/")[0],
        )
        for row in rows
    ]


def _photo(folder: Path, person: str, number: str) -> Path:
    return folder / "lfw" / person / f"{person}_{int(number):04}.jpg"


def _corners(box: list[float]) -> Floats:
    x, y, width, height = box
    return np.array([x, y, x + width, y + height])

"""Pictures that region proposals learn from, and what detectors see on them.

One ``NAME.json`` and ``NAME.png`` for each picture in a folder. Photos and frames of clips are the
originals of the pairs that train the metrics, with their splits. Photos of plates are taken whole.
Photos of faces show them in the middle, always: they are pasted upon other photos, or the middle is
all that is learned.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from ratesight.codecs.whole_file import whole_file
from ratesight.metrics.boxes import Detections, Floats, iou_matrix
from ratesight.metrics.detector import Detector, load_detector
from ratesight.metrics.face_detector import load_yunet
from ratesight.metrics.region_proposals import PROPOSED, reduced

from . import object_pairs
from .distortions import Picture, read_picture, resized
from .material_faces_plates import PlatePicture, read_face_photos, read_plate_pictures
from .pairs import Split, make_missing, random_of, split_of

# Those that train the metrics; yolox_nano only judges.
OBJECT_TEACHERS = ("yolov8n.pt", "yolov5n.torchscript")
_OBJECT_SCORE, _FACE_SCORE, _PLATE_SCORE = 0.4, 0.5, 0.5
# What plates are on: elsewhere they are not looked for.
_VEHICLES = {"car", "truck", "bus", "motorcycle"}
# The plate detector's boxes are loose by so much, in width and height, as its README measured.
_PLATE_LOOSE = (1.1, 1.35)
# Two teachers' boxes, or two classes', that overlap by more are one region.
_SAME_REGION_IOU = 0.65
_FACES_A_PHOTO, _PASTED_SCALES = 3, (0.2, 1.2)
# How often each face photo of a split is pasted.
_ROUNDS: dict[Split, int] = {"train": 2, "validation": 1, "test": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """How one picture is made.

    Attributes:
        group: ``photos``, ``clips``, ``pasted`` or ``plates``.
        path: Photo; of a clip's frame, the clip.
        piece: Of the clip; None for a photo.
        frame: Of the piece.
        faces: Photos to paste upon it.
        plate: The label.
    """

    name: str
    split: Split
    group: str
    path: Path
    piece: object_pairs.Material | None = None
    frame: int = 0
    faces: tuple[Path, ...] = ()
    plate: PlatePicture | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Taught:
    """One picture, and the regions that its teachers see.

    Attributes:
        file: PNG.
        regions: Of the classes ``PROPOSED``.
    """

    name: str
    split: Split
    group: str
    file: Path
    regions: Detections

    def picture(self) -> Picture:
        return read_picture(self.file)


def read_taught(data: Path, cache: Path, jobs: int, splits: Sequence[Split]) -> list[Taught]:
    """Returns the pictures of some splits; those that the cache does not have are made first."""
    folder = cache / "proposals"
    made = [one for one in scenes(data) if one.split in splits]
    make_missing(make, made, data, folder, jobs)
    return [_read(one, folder) for one in made if (folder / f"{one.name}.json").exists()]


def scenes(data: Path) -> list[Scene]:
    """Returns all pictures with the split that they have in the pairs."""
    found: list[Scene] = []
    photos: defaultdict[Split, list[Path]] = defaultdict(list)
    for material in object_pairs.materials(data):
        if material.scale != 1 or material.subject != "anything":
            continue  # training scales by itself; portraits and cars come below
        if material.kind == "photo":
            found.append(
                Scene(name=material.name, split=material.split, group="photos", path=material.path)
            )
            photos[material.split].append(material.path)
        else:
            found += [
                Scene(
                    name=f"{material.name}_{frame}",
                    split=material.split,
                    group="clips",
                    path=material.path,
                    piece=material,
                    frame=frame,
                )
                for frame in range(object_pairs.CLIP_FRAMES)
            ]
    found += _pasted(data, photos)
    for picture in read_plate_pictures(data / "plates"):
        if picture.box is not None:
            found.append(
                Scene(
                    name=f"whole_{picture.source}_{picture.path.stem}",
                    split=split_of(f"{picture.source} {picture.text}"),
                    group="plates",
                    path=picture.path,
                    plate=picture,
                )
            )
    return found


def _pasted(data: Path, photos: dict[Split, list[Path]]) -> Iterator[Scene]:
    faces: defaultdict[Split, list[Path]] = defaultdict(list)
    for photo in read_face_photos(data / "faces"):
        faces[split_of(photo.person)].append(photo.path)
    for split, rounds in _ROUNDS.items():
        random = random_of(f"pasted {split}")
        for turn in range(rounds):
            order = random.permutation(len(faces[split]))
            for start in range(0, len(order), _FACES_A_PHOTO):
                yield Scene(
                    name=f"pasted_{split}_{turn}_{start:03d}",
                    split=split,
                    group="pasted",
                    path=photos[split][random.integers(len(photos[split]))],
                    faces=tuple(
                        faces[split][index] for index in order[start : start + _FACES_A_PHOTO]
                    ),
                )


@cache
def _object_teachers(data: Path) -> list[Detector]:
    return [load_detector(str(data / "weights" / name)) for name in OBJECT_TEACHERS]


@cache
def _face_teacher(data: Path) -> Detector:
    return load_yunet(data / "weights" / "face_detection_yunet.onnx")


@cache
def _plate_teacher(data: Path) -> Detector:
    return load_detector(str(data / "weights" / "plate_yolov8n.pt"))


def make(task: tuple[Scene, Path, Path]) -> str:
    """Makes and writes one picture, with what its teachers see; returns a line about it."""
    scene, data, folder = task
    cv2.setNumThreads(1)
    composed = _compose(scene)
    if composed is None:
        return f"{scene.name}: the clip ends before"
    picture, plate = composed
    objects = [one.detect([picture], _OBJECT_SCORE)[0] for one in _object_teachers(data)]
    (faces,) = _face_teacher(data).detect([picture], _FACE_SCORE)
    plates = _nothing()
    if scene.plate is not None or any(_VEHICLES & set(one.class_names) for one in objects):
        (plates,) = _plate_teacher(data).detect([picture], _PLATE_SCORE)
    regions = {
        "object": _merged(objects),
        "face": _merged([faces]),
        "plate": _merged([plate, _tightened(plates)], iou=0.2),
    }
    cv2.imwrite(str(folder / f"{scene.name}.png"), picture)
    content = {
        kind: {"boxes": one.boxes.round(2).tolist(), "scores": one.scores.round(4).tolist()}
        for kind, one in regions.items()
    }
    with whole_file(folder / f"{scene.name}.json") as part:
        part.write_text(json.dumps(content, allow_nan=False))
    counts = ", ".join(f"{len(one.class_names)} {kind}s" for kind, one in regions.items())
    return f"{scene.name}: {counts}"


def _compose(scene: Scene) -> tuple[Picture, Detections] | None:
    """Returns the picture, and the labelled plate upon it; None where the clip ends before."""
    if scene.piece is not None:
        pictures, wanted = object_pairs.originals(scene.piece)
        return (pictures[wanted[scene.frame]], _nothing()) if pictures else None
    photo = read_picture(scene.path)
    picture = reduced(photo)
    random = random_of(scene.name)
    for path in scene.faces:
        _paste(picture, read_picture(path), random)
    if scene.plate is None or scene.plate.box is None:
        return picture, _nothing()
    ratio = np.tile(np.array(picture.shape[1::-1]) / np.array(photo.shape[1::-1]), 2)
    return picture, _detections(scene.plate.box[None] * ratio, np.ones(1))


def _paste(picture: Picture, face: Picture, random: np.random.Generator) -> None:
    """Puts a photo somewhere on a picture, at some size."""
    height, width = picture.shape[:2]
    scale = float(np.exp(random.uniform(*np.log(_PASTED_SCALES))))
    scale = min(scale, 0.6 * height / face.shape[0], 0.6 * width / face.shape[1])
    small = resized(face, *(max(8, round(side * scale)) for side in face.shape[1::-1]))
    y = int(random.integers(height - small.shape[0] + 1))
    x = int(random.integers(width - small.shape[1] + 1))
    picture[y : y + small.shape[0], x : x + small.shape[1]] = small


def _merged(seen: Sequence[Detections], iou: float = _SAME_REGION_IOU) -> Detections:
    """Returns each region once, whatever its class: the first teacher's surest box."""
    boxes, scores = list[Floats](), list[float]()
    for one in seen:
        for index in np.argsort(-one.scores, kind="stable"):
            box = one.boxes[index]
            if not boxes or iou_matrix(box[None], np.array(boxes)).max() < iou:
                boxes.append(box)
                scores.append(float(one.scores[index]))
    return _detections(np.array(boxes).reshape(-1, 4), np.array(scores))


def _tightened(plates: Detections) -> Detections:
    centres = (plates.boxes[:, :2] + plates.boxes[:, 2:]) / 2
    halves = (plates.boxes[:, 2:] - plates.boxes[:, :2]) / 2 / np.array(_PLATE_LOOSE)
    return _detections(np.concatenate([centres - halves, centres + halves], 1), plates.scores)


def _nothing() -> Detections:
    return _detections(np.zeros((0, 4)), np.zeros(0))


def _detections(boxes: Floats, scores: Floats) -> Detections:
    return Detections(boxes=boxes, scores=scores, class_names=("region",) * len(boxes))


def _read(scene: Scene, folder: Path) -> Taught:
    content = json.loads((folder / f"{scene.name}.json").read_text())
    return Taught(
        name=scene.name,
        split=scene.split,
        group=scene.group,
        file=folder / f"{scene.name}.png",
        regions=Detections(
            boxes=np.concatenate(
                [np.array(content[kind]["boxes"]).reshape(-1, 4) for kind in PROPOSED]
            ),
            scores=np.concatenate([np.array(content[kind]["scores"]) for kind in PROPOSED]),
            class_names=tuple(kind for kind in PROPOSED for _ in content[kind]["scores"]),
        ),
    )

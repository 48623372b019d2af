"""Labelled pairs for the metrics of faces and plates: photos, compressed, and what is lost.

Faces are asked of two embedders: one trains the metric, the other (``arcface_...``) only judges it.
On test material machines of other families judge too: dlib's, and for Chinese plates LPRNet.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from ratesight.metrics.boxes import Detections, Floats
from ratesight.metrics.detector import load_detector
from ratesight.metrics.face_detector import Faces, load_yunet
from ratesight.metrics.face_embedder import FaceEmbedder, load_face_embedder
from ratesight.metrics.faces import FaceMachine
from ratesight.metrics.plate_reader import PlateReader, load_rapidocr
from ratesight.metrics.plates import PlateMachine
from ratesight.metrics.task import ReferenceT, TaskMachine
from ratesight.metrics.views import VIEWS

from .distortions import Picture, drawn_versions, read_picture, resized, source_of
from .dlib_embedder import load_dlib_embedder
from .lprnet import load_lprnet
from .material_faces_plates import FacePhoto, PlatePicture, read_face_photos, read_plate_pictures
from .pairs import (
    Kept,
    Pairs,
    Region,
    Split,
    View,
    machine_files,
    random_of,
    split_of,
    write_pairs,
)

_VERSIONS = {
    "photo": {"x264": 3, "x265": 3, "jpeg": 2},
    "resized": {"x264": 6, "x265": 6, "jpeg": 4},
}
# Of test material alone: the codec that the metric never saw, and lighter versions.
_UNSEEN, _LIGHT = {"svtav1": 3}, {"x264": 1, "x265": 1, "jpeg": 1, "svtav1": 1}
# Faces come in many sizes; those of these photos do not.
_FACE_SCALES = (1.0, 0.75, 0.5)
# Widths in pixels that plates are shrunk to, where they are larger: one read from afar.
_PLATE_WIDTHS = (64, 96, 128, 192)
EMBEDDERS = ("mobilefacenet.onnx", "arcface_mobilefacenet_int8.tflite")
# Sources of the plates that LPRNet can read.
_CHINESE = ("cn_crops", "ccpd_full")


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """One photo of a face or a plate.

    Attributes:
        kind: ``photo``, or ``resized``: the same at a size that is told.
        size: Of a face in shares of its photo's, of a plate as its width in pixels, if it is not
            smaller. Drawn at random where it is None.
    """

    name: str
    split: Split
    photo: FacePhoto | PlatePicture
    kind: str = "photo"
    size: float | None = None


def materials(data: Path) -> list[Material]:
    """Returns all photos with their split: by person, and by plate."""
    faces = [
        Material(name=f"face_{photo.path.stem}", split=split_of(photo.person), photo=photo)
        for photo in read_face_photos(data / "faces")
    ]
    plates = [
        Material(
            name=f"plate_{photo.source}_{photo.path.stem}",
            split=split_of(f"{photo.source} {photo.text}"),
            photo=photo,
        )
        for photo in read_plate_pictures(data / "plates")
    ]
    return [*faces, *plates]


def resized_materials(data: Path) -> list[Material]:
    """Returns each photo that trains at every size."""
    return [
        replace(one, name=f"{one.name}_at_{size:g}", kind="resized", size=size)
        for one in materials(data)
        if one.split == "train"
        for size in (_FACE_SCALES if isinstance(one.photo, FacePhoto) else _PLATE_WIDTHS)
    ]


@cache
def _face_machines(data: Path, split: Split) -> dict[str, FaceMachine]:
    yunet = load_yunet(data / "weights" / "face_detection_yunet.onnx")
    embedders: dict[str, FaceEmbedder] = {
        name: load_face_embedder(file)
        for name, file in machine_files(data / "weights", EMBEDDERS, "faces", split).items()
    }
    if split == "test":
        embedders["dlib"] = load_dlib_embedder()
    return {
        name: FaceMachine(detector=yunet, embedder=embedder) for name, embedder in embedders.items()
    }


@cache
def _plate_machines(data: Path, *, is_judged: bool) -> dict[str, PlateMachine]:
    detector = load_detector(str(data / "weights" / "plate_yolov8n.pt"))
    readers: dict[str, PlateReader] = {"rapidocr": load_rapidocr()}
    if is_judged:
        readers["lprnet"] = load_lprnet(data / "weights" / "lprnet.pth")
    return {name: PlateMachine(detector=detector, reader=one) for name, one in readers.items()}


def make(task: tuple[Material, Path, Path]) -> str:
    """Makes and writes the versions of one photo, with their labels; returns a line about it."""
    material, data, folder = task
    cv2.setNumThreads(1)
    random = random_of(material.name)
    picture, boxes, landmarks = _original(material, random)
    with source_of([picture]) as source:
        reference = source.bgr(0)
        hard, light = _VERSIONS[material.kind], {}
        if material.split == "test":
            hard, light = hard | _UNSEEN, _LIGHT
        made = drawn_versions(source, [reference], [0], hard, light, random)
    distorted = [pictures for _, pictures in made]
    flat = [pictures[0] for pictures in distorted]
    known = Detections(boxes=boxes, scores=np.ones(1), class_names=("region",))
    views: dict[str, View] = {}
    kept: dict[str, list[float]] = {}
    if landmarks is not None:
        kind = "faces"
        for name, machine in _face_machines(data, material.split).items():
            seen = machine.look_at([reference], [Faces(objects=known, landmarks=landmarks)])
            _ask(machine, seen, name, flat, views, kept)
    else:
        kind = "plates"
        assert isinstance(material.photo, PlatePicture)
        is_judged = material.split == "test" and material.photo.source in _CHINESE
        for name, reader in _plate_machines(data, is_judged=is_judged).items():
            read = reader.look_at([reference], [known])
            _ask(reader, read, name, flat, views, kept)
    box = tuple(float(value) for value in boxes[0])
    regions = (Region(box=box, class_name=kind[:-1], machines=views),) if views else ()
    labels: tuple[tuple[tuple[dict[str, Kept], ...], ...], ...] = tuple(
        (({name: (values[index], values[index]) for name, values in kept.items()},),)
        for index in range(len(made))
    )
    pairs = Pairs(
        name=material.name,
        split=material.split,
        kind=material.kind,
        task=kind,
        versions=tuple(version for version, _ in made) if views else (),
        regions=(regions,),
        labels=labels if views else (),
    )
    write_pairs(folder, pairs, [reference], distorted if views else [])
    return f"{material.name}: {len(pairs.versions)} versions"


def _ask(
    machine: TaskMachine[ReferenceT], seen: list[ReferenceT], name: str, distorted: list[Picture],
    views: dict[str, View], kept: dict[str, list[float]],
) -> None:  # fmt: skip
    objects = seen[0].objects
    if not objects.class_names:
        return
    views[name] = View(box=tuple(objects.boxes[0].tolist()), score=float(objects.scores[0]))
    losses = machine.losses(seen * len(distorted), distorted)
    kept[name] = [round(float(1 - lost[0]), 4) for lost in losses]


def _original(
    material: Material, random: np.random.Generator
) -> tuple[Picture, Floats, Floats | None]:
    """Returns a picture, the (1, 4) box in it, and the (1, 5, 2) landmarks of a face."""
    photo, sizes = material.photo, (material.size,) if material.size else None
    picture = read_picture(photo.path)
    if isinstance(photo, FacePhoto):
        scale = float(random.choice(sizes or _FACE_SCALES))
        height, width = (round(side * scale / 2) * 2 for side in picture.shape[:2])
        small = resized(picture, width, height)
        ratio = np.array([width / picture.shape[1], height / picture.shape[0]])
        return small, photo.box[None] * np.tile(ratio, 2), (photo.landmarks * ratio)[None]
    box_width = picture.shape[1] if photo.box is None else photo.box[2] - photo.box[0]
    shrink = min(1.0, float(random.choice(sizes or _PLATE_WIDTHS)) / box_width)
    picture = resized(picture, *(round(side * shrink) for side in picture.shape[1::-1]))
    if photo.box is None:
        # The plate fills the picture: its edge goes on, so that there is something around it.
        height, width = picture.shape[:2]
        margin = max(height // 2, (64 - height) // 2) // 2 * 2
        padded = np.pad(picture, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
        box = np.array([[margin, margin, margin + width, margin + height]], dtype=np.float64)
        return _even(padded), box, None
    plate = photo.box * shrink
    margin = round(max(VIEWS["plates"].margin * (plate[3] - plate[1]), 32))
    x0, y0 = (max(0, int(value) - margin) for value in plate[:2])
    x1, y1 = (int(value) + margin for value in plate[2:])
    cut = picture[y0:y1, x0:x1]
    return _even(cut), (plate - np.array([x0, y0, x0, y0]))[None], None


def _even(picture: Picture) -> Picture:
    height, width = picture.shape[:2]
    return np.ascontiguousarray(picture[: height // 2 * 2, : width // 2 * 2])

"""Labelled pairs for the objects metric: photos and clips, compressed, and what detectors lose.

Every original is asked for its objects by three detectors, every compressed version again. Two of
the detectors train the metric, the third (``yolox_nano``) only judges it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from ratesight.codecs.source import load_source
from ratesight.metrics.boxes import Detections, iou_matrix
from ratesight.metrics.detector import Detector, load_detector

from . import face_plate_pairs
from .clip_split import TEST_CLIPS
from .distortions import (
    Picture,
    Version,
    drawn_versions,
    read_picture,
    resized,
    source_of,
)
from .material_faces_plates import FacePhoto
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

MACHINES = ("yolov8n.pt", "yolov5n.torchscript", "yolox_nano.torchscript")

# Photos of whole cars, not of their plates alone.
_CAR_PHOTOS = ("plate_ccpd_full", "plate_openalpr_eu", "plate_openalpr_us")

# What a machine must give an object on the original, what may match it afterwards, and what is
# asked for at all: fainter detections tell how far from lost an object is.
_REFERENCE_SCORE, _MATCH_SCORE, _FAINT_SCORE = 0.4, 0.25, 0.05
_SAME_OBJECT_IOU = 0.5
_MAX_SIDE = 640
# The same from further away is another object to a detector: how much smaller, by name's ending.
_TRAINING_SCALES = {
    "photo": {"": 1.0, "_small": 0.6, "_mirror": 0.8},
    "clip": {"": 1.0, "_small": 0.6},
}
_CLIP_SECONDS, CLIP_FRAMES = 1.5, 4
# A camera over a photo: frames, the one looked at, the share of the photo's sides that it sees, how
# much smaller at the most, its greatest speed in pixels a frame, how often it stands still, and the
# greatest deviations of its blur in pixels and of its noise in grey levels.
_PAN_FRAMES, _PAN_LOOKED_AT, _PAN_WINDOW, _PAN_LEAST_SCALE = 16, [10], 0.8, 0.5
_PAN_SPEED, _PAN_STILL, _PAN_BLUR, _PAN_NOISE = 6.0, 0.3, 1.0, 4.0
_TEST_STARTS, _TRAINING_STARTS = (0.0, 3.0), (0.0, 3.0, 6.0, 9.0)
_VERSIONS = {
    "photo": {"x264": 3, "x265": 3, "jpeg": 2},
    "pan": {"x264": 4, "x265": 3},
    "clip": {"x264": 13, "x265": 11},
}
# Test material has the codec that the metric never saw, and lighter versions than it ever saw.
_UNSEEN = {"photo": {"svtav1": 3}, "clip": {"svtav1": 12}}
_LIGHT = {
    "photo": {"x264": 1, "x265": 1, "svtav1": 1},
    "clip": {"x264": 3, "x265": 3, "svtav1": 3},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """One photo, or one piece of a clip; perhaps smaller, perhaps mirrored.

    Attributes:
        kind: ``photo``, ``clip``, or ``pan``: what a camera sees that moves over a photo.
        subject: Of a photo that is there for another metric.
    """

    name: str
    split: Split
    kind: str
    path: Path
    subject: Literal["anything", "portrait", "car"] = "anything"
    start_seconds: float = 0.0
    scale: float = 1.0
    is_mirrored: bool = False


def materials(data: Path) -> list[Material]:
    """Returns all photos and pieces of clips with their split, test material first.

    Photos of ``coco128_val2017`` and a fifth of the others test; another tenth validates. Portraits
    and cars, whose photos are there for other metrics, train and validate only.
    """
    found = []
    for clip in sorted((data / "clips").iterdir()):
        is_test = clip.name in TEST_CLIPS
        for start in _TEST_STARTS if is_test else _TRAINING_STARTS:
            piece = Material(
                name=f"clip_{clip.stem}_{start:g}",
                split="test" if is_test else "train",
                kind="clip",
                path=clip,
                start_seconds=start,
            )
            found += [piece] if is_test else _from_further_away(piece)
    for photo in _photos(data):
        # Portraits are small and many already.
        varied = photo.split == "train" and photo.subject != "portrait"
        found += _from_further_away(photo) if varied else [photo]
    return found


def pans(data: Path) -> list[Material]:
    """Returns a camera over each photo that trains or validates, but for portraits."""
    return [
        replace(photo, name=photo.name + "_pan", kind="pan")
        for photo in _photos(data)
        if photo.split != "test" and photo.subject != "portrait"
    ]


def _photos(data: Path) -> Iterator[Material]:
    images = data / "detection" / "images"
    for folder in (images / "coco128_val2017", images / "coco128_train2017", data / "photos"):
        for path in sorted(folder.glob("*.jpg")):
            split = "test" if folder.name == "coco128_val2017" else split_of(path.name)
            name = f"{folder.name}_{path.stem}"
            yield Material(name=name, split=split, kind="photo", path=path)
    # What else there are photos of, with the split that other metrics give it.
    for one in face_plate_pairs.materials(data):
        is_portrait = isinstance(one.photo, FacePhoto)
        if one.split != "test" and (is_portrait or one.name.startswith(_CAR_PHOTOS)):
            yield Material(
                name=f"objects_{one.name}",
                split=one.split,
                kind="photo",
                path=one.photo.path,
                subject="portrait" if is_portrait else "car",
            )


def _from_further_away(material: Material) -> list[Material]:
    return [
        replace(
            material,
            name=material.name + ending,
            scale=scale,
            is_mirrored=ending == "_mirror",
        )
        for ending, scale in _TRAINING_SCALES[material.kind].items()
    ]


@cache
def _detectors(data: Path, split: Split) -> dict[str, Detector]:
    files = machine_files(data / "weights", MACHINES, "objects", split)
    return {name: load_detector(str(file)) for name, file in files.items()}


def make(task: tuple[Material, Path, Path]) -> str:
    """Makes and writes the versions of one original, with their labels; returns a line about it."""
    material, data, folder = task
    cv2.setNumThreads(1)
    detectors = _detectors(data, material.split)
    random = random_of(material.name)
    pictures, wanted = originals(material)
    if not pictures:
        return f"{material.name}: no frames there"
    with source_of(pictures) as source:
        reference = [source.bgr(index) for index in range(source.num_frames)]
        looked_at = [reference[index] for index in wanted]
        seen = {name: _look(one, looked_at) for name, one in detectors.items()}
        regions = tuple(
            tuple(_objects({name: frames[index] for name, frames in seen.items()}))
            for index in range(len(wanted))
        )
        made: list[tuple[Version, list[Picture]]] = []
        if any(regions):
            hard, light = _VERSIONS[material.kind], {}
            if material.split == "test":
                hard, light = hard | _UNSEEN[material.kind], _LIGHT[material.kind]
            made = drawn_versions(source, reference, wanted, hard, light, random)
    # All at once: a GPU is given batches.
    flat = [picture for _, distorted in made for picture in distorted]
    answers = {name: _look(one, flat) for name, one in detectors.items()}
    found = [
        {name: frames[start : start + len(wanted)] for name, frames in answers.items()}
        for start in range(0, len(flat), len(wanted))
    ]
    pairs = Pairs(
        name=material.name,
        split=material.split,
        kind=material.kind,
        task="objects",
        versions=tuple(version for version, _ in made),
        regions=regions,
        labels=tuple(
            tuple(
                tuple(_kept(objects, {name: frames[index] for name, frames in version.items()}))
                for index, objects in enumerate(regions)
            )
            for version in found
        ),
    )
    write_pairs(folder, pairs, looked_at, [distorted for _, distorted in made])
    return f"{material.name}: {sum(map(len, regions))} objects, {len(made)} versions"


def originals(material: Material) -> tuple[list[Picture], list[int]]:
    """Returns the pictures to encode, and which of them are looked at.

    Clips that were compressed before are halved from 720 lines on, so that their artefacts go.
    """
    if material.kind == "photo":
        picture = read_picture(material.path)
        side = min(_MAX_SIDE, max(picture.shape[:2])) * material.scale
        return [_seen(picture, round(side), material)], [0]
    if material.kind == "pan":
        return _panned(read_picture(material.path), random_of(material.name)), _PAN_LOOKED_AT
    seconds = material.start_seconds + _CLIP_SECONDS
    with load_source(material.path, max_seconds=seconds) as clip:
        start = round(material.start_seconds * clip.frame_rate)
        frames = range(start, clip.num_frames)
        if len(frames) < CLIP_FRAMES:
            return [], []
        side = (
            _MAX_SIDE if min(clip.width, clip.height) < 720 else max(clip.width, clip.height) // 2
        )
        side = min(side, max(clip.width, clip.height))
        pictures = [
            _seen(clip.bgr(index), round(side * material.scale), material) for index in frames
        ]
    wanted = np.linspace(len(pictures) // (2 * CLIP_FRAMES), len(pictures) - 1, CLIP_FRAMES)
    return pictures, [int(index) for index in wanted]


def _panned(photo: Picture, random: np.random.Generator) -> list[Picture]:
    """Returns what a camera sees that moves evenly over a photo, with its blur and its noise."""
    height, width = photo.shape[:2]
    scale = min(1.0, _MAX_SIDE / max(height, width)) * random.uniform(_PAN_LEAST_SCALE, 1)
    small = resized(photo, max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.GaussianBlur(small, (0, 0), random.uniform(0.1, _PAN_BLUR))
    sides = np.array(small.shape[1::-1])
    window = np.maximum(2, (sides * _PAN_WINDOW / 2).round() * 2).astype(int)
    free = sides - window
    ends = np.tile(free * random.uniform(size=2), (2, 1))
    if random.random() > _PAN_STILL:
        reach = np.minimum(free, _PAN_SPEED * _PAN_FRAMES)
        corner = (free - reach) * random.uniform(size=2)
        ends = corner + reach * random.uniform(size=(2, 2))
    noise = random.uniform(0, _PAN_NOISE)
    frames = []
    for x, y in np.linspace(*ends, _PAN_FRAMES):
        move = np.array([[1.0, 0, -x], [0, 1, -y]])
        still = cv2.warpAffine(small, move, window.tolist(), borderMode=cv2.BORDER_REPLICATE)
        noisy = still + noise * random.standard_normal(still.shape)
        frames.append(noisy.round().clip(0, 255).astype(np.uint8))
    return frames


def _seen(picture: Picture, max_side: int, material: Material) -> Picture:
    height, width = picture.shape[:2]
    scale = min(1.0, max_side / max(height, width))
    small = resized(picture, round(width * scale / 2) * 2, round(height * scale / 2) * 2)
    return np.ascontiguousarray(small[:, ::-1]) if material.is_mirrored else small


def _look(detector: Detector, pictures: Sequence[Picture]) -> list[Detections]:
    return detector.detect(pictures, _FAINT_SCORE)


def _objects(seen: dict[str, Detections]) -> list[Region]:
    """Returns what any machine sees, with the view of each machine that does."""
    found: list[Region] = []
    for name, detections in seen.items():
        sure = detections.at_least(_REFERENCE_SCORE)
        for box, score, class_name in zip(
            sure.boxes.tolist(), sure.scores.tolist(), sure.class_names, strict=True
        ):
            same = [
                one
                for one in found
                if one.class_name == class_name
                and name not in one.machines
                and iou_matrix(np.array([one.box]), np.array([box]))[0, 0] >= _SAME_OBJECT_IOU
            ]
            if not same:
                same = [Region(box=tuple(box), class_name=class_name, machines={})]
                found += same
            same[0].machines[name] = View(box=tuple(box), score=score)
    return found


def _kept(objects: Sequence[Region], found: dict[str, Detections]) -> Iterator[dict[str, Kept]]:
    """Yields for each object, by machine: the IoU kept, and IoU times score kept."""
    for one in objects:
        kept: dict[str, Kept] = {}
        for name, view in one.machines.items():
            detections = found[name]
            same = np.array([label == one.class_name for label in detections.class_names], bool)
            ious = iou_matrix(np.array([view.box]), detections.boxes[same])[0]
            scores = detections.scores[same]
            sure = ious[scores >= _MATCH_SCORE]
            faint = ious * np.minimum(1.0, scores / view.score)
            kept[name] = (
                round(float(sure.max(initial=0)), 4),
                round(float(faint.max(initial=0)), 4),
            )
        yield kept

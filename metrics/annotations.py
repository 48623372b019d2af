"""A person's boxes for a clip, from a COCO JSON file."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .boxes import Detections
from .errors import AnnotationError
from .plate_reader import normalized


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotations:
    """Objects on annotated frames.

    Attributes:
        frames: Frame index to objects; a frame may have none.
        sha256: Of the file.
        texts: Frame index to what is written on each object, None where nobody says; a frame that
            is not in it has no text.
    """

    frames: dict[int, Detections]
    sha256: str
    texts: dict[int, tuple[str | None, ...]] = field(default_factory=dict)

    def texts_on(self, frame: int) -> tuple[str | None, ...]:
        """Returns what is written on each object of a frame, None where nobody says."""
        return self.texts.get(frame, (None,) * len(self.frames[frame].class_names))


def load_annotations(
    path: Path,
    num_frames: int,
    *,
    is_cut: bool = False,
    sizes: Collection[tuple[int, int]] | None = None,
) -> Annotations:
    """Reads COCO JSON as annotations of a clip.

    The images are matched to frames by a field ``frame_index`` (from 0) on each; without it there
    must be one image for every frame of the clip, in the order of their file names, f2 before f10.
    What is written on an object, a plate, is its annotation's ``text``, or ``text`` among its
    ``attributes``; one without a letter or digit, such as ###, says that nobody can read it, and
    counts as none.

    Args:
        path: COCO JSON with ``images``, ``annotations`` and ``categories``.
        num_frames: Frames of the clip.
        is_cut: It is the beginning of one; images may be of what comes later too.
        sizes: Width and height in pixels that images may have, where they say so; any where None.

    Raises:
        AnnotationError: The file is not COCO JSON, or does not fit the clip.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise AnnotationError(
            f"annotations must be a readable file, {path}: {error.strerror}"
        ) from error
    try:
        coco: dict[str, Any] = json.loads(data)
        _check_ids(coco["categories"], "categories")
        _check_ids(coco["images"], "images")
        names = {category["id"]: str(category["name"]) for category in coco["categories"]}
        frame_of = _frame_indices(coco["images"], num_frames, path, is_cut=is_cut)
        images = {image["id"] for image in coco["images"]}
        _check_sizes(coco["images"], sizes)
        boxes: dict[int, list[list[float]]] = defaultdict(list)
        class_names: dict[int, list[str]] = defaultdict(list)
        texts: dict[int, list[str | None]] = defaultdict(list)
        for annotation in coco["annotations"]:
            if annotation["image_id"] not in images:
                raise ValueError(f"image_id {annotation['image_id']!r} is that of no image")
            if annotation["image_id"] not in frame_of or annotation.get("iscrowd"):
                continue  # beyond a cut clip; a crowd is no object
            x, y, width, height = (float(value) for value in annotation["bbox"])
            if not np.isfinite([x, y, width, height]).all():
                raise ValueError(f"bbox {annotation['bbox']} is not finite")
            if width <= 0 or height <= 0:
                raise ValueError(f"bbox {annotation['bbox']} has no area")
            frame = frame_of[annotation["image_id"]]
            boxes[frame].append([x, y, x + width, y + height])
            class_names[frame].append(names[annotation["category_id"]])
            texts[frame].append(_text(annotation))
    except (
        ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError
    ) as error:  # fmt: skip
        if isinstance(error, AnnotationError):
            raise
        raise AnnotationError(
            f"annotations must be COCO JSON with images, annotations and categories, "
            f"{path} is not: {type(error).__name__} {error}"
        ) from error
    return Annotations(
        frames={
            frame: Detections(
                boxes=np.array(boxes[frame], dtype=np.float64).reshape(-1, 4),
                scores=np.ones(len(boxes[frame])),
                class_names=tuple(class_names[frame]),
            )
            for frame in frame_of.values()
        },
        sha256=hashlib.sha256(data).hexdigest(),
        texts={frame: tuple(some) for frame, some in texts.items()},
    )


def _check_ids(entries: Sequence[dict[str, Any]], what: str) -> None:
    """Refuses files that were joined without new numbers: boxes would go to other images."""
    ids = Counter(repr(one["id"]) for one in entries)
    for name, count in ids.items():
        if count > 1:
            raise ValueError(f"id {name} is that of {count} {what}")


def _check_sizes(
    images: Iterable[dict[str, Any]], sizes: Collection[tuple[int, int]] | None
) -> None:
    """Refuses images of another size: their boxes would lie elsewhere."""
    if sizes is None:
        return
    for image in images:
        said = (image.get("width"), image.get("height"))
        if None not in said and said not in sizes:
            wanted = " or ".join(f"{width}x{height}" for width, height in sizes)
            raise ValueError(
                f"image {image['id']!r} is of {said[0]}x{said[1]} pixels, the clip of {wanted}; "
                f"scale its boxes"
            )


def _text(annotation: dict[str, Any]) -> str | None:
    """Returns what is written on an object, None where nobody says."""
    attributes = annotation.get("attributes")  # a list of adjectives in other people's files
    text = annotation.get("text", attributes.get("text") if isinstance(attributes, dict) else None)
    if text is not None and not isinstance(text, str):
        raise ValueError(f"text {text!r} is no string")
    return text if text is not None and normalized(text) else None


def _frame_indices(
    images: list[dict[str, Any]], num_frames: int, path: Path, *, is_cut: bool
) -> dict[Any, int]:
    num_with_index = sum("frame_index" in image for image in images)
    if num_with_index == len(images):
        indices = [image["frame_index"] for image in images]
        counts = Counter(map(repr, indices))
        for index in indices:
            if type(index) is not int or index < 0 or counts[repr(index)] > 1:
                raise ValueError(f"frame_index {index!r} is no whole number that is there once")
        beyond = [index for index in indices if index >= num_frames]
        if beyond and (len(beyond) == len(indices) or not is_cut):
            raise AnnotationError(
                f"annotations must lie on the clip's {num_frames} frames, {path} has a "
                f"frame_index of {beyond[0]}"
            )
        return {
            image["id"]: index
            for image, index in zip(images, indices, strict=True)
            if index < num_frames
        }
    if num_with_index or len(images) < num_frames or (len(images) > num_frames and not is_cut):
        raise AnnotationError(
            f"annotations must have one image a frame or a frame_index on each image, {path} has "
            f"{len(images)} images, {num_with_index} with a frame_index, and the clip {num_frames} "
            f"frames"
        )
    ordered = sorted(images, key=lambda image: _by_number(str(image["file_name"])))
    return {image["id"]: index for index, image in enumerate(ordered[:num_frames])}


def _by_number(file_name: str) -> list[str | int]:
    """Returns a name as texts and numbers in turn, which sort as a folder of pictures plays."""
    parts = re.split(r"([0-9]+)", file_name)
    return [int(part) if index % 2 else part for index, part in enumerate(parts)]

"""Sets a bench up: finds what the machine sees on the original, once."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, overload

from ...codecs.region import read_regions
from ...codecs.source import Segment, Source
from ...metrics.annotations import Annotations
from ...metrics.boxes import Detections, Picture
from ...metrics.detection_counts import SAME_OBJECT_IOU
from ...metrics.detector import Detector
from ...metrics.errors import NoObjectsError
from ...metrics.object_iou import ReferenceObjects, object_ious, require_objects
from ...metrics.plates import PlateMachine, PlateReference
from ...metrics.task import TaskMachine, detections_from_json, detections_to_json
from .bench import Bench, Sample, Thresholds
from .measure import Measurer
from .regions import VERSION as REGIONS_VERSION
from .regions import RegionSource, own_regions, region_step, seen_regions
from .store import Json

T = TypeVar("T")
# From originals and their frames to what there is to lose on each.
Look = Callable[[Sequence[Picture], Sequence[int]], list[Any]]


def set_up_bench(
    source: Source,
    machine: TaskMachine[Any],
    *,
    segments: tuple[Segment, ...],
    sample: Sample,
    annotations: Annotations | None,
    regions: RegionSource | None,
    measurer: Measurer,
) -> Bench:
    """Finds what there is to lose, once for a source and a machine, and returns the bench.

    Args:
        sample: (index in the source, position in the encode) of the frames to look at.
        annotations: What is there, for a detector or a reader of plates; its own view of the
            original where None.
        regions: What settings with regions of interest go by.

    Raises:
        NoObjectsError: There is no object on any of the frames, or none that is annotated is
            found there: a machine may have other names for its classes, or cannot read the plates.
    """
    frames = tuple(index for index, _ in sample)
    key: dict[str, Json] = {
        "source": source.content_sha256,
        "segments": [[segment.start_frame, segment.num_frames] for segment in segments],
        "frames": list(frames),
        "machine": machine.version,
        "annotations": f"{annotations.sha256}, seen from {SAME_OBJECT_IOU} on"
        if annotations
        else None,
    }
    seen = {**key, "kind": "reference", "segments": None}
    if annotations is not None and isinstance(machine, PlateMachine):
        look = _look_at_plates(machine, annotations)
        references = _references(source, machine, frames, look, seen, measurer)
        _require_read(references, [annotations.frames[index] for index in frames])
    else:
        seen["annotations"] = None  # what a detector sees does not depend on them
        references = _references(source, machine, frames, _look(machine), seen, measurer)
        if annotations is not None:
            references = _annotated(references, [annotations.frames[index] for index in frames])
    require_objects(references)
    return Bench(
        source=source,
        segments=segments,
        frames=frames,
        positions=tuple(position for _, position in sample),
        machine=machine,
        references=tuple(references),
        regions=regions,
        key=key,
    )


@dataclass(frozen=True, slots=True)
class Originals(Sequence[Picture]):
    """Frames of the original, made when they are asked for."""

    source: Source
    frames: Sequence[int]

    @overload
    def __getitem__(self, at: int) -> Picture: ...
    @overload
    def __getitem__(self, at: slice) -> Originals: ...
    def __getitem__(self, at: int | slice) -> Picture | Originals:
        if isinstance(at, slice):
            return Originals(self.source, self.frames[at])
        return self.source.bgr(self.frames[at])

    def __len__(self) -> int:
        return len(self.frames)


def _look(machine: TaskMachine[Any]) -> Look:
    return lambda pictures, _: machine.look(pictures)


def _look_at_plates(machine: PlateMachine, annotations: Annotations) -> Look:
    """Returns how plates are looked at whose boxes, and perhaps texts, a person gives."""
    return lambda pictures, frames: machine.look_at(
        pictures,
        [annotations.frames[index] for index in frames],
        [annotations.texts_on(index) for index in frames],
    )


def _references(
    source: Source,
    machine: TaskMachine[Any],
    frames: Sequence[int],
    first_look: Look,
    key: Json,
    measurer: Measurer,
) -> list[Any]:
    """Returns what a machine saw on frames of the original, from the store where it is there."""
    stored = measurer.store.get(key)
    known = None if stored is None else [machine.from_json(one) for one in _list(stored)]

    def look(some: slice) -> list[Any]:
        originals = Originals(source, frames[some])
        return (
            first_look(list(originals), frames[some])
            if known is None
            else machine.prepare(known[some], originals)
        )

    references = _in_batches(len(frames), machine.batch_size, look, measurer)
    if known is None:
        measurer.store.put(key, [machine.to_json(one) for one in references])
    return references


def _annotated(
    references: Sequence[ReferenceObjects], annotated: Sequence[Detections]
) -> list[ReferenceObjects]:
    """Returns references of what is there, and was seen, in place of what was seen.

    What was not seen has nothing to lose: it would count as kept, whatever the encode.

    Raises:
        NoObjectsError: None of it was seen.
    """
    there = []
    for one, objects in zip(references, annotated, strict=True):
        ious = object_ious(objects, one.seen)
        is_seen = ious >= SAME_OBJECT_IOU
        there.append(replace(one, objects=objects.where(is_seen), object_ious=ious[is_seen]))
    names = sorted({name for objects in annotated for name in objects.class_names})
    if names and not any(len(one.object_ious) for one in there):
        # Nothing could be lost: every encode would have quality 1.
        raise NoObjectsError(
            f"the machine must find at least one annotated object on the original, it finds none "
            f"on {len(there)} frames; annotated are {', '.join(names)}: annotations must have "
            f"the names that the machine gives its classes"
        )
    return there


def _require_read(references: Sequence[PlateReference], plates: Sequence[Detections]) -> None:
    """Refuses plates of which nothing can be read: every encode would have quality 1.

    Raises:
        NoObjectsError: So it is with all of them.
    """
    num_plates = sum(len(one.class_names) for one in plates)
    if num_plates and not any(one.similarities.any() for one in references):
        raise NoObjectsError(
            f"the machine must read at least one annotated plate on the original, it reads none of "
            f"{num_plates} on {len(references)} frames; annotations must have boxes that fit plates"
        )


def find_regions(
    source: Source, detector: Detector, thresholds: Thresholds, measurer: Measurer
) -> RegionSource:
    """Finds the objects of the original all along the clip, and links them into tracks.

    What only may match is tracked too: a region around too much costs little, one that misses an
    object costs its detection.
    """
    frames = range(0, source.num_frames, region_step(source.frame_rate))
    key: dict[str, Json] = {
        "kind": REGIONS_VERSION,
        "source": source.content_sha256,
        "frames": list(frames),
        "detector": detector.version,
        "match_score": thresholds.match,
    }
    seen = detect(source, detector, frames, key, measurer)
    return seen_regions(seen, source, source.num_frames, key)


def given_regions(path: Path, source: Source) -> RegionSource:
    """Returns a user's own regions.

    Where the source is the beginning of a clip the file may be for all of it, as ``ratesight
    encode`` needs it later.

    Raises:
        RegionError: The file is not of that kind, or is for another clip.
    """
    regions = read_regions(path)
    if source.is_shortened:
        regions = replace(regions, frames=regions.frames[: source.num_frames])
    regions.check_fit(source.width, source.height, source.num_frames)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    key: dict[str, Json] = {"kind": REGIONS_VERSION, "file": digest}
    return own_regions(regions, source.frame_rate, key)


def detect(
    source: Source, detector: Detector, frames: Sequence[int], key: Json, measurer: Measurer
) -> list[Detections]:
    """Returns what the detector sees on frames of the original, from the store where it is there.

    Args:
        key: Description of it, ``match_score`` among it: the lowest score of what is returned.
    """
    assert isinstance(key, dict)
    min_score = float(str(key["match_score"]))
    stored = measurer.store.get(key)
    if stored is None:

        def look(some: slice) -> list[Detections]:
            return detector.detect(list(Originals(source, frames[some])), min_score)

        seen = _in_batches(len(frames), detector.batch_size, look, measurer)
        stored = [detections_to_json(one) for one in seen]
        measurer.store.put(key, stored)
    return [detections_from_json(value) for value in _list(stored)]


def _in_batches(
    num_frames: int, batch_size: int, look: Callable[[slice], list[T]], measurer: Measurer
) -> list[T]:
    """Returns what is found on each frame, batches side by side, their time booked."""

    def timed(start: int) -> list[T]:
        started = time.perf_counter()
        found = look(slice(start, start + batch_size))
        measurer.spent.add(detect=time.perf_counter() - started)
        return found

    starts = range(0, num_frames, batch_size)
    return [one for batch in measurer.local_pool.map(timed, starts) for one in batch]


def _list(stored: Json) -> list[Json]:
    assert isinstance(stored, list)
    return stored

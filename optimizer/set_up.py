"""Sets a bench up: finds what the detector sees on the original, once."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..codecs.region import read_regions
from ..codecs.source import Segment, Source
from ..metrics.annotations import Annotations
from ..metrics.boxes import Detections
from ..metrics.detector import Detector
from ..metrics.errors import NoObjectsError
from ..metrics.object_iou import VERSION, ReferenceObjects, object_ious, require_objects
from .bench import Bench, Sample, Thresholds
from .measure import Measurer
from .regions import VERSION as REGIONS_VERSION
from .regions import RegionSource, own_regions, region_step, seen_regions
from .store import Json


def set_up_bench(
    source: Source,
    detector: Detector,
    *,
    segments: tuple[Segment, ...],
    sample: Sample,
    thresholds: Thresholds,
    annotations: Annotations | None,
    regions: RegionSource | None,
    measurer: Measurer,
) -> Bench:
    """Finds the reference objects, once for a source and a detector, and returns the bench.

    Args:
        sample: (index in the source, position in the encode) of the frames to look at.
        annotations: What is there; the detector's own view of the original where None.
        regions: What settings with regions of interest go by.

    Raises:
        NoObjectsError: There is no object on any of the frames, or none that is annotated is
            found there: a machine may have other names for its classes.
    """
    frames = tuple(index for index, _ in sample)
    key: dict[str, Json] = {
        "source": source.content_sha256,
        "segments": [[segment.start_frame, segment.num_frames] for segment in segments],
        "frames": list(frames),
        "detector": detector.version,
        "reference_score": thresholds.reference,
        "match_score": thresholds.match,
        "metric": VERSION,
        "annotations": annotations.sha256 if annotations else None,
    }
    seen = detect(
        source, detector, frames, {**key, "kind": "reference", "segments": None}, measurer
    )
    reference = []
    for index, seen_objects in zip(frames, seen, strict=True):
        if annotations is None:
            objects = seen_objects.at_least(thresholds.reference)
            ious = np.ones(len(objects.class_names))
        else:
            objects = annotations.frames[index]
            ious = object_ious(objects, seen_objects)
        reference.append(ReferenceObjects(objects=objects, object_ious=ious))
    require_objects(reference)
    if not any(frame.object_ious.any() for frame in reference):
        # Nothing could be lost: every encode would have quality 1.
        names = sorted({name for frame in reference for name in frame.objects.class_names})
        raise NoObjectsError(
            f"the machine must find at least one annotated object on the original, it finds none "
            f"on {len(reference)} frames; annotated are {', '.join(names)}: annotations must have "
            f"the names that the machine gives its classes"
        )
    return Bench(
        source=source,
        segments=segments,
        frames=frames,
        positions=tuple(position for _, position in sample),
        reference=tuple(reference),
        detector=detector,
        seen=tuple(seen),
        thresholds=thresholds,
        regions=regions,
        key=key,
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


def given_regions(path: Path, source: Source, *, is_shortened: bool = False) -> RegionSource:
    """Returns a user's own regions.

    Args:
        is_shortened: The source is the beginning of a clip. The file may then be for all of it,
            as ``ratesight encode`` needs it later.

    Raises:
        RegionError: The file is not of that kind, or is for another clip.
    """
    regions = read_regions(path)
    if is_shortened:
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

        def look(some: Sequence[int]) -> list[Detections]:
            started = time.perf_counter()
            found = detector.detect([source.bgr(index) for index in some], min_score)
            measurer.spent.add(detect=time.perf_counter() - started)
            return found

        batches = [
            frames[start : start + detector.batch_size]
            for start in range(0, len(frames), detector.batch_size)
        ]
        seen = [one for batch in measurer.pool.map(look, batches) for one in batch]
        stored = [_reference_json(one) for one in seen]
        measurer.store.put(key, stored)
    assert isinstance(stored, list)
    return [_detections_from_json(value) for value in stored]


def _reference_json(seen: Detections) -> Json:
    return {
        "boxes": seen.boxes.tolist(),
        "scores": seen.scores.tolist(),
        "class_names": list(seen.class_names),
    }


def _detections_from_json(value: Json) -> Detections:
    assert isinstance(value, dict)
    class_names = value["class_names"]
    assert isinstance(class_names, list)
    return Detections(
        boxes=np.array(value["boxes"], dtype=np.float64).reshape(-1, 4),
        scores=np.array(value["scores"], dtype=np.float64),
        class_names=tuple(str(name) for name in class_names),
    )

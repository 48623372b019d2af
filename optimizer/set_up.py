"""Sets a bench up: finds what the detector sees on the original, once."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from ..codecs.source import Segment, Source
from ..metrics.annotations import Annotations
from ..metrics.boxes import Detections
from ..metrics.detector import Detector
from ..metrics.object_iou import VERSION, ReferenceObjects, object_ious, require_objects
from .bench import Bench, Sample, Thresholds
from .measure import Measurer
from .store import Json


def set_up_bench(
    source: Source,
    detector: Detector,
    *,
    segments: tuple[Segment, ...],
    sample: Sample,
    thresholds: Thresholds,
    annotations: Annotations | None,
    measurer: Measurer,
) -> Bench:
    """Finds the reference objects, once for a source and a detector, and returns the bench.

    Args:
        sample: (index in the source, position in the encode) of the frames to look at.
        annotations: What is there; the detector's own view of the original where None.

    Raises:
        NoObjectsError: There is no object on any of the frames.
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
    reference_key = {**key, "kind": "reference", "segments": None}
    stored = measurer.store.get(reference_key)
    if stored is None:

        def detect(some: Sequence[int]) -> list[Detections]:
            started = time.perf_counter()
            found = detector.detect([source.bgr(index) for index in some], thresholds.match)
            measurer.spent.add(detect=time.perf_counter() - started)
            return found

        batches = [
            frames[start : start + detector.batch_size]
            for start in range(0, len(frames), detector.batch_size)
        ]
        seen = [one for batch in measurer.pool.map(detect, batches) for one in batch]
        stored = [_reference_json(one) for one in seen]
        measurer.store.put(reference_key, stored)
    assert isinstance(stored, list)
    reference = []
    for index, value in zip(frames, stored, strict=True):
        seen_objects = _detections_from_json(value)
        if annotations is None:
            objects = seen_objects.at_least(thresholds.reference)
            ious = np.ones(len(objects.class_names))
        else:
            objects = annotations.frames[index]
            ious = object_ious(objects, seen_objects)
        reference.append(ReferenceObjects(objects=objects, object_ious=ious))
    require_objects(reference)
    return Bench(
        source=source,
        segments=segments,
        frames=frames,
        positions=tuple(position for _, position in sample),
        reference=tuple(reference),
        detector=detector,
        thresholds=thresholds,
        key=key,
    )


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

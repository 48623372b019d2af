"""A close look at one candidate: what is lost, what a detector sees, how good the picture is."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..codecs.encode import Encoding
from ..codecs.fidelity import fidelity
from ..metrics.boxes import Detections, Floats
from ..metrics.coco_map import MeanAveragePrecision, mean_average_precision
from ..metrics.detection_counts import DetectionCounts, count_detections
from ..metrics.object_iou import ReferenceObjects
from ..metrics.objects import ObjectMachine
from ..metrics.task import Picture
from .bench import Bench, Measurement
from .measure import Measurer
from .recommendation import Examined
from .verification import Benches, Verified

# Lowest score of a detection that counts in mAP, as COCO evaluations have it.
_MAP_SCORE = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What a detector sees of one encode."""

    average: MeanAveragePrecision
    counts: DetectionCounts


def examine(verified: Verified, benches: Benches, measurer: Measurer) -> Examined:
    """Looks closely at one candidate at its CRF: a fresh encode of its own."""
    encoding = benches.own.encode(verified.ladder.at(verified.crf))
    measurement, seen = _look_closely(benches.own, encoding)
    measurer.count(measurement)
    real_quality = None
    if benches.real is not None:
        real, seen = _look_closely(benches.real, encoding)
        measurer.spent.add(decode=real.decode_seconds, detect=real.detect_seconds)
        real_quality = real.scores.quality
    started = time.perf_counter()
    signal = fidelity(benches.own.source, encoding, benches.own.segments)
    measurer.spent.add(fidelity=time.perf_counter() - started)
    frame_qualities = measurement.scores.frame_qualities
    return Examined(
        crf=verified.crf,
        rate_kbps=encoding.rate_kbps,
        quality=measurement.scores.quality,
        quality_p5=float(np.percentile(frame_qualities, 5)),
        quality_min=float(frame_qualities.min()),
        real_quality=real_quality,
        map50_95=None if seen is None else seen.average.map50_95,
        map50=None if seen is None else seen.average.map50,
        precision=None if seen is None else seen.counts.precision,
        recall=None if seen is None else seen.counts.recall,
        psnr_db=signal.psnr_db,
        ssim=signal.ssim,
        xpsnr_db=signal.xpsnr_db,
        encode_fps=encoding.num_frames / encoding.encode_seconds,
    )


def _look_closely(bench: Bench, encoding: Encoding) -> tuple[Measurement, _Seen | None]:
    """Returns a measurement, and what a detector saw besides; None for any other machine."""
    machine = bench.machine
    if not isinstance(machine, ObjectMachine):
        return bench.look(encoding), None
    found: list[Detections] = []

    def losses(references: Sequence[ReferenceObjects], pictures: Sequence[Picture]) -> list[Floats]:
        detected = machine.detector.detect(pictures, _MAP_SCORE)
        found.extend(detected)
        return machine.losses_among(references, detected)

    measurement = bench.look(encoding, losses)
    references = [one for one in bench.references if isinstance(one, ReferenceObjects)]
    objects = [one.objects for one in references]
    return measurement, _Seen(
        average=mean_average_precision(objects, found),
        counts=count_detections(
            objects,
            [one.seen for one in references],
            [frame.at_least(machine.match_score) for frame in found],
            machine.reference_score,
        ),
    )

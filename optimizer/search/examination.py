"""A close look at one encode: what is lost, what a detector sees, how good the picture is."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ...codecs.encode import Encoding
from ...codecs.encoder import nearest_crf
from ...codecs.fidelity import fidelity
from ...codecs.table import ENCODERS, Codec
from ...metrics.boxes import Detections, Floats, Picture
from ...metrics.coco_map import mean_average_precision
from ...metrics.detection_counts import count_detections
from ...metrics.object_iou import ReferenceObjects
from ...metrics.objects import ObjectMachine
from ..measuring.bench import Bench, Benches, Measurement
from ..measuring.measure import Measurer
from ..recommendation import Examined
from .verification import Verified

# Lowest score of a detection that counts in mAP, as COCO evaluations have it.
_MAP_SCORE = 0.001
# A rate counts as equal to another from this close on, and how many encodes that may take.
_EQUAL_RATE, _MOST_ENCODES = 0.02, 4
# Steps of CRF in which x264's rate halves, about; others come near with it too.
_CRF_PER_HALF = 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """One encode, and everything that was seen of it.

    Attributes:
        own, judged: By the machine of the search, and by the real one where there is one.
        detections: What that one sees on each frame, down to any score; None where it is no
            detector.
    """

    encoding: Encoding
    own: Measurement
    judged: Measurement
    detections: tuple[Detections, ...] | None

    @property
    def crf(self) -> float:
        """Of the encode."""
        return float(getattr(self.encoding.settings.rate_control, "value", math.nan))


def look_at(verified: Verified, benches: Benches, measurer: Measurer) -> Looked:
    """Looks at one candidate at its CRF: a fresh encode of its own."""
    return _look(benches.own.encode(verified.ladder.at(verified.crf)), benches, measurer)


def look_at_equal_rate(
    verified: Verified, rate_kbps: float, benches: Benches, measurer: Measurer
) -> Looked:
    """Looks at one candidate at the CRF whose rate is next to a wanted one."""

    def make(crf: float) -> Encoding:
        return benches.own.encode(verified.ladder.at(crf))

    codec = verified.ladder.settings.codec
    first = verified.ladder.curve.crf_at(rate_kbps).value
    encodings = encode_near(make, codec, first, rate_kbps)
    nearest = min(encodings, key=lambda one: abs(math.log(one.rate_kbps / rate_kbps)))
    measurer.spent.book_encodes([one for one in encodings if one is not nearest])
    return _look(nearest, benches, measurer)


def encode_near(
    make: Callable[[float], Encoding], codec: Codec, crf: float, rate_kbps: float
) -> list[Encoding]:
    """Returns a few encodes, of which at least one has nearly a wanted rate if there is one.

    Args:
        make: Encodes at a CRF.
        crf: Where to begin.
    """
    encoder = ENCODERS[codec]
    made: dict[float, Encoding] = {}
    while len(made) < _MOST_ENCODES:
        at = nearest_crf(encoder, crf).value
        if at in made:
            break
        made[at] = make(at)
        off = math.log2(made[at].rate_kbps / rate_kbps)
        if abs(off) < math.log2(1 + _EQUAL_RATE):
            break
        crf = at + _slope(made) * off
    return list(made.values())


def _slope(made: dict[float, Encoding]) -> float:
    """Returns the steps of CRF that halve the rate, as the last two encodes have it."""
    if len(made) < 2:
        return _CRF_PER_HALF
    (before, first), (after, last) = list(made.items())[-2:]
    halvings = math.log2(first.rate_kbps / last.rate_kbps)
    slope = (after - before) / halvings if halvings else _CRF_PER_HALF
    return min(max(slope, 1.0), 4 * _CRF_PER_HALF)


def examine(looked: Looked, benches: Benches, measurer: Measurer) -> Examined:
    """Returns the figures of one encode."""
    started = time.perf_counter()
    signal = fidelity(benches.own.source, looked.encoding, benches.own.segments)
    measurer.spent.add(fidelity=time.perf_counter() - started)
    average = counts = None
    judge = benches.real or benches.own
    if looked.detections is not None:
        assert isinstance(judge.machine, ObjectMachine)
        references = [one for one in judge.references if isinstance(one, ReferenceObjects)]
        objects = [one.objects for one in references]
        average = mean_average_precision(objects, looked.detections)
        counts = count_detections(
            objects,
            [one.seen for one in references],
            [frame.at_least(judge.machine.match_score) for frame in looked.detections],
            judge.machine.reference_score,
        )
    frame_qualities = looked.own.scores.frame_qualities
    return Examined(
        crf=looked.crf,
        rate_kbps=looked.encoding.rate_kbps,
        quality=looked.own.scores.quality,
        quality_p5=float(np.percentile(frame_qualities, 5)),
        quality_min=float(frame_qualities.min()),
        real_quality=None if benches.real is None else looked.judged.scores.quality,
        map50_95=None if average is None else average.map50_95,
        map50=None if average is None else average.map50,
        precision=None if counts is None else counts.precision,
        recall=None if counts is None else counts.recall,
        psnr_db=signal.psnr_db,
        ssim=signal.ssim,
        xpsnr_db=signal.xpsnr_db,
        encode_fps=looked.encoding.num_frames / looked.encoding.encode_seconds,
    )


def _look(encoding: Encoding, benches: Benches, measurer: Measurer) -> Looked:
    own, detections = _look_closely(benches.own, encoding)
    judged = own
    if benches.real is not None:
        judged, detections = _look_closely(benches.real, encoding)
    measurer.spent.book([own] if judged is own else [own, judged])
    return Looked(encoding=encoding, own=own, judged=judged, detections=detections)


def _look_closely(
    bench: Bench, encoding: Encoding
) -> tuple[Measurement, tuple[Detections, ...] | None]:
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
    return measurement, tuple(found)

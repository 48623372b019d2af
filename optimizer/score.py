"""How much one clip keeps of another: for machines, in regions, and as a signal."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from ..codecs.fidelity import frame_errors, pooled
from ..codecs.limits import USUAL_LIMITS, ClipLimits
from ..codecs.planes import Planes, is_10_bit
from ..codecs.region import ClipRegions, read_regions
from ..metrics.boxes import Detections, Floats
from ..metrics.errors import NoObjectsError
from ..metrics.face_embedder import Levels
from ..metrics.object_iou import ObjectScores
from ..metrics.views import LEARNED_TASKS
from .checks import check_above_0
from .clip_score import (
    METRICS,
    SIGNALS,
    FrameScore,
    HeatMap,
    MetricScore,
    RegionScore,
    Score,
    SignalName,
)
from .errors import RequestError
from .measuring.bench import Thresholds
from .measuring.footage import Array, Footage, open_pair
from .measuring.machine_choice import MachineChoice
from .measuring.machine_table import (
    MACHINE_KINDS,
    REAL_MACHINES,
    RealMachineName,
    metrics_of,
    task_of,
)
from .measuring.machines import load_real_machine
from .measuring.region_metric import Finders, FoundRegions, RegionMetric, load_region_metrics
from .request import exact_frame_rate

Progress = Callable[[str, int], None]


def score(
    reference: Path | str | Array,
    distorted: Path | str | Array,
    *,
    metrics: Sequence[str] = ("general", "psnr", "ssim", "xpsnr"),
    detector: Path | str | None = None,
    face_detector: Path | str | None = None,
    face_embedder: Path | str | None = None,
    face_levels: Levels | None = None,
    plate_detector: Path | str | None = None,
    image_size: int = 640,
    regions: Path | str | ClipRegions | None = None,
    reference_score: float = 0.4,
    frames_per_second: float = 5.0,
    frame_rate: Fraction | float | None = None,
    max_seconds: float | None = None,
    limits: ClipLimits = USUAL_LIMITS,
    heat_map: bool = False,
    progress: Progress | None = None,
) -> Score:
    """Returns how much a distorted clip keeps of its reference, frames paired by index.

    Args:
        reference: A video file, a y4m, a folder of numbered pictures; or an array, uint8 BGR in
            [0, 255] of (frames, height, width, 3), or of (height, width, 3) for one picture.
        distorted: The same kind of thing, of the same size, number of frames and frame rate.
        metrics: Real machines, on some frames a second: ``detector``, ``face-embedder``,
            ``plate-reader``. Learned ones predict what such a machine loses in regions:
            ``objects``, ``faces``, ``plates``, ``general`` (any). ``psnr``, ``ssim``, ``xpsnr``
            are of all frames. Arrays are seen as 4:2:0 of even size, as a file would be.
        detector: A real machine, and finds the regions of objects and general: a file, or a name
            that ultralytics downloads. The built-in proposals do where None, as for the next two.
        face_detector: Finds those of faces: YuNet's ONNX file.
        face_embedder: A real machine for faces that YuNet found: an ONNX file.
        face_levels: How the embedder wants its pictures.
        plate_detector: Finds those of plates: as ``detector``.
        image_size: Longest side that detectors see.
        regions: Those of all learned metrics instead, for every frame: a JSON file, or ClipRegions.
            Finders beside them are for real machines only.
        reference_score: A detection on the reference is a region from this score on.
        frames_per_second: That machines look at.
        frame_rate: Overrides that of both files; of arrays, 1 where None.
        max_seconds: Cuts both.
        limits: What each may cost.
        heat_map: Also says where the first learned metric loses sight, on its worst frame.
        progress: Called with what is being done and the number of frames done.

    Raises:
        RequestError: A metric is unknown, a number is out of range, or a file has no use.
        ClipError: A clip cannot be read, or the two cannot be paired frame by frame.
        RegionError: The regions are malformed, or for another clip.
        WeightsError: A model cannot be loaded.
        NoObjectsError: A machine has no region to look at on any frame: that is no score.
        ScratchError: There is no room for the decoded frames.
    """
    names = tuple(dict.fromkeys([metrics] if isinstance(metrics, str) else metrics))
    _check(names, frames_per_second, max_seconds, heat_map)
    for option, given, of in (
        ("detector", detector, metrics_of("detector")),
        ("face_detector", face_detector, metrics_of("face_detector")),
        ("face_embedder", face_embedder, ("face-embedder",)),  # nothing is verified here
        ("face_levels", face_levels, ("face-embedder",)),
        ("plate_detector", plate_detector, metrics_of("plate_detector")),
    ):
        if given is not None and not set(of) & set(names):
            raise RequestError(f"{option} is for {' or '.join(of)}, got metrics {', '.join(names)}")
        real_of = [name for name in REAL_MACHINES if name in of]
        if given is not None and regions is not None and not set(real_of) & set(names):
            raise RequestError(
                f"{option} with regions is for {' or '.join(real_of)}, got metrics "
                f"{', '.join(names)}; leave {option} or regions out"
            )
    finders = Finders(
        detector=None if detector is None else str(detector),
        face_detector=None if face_detector is None else str(face_detector),
        plate_detector=None if plate_detector is None else str(plate_detector),
        image_size=image_size,
        reference_score=reference_score,
    )
    real = [
        _real_machine(name, finders, face_embedder, face_levels)
        for name in REAL_MACHINES
        if name in names
    ]
    if isinstance(regions, (str, Path)):
        regions = read_regions(Path(regions))
    tasks = [name for name in LEARNED_TASKS if name in names]
    with ExitStack() as cleanup:
        first, second, notes = open_pair(
            reference,
            distorted,
            cleanup,
            frame_rate=exact_frame_rate(frame_rate),
            max_seconds=max_seconds,
            limits=limits,
        )
        if regions is not None:
            regions = _fitting(regions, first)
        found = measure(
            first,
            second,
            signals=[name for name in SIGNALS if name in names],
            region_metrics=[
                *(
                    FoundRegions(name=choice.metric, machine=load_real_machine(choice))
                    for choice in real
                ),
                *load_region_metrics(tasks, finders, regions),
            ],
            frames_per_second=frames_per_second,
            heat_map_of=next(name for name in names if name in tasks) if heat_map else None,
            progress=progress,
        )
    return replace(found, metrics=tuple(found[name] for name in names), notes=notes)


def measure(
    reference: Footage,
    distorted: Footage,
    *,
    signals: Sequence[SignalName] = (),
    region_metrics: Sequence[RegionMetric] = (),
    frames_per_second: float = 5.0,
    heat_map_of: str | None = None,
    progress: Progress | None = None,
) -> Score:
    """Returns the score of two clips whose frames are each other's.

    Args:
        region_metrics: Learned ones, or real machines (``FoundRegions`` of any ``TaskMachine``).
        heat_map_of: Name of a learned one, whose heat map is made.

    Raises:
        ClipError: The frames are too small for PSNR, SSIM and XPSNR.
        NoObjectsError: A metric has no region to look at on any frame.
    """
    found: list[MetricScore] = []
    if signals:
        found += _signal_scores(reference, distorted, signals, progress)
    if region_metrics:
        frames = frames_looked_at(reference, frames_per_second)
        found += _region_scores(reference, distorted, frames, region_metrics, progress)
    heat_map = None
    for metric in region_metrics:
        if metric.name == heat_map_of and metric.learned is not None:
            worst = next(one.worst for one in found if one.metric == metric.name)
            picture = distorted.bgr(worst.frame)
            losses = metric.learned.heat_map(reference.bgr(worst.frame), picture)
            heat_map = HeatMap(metric=metric.name, score=worst, picture=picture, losses=losses)
    height, width, _ = reference.bgr(0).shape
    return Score(
        width=width,
        height=height,
        frame_rate=reference.frame_rate,
        num_frames=reference.num_frames,
        metrics=tuple(found),
        heat_map=heat_map,
        notes=(),
    )


def frames_looked_at(clip: Footage, frames_per_second: float) -> list[int]:
    """Returns the indices of evenly spaced frames, each in the middle of its interval."""
    step = max(1.0, float(clip.frame_rate) / frames_per_second)
    number = max(1, round(clip.num_frames / step))
    return [math.floor((at + 0.5) * clip.num_frames / number) for at in range(number)]


def _signal_scores(
    reference: Footage,
    distorted: Footage,
    signals: Sequence[SignalName],
    progress: Progress | None,
) -> Iterator[MetricScore]:
    is_deep = [is_10_bit(one) for one in (reference, distorted)]
    form = distorted if is_deep[1] else reference

    def pairs() -> Iterator[tuple[Planes, Planes]]:
        for index in range(reference.num_frames):
            first, second = reference.planes(index), distorted.planes(index)
            if is_deep[0] != is_deep[1]:
                first, second = _deep(first), _deep(second)
            yield first, second
            if progress is not None:
                progress("comparing", index + 1)

    errors = list(frame_errors(form, pairs()))
    whole, frames = pooled(errors), [pooled([one]) for one in errors]
    for name in signals:
        field = SIGNALS[name]
        yield MetricScore(
            metric=name,
            value=getattr(whole, field),
            frames=tuple(
                FrameScore(
                    frame=index,
                    time_seconds=float(index / reference.frame_rate),
                    value=getattr(frame, field),
                )
                for index, frame in enumerate(frames)
            ),
            num_frames_looked_at=len(frames),
        )


def _deep(planes: Planes) -> Planes:
    """Returns 8-bit samples as 10-bit ones: limited range has no other black and white."""
    return planes if planes.dtype == np.uint16 else planes.astype(np.uint16) * np.uint16(4)


def _region_scores(
    reference: Footage,
    distorted: Footage,
    frames: Sequence[int],
    metrics: Sequence[RegionMetric],
    progress: Progress | None,
) -> Iterator[MetricScore]:
    looks: list[list[tuple[Detections, Floats]]] = [[] for _ in metrics]
    size = max(metric.batch_size for metric in metrics)
    for start in range(0, len(frames), size):
        batch = frames[start : start + size]
        originals = [reference.bgr(index) for index in batch]
        changed = [distorted.bgr(index) for index in batch]
        for metric, look in zip(metrics, looks, strict=True):
            look += metric.look(batch, originals, changed)
        if progress is not None:
            progress("looking", start + len(batch))
    for metric, look in zip(metrics, looks, strict=True):
        yield _pooled_regions(metric, reference.frame_rate, frames, look)


def _pooled_regions(
    metric: RegionMetric,
    frame_rate: Fraction,
    frames: Sequence[int],
    looks: Sequence[tuple[Detections, Floats]],
) -> MetricScore:
    scores = ObjectScores(
        weights=tuple(objects.scores for objects, _ in looks),
        deltas=tuple(losses for _, losses in looks),
    )
    if not (scores.frame_weights > 0).any():
        raise NoObjectsError(
            f"{metric.name} must have at least one region to look at, the reference has none "
            f"(frames looked at: {len(frames)}), so there is no score; leave {metric.name} out, "
            f"{metric.remedy}"
        )
    seen = [
        (frame, look) for frame, look in zip(frames, looks, strict=True) if look[0].scores.sum() > 0
    ]
    return MetricScore(
        metric=metric.name,
        value=scores.quality,
        frames=tuple(
            FrameScore(
                frame=frame,
                time_seconds=float(frame / frame_rate),
                value=float(quality),
                regions=_region_values(*look),
            )
            for (frame, look), quality in zip(seen, scores.frame_qualities, strict=True)
        ),
        num_frames_looked_at=len(frames),
    )


def _region_values(objects: Detections, losses: Floats) -> tuple[RegionScore, ...]:
    rows = zip(objects.boxes.tolist(), objects.class_names, objects.scores, losses, strict=True)
    return tuple(
        RegionScore(
            box=(x0, y0, x1, y1), class_name=name, weight=float(weight), value=1 - float(loss)
        )
        for (x0, y0, x1, y1), name, weight, loss in rows
    )


def _check(
    names: Sequence[str], frames_per_second: float, max_seconds: float | None, heat_map: bool
) -> None:
    unknown = [name for name in names if name not in METRICS]
    if not names or unknown:
        told = ", ".join(map(repr, unknown)) or "none"
        raise RequestError(f"metrics must be some of {', '.join(METRICS)}, got {told}")
    check_above_0(frames_per_second=frames_per_second, max_seconds=max_seconds)
    if heat_map and not set(names) & set(LEARNED_TASKS):
        raise RequestError(
            f"a heat map needs one of the metrics {', '.join(LEARNED_TASKS)}, got "
            f"{', '.join(names)}"
        )


def _real_machine(
    name: RealMachineName,
    finders: Finders,
    face_embedder: Path | str | None,
    face_levels: Levels | None,
) -> MachineChoice:
    """Returns a real machine with those of the options that are its own."""
    own = MACHINE_KINDS[task_of(name)].files
    embedder, levels = (face_embedder, face_levels) if "face_embedder" in own else (None, None)
    return MachineChoice(
        asked_metric=name,
        detector=finders.detector if "detector" in own else None,
        face_detector=finders.face_detector if "face_detector" in own else None,
        face_embedder=None if embedder is None else Path(embedder),
        face_levels=levels,
        plate_detector=finders.plate_detector if "plate_detector" in own else None,
        image_size=finders.image_size,
        thresholds=Thresholds.of_objects(finders.reference_score),
    )


def _fitting(regions: ClipRegions, clip: Footage) -> ClipRegions:
    """Returns regions of this clip, cut as it is.

    Raises:
        RegionError: They are another clip's.
    """
    if clip.is_shortened:
        regions = replace(regions, frames=regions.frames[: clip.num_frames])
    height, width, _ = clip.bgr(0).shape
    regions.check_fit(width, height, clip.num_frames)
    return regions

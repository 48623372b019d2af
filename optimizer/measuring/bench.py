"""A bench: one source, a machine and what it saw there, ready to measure settings."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...codecs.encode import Encoding, decode_bgr, encode, pictures_version
from ...codecs.encoder import encoder_version, ffmpeg_options
from ...codecs.region import ClipRegions
from ...codecs.region_encoder import filter_version
from ...codecs.scaling import FLAGS
from ...codecs.settings import EncodeSettings
from ...codecs.source import Segment, Source
from ...codecs.table import ENCODERS
from ...metrics.boxes import Floats, Picture
from ...metrics.object_iou import ObjectScores
from ...metrics.task import Reference, TaskMachine, object_scores
from ..errors import RequestError
from .regions import RegionSource, shape_regions
from .store import Json, key_sha256

# (index in the source, position in the encode) of frames to look at.
Sample = list[tuple[int, int]]
# From what was seen on some originals and the same frames of an encode to the losses of each frame.
Losses = Callable[[Sequence[Any], Sequence[Picture]], list[Floats]]


_USUAL_MATCH = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Detection scores in [0, 1] that count.

    Attributes:
        reference: A detection on the original is an object from this score on.
        match: A detection on the distorted picture may match from this score on, at most that of
            an object: else what is as sure as on the original would be lost.
    """

    reference: float = 0.4
    match: float = _USUAL_MATCH

    @classmethod
    def of_objects(cls, reference: float, match: float | None = None) -> Thresholds:
        """Returns those of objects from a score on; what matches is the usual where not given."""
        usual = min(reference, _USUAL_MATCH)
        return cls(reference=reference, match=usual if match is None else match)

    def __post_init__(self) -> None:
        for name, value in (("reference", self.reference), ("match", self.match)):
            if not 0 < value < 1:
                raise RequestError(f"{name} score must be between 0 and 1, got {value:g}")
        if self.match > self.reference:
            raise RequestError(
                f"match score must be at most the reference score, {self.reference:g}, got "
                f"{self.match:g}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One encode and what the machine still sees of it.

    Attributes:
        decode_seconds: Decoding the encode and turning the frames looked at into pictures.
        detect_seconds: The machine.
    """

    rate_kbps: float
    size_bytes: int
    num_frames: int
    scores: ObjectScores
    encode_seconds: float
    decode_seconds: float
    detect_seconds: float

    def to_json(self) -> Json:
        return {
            "rate_kbps": self.rate_kbps,
            "size_bytes": self.size_bytes,
            "num_frames": self.num_frames,
            "weights": [frame.tolist() for frame in self.scores.weights],
            "deltas": [frame.tolist() for frame in self.scores.deltas],
            "encode_seconds": self.encode_seconds,
            "decode_seconds": self.decode_seconds,
            "detect_seconds": self.detect_seconds,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Everything that a measurement depends on, but for the settings.

    Attributes:
        segments: What is encoded.
        frames: Indices into the source that the machine looks at.
        positions: The same frames as positions in the encode.
        references: What it saw on these frames of the original.
        regions: What settings with regions of interest go by, None where there are none.
        key: Description of all this, for the store.
    """

    source: Source
    segments: tuple[Segment, ...]
    frames: tuple[int, ...]
    positions: tuple[int, ...]
    machine: TaskMachine[Any]
    references: tuple[Reference, ...]
    regions: RegionSource | None
    key: dict[str, Json]

    @property
    def num_objects(self) -> int:
        """What there is to lose, over all frames."""
        return sum(len(one.objects.class_names) for one in self.references)

    def measurement_key(self, settings: EncodeSettings) -> Json:
        """Returns the complete description of one measurement."""
        regions = self.regions if settings.regions is not None else None
        return {
            **self.key,
            **({} if regions is None else {"regions": key_sha256(regions.key)}),
            **(
                {"filter": filter_version()}
                if settings.regions is not None and settings.regions.has_filter
                else {}
            ),
            **({} if settings.height is None else {"scaling": FLAGS}),
            "kind": "measurement",
            "settings": settings_json(settings),
            "ffmpeg_options": dict(ffmpeg_options(settings)),
            "encoder": encoder_version(settings.codec),
            "decoder": pictures_version(self.source),
        }

    def encode(self, settings: EncodeSettings) -> Encoding:
        """Encodes the segments, with regions where the settings ask for them.

        Touches no store, so that many may run side by side.

        Raises:
            EncodeError: The encode failed.
        """
        return encode(self.source, settings, self.segments, self.clip_regions(settings))

    def clip_regions(self, settings: EncodeSettings) -> ClipRegions | None:
        """Returns the regions that settings make of the tracks, None where they ask for none."""
        if settings.regions is None or self.regions is None:
            return None
        return shape_regions(self.regions, settings.regions, ENCODERS[settings.codec].roi_block)

    def look(self, encoding: Encoding, losses: Losses | None = None) -> Measurement:
        """Decodes an encode and shows the machine the frames of the sample.

        Args:
            losses: In place of the machine's own, to see what it sees.
        """
        losses = losses or self.machine.losses
        pictures = decode_bgr(encoding, frozenset(self.positions), self.source.color_space)
        references = iter(self.references)
        lost: list[Floats] = []
        decode_seconds = detect_seconds = 0.0
        started = time.perf_counter()
        while batch := list(itertools.islice(pictures, self.machine.batch_size)):
            decoded = time.perf_counter()
            lost += losses(list(itertools.islice(references, len(batch))), batch)
            decode_seconds += decoded - started
            started = time.perf_counter()
            detect_seconds += started - decoded
        decode_seconds += time.perf_counter() - started
        return Measurement(
            rate_kbps=encoding.rate_kbps,
            size_bytes=encoding.size_bytes,
            num_frames=encoding.num_frames,
            scores=object_scores(self.references, lost),
            encode_seconds=encoding.encode_seconds,
            decode_seconds=decode_seconds,
            detect_seconds=detect_seconds,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Benches:
    """Who looks at the same encodes on the same frames.

    Attributes:
        own: The machine that the search went by.
        real: The machine that the one of the search predicts, where it is a learned metric and
            there is one.
        second: A detector that had no part in the search, if there is one.
    """

    own: Bench
    real: Bench | None = None
    second: Bench | None = None


def settings_json(settings: EncodeSettings) -> dict[str, Json]:
    """Returns settings as they stand in the store and in a recommendation."""
    rate_control = settings.rate_control
    name = type(rate_control).__name__.lower()
    value = getattr(rate_control, "rate_kbps" if name == "bitrate" else "value")
    return {
        "codec": settings.codec,
        "preset": settings.preset,
        "rate_control": {name: value},
        "options": dict(settings.options),
        "num_threads": settings.num_threads,
        # Only where it is set: older stores know no heights.
        **({} if settings.height is None else {"height": settings.height}),
    }


def measurement_from_json(value: Json) -> Measurement:
    """Returns a stored measurement."""
    assert isinstance(value, dict)
    fields = dict(value)
    weights, deltas = fields.pop("weights"), fields.pop("deltas")
    assert isinstance(weights, list)
    assert isinstance(deltas, list)
    return Measurement(
        scores=ObjectScores(
            weights=tuple(np.array(frame, dtype=np.float64) for frame in weights),
            deltas=tuple(np.array(frame, dtype=np.float64) for frame in deltas),
        ),
        **fields,  # type: ignore[arg-type]  # written by to_json
    )


def spread_segments(
    source: Source, num_segments: int, segment_seconds: float
) -> tuple[Segment, ...]:
    """Returns pieces spread evenly over a source; all of it for 0, or where they would touch."""
    length = max(1, round(segment_seconds * source.frame_rate))
    if num_segments == 0 or num_segments * length >= source.num_frames:
        return source.whole
    spare = source.num_frames - num_segments * length
    starts = [round(spare * (index + 0.5) / num_segments) for index in range(num_segments)]
    return tuple(
        Segment(start_frame=start + index * length, num_frames=length)
        for index, start in enumerate(starts)
    )


def sampled_frames(
    source: Source,
    segments: Sequence[Segment],
    frames_per_second: float,
    *,
    phase: float,
    annotated: Collection[int] | None = None,
) -> Sample:
    """Returns (index in the source, position in the encode) of evenly sampled frames.

    Args:
        phase: In [0, 1): where in each interval the frame is taken, so that two phases give
            two samples without a common frame, as far as the frame rate allows it.
        annotated: Where given, the one of these frames next to that one, within the interval.
    """
    step = max(1.0, float(source.frame_rate) / frames_per_second)
    sampled, before = set(), 0
    for segment in segments:
        count = max(1, round(segment.num_frames / step))
        for index in range(count):
            # What would lie behind the end moves up to it, and leaves room for what comes after.
            last = segment.num_frames - (count - index)
            wanted = min(math.floor((index + phase) * step), last)
            near = range(max(0, wanted - int(step)), min(segment.num_frames, wanted + int(step)))
            for offset in sorted(near, key=lambda at: abs(at - wanted)):
                frame = segment.start_frame + offset
                if annotated is None or frame in annotated:
                    sampled.add((frame, before + offset))
                    break
        before += segment.num_frames
    return sorted(sampled)


def spread(sample: Sample, most: int) -> Sample:
    """Returns a sample, or so many of a larger one, spread evenly over it."""
    if len(sample) <= most:
        return sample
    return [sample[math.floor((at + 0.5) * len(sample) / most)] for at in range(most)]

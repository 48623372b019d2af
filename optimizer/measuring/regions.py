"""Turns tracks of objects into the regions that an encoder is given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from ...codecs.planes import FrameFormat
from ...codecs.region import ClipRegions, Region
from ...codecs.roi import RegionCoding
from ...metrics.boxes import Detections
from ...metrics.tracks import Track, link
from .store import Json

# Objects are looked for that often to make regions; between two sightings they move evenly.
_FRAMES_PER_SECOND = 10
# Share of a region's weight that its ring has: half of its offset and half of the background's.
_RING_WEIGHT = 0.5

# Changes whenever the same detections are linked, or the same tracks shaped, in another way.
VERSION = "regions 1"

Boxes = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RegionSource:
    """Where the regions of a clip come from.

    Attributes:
        tracks: Objects over time, in pixels of the clip.
        step_frames: Distance of the frames that objects were looked for on.
        width, height, num_frames, frame_rate: Of the clip.
        key: Description of how they were found, for the store.
    """

    tracks: tuple[Track, ...]
    step_frames: int
    width: int
    height: int
    num_frames: int
    frame_rate: Fraction
    key: Json = None


def seen_regions(
    seen: Sequence[Detections], form: FrameFormat, num_frames: int, key: Json = None
) -> RegionSource:
    """Returns what the detector saw on every ``region_step``-th frame of a clip, as tracks."""
    step = region_step(form.frame_rate)
    return RegionSource(
        tracks=link(range(0, num_frames, step), seen),
        step_frames=step,
        width=form.width,
        height=form.height,
        num_frames=num_frames,
        frame_rate=form.frame_rate,
        key=key,
    )


def own_regions(regions: ClipRegions, frame_rate: Fraction, key: Json = None) -> RegionSource:
    """Returns a user's own regions as tracks, to be grown and held like any other."""
    return RegionSource(
        tracks=tracks_of(regions),
        step_frames=1,
        width=regions.width,
        height=regions.height,
        num_frames=len(regions.frames),
        frame_rate=frame_rate,
        key=key,
    )


def shape_regions(source: RegionSource, coding: RegionCoding, block: int) -> ClipRegions:
    """Returns regions around objects: grown by a margin, held for a while, on the encoder's grid.

    Args:
        source: Objects over time.
        coding: Margin, hold and ring.
        block: Side in pixels of the encoder's grid, to which regions are aligned outwards.
    """
    # An object may have been there right up to the next frame looked at.
    hold = max(round(coding.hold_seconds * source.frame_rate), source.step_frames - 1)
    return _shaped(source, coding.margin, hold, coding.ring_pixels, block)


def object_regions(source: RegionSource) -> ClipRegions:
    """Returns the objects as they are, neither grown nor held: what a user's own regions are."""
    return _shaped(source, margin=0, hold=0, ring_pixels=0, block=1)


# One candidate is encoded at many CRFs, and shaping takes up to 2 ms a frame.
@lru_cache(maxsize=64)
def _shaped(
    source: RegionSource, margin: float, hold: int, ring_pixels: int, block: int
) -> ClipRegions:
    width, height, num_frames = source.width, source.height, source.num_frames
    weights = sorted({track.weight for track in source.tracks}, reverse=True)
    boxes_of: list[dict[float, list[Boxes]]] = [
        {weight: [] for weight in weights} for _ in range(num_frames)
    ]
    for track in source.tracks:
        first, last = int(track.frames[0]) - hold, int(track.frames[-1]) + hold
        shown = np.arange(max(first, 0), min(last + 1, num_frames))
        for frame, box in zip(shown, _grown(track.boxes_at(shown), margin), strict=True):
            boxes_of[frame][track.weight].append(box)
    pixels = ring_pixels
    grow = np.array([-pixels, -pixels, pixels, pixels])
    frames = []
    for by_weight in boxes_of:
        inner, rings = list[Region](), list[Region]()
        for weight, there in by_weight.items():
            boxes = merge(align(np.array(there).reshape(-1, 4), block, width, height))
            inner += _regions(boxes, weight)
            if pixels:
                ring = align(boxes + grow, block, width, height)
                rings += _regions(merge(ring), weight * _RING_WEIGHT)
        frames.append((*inner, *rings))
    return ClipRegions(width=width, height=height, frames=tuple(frames))


def region_step(frame_rate: Fraction) -> int:
    """Returns the distance of the frames on which objects are looked for to make regions."""
    return max(1, round(frame_rate / _FRAMES_PER_SECOND))


def tracks_of(regions: ClipRegions) -> tuple[Track, ...]:
    """Returns regions as tracks.

    Where they overlap, the heavier one counts. Weights are rounded up to quarters: with rings and
    the background these are seven QP offsets, and SVT-AV1 takes eight.
    """
    tracks: list[Track] = []
    for weight in (0.25, 0.5, 0.75, 1.0):
        of_weight = [
            [one for one in frame if math.ceil(one.weight * 4) / 4 == weight]
            for frame in regions.frames
        ]
        detections = [
            Detections(
                boxes=np.array(
                    [(one.x0, one.y0, one.x1, one.y1) for one in frame], dtype=np.float64
                ).reshape(-1, 4),
                scores=np.ones(len(frame)),
                class_names=("region",) * len(frame),
            )
            for frame in of_weight
        ]
        linked = link(range(len(detections)), detections, max_missed=0)
        tracks += [replace(track, weight=weight) for track in linked]
    return tuple(tracks)


def _grown(boxes: npt.NDArray[np.float64], margin: float) -> npt.NDArray[np.float64]:
    size = boxes[:, 2:] - boxes[:, :2]
    grown: npt.NDArray[np.float64] = boxes + margin * np.concatenate([-size, size], axis=1)
    return grown


def align(boxes: npt.NDArray[np.float64] | Boxes, block: int, width: int, height: int) -> Boxes:
    """Returns boxes grown to multiples of a block and cut to the frame; empty ones are dropped."""
    limits = np.array([width, height, width, height])
    inside = np.clip(boxes, 0, limits)
    inside = inside[(inside[:, :2] < inside[:, 2:]).all(axis=1)]
    low, high = np.floor(inside[:, :2] / block) * block, np.ceil(inside[:, 2:] / block) * block
    aligned: Boxes = np.minimum(np.concatenate([low, high], axis=1), limits).astype(np.int64)
    return aligned


def merge(boxes: Boxes) -> Boxes:
    """Returns fewer boxes: two become one wherever that covers no more than they did together."""
    rest = [tuple(int(value) for value in box) for box in np.unique(boxes, axis=0)]
    merged: list[tuple[int, ...]] = []
    while rest:
        box = rest.pop()
        for other in rest + merged:
            both = (*map(min, box[:2], other[:2]), *map(max, box[2:], other[2:]))
            if _area(both) <= _area(box) + _area(other) - _overlap(box, other):
                (rest if other in rest else merged).remove(other)
                rest.append(both)
                break
        else:
            merged.append(box)
    return np.array(sorted(merged), dtype=np.int64).reshape(-1, 4)


def _area(box: Sequence[int]) -> int:
    return max(0, box[2] - box[0]) * max(0, box[3] - box[1])


def _overlap(box: Sequence[int], other: Sequence[int]) -> int:
    return _area((*map(max, box[:2], other[:2]), *map(min, box[2:], other[2:])))


def _regions(boxes: Boxes, weight: float) -> list[Region]:
    return [
        Region(x0=int(x0), y0=int(y0), x1=int(x1), y1=int(y1), weight=weight)
        for x0, y0, x1, y1 in boxes
    ]

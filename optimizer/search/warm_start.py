"""What won on other clips like this one: where a new search sets out from."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ...codecs.address import clip_name
from ...codecs.planes import is_10_bit
from ...codecs.settings import EncodeSettings
from ...codecs.source import Source
from ...codecs.table import ENCODERS, OptionValue
from ..measuring.bench import Bench
from ..measuring.store import Json, Store

# Frames that the features are taken from, spread over the clip.
_NUM_FRAMES = 12
# What makes a difference in each feature: its standard deviation over fourteen clips of streets,
# rooms, faces and a phone, measured.
_SCALES = {
    "spatial_information": 26.0,
    "temporal_information": 5.6,
    "object_share": 0.28,
    "log2_objects": 1.0,
    "log2_pixels": 1.6,
}
# Beyond this distance a clip is another kind of clip.
_FARTHEST = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipFeatures:
    """What a clip is like.

    Attributes:
        spatial_information: Standard deviation of Sobel's gradient magnitude of the luma, in levels
            of 8 bits.
        temporal_information: Standard deviation of the difference of neighbouring frames.
        object_share: Share of the picture in boxes of objects, 0 to 1.
        log2_objects: Of 1 + objects a frame.
        log2_pixels: Of a frame.

    Source: ITU-T P.910 (07/22) section 7.7, but for means over frames in place of maxima: one
        scene cut would be all that a maximum of temporal information tells.
    """

    spatial_information: float
    temporal_information: float
    object_share: float
    log2_objects: float
    log2_pixels: float

    def distance(self, other: ClipFeatures) -> float:
        """Returns how unlike two clips are, in standard deviations."""
        return math.hypot(
            *(
                (getattr(self, name) - getattr(other, name)) / scale
                for name, scale in _SCALES.items()
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Winner:
    """Settings that were recommended for a clip.

    Attributes:
        options: Those that are not as the preset sets them.
    """

    clip: str
    features: ClipFeatures
    options: dict[str, OptionValue]


def clip_features(bench: Bench) -> ClipFeatures:
    """Returns what the clip of a bench is like."""
    source = bench.source
    spatial, temporal = [], []
    last = max(0, source.num_frames - 2)
    for index in sorted({round(at) for at in np.linspace(0, last, _NUM_FRAMES)}):
        luma = _luma(source, index)
        gradients = cv2.magnitude(
            cv2.Sobel(luma, cv2.CV_32F, 1, 0), cv2.Sobel(luma, cv2.CV_32F, 0, 1)
        )
        spatial.append(float(gradients[1:-1, 1:-1].std()))
        if source.num_frames > 1:
            temporal.append(float((_luma(source, index + 1) - luma).std()))
    num_pixels = source.width * source.height
    areas = [_area(one.objects.boxes) / num_pixels for one in bench.references]
    return ClipFeatures(
        spatial_information=float(np.mean(spatial)),
        temporal_information=float(np.mean(temporal)) if temporal else 0.0,
        object_share=min(1.0, float(np.mean(areas))),
        log2_objects=math.log2(1 + bench.num_objects / len(bench.references)),
        log2_pixels=math.log2(num_pixels),
    )


def _luma(source: Source, index: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    levels = 4.0 if is_10_bit(source) else 1.0
    luma = source.planes(index)[: source.height].astype(np.float32)
    return luma / np.float32(levels)


def _area(boxes: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    return float(((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).sum())


def remember_winner(
    store: Store, bench: Bench, features: ClipFeatures, settings: EncodeSettings
) -> None:
    """Keeps settings that were recommended for a clip, for searches on clips like it.

    Without regions, which are searched on top of the encoder's own options.
    """
    encoder = ENCODERS[settings.codec]
    options: dict[str, Json] = {
        name: value for name, value in settings.options if not encoder.option(name).is_ours
    }
    key: Json = {
        "kind": "winner",
        "source": bench.source.content_sha256,
        "machine": bench.machine.version,
        "codec": settings.codec,
        "preset": settings.preset,
        "options": options,
    }
    value: Json = {
        "clip": clip_name(bench.source.path),
        "features": dataclasses.asdict(features),
        "options": options,
    }
    store.put(key, value)


def similar_winners(
    store: Store,
    clips: Collection[str],
    features: ClipFeatures,
    settings: EncodeSettings,
    count: int,
) -> list[Winner]:
    """Returns what won on other clips with the same encoder and preset, most similar clips first.

    Args:
        clips: SHA-256 of the contents of those that are searched for. What won on them is left out,
            so that a run that is started again is the same run, unless a similar clip was tuned
            since.
        features: Of the clip that others are to be like.
        count: At most so many.
    """
    if not count:
        return []
    found: list[Winner] = []
    for key, value in store.of_kind("winner"):
        assert isinstance(key, dict)
        if (key["codec"], key["preset"]) != (settings.codec, settings.preset):
            continue
        if key["source"] in clips:
            continue
        winner = _from_json(value)
        if winner.options:  # else regions alone won there, and the defaults are tried in any case
            found.append(winner)
    near = [one for one in found if one.features.distance(features) <= _FARTHEST]
    return _different(sorted(near, key=lambda one: one.features.distance(features)))[:count]


def warm_start_notes(winners: Sequence[Winner]) -> list[str]:
    """Returns of which clips the winners are, in a sentence."""
    if not winners:
        return []
    names = ", ".join(f"'{one.clip}'" for one in winners)
    return [f"The search set out from what won on clips like this: {names}."]


def _different(winners: Sequence[Winner]) -> list[Winner]:
    """Returns winners without those whose options an earlier one has."""
    kept: list[Winner] = []
    for one in winners:
        if all(one.options != other.options for other in kept):
            kept.append(one)
    return kept


def _from_json(value: Json) -> Winner:
    assert isinstance(value, dict)
    clip, features, options = value["clip"], value["features"], value["options"]
    assert isinstance(clip, str)
    assert isinstance(features, dict)
    assert isinstance(options, dict)
    return Winner(
        clip=clip,
        features=ClipFeatures(**features),  # type: ignore[arg-type]  # written by remember_winner
        options=options,  # type: ignore[arg-type]  # likewise
    )

"""What a close look kept: quality frame by frame, some pictures, and where sight was lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Fate = Literal["kept", "lost", "made up"]
# At equal rate: the encoder's defaults spend what the tuned settings do.
Version = Literal["original", "defaults", "defaults at equal rate", "tuned"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """A box on one picture, and what became of the object.

    Attributes:
        box: x0 y0 x1 y1 in pixels of the picture, which may be a part of the frame.
        class_name: As the machine calls it; may be empty.
        fate: ``made up`` is a detection that the original has not.
    """

    box: tuple[float, float, float, float]
    class_name: str
    fate: Fate


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One version of a picture.

    Attributes:
        crf, rate_kbps: Of the whole encode; None for the original.
        quality: Task quality of the frame in [0, 1], None where it has no object.
        jpeg_base64: The picture itself; empty where only the numbers are told.
    """

    version: Version
    crf: float | None
    rate_kbps: float | None
    quality: float | None
    sights: tuple[Sight, ...]
    jpeg_base64: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One frame, or the part of it where something was lost, in every version.

    Attributes:
        frame: Index in the clip.
        choice: Why this frame, in words.
        width, height: Of the pictures, in pixels.
    """

    frame: int
    time_seconds: float
    choice: str
    width: int
    height: int
    views: tuple[View, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LossMap:
    """Where a learned metric loses sight on one version of a frame.

    Attributes:
        losses: Rows of values in [0, 1] that divide the picture evenly; 0 is nothing lost.
        jpeg_base64: The whole frame, made smaller; empty where only the numbers are told.
    """

    version: Version
    losses: tuple[tuple[float, ...], ...]
    jpeg_base64: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LossMaps:
    """The same frame of every version as a learned metric sees it."""

    metric: str
    frame: int
    time_seconds: float
    maps: tuple[LossMap, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """Quality of one version over time.

    Attributes:
        qualities: Of each frame looked at, by the machine of the search; None where there is no
            object.
    """

    version: Version
    crf: float
    rate_kbps: float
    qualities: tuple[float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseLook:
    """What the verification saw frame by frame.

    Attributes:
        frames: Indices in the clip of the frames looked at.
        times_seconds: When they are shown.
        num_objects: What there is to lose on each.
        moments: The frames on which each encode loses most, and one from the middle.
        loss_maps: None where there is nothing to show.
    """

    frames: tuple[int, ...]
    times_seconds: tuple[float, ...]
    num_objects: tuple[int, ...]
    tracks: tuple[Track, ...]
    moments: tuple[Moment, ...]
    loss_maps: LossMaps | None

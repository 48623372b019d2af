"""Two clips paired frame by frame: files, or pictures in memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ...codecs.address import shown_clip
from ...codecs.errors import ClipError
from ...codecs.limits import USUAL_LIMITS, ClipLimits
from ...codecs.pictures import Pictures
from ...codecs.planes import FrameFormat, Planes
from ...codecs.source import load_source
from ..errors import RequestError

# The rates of two containers that round differently are closer than this; 24 and 23.976 are not.
_RATE_TOLERANCE = 5e-4

Array = npt.NDArray[np.uint8]


class Footage(FrameFormat, Protocol):
    """Frames to compare."""

    @property
    def num_frames(self) -> int: ...

    @property
    def is_shortened(self) -> bool: ...

    def planes(self, index: int) -> Planes:
        """Returns Y, U and V of a frame, stacked."""

    def bgr(self, index: int) -> Array:
        """Returns a frame as (height, width, 3) BGR in [0, 255]."""


def open_pair(
    reference: Path | str | Array,
    distorted: Path | str | Array,
    cleanup: ExitStack,
    *,
    frame_rate: Fraction | None = None,
    max_seconds: float | None = None,
    limits: ClipLimits = USUAL_LIMITS,
) -> tuple[Footage, Footage, tuple[str, ...]]:
    """Returns both clips and, in words, what was changed on the way in.

    The distorted one is shown through the reference's colour matrix whatever its stream says, so
    that a machine sees compression only.

    Args:
        cleanup: Closes what is opened.
        frame_rate: Overrides that of both files; of arrays, 1 where None.
        max_seconds: Cuts both.
        limits: What each may cost.

    Raises:
        RequestError: One is a file and the other an array.
        ClipError: One cannot be read, or they have not the same size, frame rate and number of
            frames.
        ScratchError: There is no room for the decoded frames.
    """
    if isinstance(reference, np.ndarray) and isinstance(distorted, np.ndarray):
        arrays = [
            _in_memory(one, frame_rate or Fraction(1), max_seconds)
            for one in (reference, distorted)
        ]
        _check_pair(arrays[0], "reference", arrays[1], "distorted")
        return arrays[0], arrays[1], ()
    if not (isinstance(reference, str | Path) and isinstance(distorted, str | Path)):
        raise RequestError(
            "reference and distorted must both be paths, or both arrays of (frames, height, width, "
            f"3), got {type(reference).__name__} and {type(distorted).__name__}"
        )
    first = cleanup.enter_context(
        load_source(reference, max_seconds=max_seconds, frame_rate=frame_rate, limits=limits)
    )
    # By the same number of frames: their rates may differ by a rounding.
    max_frames = first.num_frames if first.is_shortened else None
    second = cleanup.enter_context(
        load_source(distorted, max_frames=max_frames, frame_rate=frame_rate, limits=limits)
    )
    both = (first, second)
    notes = [f"{Path(shown_clip(one.path)).name}: {note}" for one in both for note in one.notes]
    # The mean rate of uneven frames is what a container makes of it: 25 here and 24.9 there.
    is_told = first.is_shortened or not (first.is_uneven or second.is_uneven)
    names = (shown_clip(Path(reference)), shown_clip(Path(distorted)))
    _check_pair(first, names[0], second, names[1], is_rate_told=is_told)
    return first, replace(second, color_space=first.color_space), tuple(notes)


def _in_memory(array: Array, frame_rate: Fraction, max_seconds: float | None) -> Pictures:
    is_one_picture = array.ndim == 3 and array.shape[2] == 3
    pictures = Pictures(pictures=array[None] if is_one_picture else array, frame_rate=frame_rate)
    if max_seconds is None:
        return pictures
    num_frames = max(1, math.ceil(max_seconds * frame_rate))  # as load_source takes of a file
    return replace(
        pictures,
        pictures=pictures.pictures[:num_frames],
        is_shortened=pictures.num_frames >= num_frames,
    )


def _check_pair(
    reference: Footage,
    reference_name: str,
    distorted: Footage,
    distorted_name: str,
    *,
    is_rate_told: bool = True,
) -> None:
    """Refuses two clips whose frames are not each other's.

    Args:
        is_rate_told: Their frame rates say whether they are.
    """

    def differing(what: str, values: Sequence[object], remedy: str) -> ClipError:
        return ClipError(
            f"reference and distorted must have the same {what}, got {values[0]} "
            f"({reference_name}) and {values[1]} ({distorted_name}); {remedy}"
        )

    both = (reference, distorted)
    sizes = [f"{one.bgr(0).shape[1]}x{one.bgr(0).shape[0]}" for one in both]
    if sizes[0] != sizes[1]:
        scale = sizes[0].replace("x", ":")
        remedy = f"scale one first: ffmpeg -i IN -vf scale={scale} -c:v ffv1 OUT.mkv"
        raise differing("size", sizes, remedy)
    if is_rate_told and abs(reference.frame_rate / distorted.frame_rate - 1) > _RATE_TOLERANCE:
        rates = [f"{float(one.frame_rate):.6g}" for one in both]
        remedy = "if their frames are each other's, give the rate of both with --frame-rate"
        raise differing("frame rate", rates, remedy)
    if reference.num_frames != distorted.num_frames:
        remedy = "find those that are missing, or cut both with --max-seconds"
        raise differing("number of frames", [one.num_frames for one in both], remedy)

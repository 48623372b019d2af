"""Brings frames to another height for the encoder, and back to the clip's size for machines."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import av

from .errors import SettingsError
from .picture_filter import PictureFilter
from .planes import FrameFormat
from .settings import MIN_SIDE

# swscale's Lanczos of three lobes, both ways. With these flags the same samples come out of any
# processor, and were the same in FFmpeg 8.1 and 9.0 on every clip tried.
FLAGS = "lanczos+accurate_rnd+bitexact"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledFormat:
    """What the encoder sees of a clip at another height; fields as of FrameFormat."""

    width: int
    height: int
    frame_rate: Fraction
    pix_fmt: str
    color_space: int
    color_primaries: int
    color_transfer: int


class Scaler:
    """Brings the frames of one stream to one size; a thread needs its own."""

    def __init__(self, width: int, height: int) -> None:
        self._width, self._height = width, height
        self._filter = PictureFilter(("scale", f"{width}:{height}:flags={FLAGS}"))

    def scale(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Returns the frame at that size, in its own format; itself where it has the size."""
        if (frame.width, frame.height) == (self._width, self._height):
            return frame
        return self._filter.apply(frame)


def scaled_size(width: int, height: int, wanted_height: int) -> tuple[int, int]:
    """Returns width and height of a frame at another height: of the same shape, of even width.

    >>> scaled_size(1280, 720, 540)
    (960, 540)

    Raises:
        SettingsError: The height is above the clip's own, or leaves next to no width.
    """
    if wanted_height > height:
        raise SettingsError(
            f"height must be at most the clip's own, {height}, got {wanted_height}; take a lower "
            f"one or none"
        )
    wanted_width = round(Fraction(width * wanted_height, height) / 2) * 2
    if wanted_height < height and wanted_width < MIN_SIDE:
        raise SettingsError(
            f"height {wanted_height} makes {width}x{height} only {wanted_width} pixels wide, the "
            f"least is {MIN_SIDE}; take a larger one"
        )
    return wanted_width, wanted_height


def scaled_format(form: FrameFormat, height: int | None) -> FrameFormat:
    """Returns what the encoder sees of a clip; its own format where the height is None.

    Raises:
        SettingsError: As of ``scaled_size``.
    """
    if height is None:
        return form
    width, height = scaled_size(form.width, form.height, height)
    return ScaledFormat(
        width=width,
        height=height,
        frame_rate=form.frame_rate,
        pix_fmt=form.pix_fmt,
        color_space=form.color_space,
        color_primaries=form.color_primaries,
        color_transfer=form.color_transfer,
    )

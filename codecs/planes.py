"""The two picture formats that every encoder takes, as arrays: 4:2:0 of 8 or 10 bits."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Protocol

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import ColorRange

Planes = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


class FrameFormat(Protocol):
    """What an encoder must know before the first frame."""

    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def frame_rate(self) -> Fraction: ...
    @property
    def pix_fmt(self) -> str: ...
    @property
    def color_space(self) -> int: ...
    @property
    def color_primaries(self) -> int: ...
    @property
    def color_transfer(self) -> int: ...


def video_frame(planes: Planes, form: FrameFormat, index: int) -> av.VideoFrame:
    """Returns stacked planes as FFmpeg has them; the frame's time is its number in frames."""
    frame = av.VideoFrame.from_ndarray(planes, format=form.pix_fmt)
    frame.pts, frame.time_base = index, 1 / form.frame_rate
    return frame


def is_10_bit(form: FrameFormat) -> bool:
    """Returns whether samples have 10 bits; otherwise 8."""
    return form.pix_fmt == "yuv420p10le"


def stack(planes: Sequence[Planes]) -> Planes:
    """Returns Y, U and V of a 4:2:0 frame as one array: (height * 3 / 2, width)."""
    height, width = planes[0].shape
    return np.concatenate([one.ravel() for one in planes]).reshape(height * 3 // 2, width)


def frame_planes(frame: av.VideoFrame) -> Planes:
    """Returns Y, U and V of a 4:2:0 frame of FFmpeg's, stacked."""
    return stack([plane(frame, index) for index in range(3)])


def split(stacked: Planes) -> tuple[Planes, Planes, Planes]:
    """Returns views of Y, U and V."""
    height, width = stacked.shape[0] * 2 // 3, stacked.shape[1]
    u, v = stacked[height:].reshape(2, height // 2, width // 2)
    return stacked[:height], u, v


def is_deep(frame: av.VideoFrame) -> bool:
    """Returns whether a frame has more than 8 bits a sample."""
    return frame.format.components[0].bits > 8


def is_converted(frame: av.VideoFrame) -> bool:
    """Returns whether a frame must change its format to be limited-range 4:2:0."""
    pix_fmt = "yuv420p10le" if is_deep(frame) else "yuv420p"
    return frame.format.name != pix_fmt or is_full_range_yuv(frame)


def is_full_range_yuv(frame: av.VideoFrame) -> bool:
    """Returns whether black is 0 in a Y'CbCr frame."""
    name, is_tagged = frame.format.name, frame.color_range == ColorRange.JPEG
    return name.startswith("yuvj") or (is_tagged and not frame.format.is_rgb)


def plane(frame: av.VideoFrame, index: int) -> Planes:
    """Returns one plane of a 4:2:0 frame without the padding of its lines."""
    source = frame.planes[index]
    lines: Planes
    if is_deep(frame):
        lines = np.frombuffer(memoryview(source), np.uint16).reshape(-1, source.line_size // 2)
    else:
        lines = np.frombuffer(memoryview(source), np.uint8).reshape(-1, source.line_size)
    return lines[: source.height, : source.width]

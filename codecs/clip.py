"""What a clip is: size, exact frame rate, format, and the frames that really decode."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from .container import open_container, reason
from .errors import ClipError


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """Facts about one clip.

    Attributes:
        width, height: Pixels as shown, that is after the rotation flag.
        frame_rate: Average frame rate, exact.
        num_frames: Frames that decode.
        num_frames_from_header: Frames that the container promises; None where it does not say.
        rotation_degrees: Counter-clockwise rotation that the container asks for.
        is_variable_frame_rate: The frames are not evenly spaced in time.
        is_interlaced: Most frames are flagged as two fields.
        decode_error: Why decoding stopped early; None where it did not.
    """

    path: Path
    width: int
    height: int
    frame_rate: Fraction
    pix_fmt: str
    bit_depth: int
    color_range: str
    color_space: str
    num_frames: int
    num_frames_from_header: int | None
    duration_seconds: float
    rotation_degrees: int
    is_variable_frame_rate: bool
    is_interlaced: bool
    decode_error: str | None


# ITU-T H.273, tables for matrix coefficients and range; FFmpeg uses the same numbers.
_COLOR_SPACES = {
    0: "rgb",
    1: "bt709",
    2: "unspecified",
    5: "bt470bg",
    6: "smpte170m",
    9: "bt2020nc",
}
_COLOR_RANGES = {0: "unspecified", 1: "limited", 2: "full"}


def probe(path: Path | str, frame_rate: Fraction | None = None) -> Clip:
    """Returns the facts about a clip; decodes it once, from end to end.

    Args:
        path: A video file, a y4m, or a folder of numbered pictures.
        frame_rate: Overrides the clip's own; needed where it has none.

    Raises:
        ClipError: The clip cannot be opened, or no frame of it decodes.
    """
    path = Path(path)
    with open_container(path, frame_rate) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        first = None
        timestamps: list[int | None] = []
        num_interlaced = 0
        decode_error = None
        try:
            for frame in container.decode(stream):
                first = first or frame
                timestamps.append(frame.pts)
                num_interlaced += frame.interlaced_frame
        except av.FFmpegError as error:
            decode_error = reason(error)
        if first is None:
            raise ClipError(
                f"clip must hold at least one frame, none of {path} decodes"
                + (f": {decode_error}" if decode_error else "")
            )
        exact_rate = frame_rate or stream_frame_rate(container, stream, path)
        rotated = first.rotation % 180 != 0
        components = first.format.components
        return Clip(
            path=path,
            width=first.height if rotated else first.width,
            height=first.width if rotated else first.height,
            frame_rate=exact_rate,
            pix_fmt=first.format.name,
            bit_depth=components[0].bits,
            color_range=_COLOR_RANGES.get(int(first.color_range), "unspecified"),
            color_space=_COLOR_SPACES.get(int(first.colorspace), str(int(first.colorspace))),
            num_frames=len(timestamps),
            num_frames_from_header=stream.frames or None,
            duration_seconds=float(len(timestamps) / exact_rate),
            rotation_degrees=first.rotation % 360,
            is_variable_frame_rate=is_uneven(timestamps, stream.time_base, exact_rate),
            is_interlaced=num_interlaced * 2 > len(timestamps),
            decode_error=decode_error,
        )


def stream_frame_rate(container: InputContainer, stream: VideoStream, path: Path) -> Fraction:
    """Returns the average frame rate that the container states.

    Raises:
        ClipError: It states none.
    """
    rate = stream.average_rate or stream.guessed_rate
    if not rate:
        raise ClipError(f"clip must have a frame rate, {path} has none; give --frame-rate")
    return Fraction(rate)


def is_uneven(
    timestamps: list[int | None], time_base: Fraction | None, frame_rate: Fraction
) -> bool:
    """Returns whether frames are spaced unevenly by more than a container's rounding.

    Half a frame is far above the rounding of a millisecond time base at any usual rate, and below
    a dropped or doubled frame.
    """
    known = sorted(pts for pts in timestamps if pts is not None)
    if time_base is None or len(known) < 3:
        return False
    gaps = [(after - before) * time_base for before, after in zip(known, known[1:], strict=False)]
    return any(abs(gap - 1 / frame_rate) > Fraction(1, 2) / frame_rate for gap in gaps)

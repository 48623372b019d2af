"""What a clip is: size, exact frame rate, format, and the frames that really decode."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from .container import open_container, reason, stream_frame_rate, video_stream
from .errors import ClipError
from .frame_times import is_uneven
from .frames import decoded
from .limits import USUAL_LIMITS, ClipLimits
from .orientation import orientation


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
        decode_error: The first damaged frame, or why decoding stopped early; None where all is
            well.
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


def probe(
    path: Path | str, frame_rate: Fraction | None = None, limits: ClipLimits = USUAL_LIMITS
) -> Clip:
    """Returns the facts about a clip; decodes it once, from end to end.

    Args:
        path: A video file, a y4m, or a folder of numbered pictures.
        frame_rate: Overrides the clip's own; needed where it has none.
        limits: What the clip may cost.

    Raises:
        ClipError: The clip cannot be opened, exceeds a limit, or no frame of it decodes.
    """
    path = Path(path)
    with open_container(path, frame_rate, limits) as container:
        stream = video_stream(container, path)
        first = None
        timestamps: list[int | None] = []
        num_interlaced = 0
        decode_error = None
        try:
            for frame in decoded(container.demux(stream), path, limits):
                first = first or frame
                timestamps.append(frame.pts)
                num_interlaced += frame.interlaced_frame
                if frame.is_corrupt and decode_error is None:
                    decode_error = f"frame {len(timestamps) - 1} is damaged"
        except av.FFmpegError as error:
            decode_error = f"frame {len(timestamps)} does not decode: {reason(error)}"
        if first is None:
            raise ClipError(
                f"clip must hold at least one frame, none of {path} decodes"
                + (f": {decode_error}" if decode_error else "")
            )
        exact_rate = frame_rate or stream_frame_rate(stream, path)
        rotated = orientation(first, path).is_transposed
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

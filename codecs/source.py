"""A clip decoded once, for every encode of a run."""

from __future__ import annotations

import hashlib
import math
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from av.video.stream import VideoStream

from .clip import is_uneven, stream_frame_rate
from .container import open_container, reason
from .errors import ClipError, ScratchError

Planes = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

# A container that promises more frames than decode is truncated, but AVI and edit lists are off
# by a few frames in sound files (748 of 750 in one surveillance recording).
_MISSING_FRAMES_ALLOWED = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A run of consecutive frames of the clip."""

    start_frame: int
    num_frames: int


@dataclass(slots=True, kw_only=True)
class Source:
    """Decoded 4:2:0 frames in a scratch file that has no name and goes with the process.

    Attributes:
        pix_fmt: ``yuv420p`` or ``yuv420p10le``, limited range.
        frame_rate: Of the clip, exact; uneven time stamps are evened.
        content_sha256: Of format, frame rate and all frames: what the encoders see.
        decode_seconds: Time that decoding took.
        notes: What was changed on the way in, in words.
    """

    path: Path
    width: int
    height: int
    frame_rate: Fraction
    pix_fmt: str
    color_space: int
    color_primaries: int
    color_transfer: int
    num_frames: int
    content_sha256: str
    decode_seconds: float
    notes: tuple[str, ...]
    scratch: IO[bytes]

    @property
    def whole(self) -> tuple[Segment, ...]:
        """All frames, as one segment."""
        return (Segment(start_frame=0, num_frames=self.num_frames),)

    def planes(self, index: int) -> Planes:
        """Returns frame ``index`` as Y, U, V stacked: (height * 3 / 2, width), read-only.

        Each call maps one frame only, so that a long clip stays out of the resident memory.
        """
        if not 0 <= index < self.num_frames:
            raise IndexError(f"frame must be in [0, {self.num_frames - 1}], got {index}")
        shape = (self.height * 3 // 2, self.width)
        dtype = sample_type(self.pix_fmt)
        offset = index * shape[0] * shape[1] * np.dtype(dtype).itemsize
        return np.memmap(self.scratch, dtype=dtype, mode="r", offset=offset, shape=shape)

    def bgr(self, index: int) -> npt.NDArray[np.uint8]:
        """Returns frame ``index`` as (height, width, 3) BGR in [0, 255]."""
        frame = av.VideoFrame.from_ndarray(np.asarray(self.planes(index)), format=self.pix_fmt)
        return to_bgr(frame, self.color_space)

    def close(self) -> None:
        """Gives the scratch space back."""
        self.scratch.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def sample_type(pix_fmt: str) -> type[np.uint8] | type[np.uint16]:
    """Returns the array type of a sample of the two formats that a source can have."""
    return np.uint16 if pix_fmt == "yuv420p10le" else np.uint8


def to_bgr(frame: av.VideoFrame, color_space: int) -> npt.NDArray[np.uint8]:
    """Returns a limited-range 4:2:0 frame as (height, width, 3) BGR in [0, 255].

    Original and encode go through the same matrix whatever their stream says, so that a machine
    sees compression only.
    """
    converted = VideoReformatter().reformat(
        frame,
        format="bgr24",
        src_colorspace=_MATRICES.get(color_space, Colorspace.ITU601),
        src_color_range=ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
    )
    picture: npt.NDArray[np.uint8] = converted.to_ndarray()
    return picture


# ITU-T H.273 matrix coefficients; whatever else is shown with BT.601, swscale's own default.
_MATRICES = {1: Colorspace.ITU709, 9: Colorspace.BT2020}


def load_source(
    path: Path | str, *, max_seconds: float | None = None, frame_rate: Fraction | None = None
) -> Source:
    """Decodes a clip into a scratch file.

    Full range and other chroma formats become limited-range 4:2:0, the rotation flag is applied,
    and an odd last row or column is cut off, because x264 and x265 refuse it.

    Args:
        path: A video file, a y4m, or a folder of numbered pictures.
        max_seconds: Cuts the clip; what comes later is not looked at.
        frame_rate: Overrides the clip's own.

    Raises:
        ClipError: The clip is unreadable, truncated, interlaced, or changes its size.
        ScratchError: There is no room for the decoded frames.
    """
    path = Path(path)
    if max_seconds is not None and not max_seconds > 0:
        raise ClipError(f"max_seconds must be above 0, got {max_seconds:g}")
    started = time.perf_counter()
    with ExitStack() as cleanup, open_container(path, frame_rate) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        rate = frame_rate or stream_frame_rate(container, stream, path)
        max_frames = None if max_seconds is None else max(1, math.ceil(max_seconds * rate))
        scratch = cleanup.enter_context(tempfile.TemporaryFile(prefix="ratesight-"))
        digest = hashlib.sha256()
        first: av.VideoFrame | None = None
        normal: av.VideoFrame | None = None
        timestamps: list[int | None] = []
        num_interlaced = 0
        for frame in _decode(container, stream, path):
            if first is None:
                first = frame
                _check_room(frame, stream.frames if max_frames is None else max_frames, path)
            elif (frame.width, frame.height) != (first.width, first.height):
                raise ClipError(
                    f"clip must keep one size, {path} changes from {first.width}x{first.height} "
                    f"to {frame.width}x{frame.height} at frame {len(timestamps)}"
                )
            num_interlaced += frame.interlaced_frame
            timestamps.append(frame.pts)
            normal, planes = _normalise(frame)
            data = planes.tobytes()
            digest.update(data)
            try:
                scratch.write(data)
            except OSError as error:
                raise ScratchError(
                    f"disk full: {tempfile.gettempdir()} has no room for the decoded frames of "
                    f"{path}; set TMPDIR to a larger disk or give --max-seconds"
                ) from error
            if len(timestamps) == max_frames:
                break
        if first is None or normal is None:
            raise ClipError(f"clip must hold at least one frame, none of {path} decodes")
        _check_complete(path, len(timestamps), max_frames, stream.frames, rate)
        if num_interlaced * 2 > len(timestamps):
            raise ClipError(
                f"clip must be progressive, {path} is interlaced; "
                f"deinterlace it first: ffmpeg -i IN -vf bwdif -c:v ffv1 OUT.mkv"
            )
        scratch.flush()
        height, width = planes.shape[0] * 2 // 3, planes.shape[1]
        pix_fmt = normal.format.name
        digest.update(f"{width}x{height} {pix_fmt} {rate}".encode())
        cleanup.pop_all()
        return Source(
            path=path,
            width=width,
            height=height,
            frame_rate=rate,
            pix_fmt=pix_fmt,
            color_space=int(first.colorspace),
            color_primaries=int(first.color_primaries),
            color_transfer=int(first.color_trc),
            num_frames=len(timestamps),
            content_sha256=digest.hexdigest(),
            decode_seconds=time.perf_counter() - started,
            notes=tuple(_notes(first, width, height, timestamps, stream.time_base, rate)),
            scratch=scratch,
        )


def _decode(container: InputContainer, stream: VideoStream, path: Path) -> Iterator[av.VideoFrame]:
    """Yields the frames of a stream; a frame that is damaged is an error, not a grey picture."""
    count = 0
    try:
        for frame in container.decode(stream):
            if frame.is_corrupt:
                raise ClipError(
                    f"frame {count} of {path} is damaged; repair the file or cut it before that "
                    f"frame with --max-seconds"
                )
            yield frame
            count += 1
    except av.FFmpegError as error:
        raise ClipError(
            f"frame {count} of {path} does not decode: {reason(error)}; repair the file or cut it "
            f"before that frame with --max-seconds"
        ) from error


def _normalise(frame: av.VideoFrame) -> tuple[av.VideoFrame, Planes]:
    """Returns a frame as limited-range 4:2:0 and its upright planes of even size."""
    is_deep = frame.format.components[0].bits > 8
    pix_fmt = "yuv420p10le" if is_deep else "yuv420p"
    is_full_range = frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj")
    if frame.format.name != pix_fmt or is_full_range:
        is_rgb = frame.format.is_rgb
        frame = VideoReformatter().reformat(
            frame,
            format=pix_fmt,
            src_color_range=ColorRange.JPEG if is_full_range or is_rgb else ColorRange.MPEG,
            dst_color_range=ColorRange.MPEG,
        )
    sides = [_plane(frame, index, is_deep) for index in range(3)]
    turns = frame.rotation // 90 % 4
    sides = [np.rot90(side, turns) for side in sides]
    height, width = (length // 2 * 2 for length in sides[0].shape)
    luma = sides[0][:height, :width]
    chroma = [side[: height // 2, : width // 2].ravel() for side in sides[1:]]
    stacked = np.concatenate([luma.ravel(), *chroma])
    return frame, stacked.reshape(height * 3 // 2, width)


def _plane(frame: av.VideoFrame, index: int, is_deep: bool) -> Planes:
    """Returns one plane of a frame without the padding of its lines."""
    plane = frame.planes[index]
    dtype = np.dtype(np.uint16 if is_deep else np.uint8)
    lines = np.frombuffer(plane, dtype).reshape(-1, plane.line_size // dtype.itemsize)
    return lines[: plane.height, : plane.width]


def _check_room(frame: av.VideoFrame, num_frames: int, path: Path) -> None:
    """Refuses a clip that cannot fit before it fills the disk."""
    sample_bytes = 2 if frame.format.components[0].bits > 8 else 1
    needed = frame.width * frame.height * 3 // 2 * sample_bytes * num_frames
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if needed > free:
        raise ScratchError(
            f"the decoded frames of {path} need {needed / 1e9:.1f} GB, {tempfile.gettempdir()} has "
            f"{free / 1e9:.1f} GB free; set TMPDIR to a larger disk or give --max-seconds"
        )


def _check_complete(
    path: Path, num_frames: int, max_frames: int | None, num_promised: int, rate: Fraction
) -> None:
    """Refuses a clip that ends before its header says, unless the cut lies before that."""
    if num_frames == max_frames or not num_promised:
        return
    expected = min(num_promised, max_frames or num_promised)
    if num_frames < expected * (1 - _MISSING_FRAMES_ALLOWED):
        raise ClipError(
            f"{path} is truncated: its header promises {num_promised} frames, {num_frames} decode; "
            f"use --max-seconds {float(num_frames / rate):.2f} to take what is there"
        )


def _notes(
    first: av.VideoFrame,
    width: int,
    height: int,
    timestamps: list[int | None],
    time_base: Fraction | None,
    rate: Fraction,
) -> Iterator[str]:
    """Yields what was changed on the way in."""
    if first.rotation:
        yield f"turned by {first.rotation % 360} degrees as its rotation flag asks"
    if first.format.name not in ("yuv420p", "yuv420p10le"):
        yield f"converted from {first.format.name} to limited-range 4:2:0"
    if {width % 2, height % 2, first.width % 2, first.height % 2} != {0}:
        yield f"cut to even size {width}x{height}"
    if is_uneven(timestamps, time_base, rate):
        yield f"uneven frame times; frames are paired by index at {float(rate):g} fps"

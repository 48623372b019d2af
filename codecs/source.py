"""A clip decoded once, for every encode of a run."""

from __future__ import annotations

import math
import shutil
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from .container import open_container
from .errors import ClipError, ScratchError
from .frames import FrameReader
from .limits import USUAL_LIMITS, ClipLimits
from .orientation import Orientation
from .planes import Planes, is_10_bit, video_frame


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
        given_frame_rate: The rate that was asked for in place of the clip's own.
        is_uneven: The clip's frames are not evenly spaced in time.
        is_full_range: The clip is Y'CbCr of full range.
        is_converted: The clip is not limited-range 4:2:0.
        orientation: How the clip's frames were stood upright.
        is_cut: An odd last row or column was cut off.
        is_shortened: It was cut as asked; a clip of just that length counts as well.
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
    given_frame_rate: Fraction | None
    is_uneven: bool
    is_full_range: bool
    is_converted: bool
    orientation: Orientation
    is_cut: bool
    is_shortened: bool
    decode_seconds: float
    notes: tuple[str, ...]
    scratch: FileIO

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Widths and heights that the clip may be said to have: its own, and before it was cut."""
        sizes = [(self.width, self.height)]
        if self.is_cut:
            sizes += [(self.width + x, self.height + y) for x, y in ((1, 0), (0, 1), (1, 1))]
        return sizes

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
        dtype = np.uint16 if is_10_bit(self) else np.uint8
        offset = index * shape[0] * shape[1] * np.dtype(dtype).itemsize
        planes: Planes = np.memmap(self.scratch, dtype, mode="r", offset=offset, shape=shape)
        return planes

    def frame(self, index: int) -> av.VideoFrame:
        """Returns frame ``index`` as FFmpeg has it, its time its number in frames."""
        return video_frame(self.planes(index), self, index)

    def bgr(self, index: int) -> npt.NDArray[np.uint8]:
        """Returns frame ``index`` as (height, width, 3) BGR in [0, 255]."""
        return to_bgr(self.frame(index), self.color_space)

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


def to_bgr(
    frame: av.VideoFrame, color_space: int, reformatter: VideoReformatter | None = None
) -> npt.NDArray[np.uint8]:
    """Returns a limited-range 4:2:0 frame as (height, width, 3) BGR in [0, 255].

    Original and encode go through the same matrix whatever their stream says, so that a machine
    sees compression only.

    Args:
        frame: A decoded frame.
        color_space: ITU-T H.273 number of the source.
        reformatter: Used again from frame to frame it saves more than half of the time; a thread
            needs its own.
    """
    converted = (reformatter or VideoReformatter()).reformat(
        frame,
        format="bgr24",
        src_colorspace=_MATRICES.get(color_space, Colorspace.ITU601),
        src_color_range=ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
    )
    return converted.to_ndarray().astype(np.uint8, copy=False)


# ITU-T H.273 matrix coefficients; whatever else is shown with BT.601, swscale's own default.
_MATRICES = {1: Colorspace.ITU709, 9: Colorspace.BT2020}


def load_source(
    path: Path | str,
    *,
    max_seconds: float | None = None,
    max_frames: int | None = None,
    frame_rate: Fraction | None = None,
    limits: ClipLimits = USUAL_LIMITS,
    stop: threading.Event | None = None,
) -> Source:
    """Decodes a clip into a scratch file.

    Full range and other chroma formats become limited-range 4:2:0, the rotation flag is applied,
    and an odd last row or column is cut off, because x264 and x265 refuse it.

    Args:
        path: A video file, a y4m, or a folder of numbered pictures.
        max_seconds: Cuts the clip; what comes later is not looked at.
        max_frames: The same by their number; ``max_seconds`` goes first.
        frame_rate: Overrides the clip's own.
        limits: What the clip may cost.
        stop: Ends the decoding from another thread, once it is set.

    Raises:
        ClipError: The clip is unreadable, truncated, interlaced, changes its size, or exceeds a
            limit; or decoding was stopped.
        ScratchError: There is no room for the decoded frames.
    """
    path = Path(path)
    if max_seconds is not None and not 0 < max_seconds < math.inf:
        raise ClipError(f"max_seconds must be above 0 and finite, got {max_seconds:g}")
    started = time.perf_counter()
    with ExitStack() as cleanup, open_container(path, frame_rate, limits) as container:
        reader = FrameReader(
            container, path, frame_rate=frame_rate, max_frames=max_frames, limits=limits
        )
        if max_seconds is not None:
            reader.max_frames = max(1, math.ceil(max_seconds * reader.frame_rate))
        scratch = cleanup.enter_context(_new_scratch())
        for planes in reader:
            if stop is not None and stop.is_set():
                raise ClipError(f"decoding of {path} was stopped")
            if len(reader.timestamps) == 1:
                num_bytes = planes.nbytes * (reader.num_expected or 1)
                _check_room(num_bytes, path)
                limits.check_scratch(num_bytes, path)
            limits.check_scratch(planes.nbytes * len(reader.timestamps), path)
            _write(scratch, planes.data, path)
        cleanup.pop_all()
        num_frames = len(reader.timestamps)
        is_shortened = num_frames == reader.max_frames
        return Source(
            path=path,
            width=reader.width,
            height=reader.height,
            frame_rate=reader.frame_rate,
            pix_fmt=reader.pix_fmt,
            color_space=reader.color_space,
            color_primaries=reader.color_primaries,
            color_transfer=reader.color_transfer,
            num_frames=num_frames,
            content_sha256=reader.content_sha256,
            given_frame_rate=frame_rate,
            is_uneven=reader.is_uneven,
            is_full_range=reader.is_full_range,
            is_converted=reader.is_converted,
            orientation=reader.orientation,
            is_cut=reader.is_cut,
            is_shortened=is_shortened,
            decode_seconds=time.perf_counter() - started,
            notes=(
                *reader.notes(),
                *([f"cut to its first {num_frames} frames, as asked"] if is_shortened else ()),
            ),
            scratch=scratch,
        )


def _new_scratch() -> FileIO:
    """Returns an empty file without a name, and without a buffer that could fail on closing."""
    try:
        return tempfile.TemporaryFile(prefix="ratesight-", buffering=0)
    except OSError as error:
        raise ScratchError(
            f"no file for the decoded frames: {error}; set TMPDIR to a folder that can be written"
        ) from error


def _write(scratch: FileIO, data: memoryview, path: Path) -> None:
    """Writes all of the data, where a full disk takes a part of it first."""
    rest = data.cast("B")
    try:
        while rest:
            rest = rest[scratch.write(rest) :]
    except OSError as error:
        raise ScratchError(
            f"disk full: {tempfile.gettempdir()} has no room for the decoded frames of {path}; "
            f"set TMPDIR to a larger disk or give --max-seconds"
        ) from error


def _check_room(needed_bytes: int, path: Path) -> None:
    """Refuses a clip that cannot fit before it fills the disk."""
    free_bytes = shutil.disk_usage(tempfile.gettempdir()).free
    if needed_bytes > free_bytes:
        raise ScratchError(
            f"the decoded frames of {path} need {needed_bytes / 1e6:,.0f} MB, "
            f"{tempfile.gettempdir()} has {free_bytes / 1e6:,.0f} MB free; set TMPDIR to a larger "
            f"disk or give --max-seconds"
        )

"""Decodes a clip frame by frame into the planes that every encoder takes."""

from __future__ import annotations

import hashlib
import math
import re
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.sidedata.sidedata import Type as SideDataType
from av.video.stream import VideoStream

from .container import VideoPacket, reason, stream_frame_rate, video_stream
from .errors import ClipError
from .frame_times import is_uneven, rate_otherwise_shown
from .limits import USUAL_LIMITS, ClipLimits
from .orientation import Orientation, orientation
from .picture_filter import PictureFilter
from .planes import Planes, is_converted, is_deep, is_full_range_yuv, plane, stack

# A container that promises more frames than decode is truncated, but AVI and edit lists are off
# by a few frames in sound files (748 of 750 in one surveillance recording).
_MISSING_FRAMES_ALLOWED = 0.02
_MISSING_FRAMES_ALWAYS_ALLOWED = 2

# Matroska has no frame count; its muxers tag each stream with when its last frame ends.
_TAGGED_DURATION = re.compile(r"(\d+):(\d+):(\d+(?:\.\d+)?)")

# What a frame may say besides its picture that nothing here passes on.
_LEFT_OUT = {
    SideDataType.MASTERING_DISPLAY_METADATA: "HDR10 levels",
    SideDataType.CONTENT_LIGHT_LEVEL: "HDR10 levels",
    SideDataType.DYNAMIC_HDR_PLUS: "HDR10+",
    SideDataType.DOVI_METADATA: "Dolby Vision",
    SideDataType.A53_CC: "closed captions",
}

# So many frames that are all interlaced spare decoding the rest.
_SURELY_INTERLACED = 100


# What is RGB becomes Y'CbCr with BT.601's matrix, so that is what the encode is tagged with (SMPTE
# 170M in ITU-T H.273, table 4), grey PNGs too, which FFmpeg tags as RGB. That tag fits 4:4:4 only:
# SVT-AV1 refuses it, x264 and x265 write a stream that players show in false colours.
_RGB_MATRIX, MATRIX_OF_CONVERTED_RGB = 0, 6


class FrameReader:
    """Decodes the frames of a clip in order, upright, of even size, as limited-range 4:2:0.

    The attributes hold from the first frame on; ``timestamps`` grows with every frame.

    Attributes:
        frame_rate: Of the clip, or the one given.
        width, height: After turning and cutting.
        pix_fmt: ``yuv420p`` or ``yuv420p10le``.
        color_space, color_primaries, color_transfer: ITU-T H.273 numbers.
        orientation: How frames are stood upright.
        timestamps: Of each frame so far, in ``time_base`` units; None where the clip has none.
    """

    def __init__(
        self,
        container: InputContainer,
        path: Path,
        *,
        frame_rate: Fraction | None = None,
        max_frames: int | None = None,
        limits: ClipLimits = USUAL_LIMITS,
    ) -> None:
        self.path = path
        self.limits = limits
        self.stream: VideoStream = video_stream(container, path)
        self.frame_rate = frame_rate or stream_frame_rate(self.stream, path)
        self.given_frame_rate = frame_rate
        self.max_frames = max_frames
        self.timestamps: list[int | None] = []
        self.width = self.height = 0
        self.pix_fmt = ""
        self.color_space = self.color_primaries = self.color_transfer = 0
        self.orientation = Orientation()
        self._digest = hashlib.sha256()
        self._container = container
        self._converter: PictureFilter | None = None
        self._first: av.VideoFrame | None = None
        # Packets that hold no frame to be shown, and when the last one ends.
        self._num_hidden, self._end = 0, 0

    @property
    def time_base(self) -> Fraction | None:
        """Unit of the timestamps."""
        return self.stream.time_base

    def __iter__(self) -> Iterator[Planes]:
        """Yields Y, U and V of each frame stacked: (height * 3 / 2, width), in new memory.

        Raises:
            ClipError: The clip is unreadable, truncated, interlaced, or changes its size.
        """
        num_interlaced = 0
        for frame in self._decode():
            self._check_size(frame)
            num_interlaced += frame.interlaced_frame
            self.timestamps.append(frame.pts)
            planes = self._normalise(frame)
            self._digest.update(planes.data)
            yield planes
            if len(self.timestamps) == self.max_frames:
                break
            if num_interlaced == len(self.timestamps) == _SURELY_INTERLACED:
                break
        if self._first is None:
            raise ClipError(f"clip must hold at least one frame, none of {self.path} decodes")
        if num_interlaced * 2 > len(self.timestamps):
            raise ClipError(
                f"clip must be progressive, {self.path} is interlaced; "
                f"deinterlace it first: ffmpeg -i IN -vf bwdif -c:v ffv1 OUT.mkv"
            )
        self._check_complete()

    @property
    def content_sha256(self) -> str:
        """Of format, frame rate and all frames read: what an encoder sees."""
        digest = self._digest.copy()
        # Equal samples are other pictures with other colours.
        colour = f"{self.color_space} {self.color_primaries} {self.color_transfer}"
        form = f"{self.width}x{self.height} {self.pix_fmt} {self.frame_rate} {colour}"
        digest.update(form.encode())
        return digest.hexdigest()

    @property
    def sample_aspect_ratio(self) -> Fraction | None:
        """Width over height of an upright pixel; None where the clip does not say."""
        ratio = self.stream.sample_aspect_ratio
        return 1 / ratio if ratio and self.orientation.is_transposed else ratio or None

    @property
    def num_expected(self) -> int | None:
        """About how many frames the container's header promises; None where it does not say."""
        num_promised = self.stream.frames
        if not num_promised and self._tagged_duration_seconds is not None:
            num_promised = int(self._tagged_duration_seconds * self._own_frame_rate)
        if not num_promised:
            return None
        return min(num_promised, self.max_frames or num_promised)

    @property
    def _own_frame_rate(self) -> Fraction:
        """What the container states, whatever was given in its place."""
        try:
            return stream_frame_rate(self.stream, self.path)
        except ClipError:
            return self.frame_rate

    @property
    def _tagged_duration_seconds(self) -> Fraction | None:
        found = _TAGGED_DURATION.fullmatch(self.stream.metadata.get("DURATION", ""))
        if found is None:
            return None
        hours, minutes, seconds = (Fraction(part) for part in found.groups())
        return hours * 3600 + minutes * 60 + seconds

    @property
    def is_uneven(self) -> bool:
        """Whether the frames so far are not evenly spaced in time."""
        return is_uneven(self.timestamps, self.time_base, self.frame_rate)

    @property
    def is_full_range(self) -> bool:
        """Whether the clip is Y'CbCr of full range."""
        return self._first is not None and is_full_range_yuv(self._first)

    @property
    def is_converted(self) -> bool:
        """Whether the clip is not limited-range 4:2:0."""
        return self._first is not None and is_converted(self._first)

    @property
    def side_data_left_out(self) -> list[str]:
        """What the first frame says besides its picture that is not passed on, in words."""
        if self._first is None:
            return []
        try:
            known = self._first.side_data
            found = [
                name
                for kind, name in _LEFT_OUT.items()
                if known.get(kind) is not None  # type: ignore[call-overload]
            ]
        except ValueError:  # there is something else that PyAV does not know, such as Exif
            return []
        return list(dict.fromkeys(found))

    @property
    def is_cut(self) -> bool:
        """Whether an odd last row or column is cut off."""
        return self._first is not None and bool(self._first.width % 2 or self._first.height % 2)

    def notes(self) -> Iterator[str]:
        """Yields what was changed on the way in, in words."""
        first = self._first
        if first is None:
            return
        if self.orientation != Orientation():
            yield "stood upright as its rotation flag asks"
        if is_converted(first):
            yield f"converted from {first.format.name} to limited-range 4:2:0"
        if self.is_cut:
            yield f"cut to even size {self.width}x{self.height}"
        if self.is_uneven:
            yield self._uneven_note()

    def _uneven_note(self) -> str:
        rate = f"{float(self.frame_rate):.6g} fps"
        if self.given_frame_rate is not None:
            return f"frame rate given: {rate}; the clip's own times are not used"
        shown = rate_otherwise_shown(self.timestamps, self.time_base, self.frame_rate)
        if shown is None:
            return f"uneven frame times; frames are paired by index at {rate}"
        return (
            f"frames are shown at {shown:.4g} fps, the clip states {rate}: encoded, and rates "
            f"told, at that; if it is wrong, --frame-rate {shown:.4g}"
        )

    def _decode(self) -> Iterator[av.VideoFrame]:
        """Yields decoded frames; one that is damaged is an error, not a grey picture."""
        try:
            packets = self._noted(self._container.demux(self.stream))
            for frame in decoded(packets, self.path, self.limits):
                if frame.is_corrupt:
                    raise ClipError(
                        f"frame {len(self.timestamps)} of {self.path} is damaged; {self._remedy()}"
                    )
                yield frame
        except av.FFmpegError as error:
            raise ClipError(
                f"frame {len(self.timestamps)} of {self.path} does not decode: {reason(error)}; "
                f"{self._remedy()}"
            ) from error

    def _noted(self, packets: Iterator[VideoPacket]) -> Iterator[VideoPacket]:
        """Yields packets, with a note of those that a header counts and nobody sees.

        An edit list hides what a cut without re-encoding has to keep; AVI fills gaps with nothing.
        """
        for packet in packets:
            self._num_hidden += packet.is_discard or not packet.size
            if packet.pts is not None and packet.duration:
                self._end = max(self._end, packet.pts + packet.duration)
            yield packet

    def _check_size(self, frame: av.VideoFrame) -> None:
        """Takes the format from the first frame and refuses another size."""
        if self._first is None:
            self._first = frame
            self.orientation = orientation(frame, self.path)
            sides = (frame.width // 2 * 2, frame.height // 2 * 2)
            self.width, self.height = sides[::-1] if self.orientation.is_transposed else sides
            if not (self.width and self.height):
                raise ClipError(
                    f"clip must be at least 2x2 pixels, {self.path} is {frame.width}x{frame.height}"
                )
            self.pix_fmt = "yuv420p10le" if is_deep(frame) else "yuv420p"
            matrix = int(frame.colorspace)
            is_rgb = frame.format.is_rgb or frame.format.has_palette or matrix == _RGB_MATRIX
            self.color_space = MATRIX_OF_CONVERTED_RGB if is_rgb else matrix
            self.color_primaries = int(frame.color_primaries)
            self.color_transfer = int(frame.color_trc)
            return
        if (frame.width, frame.height) != (self._first.width, self._first.height):
            raise ClipError(
                f"clip must keep one size, {self.path} changes from "
                f"{self._first.width}x{self._first.height} to {frame.width}x{frame.height} "
                f"at frame {len(self.timestamps)}"
            )
        if orientation(frame, self.path) != self.orientation:
            raise ClipError(
                f"clip must keep one rotation flag, that of {self.path} changes at frame "
                f"{len(self.timestamps)}; turn the pictures themselves and drop the flag"
            )

    def _normalise(self, frame: av.VideoFrame) -> Planes:
        if is_converted(frame) or frame.format.name != self.pix_fmt:
            # As the ffmpeg command does, to the bit.
            self._converter = self._converter or PictureFilter(
                ("scale", "out_range=tv:flags=bicubic"), ("format", self.pix_fmt)
            )
            frame = self._converter.apply(frame)
        # Cut before turning, else the chroma of an odd-sized turned picture is half a pixel off.
        height, width = frame.height // 2 * 2, frame.width // 2 * 2
        turn = self.orientation.apply
        luma = turn(plane(frame, 0)[:height, :width])
        chroma = [turn(plane(frame, index)[: height // 2, : width // 2]) for index in (1, 2)]
        return stack([luma, *chroma])

    def _check_complete(self) -> None:
        """Refuses a clip that ends before its header says, unless the cut lies before that."""
        num_frames, num_promised = len(self.timestamps), self.stream.frames
        if num_frames == self.max_frames:
            return
        duration_seconds, last = self._tagged_duration_seconds, self.timestamps[-1]
        if num_promised:
            promised = f"{num_promised} frames"
            num_missing: Fraction | int = num_promised - self._num_hidden - num_frames
        elif duration_seconds is not None and last is not None and self.time_base is not None:
            own_rate = self._own_frame_rate
            promised = f"{float(duration_seconds):.2f} s"
            end = max(Fraction(self._end), last + 1 / (own_rate * self.time_base))
            num_missing = (duration_seconds - end * self.time_base) * own_rate
        else:
            return
        if num_missing > max(_MISSING_FRAMES_ALLOWED * num_frames, _MISSING_FRAMES_ALWAYS_ALLOWED):
            raise ClipError(
                f"{self.path} is truncated: its header promises {promised}, {num_frames} frames "
                f"decode; {self._remedy()}"
            )

    def _remedy(self) -> str:
        """Returns what a user can do about a clip that is good up to here."""
        seconds = math.floor(len(self.timestamps) / self.frame_rate * 100) / 100
        if seconds <= 0:
            return "repair the file"
        return f"repair the file, or use --max-seconds {seconds:.2f} to take what is good"


def decoded(
    packets: Iterator[VideoPacket], path: Path, limits: ClipLimits
) -> Iterator[av.VideoFrame]:
    """Yields the frames of a stream's packets as they decode, within the limits.

    Raises:
        ClipError: A limit is exceeded.
        av.FFmpegError: A frame does not decode.
    """
    num_frames, seconds = 0, 0.0
    is_open = True
    while is_open:
        started = time.monotonic()
        packet = next(packets, None)
        frames = [] if packet is None else packet.decode()
        is_open = packet is not None
        seconds += time.monotonic() - started
        limits.check_decode_seconds(seconds, path)
        for frame in frames:
            num_frames += 1
            limits.check_frames(num_frames, path)
            limits.check_pixels(frame.width, frame.height, path)
            yield frame

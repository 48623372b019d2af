"""Opens what a user calls a clip: a video file, a y4m, or a folder of numbered pictures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from .errors import ClipError

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
DEFAULT_PICTURE_RATE = Fraction(25)

# A decoder's threads must not log: PyAV's log callback waits for the interpreter lock, which the
# thread that frees the decoder holds while it waits for them. The offset lifts every line above
# the level at which PyAV looks at it.
_QUIET_DECODER = {"log_level_offset": "100"}


_NO_TIMESTAMPS = 0x80  # AVFMT_NOTIMESTAMPS in libavformat/avformat.h; PyAV's own name has no type


@contextmanager
def open_container(path: Path, frame_rate: Fraction | None = None) -> Iterator[InputContainer]:
    """Opens a clip for reading and checks that it has a video stream.

    Args:
        path: A file that FFmpeg reads, or a folder of pictures named with running numbers.
        frame_rate: Of a folder of pictures; 25 where None.

    Raises:
        ClipError: The path is missing, empty, unreadable, or has no video in it.
    """
    if not path.exists():
        raise ClipError(f"clip must be a file or a folder of pictures, {path} does not exist")
    # Only local files: a playlist must not make us read another host.
    options = {"protocol_whitelist": "file"}
    # A relative name with a colon in it, such as a time, would be taken for a protocol.
    file, demuxer = str(path.absolute()), None
    if path.is_dir():
        name, start_number = picture_pattern(path)
        file = f"{file.replace('%', '%%')}/{name}"
        demuxer = "image2"
        options["start_number"] = str(start_number)
        options["framerate"] = str(frame_rate or DEFAULT_PICTURE_RATE)
    elif path.stat().st_size == 0:
        raise ClipError(f"clip must hold at least one frame, {path} is an empty file")
    try:
        container = av.open(file, format=demuxer, options=options)
    except (av.FFmpegError, OSError) as error:
        raise ClipError(
            f"clip must be a video that FFmpeg reads, {path} is not: {reason(error)}"
        ) from error
    with container:
        stream = video_stream(container, path)
        stream.codec_context.options = dict(_QUIET_DECODER)
        # Frame threads hand a frame out before they know whether it is damaged.
        stream.thread_type = "SLICE"
        yield container


def video_stream(container: InputContainer, path: Path) -> VideoStream:
    """Returns the first video stream that is not a cover picture.

    Raises:
        ClipError: There is none, or no decoder for it.
    """
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            if stream.codec_context is None:
                raise ClipError(f"no decoder for the video stream of {path}")
            return stream
    raise ClipError(f"clip must have a video stream, {path} has none")


def stream_frame_rate(stream: VideoStream, path: Path) -> Fraction:
    """Returns the average frame rate that the container states.

    Raises:
        ClipError: It states none.
    """
    # A raw stream has no container to state a rate: FFmpeg's average is then always 25, and its
    # guess comes from the stream itself.
    is_raw = bool(stream.container.format.flags & _NO_TIMESTAMPS)
    rate = (None if is_raw else stream.average_rate) or stream.guessed_rate
    if not rate:
        raise ClipError(f"clip must have a frame rate, {path} has none; give --frame-rate")
    return Fraction(rate)


def picture_pattern(folder: Path) -> tuple[str, int]:
    """Returns FFmpeg's pattern for the names of numbered pictures, and the first number.

    Raises:
        ClipError: No pictures, several name patterns, or a gap in the numbers.
    """
    pictures = sorted(
        file for file in folder.iterdir() if file.suffix.lower() in PICTURES and file.is_file()
    )
    if not pictures:
        raise ClipError(
            f"folder must hold pictures ({', '.join(sorted(PICTURES))}), {folder} has none"
        )
    names = []
    for file in pictures:
        match = re.fullmatch(r"(.*?)(\d+)", file.stem)
        if match is None:
            raise ClipError(f"pictures must be numbered like f001.png, got {file.name} in {folder}")
        names.append((match[1], match[2], file.suffix))
    prefix, digits, suffix = names[0]
    if any((name[0], name[2]) != (prefix, suffix) for name in names):
        raise ClipError(f"pictures must differ in their number only, in {folder} they do not")
    if all(len(name[1]) == len(digits) for name in names):
        number = f"%0{len(digits)}d"
    elif not any(name[1].startswith("0") for name in names):
        number = "%d"
    else:
        raise ClipError(f"numbers of pictures must have one width, in {folder} they do not")
    numbers = sorted(int(name[1]) for name in names)
    for expected, found in enumerate(numbers, start=numbers[0]):
        if found != expected:
            raise ClipError(f"pictures must have no gap, number {expected} is missing in {folder}")
    return f"{prefix.replace('%', '%%')}{number}{suffix}", numbers[0]


def reason(error: Exception) -> str:
    """Returns FFmpeg's own words for an error, without the call that failed."""
    return str(error.strerror) if isinstance(error, av.FFmpegError) else str(error)

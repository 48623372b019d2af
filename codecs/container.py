"""Opens what a user calls a clip: a video file, a y4m, or a folder of numbered pictures.

Clips are untrusted: a file is opened only in a container that stands alone, so that a playlist, or
a file that says that it is a video, reads no other file and no host.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias

import av
import av.logging
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from .address import network_address
from .errors import ClipError
from .limits import USUAL_LIMITS, ClipLimits
from .log import encoder_log

VideoPacket: TypeAlias = "av.Packet[VideoStream]"

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
DEFAULT_PICTURE_RATE = Fraction(25)
# A decoder's threads must not log: PyAV's log callback waits for the interpreter lock, which the
# thread that frees the decoder holds while it waits for them. The offset lifts every line above
# the level at which PyAV looks at it.
_QUIET_DECODER = {"log_level_offset": "100"}

# Demuxers of containers and streams that hold all of a video. Left out are those that open what a
# file names (hls, dash, concat, imf, sdp, vobsub, webm_dash_manifest, image2 with its patterns),
# scripts, devices, and formats of games, which few have ever looked at.
_DEMUXERS = (
    "mov", "matroska", "avi", "mpegts", "mpeg", "flv", "asf", "ogg", "nut", "mxf", "gxf", "dv",
    "ivf", "yuv4mpegpipe", "gif", "apng", "rm", "wtv", "dhav", "h261", "h263", "h264", "hevc",
    "vvc", "av1", "obu", "m4v", "mpegvideo", "mjpeg", "vc1", "dirac", "dnxhd",
)  # fmt: skip
_NETWORK_PROTOCOLS = "http,https,tcp,tls,httpproxy,rtsp,rtp,udp"

# FFmpeg's decoders refuse pictures in coded size, which is larger by blocks that are cut off: this
# is the last line, for pictures that no header told of. The first is ``check_pixels``.
_CODED_PER_SHOWN, _MOST_PIXELS = 2, 2**31 - 1

_NO_TIMESTAMPS = 0x80  # AVFMT_NOTIMESTAMPS in libavformat/avformat.h; PyAV's own name has no type


@contextmanager
def open_container(
    path: Path, frame_rate: Fraction | None = None, limits: ClipLimits = USUAL_LIMITS
) -> Iterator[InputContainer]:
    """Opens a clip for reading and checks that it has a video stream.

    Args:
        path: A file that FFmpeg reads, or a folder of pictures named with running numbers.
        frame_rate: Of a folder of pictures; 25 where None.
        limits: What it may cost, and whether it may be the address of a clip on a network.

    Raises:
        ClipError: The path is missing, empty, unreadable, too large, or has no video in it.
    """
    address = check_is_there(path, limits)
    options = {"protocol_whitelist": "file", "format_whitelist": ",".join(_DEMUXERS)}
    # A relative name with a colon in it, such as a time, would be taken for a protocol.
    file, demuxer = str(path.absolute()), None
    if address is not None:
        # What comes from a host must not name our files.
        file = address
        options["protocol_whitelist"] = _NETWORK_PROTOCOLS
        options["format_whitelist"] += ",rtsp"
    elif path.is_dir():
        name, start_number = picture_pattern(path)
        file = f"{file.replace('%', '%%')}/{name}"
        demuxer = options["format_whitelist"] = "image2"
        options["start_number"] = str(start_number)
        options["framerate"] = str(frame_rate or DEFAULT_PICTURE_RATE)
        limits.check_size(sum(one.stat().st_size for one in path.iterdir() if one.is_file()), path)
    elif not path.is_file():
        raise ClipError(f"clip must be a file or a folder of pictures, {path} is neither")
    elif path.stat().st_size == 0:
        raise ClipError(f"clip must hold at least one frame, {path} is an empty file")
    else:
        limits.check_size(path.stat().st_size, path)
        if path.suffix.lower() in PICTURES:
            demuxer = options["format_whitelist"] = "image2"
            # Else a name with a % or a * in it would be that of other files.
            options["pattern_type"] = "none"
    max_pixels = str(int(min(limits.pixels * _CODED_PER_SHOWN, _MOST_PIXELS)))
    with _open(path, file, demuxer, {**options, "max_pixels": max_pixels}, limits) as container:
        stream = video_stream(container, path)
        limits.check_pixels(stream.codec_context.width, stream.codec_context.height, path)
        stream.codec_context.options = {**_QUIET_DECODER, "max_pixels": max_pixels}
        # Frame threads hand a frame out before they know whether it is damaged.
        stream.thread_type = "SLICE"
        yield container


def check_is_there(path: Path, limits: ClipLimits = USUAL_LIMITS) -> str | None:
    """Returns the address of a clip on a network, None of one on this machine.

    Raises:
        ClipError: There is none, or it may not be asked for.
    """
    if path.exists():
        return None
    address = network_address(path)
    if address is None:
        raise ClipError(f"clip must be a file or a folder of pictures, {path} does not exist")
    if not limits.allow_network:
        raise ClipError(f"clip must be on this machine, {address} is not; give --allow-network")
    return address


def _open(
    path: Path, file: str, demuxer: str | None, options: dict[str, str], limits: ClipLimits
) -> InputContainer:
    """Opens a file as FFmpeg does.

    Raises:
        ClipError: It cannot be opened, its host does not answer, or it is in a container that is
            not opened.
    """
    try:
        return av.open(file, format=demuxer, options=options, timeout=limits.stall_seconds)
    except (av.FFmpegError, OSError, ValueError) as error:
        # A name with a zero byte in it is the ValueError.
        refused = isinstance(error, av.ArgumentError) and _refused_format(
            file, demuxer, options, limits
        )
        if refused:
            raise ClipError(
                f"clip must be a video that stands alone, such as mp4, mkv, avi, ts or y4m, "
                f"{path} is taken for {refused}, which may name other files or hosts; "
                f"if it is trusted: ffmpeg -i IN -c copy OUT.mkv"
            ) from error
        raise ClipError(
            f"clip must be a video that FFmpeg reads, {path} is not: {reason(error)}"
        ) from error


def _refused_format(
    file: str, demuxer: str | None, options: dict[str, str], limits: ClipLimits
) -> str | None:
    """Returns the format that FFmpeg would open a file in if it was let; it says so in its log."""
    with encoder_log(av.logging.ERROR) as log, suppress(av.FFmpegError):
        av.open(file, format=demuxer, options=options, timeout=limits.stall_seconds).close()
    return next((name for _, name, line in log if "not on whitelist" in line), None)


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
            f"folder must hold the pictures of one clip ({', '.join(sorted(PICTURES))}), {folder} "
            f"has none; give videos one by one: {folder}/*"
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
    if isinstance(error, av.error.ExitError):
        return (
            "it does not answer in time; if it is trusted, wait longer with --limit stall-seconds=N"
        )
    return str(error.strerror) if isinstance(error, av.FFmpegError) else str(error)

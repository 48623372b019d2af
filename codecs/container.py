"""Opens what a user calls a clip: a video file, a y4m, or a folder of numbered pictures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer

from .errors import ClipError

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
DEFAULT_PICTURE_RATE = Fraction(25)


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
    file, demuxer = str(path), None
    if path.is_dir():
        file, start_number = picture_pattern(path)
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
        if not container.streams.video:
            raise ClipError(f"clip must have a video stream, {path} has none")
        if container.streams.video[0].codec_context is None:
            raise ClipError(f"no decoder for the video stream of {path}")
        yield container


def picture_pattern(folder: Path) -> tuple[str, int]:
    """Returns FFmpeg's pattern for a folder of numbered pictures, and its first number.

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
    escaped = f"{folder}/{prefix}".replace("%", "%%")
    return f"{escaped}{number}{suffix}", numbers[0]


def reason(error: Exception) -> str:
    """Returns FFmpeg's own words for an error, without the call that failed."""
    if isinstance(error, av.FFmpegError):
        log = error.log[2].strip() if error.log else ""
        return f"{error.strerror}{f' ({log})' if log else ''}"
    return str(error)

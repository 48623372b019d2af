"""Small real clips in every container and codec at hand, and ways to damage them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

NUM_FRAMES = 8
_SIDES = (176, 144)

# File name, FFmpeg's muxer, encoder, pixel format.
_CLIPS = (
    ("h264.mp4", "mp4", "libx264", "yuv420p"),
    ("hevc.mp4", "mp4", "libx265", "yuv420p"),
    ("av1.mp4", "mp4", "libsvtav1", "yuv420p10le"),
    ("mpeg4.mp4", "mp4", "mpeg4", "yuv420p"),
    ("mjpeg.mov", "mov", "mjpeg", "yuvj420p"),
    ("prores.mov", "mov", "prores_ks", "yuv422p10le"),
    ("qtrle.mov", "mov", "qtrle", "rgb24"),
    ("h264.mkv", "matroska", "libx264", "yuv420p"),
    ("hevc.mkv", "matroska", "libx265", "yuv420p10le"),
    ("av1.mkv", "matroska", "libsvtav1", "yuv420p"),
    ("ffv1.mkv", "matroska", "ffv1", "yuv420p"),
    ("utvideo.avi", "avi", "utvideo", "yuv422p"),
    ("vp8.mkv", "matroska", "libvpx", "yuv420p"),
    ("vp9.webm", "webm", "libvpx-vp9", "yuv420p"),
    ("av1.webm", "webm", "libsvtav1", "yuv420p"),
    ("mpeg4.avi", "avi", "mpeg4", "yuv420p"),
    ("mjpeg.avi", "avi", "mjpeg", "yuvj420p"),
    ("huffyuv.avi", "avi", "huffyuv", "yuv422p"),
    ("msmpeg4.avi", "avi", "msmpeg4v3", "yuv420p"),
    ("raw.avi", "avi", "rawvideo", "yuv420p"),
    ("h264.ts", "mpegts", "libx264", "yuv420p"),
    ("hevc.ts", "mpegts", "libx265", "yuv420p"),
    ("mpeg2.ts", "mpegts", "mpeg2video", "yuv420p"),
    ("mpeg1.mpg", "mpeg", "mpeg1video", "yuv420p"),
    ("flv1.flv", "flv", "flv", "yuv420p"),
    ("h264.flv", "flv", "libx264", "yuv420p"),
    ("wmv2.asf", "asf", "wmv2", "yuv420p"),
    ("mpeg2.mxf", "mxf", "mpeg2video", "yuv420p"),
    ("ffv1.nut", "nut", "ffv1", "yuv420p"),
    ("vp9.ivf", "ivf", "libvpx-vp9", "yuv420p"),
    ("raw.y4m", "yuv4mpegpipe", "wrapped_avframe", "yuv420p"),
    ("rgb.gif", "gif", "gif", "rgb8"),
    ("rgb.apng", "apng", "apng", "rgb24"),
    ("raw.h264", "h264", "libx264", "yuv420p"),
    ("raw.hevc", "hevc", "libx265", "yuv420p"),
    ("raw.obu", "obu", "libsvtav1", "yuv420p"),
    ("raw.mjpeg", "mjpeg", "mjpeg", "yuvj420p"),
    ("raw.m4v", "m4v", "mpeg4", "yuv420p"),
)
_PICTURES = (
    (".png", "png", "rgb24"),
    (".jpg", "mjpeg", "yuvj420p"),
    (".bmp", "bmp", "bgr24"),
    (".tiff", "tiff", "rgb24"),
    (".webp", "libwebp", "yuv420p"),
)
_ENCODER_OPTIONS = {
    "libx264": {"preset": "veryfast", "threads": "1"},
    "libx265": {"preset": "veryfast", "x265-params": "log-level=none:pools=none"},
    "libsvtav1": {"preset": "12"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A clip before it is damaged.

    Attributes:
        name: File name; of a folder of pictures its name ending.
        files: Contents, one of each picture where it is a folder.
    """

    name: str
    files: tuple[bytes, ...]


def write_material(clip: Path, folder: Path) -> list[Whole]:
    """Writes the first frames of a clip in every format there is, and returns them."""
    with av.open(str(clip)) as container:
        frames = [
            frame.reformat(*_SIDES, "yuv420p")
            for frame, _ in zip(container.decode(video=0), range(NUM_FRAMES), strict=False)
        ]
    material = []
    for name, muxer, encoder, pix_fmt in _CLIPS:
        _write(folder / name, muxer, encoder, pix_fmt, frames)
        material.append(Whole(name=name, files=((folder / name).read_bytes(),)))
    for suffix, encoder, pix_fmt in _PICTURES:
        pictures = []
        for number, frame in enumerate(frames[:3]):
            path = folder / f"picture{number}{suffix}"
            _write(path, "image2", encoder, pix_fmt, [frame])
            pictures.append(path.read_bytes())
        material.append(Whole(name=suffix, files=tuple(pictures)))
    return material


def _write(path: Path, muxer: str, encoder: str, pix_fmt: str, frames: list[VideoFrame]) -> None:
    options = {"update": "1"} if muxer == "image2" else {}
    with av.open(str(path), "w", format=muxer, options=options) as container:
        stream = container.add_stream(encoder, rate=Fraction(25))
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = *_SIDES, pix_fmt
        stream.options = dict(_ENCODER_OPTIONS.get(encoder, {}))
        for number, frame in enumerate(frames):
            converted = frame.reformat(format=pix_fmt)
            converted.pts, converted.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(converted))
        container.mux(stream.encode(None))


def damage(whole: Whole, random: np.random.Generator) -> tuple[str, list[bytes]]:
    """Returns what was done to a clip, and its contents thereafter."""
    files = [bytearray(content) for content in whole.files]
    done = []
    for _ in range(int(random.integers(1, 4))):
        way = _WAYS[int(random.integers(len(_WAYS)))]
        number = int(random.integers(len(files)))
        if len(files[number]) > 16:
            files[number] = way(files[number], random)
            done.append(way.__name__.strip("_"))
    return "+".join(done), [bytes(content) for content in files]


def _flip_bits(content: bytearray, random: np.random.Generator) -> bytearray:
    for place in random.integers(len(content), size=int(random.integers(1, 33))):
        content[place] ^= 1 << int(random.integers(8))
    return content


def _cut_end(content: bytearray, random: np.random.Generator) -> bytearray:
    return content[: int(random.integers(1, len(content)))]


def _cut_out(content: bytearray, random: np.random.Generator) -> bytearray:
    start, end = np.sort(random.integers(len(content), size=2))
    end = min(end, start + 4096)
    return content[:start] + content[end:]


def _extreme_fields(content: bytearray, random: np.random.Generator) -> bytearray:
    """Sets numbers near the ends, where headers and indices are."""
    near = min(2048, len(content))
    for _ in range(int(random.integers(1, 5))):
        offset = int(random.integers(near))
        place = offset if random.random() < 0.6 else len(content) - 1 - offset
        _set_extreme(content, place, random)
    return content


def _extreme_boxes(content: bytearray, random: np.random.Generator) -> bytearray:
    """Sets numbers beside names of four letters: boxes, chunks, atoms, codecs."""
    names = [found.start() for found in re.finditer(rb"[A-Za-z]{4}", bytes(content[:65536]))]
    names += [found.start() for found in re.finditer(rb"[A-Za-z]{4}", bytes(content[-4096:]))]
    for _ in range(int(random.integers(1, 4))):
        if names:
            place = names[int(random.integers(len(names)))] + int(random.integers(-4, 40))
            _set_extreme(content, max(0, place), random)
    return content


def _set_extreme(content: bytearray, place: int, random: np.random.Generator) -> None:
    width = int(random.choice([1, 2, 4, 4, 8]))
    top = 1 << (8 * width)
    value = int(random.choice([0, 1, 2, 3, 4, 5])) if random.random() < 0.3 else None
    choices = [top - 1, top // 2 - 1, top // 2, top - 16, top // 4, 65535 % top, 0x10000 % top]
    chosen = choices[int(random.integers(len(choices)))] if value is None else value
    order = "big" if random.random() < 0.5 else "little"
    data = chosen.to_bytes(width, "big" if order == "big" else "little")
    content[place : place + width] = data[: max(0, len(content) - place)]


def _swap_chunks(content: bytearray, random: np.random.Generator) -> bytearray:
    a, b, c, d = np.sort(random.integers(len(content), size=4))
    return content[:a] + content[c:d] + content[b:c] + content[a:b] + content[d:]


def _repeat_chunk(content: bytearray, random: np.random.Generator) -> bytearray:
    start, end = np.sort(random.integers(len(content), size=2))
    chunk = content[start : min(end, start + 2048)]
    return content[:end] + chunk * int(random.integers(1, 20)) + content[end:]


def _fill_noise(content: bytearray, random: np.random.Generator) -> bytearray:
    start = int(random.integers(len(content)))
    length = min(int(random.integers(1, 512)), len(content) - start)
    content[start : start + length] = random.bytes(length)
    return content


_WAYS: tuple[Callable[[bytearray, np.random.Generator], bytearray], ...] = (
    _flip_bits, _flip_bits, _cut_end, _cut_out, _extreme_fields, _extreme_boxes, _swap_chunks,
    _repeat_chunk, _fill_noise,
)  # fmt: skip

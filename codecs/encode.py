"""Runs an encoder in process and decodes what it made."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import av.logging
import numpy as np
import numpy.typing as npt
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import ColorRange

from .container import reason
from .errors import EncodeError
from .settings import Bitrate, Crf, EncodeSettings, Qp
from .source import Segment, Source, to_bgr
from .table import ENCODERS, Codec, Encoder, OptionValue

# FFmpeg's wrappers only warn when an encoder does not do what it was told.
_IGNORED = re.compile(
    r"error parsing option|unknown option|invalid value|skipping roi|roi is only enabled|"
    r"not supported|not compatible|ignored|ignoring|unable to parse",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """What an encoder made of a source.

    Attributes:
        streams: One list of packets for each segment, in decoding order.
        size_bytes: Sum of the packet sizes, without any container.
        encode_seconds: Time inside the encoder, and in feeding it.
        encoder_version: Name, version and build of the library.
    """

    settings: EncodeSettings
    streams: tuple[tuple[bytes, ...], ...]
    num_frames: int
    size_bytes: int
    rate_kbps: float
    encode_seconds: float
    encoder_version: str


def encode(
    source: Source, settings: EncodeSettings, segments: Sequence[Segment] | None = None
) -> Encoding:
    """Encodes a source, each segment as a stream of its own.

    Args:
        source: Decoded frames.
        settings: Checked settings; the same settings give the same bytes.
        segments: Parts of the source; all of it where None.

    Raises:
        EncodeError: The encoder failed or ignored an option.
    """
    started = time.perf_counter()
    segments = source.whole if segments is None else segments
    streams = tuple(tuple(_encode_segment(source, settings, segment)) for segment in segments)
    num_frames = sum(segment.num_frames for segment in segments)
    size_bytes = sum(len(packet) for stream in streams for packet in stream)
    return Encoding(
        settings=settings,
        streams=streams,
        num_frames=num_frames,
        size_bytes=size_bytes,
        rate_kbps=float(size_bytes * 8 / 1000 / (num_frames / source.frame_rate)),
        encode_seconds=time.perf_counter() - started,
        encoder_version=encoder_version(settings.codec),
    )


def _encode_segment(source: Source, settings: EncodeSettings, segment: Segment) -> Iterator[bytes]:
    encoder = ENCODERS[settings.codec]
    time_base = 1 / source.frame_rate
    with av.logging.Capture(local=True) as log:
        try:
            context = open_encoder(source, settings)
            for index in range(segment.num_frames):
                planes = np.asarray(source.planes(segment.start_frame + index))
                frame = av.VideoFrame.from_ndarray(planes, format=source.pix_fmt)
                frame.pts, frame.time_base = index, time_base
                yield from (bytes(packet) for packet in context.encode(frame))
            yield from (bytes(packet) for packet in context.encode(None))
        except av.FFmpegError as error:
            lines = log_lines(log)
            raise EncodeError(
                f"{encoder.ffmpeg_name} failed: {reason(error)}; settings {describe(settings)}"
                + "".join(f"; {line}" for line in lines[-3:]),
                settings,
                lines,
            ) from error
    check_log(settings, log_lines(log))


def open_encoder(source: Source, settings: EncodeSettings) -> VideoCodecContext:
    """Returns an encoder context for a source; it opens with the first frame."""
    encoder = ENCODERS[settings.codec]
    context = VideoCodecContext.create(encoder.ffmpeg_name, "w")
    context.width, context.height = source.width, source.height
    context.pix_fmt = source.pix_fmt
    context.framerate, context.time_base = source.frame_rate, 1 / source.frame_rate
    context.color_range = ColorRange.MPEG
    context.colorspace = source.color_space
    context.color_primaries = source.color_primaries
    context.color_trc = source.color_transfer
    context.options = ffmpeg_options(settings)
    return context


def ffmpeg_options(settings: EncodeSettings) -> dict[str, str]:
    """Returns the FFmpeg options, without the leading dash, that ask for these settings."""
    encoder = ENCODERS[settings.codec]
    options = {"preset": settings.preset}
    params = [encoder.fixed_params.format(threads=settings.num_threads)]
    match settings.rate_control:
        case Crf(value=crf) if encoder.crf_param:
            params.append(f"{encoder.crf_param}={crf:g}")
        case Crf(value=crf):
            options["crf"] = f"{crf:g}"
        case Qp(value=qp):
            options["qp"] = f"{qp}"
        case Bitrate(rate_kbps=rate_kbps):
            options["b"] = f"{rate_kbps * 1000:.0f}"
    params += joined_params(encoder, dict(settings.options))
    options[encoder.params_name] = ":".join(params)
    return options


def joined_params(encoder: Encoder, options: dict[str, OptionValue]) -> Iterator[str]:
    """Yields ``name=value`` in the table's order, compound parameters put together."""
    parts: dict[str, list[str]] = {}
    asked = {encoder.option(name).part_of for name in options}
    for option in encoder.options:
        if option.part_of in asked and option.part_of is not None:
            value = options.get(option.name, option.default)
            parts.setdefault(option.part_of, []).append(_text(value))
        elif option.name in options:
            parts[option.name] = [_text(options[option.name])]
    for name, values in parts.items():
        yield f"{name}={','.join(values)}"


def _text(value: OptionValue) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def describe(settings: EncodeSettings) -> str:
    """Returns settings as one readable line."""
    options = ffmpeg_options(settings)
    return " ".join(f"{name}={value}" for name, value in options.items())


def log_lines(log: Sequence[tuple[int, str, str]]) -> tuple[str, ...]:
    """Returns captured log records as lines, without those that cannot concern a setting."""
    return tuple(f"[{name}] {message.strip()}" for _, name, message in log if message.strip())


def check_log(settings: EncodeSettings, lines: tuple[str, ...]) -> None:
    """Fails an encode whose encoder says that it did not do what it was told.

    Raises:
        EncodeError: A line of the log says so.
    """
    for line in lines:
        if _IGNORED.search(line):
            raise EncodeError(
                f"{ENCODERS[settings.codec].ffmpeg_name} did not take its settings: {line}; "
                f"settings {describe(settings)}",
                settings,
                lines,
            )


def decode(encoding: Encoding) -> Iterator[av.VideoFrame]:
    """Yields the decoded frames of an encode, in order of the source.

    Raises:
        EncodeError: There are fewer or more frames than went in, so that they cannot be paired.
    """
    encoder = ENCODERS[encoding.settings.codec]
    count = 0
    for stream in encoding.streams:
        context = VideoCodecContext.create(encoder.decoder_name, "r")
        context.thread_count = 1
        try:
            for data in stream:
                for frame in context.decode(av.Packet(data)):
                    yield frame
                    count += 1
            for frame in context.decode(None):
                yield frame
                count += 1
        except av.FFmpegError as error:
            raise EncodeError(
                f"{encoder.ffmpeg_name} wrote a stream that does not decode: {reason(error)}",
                encoding.settings,
            ) from error
    if count != encoding.num_frames:
        raise EncodeError(
            f"frames must pair by index, {encoding.num_frames} went into {encoder.ffmpeg_name} "
            f"and {count} came out",
            encoding.settings,
        )


def decode_bgr(
    encoding: Encoding, wanted: Collection[int], color_space: int
) -> Iterator[npt.NDArray[np.uint8]]:
    """Yields the wanted frames, by position in the encode, as (height, width, 3) BGR.

    All frames are decoded and counted; only the wanted ones are converted.
    """
    for position, frame in enumerate(decode(encoding)):
        if position in wanted:
            yield to_bgr(frame, color_space)


def encoder_version(codec: Codec) -> str:
    """Returns library, version and build, such as ``libx264 d6533a8d.so.165``.

    The wheel names each library after a hash of its content, which is the most exact version
    there is. A PyAV built from source has no such files; then FFmpeg's version stands in.
    """
    stem = ENCODERS[codec].library
    libraries = Path(av.__file__).parent.parent / "av.libs"
    for file in sorted(libraries.glob(f"{stem}*")):
        return f"{stem} {file.name.removeprefix(stem).lstrip('-')}"
    return f"{stem} of libavcodec {'.'.join(map(str, av.library_versions['libavcodec']))}"


def nearest_crf(encoder: Encoder, crf: float) -> Crf:
    """Returns the CRF that the encoder can take next to a wanted one."""
    low, high, step = encoder.crf_range
    return Crf(value=round(min(max(round(crf / step) * step, low), high), 4))

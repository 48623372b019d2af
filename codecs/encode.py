"""Runs an encoder in process and decodes what it made."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Literal, TypeAlias

import av
import av.logging
import numpy as np
import numpy.typing as npt
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import ColorRange, VideoReformatter
from av.video.stream import VideoStream

from .container import reason
from .errors import EncodeError
from .frames import FrameFormat
from .log import encoder_log, ignored_option, log_lines
from .settings import Bitrate, Crf, EncodeSettings, Qp
from .source import Segment, Source, to_bgr
from .table import ENCODERS, Codec, Encoder, OptionValue

VideoPacket: TypeAlias = "av.Packet[VideoStream]"


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
    running = RunningEncoder(source, settings)
    for index in range(segment.num_frames):
        frame = source.frame(segment.start_frame + index)
        frame.pts = index
        yield from (bytes(packet) for packet in running.encode(frame))
    yield from (bytes(packet) for packet in running.encode(None))


class RunningEncoder:
    """One encoder at work, which fails as soon as it says that it ignores what it was told."""

    def __init__(
        self, form: FrameFormat, settings: EncodeSettings, context: VideoCodecContext | None = None
    ) -> None:
        """Stores an encoder context, which opens with the first frame.

        Args:
            form: What the frames are like.
            settings: What is asked of the encoder.
            context: The context of a container's stream; a free one where None.
        """
        encoder = ENCODERS[settings.codec]
        for name, value in encoder.quiet_environment:
            os.environ.setdefault(name, value)
        self._settings = settings
        self._log: tuple[str, ...] = ()
        self._context = context or video_context(encoder.ffmpeg_name, "w")
        self._context.width, self._context.height = form.width, form.height
        self._context.pix_fmt = form.pix_fmt
        self._context.framerate, self._context.time_base = form.frame_rate, 1 / form.frame_rate
        self._context.color_range = ColorRange.MPEG
        self._context.colorspace = form.color_space
        self._context.color_primaries = form.color_primaries
        self._context.color_trc = form.color_transfer
        options = ffmpeg_options(settings)
        if encoder.avx512_params is not None and _x264_uses_avx512():
            options[encoder.params_name] += f":{encoder.avx512_params}"
        self._context.options = options

    def encode(self, frame: av.VideoFrame | None) -> list[VideoPacket]:
        """Returns the packets that are ready; None as the frame ends the stream.

        Raises:
            EncodeError: The encoder failed or ignored an option.
        """
        failure: av.FFmpegError | None = None
        packets: list[VideoPacket] = []
        with encoder_log() as log:
            try:
                packets = self._context.encode(frame)
            except av.FFmpegError as error:
                failure = error
        self._log += log_lines(log)
        name = ENCODERS[self._settings.codec].ffmpeg_name
        asked = f"settings {describe(self._settings)}"
        ignored = ignored_option(log_lines(log))
        if failure is not None:
            said = "".join(f"; {line}" for line in self._log[-3:])
            message = f"{name} failed: {reason(failure)}; {asked}{said}"
            raise EncodeError(message, self._settings, self._log) from failure
        if ignored is not None:
            message = f"{name} did not take its settings: {ignored}; {asked}"
            raise EncodeError(message, self._settings, self._log)
        return packets


def video_context(codec_name: str, mode: Literal["r", "w"]) -> VideoCodecContext:
    """Returns a free codec context."""
    context = av.CodecContext.create(codec_name, mode)
    assert isinstance(context, VideoCodecContext)
    return context


@cache
def _x264_uses_avx512() -> bool:
    """Returns whether x264 finds AVX-512 here, in its own words."""
    context = video_context("libx264", "w")
    context.width = context.height = 16
    context.pix_fmt, context.time_base = "yuv420p", Fraction(1, 25)
    with encoder_log(av.logging.INFO) as log:
        context.open()
    return any("AVX512" in line for line in log_lines(log, av.logging.INFO))


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


def decode(encoding: Encoding) -> Iterator[av.VideoFrame]:
    """Yields the decoded frames of an encode, in order of the source.

    Raises:
        EncodeError: There are fewer or more frames than went in, so that they cannot be paired.
    """
    count = 0
    for stream in encoding.streams:
        for frame in _decode_stream(encoding.settings, stream):
            count += 1
            if count > encoding.num_frames:
                break
            yield frame
    if count != encoding.num_frames:
        raise EncodeError(
            f"frames must pair by index, {encoding.num_frames} went into "
            f"{ENCODERS[encoding.settings.codec].ffmpeg_name} and "
            f"{'more' if count > encoding.num_frames else count} came out",
            encoding.settings,
        )


def _decode_stream(settings: EncodeSettings, stream: Sequence[bytes]) -> Iterator[av.VideoFrame]:
    encoder = ENCODERS[settings.codec]
    context = video_context(encoder.decoder_name, "r")
    context.thread_count = 1
    try:
        for data in stream:
            yield from context.decode(av.Packet(data))
        yield from context.decode(None)
    except av.FFmpegError as error:
        raise EncodeError(
            f"{encoder.ffmpeg_name} wrote a stream that does not decode: {reason(error)}", settings
        ) from error


def decode_bgr(
    encoding: Encoding, wanted: Collection[int], color_space: int
) -> Iterator[npt.NDArray[np.uint8]]:
    """Yields the wanted frames, by position in the encode, as (height, width, 3) BGR.

    All frames are decoded and counted; only the wanted ones are converted.
    """
    reformatter = VideoReformatter()
    for position, frame in enumerate(decode(encoding)):
        if position in wanted:
            yield to_bgr(frame, color_space, reformatter)


def ffmpeg_version() -> str:
    """Returns the version of FFmpeg's libraries, whose decoders and scaler make the pictures."""
    return f"ffmpeg {av.ffmpeg_version_info}"


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

"""Runs an encoder in process and decodes what it made."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import VideoReformatter

from .container import reason
from .encoder import video_context
from .errors import EncodeError
from .planes import FrameFormat, frame_planes, is_10_bit
from .region import ClipRegions
from .region_encoder import RegionEncoder, require_regions
from .scaling import Scaler
from .settings import EncodeSettings
from .source import Segment, Source, to_bgr
from .table import ENCODERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """What an encoder made of a source.

    Attributes:
        streams: One list of packets for each segment, in decoding order.
        size_bytes: Sum of the packet sizes, without any container.
        encode_seconds: Time inside the encoder, and in feeding it.
        width, height: Of the source; its frames are encoded at the height of the settings.
    """

    settings: EncodeSettings
    streams: tuple[tuple[bytes, ...], ...]
    num_frames: int
    size_bytes: int
    rate_kbps: float
    encode_seconds: float
    width: int
    height: int


def encode(
    source: Source,
    settings: EncodeSettings,
    segments: Sequence[Segment] | None = None,
    regions: ClipRegions | None = None,
) -> Encoding:
    """Encodes a source, each segment as a stream of its own.

    Args:
        source: Decoded frames.
        settings: Checked settings; the same settings give the same bytes.
        segments: Parts of the source; all of it where None.
        regions: Of every frame of the source, where the settings have regions on.

    Raises:
        EncodeError: The encoder failed or ignored an option.
        RegionError: Regions are missing, or are another clip's.
        SettingsError: The height does not fit the source.
    """
    started = time.perf_counter()
    require_regions(settings, regions)
    if regions is not None:
        regions.check_fit(source.width, source.height, source.num_frames)
    segments = source.whole if segments is None else segments
    streams = tuple(
        tuple(_encode_segment(source, settings, segment, regions)) for segment in segments
    )
    num_frames = sum(segment.num_frames for segment in segments)
    size_bytes = sum(len(packet) for stream in streams for packet in stream)
    return Encoding(
        settings=settings,
        streams=streams,
        num_frames=num_frames,
        size_bytes=size_bytes,
        rate_kbps=rate_kbps(size_bytes, num_frames, source.frame_rate),
        encode_seconds=time.perf_counter() - started,
        width=source.width,
        height=source.height,
    )


def rate_kbps(size_bytes: int, num_frames: int, frame_rate: Fraction) -> float:
    """Returns the mean rate of an encode in kbit/s, of 1000 bits."""
    return float(size_bytes * 8 / 1000 / (num_frames / frame_rate))


def _encode_segment(
    source: Source, settings: EncodeSettings, segment: Segment, regions: ClipRegions | None
) -> Iterator[bytes]:
    running = RegionEncoder(source, settings)
    for index in range(segment.num_frames):
        number = segment.start_frame + index
        here = regions.frames[number] if regions is not None else ()
        for packet in running.encode(source.planes(number), index, here):
            yield bytes(packet)
    yield from (bytes(packet) for packet in running.finish())


def decode(encoding: Encoding) -> Iterator[av.VideoFrame]:
    """Yields the decoded frames of an encode, in order of the source, at the encoded size.

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

    Their samples are converted as those of the source are, whatever the stream says of where
    chroma lies: of 10 bit, swscale would heed it in x264's and x265's streams, and shift colours
    that nothing was done to.

    All frames are decoded and counted; only the wanted ones are converted. What was encoded at
    another height is brought back to the source's size, so that a machine compares at the size of
    the original; a detector that letterboxes every picture to a size of its own sees about that.
    """
    reformatter, scaler = VideoReformatter(), Scaler(encoding.width, encoding.height)
    for position, frame in enumerate(decode(encoding)):
        if position in wanted:
            scaled = scaler.scale(frame)
            plain = av.VideoFrame.from_ndarray(frame_planes(scaled), format=scaled.format.name)
            yield to_bgr(plain, color_space, reformatter)


def pictures_version(form: FrameFormat) -> str:
    """Returns the version of what makes pictures of an encode of such frames."""
    return ffmpeg_version() + (" without chroma location" if is_10_bit(form) else "")


def ffmpeg_version() -> str:
    """Returns the version of FFmpeg's libraries, whose decoders and scaler make the pictures."""
    return f"ffmpeg {av.ffmpeg_version_info}"

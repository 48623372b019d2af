"""One encoder at work: its options, its packets, its complaints."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Literal

import av
import av.logging
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import ColorRange

from .container import VideoPacket, reason
from .errors import EncodeError, SettingsError
from .log import encoder_log, ignored_option, log_lines
from .planes import FrameFormat
from .scheduling import kept_scheduling
from .settings import Bitrate, Crf, EncodeSettings, Qp
from .table import ENCODERS, Codec, Encoder, OptionValue

# By how many frames a packet is decoded before it is shown: more than any encoder's, and x265's.
_MOST_REORDERED, _USUALLY_REORDERED = 100, 2


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

        Raises:
            SettingsError: The decoder's buffer is too small for a frame at this frame rate.
        """
        encoder = ENCODERS[settings.codec]
        _check_buffer(dict(settings.options), form.frame_rate)
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
        # Threads are made as the encoder opens, with its first frame.
        opening = nullcontext() if self._context.is_open else kept_scheduling()
        with encoder_log() as log, opening:
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
        for packet in packets:
            _mend_decoding_time(packet)
        return packets


def _check_buffer(options: Mapping[str, OptionValue], frame_rate: Fraction) -> None:
    """Refuses a buffer that x264 and x265 would enlarge: below a frame at the capped rate."""
    most, size = options.get("vbv-maxrate"), options.get("vbv-bufsize")
    if not isinstance(most, int) or not isinstance(size, int):
        return
    least = int(most / frame_rate)
    if size < least:
        raise SettingsError(
            f"vbv-bufsize must hold a frame at vbv-maxrate, {least} kbit at "
            f"{float(frame_rate):g} frames a second, got {size}; both are in thousands of bits"
        )


def _mend_decoding_time(packet: VideoPacket) -> None:
    """Gives a packet a time to be decoded at where x265 had none.

    It hands out what it never set until it has seen as many frames as it reorders: a stream of one
    or two frames has no other, and these come in the order they are shown.
    """
    if packet.pts is None:
        return
    if packet.dts is None or not packet.pts - _MOST_REORDERED <= packet.dts <= packet.pts:
        packet.dts = packet.pts - _USUALLY_REORDERED


def video_context(codec_name: str, mode: Literal["r", "w"]) -> VideoCodecContext:
    """Returns a free codec context."""
    context = av.CodecContext.create(codec_name, mode)
    assert isinstance(context, VideoCodecContext)
    return context


def _x264_uses_avx512() -> bool:
    return "AVX512" in _x264_processor()


@cache
def _x264_processor() -> str:
    """Returns what x264 finds that the processor can do, in its own words."""
    context = video_context("libx264", "w")
    context.width = context.height = 16
    context.pix_fmt, context.time_base = "yuv420p", Fraction(1, 25)
    with encoder_log(av.logging.INFO) as log:
        context.open()
    lines = log_lines(log, av.logging.INFO)
    return " ".join(line for line in lines if "cpu capabilities" in line)


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
    params += joined_params(encoder, _carried(settings, encoder))
    options[encoder.params_name] = ":".join(params)
    return options


def _carried(settings: EncodeSettings, encoder: Encoder) -> dict[str, OptionValue]:
    """Returns the encoder's own options, with adaptive quantisation on where regions need it.

    x264 and x265 change quantisers block by block only under adaptive quantisation. Strength 0
    turns it off again, silently, unless mbtree or cutree stand in. 0.00001 leaves every sample of
    x264's as it is, and changes x265's size by a few percent at most.
    """
    options = {name: value for name, value in settings.options if not encoder.option(name).is_ours}
    has_offsets = settings.regions is not None and settings.regions.has_qp_offsets
    if has_offsets and encoder.roi_by_side_data:
        mode = options.get("aq-mode", encoder.default_at(settings.preset, "aq-mode"))
        if mode == 0 or options.get("aq-strength") == 0:
            options |= {"aq-mode": 1, "aq-strength": 0.00001}
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
    if settings.height is not None:
        options["height"] = f"{settings.height}"
    return " ".join(f"{name}={value}" for name, value in options.items())


def encoder_version(codec: Codec) -> str:
    """Returns library, version and build, such as ``libx264 d6533a8d.so.165``.

    x264 makes other streams on a processor without AVX2; then that is part of it. The wheel names
    each library after a hash of its content, which is the most exact version there is. A PyAV built
    from source has no such files; then FFmpeg's version stands in.
    """
    stem, file = ENCODERS[codec].library, library_file(codec)
    if file is not None:
        version = f"{stem} {file.name.removeprefix(stem).lstrip('-')}"
    else:
        version = f"{stem} of libavcodec {'.'.join(map(str, av.library_versions['libavcodec']))}"
    if ENCODERS[codec].avx512_params is not None and "AVX2" not in _x264_processor():
        version += " without AVX2"
    return version


def library_file(codec: Codec) -> Path | None:
    """Returns the encoder's library in PyAV's wheel; None where PyAV was built from source."""
    libraries = Path(av.__file__).parent.parent / "av.libs"
    return next(iter(sorted(libraries.glob(f"{ENCODERS[codec].library}*"))), None)


def nearest_crf(encoder: Encoder, crf: float) -> Crf:
    """Returns the CRF that the encoder can take next to a wanted one."""
    low, high, step = encoder.crf_range
    return Crf(value=round(min(max(round(crf / step) * step, low), high), 4))

"""PSNR, SSIM and XPSNR: how near a clip stays to its source as a signal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import av
import numpy as np
from av.filter import Graph

from .encode import Encoding, decode
from .errors import ClipError
from .planes import FrameFormat, Planes, frame_planes, is_10_bit, split, stack
from .scaling import Scaler
from .source import Segment, Source

# FFmpeg prints a frame's mean squared error with six decimals, so that beyond about 100 dB it
# cannot tell equal from nearly equal. A finite ceiling keeps lossless encodes comparable.
MAX_DB = 100.0

# Below 8x8 chroma samples ssim divides by zero. Below 2025 pixels so does xpsnr, which ends the
# process: its blocks' side, from the square root of the share of 3840x2160, is rounded to nothing.
_MIN_SIDE, _MIN_PIXELS = 16, 2025


@dataclass(frozen=True, slots=True, kw_only=True)
class Fidelity:
    """Likeness of an encode to its source over all frames, higher is better.

    Attributes:
        psnr_db: Of the squared error averaged over all samples of Y, U and V and over frames:
            ``average`` of FFmpeg's psnr filter. At most 100, which is what a lossless encode gets.
        ssim: Mean over frames of SSIM over Y, U and V by their sample counts: ``All`` of FFmpeg's
            ssim filter. At most 1.
        xpsnr_db: Perceptually weighted PSNR of the worst of Y, U and V: ``minimum`` of FFmpeg's
            xpsnr filter. At most 100.
    """

    psnr_db: float
    ssim: float
    xpsnr_db: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameErrors:
    """Of one frame, what the likeness of many is pooled from.

    Attributes:
        squared_error: Mean over all samples of Y, U and V, as a fraction of the squared peak.
        ssim: Over Y, U and V by their sample counts.
        weighted_errors: Of Y, U and V: root of XPSNR's error, as a fraction of the peak.
    """

    squared_error: float
    ssim: float
    weighted_errors: tuple[float, float, float]


def fidelity(
    source: Source, encoding: Encoding, segments: Sequence[Segment] | None = None
) -> Fidelity:
    """Returns PSNR, SSIM and XPSNR of an encode, frames paired by index.

    What was encoded at another height is compared at the source's size.

    Args:
        source: What was encoded.
        encoding: The encode.
        segments: The parts of the source that were encoded; all of it where None.

    Raises:
        ValueError: The segments have another number of frames than the encode.
        ClipError: The frames are too small.
        EncodeError: Frames were lost.

    Source:
        FFmpeg's filters psnr, ssim and xpsnr (Helmrich et al., "XPSNR: A low-complexity extension
        of the perceptually weighted PSNR", ICASSP 2020). Deviations: the ceiling of 100 dB; XPSNR
        of 10-bit pictures leaves out up to 15 columns at the right (see ``_narrowed``).
    """
    segments = source.whole if segments is None else segments
    indices = [s.start_frame + offset for s in segments for offset in range(s.num_frames)]
    if len(indices) != encoding.num_frames:
        raise ValueError(
            f"segments must be those of the encode: they have {len(indices)} frames, "
            f"the encode has {encoding.num_frames}"
        )
    scaler = Scaler(encoding.width, encoding.height)
    pairs = (
        (source.planes(indices[position]), frame_planes(scaler.scale(decoded)))
        for position, decoded in enumerate(decode(encoding))
    )
    return pooled(list(frame_errors(source, pairs)))


def frame_errors(
    form: FrameFormat, pairs: Iterable[tuple[Planes, Planes]]
) -> Iterator[FrameErrors]:
    """Yields what the filters see of each pair of reference and distorted frame, in order.

    XPSNR weighs by what has changed since the frames before.

    Args:
        form: Of all frames.
        pairs: Y, U and V stacked, reference first.

    Raises:
        ClipError: The frames are too small.
    """
    is_deep = is_10_bit(form)
    width = (is_deep and form.width // 16 * 16) or form.width
    if min(width, form.height) < _MIN_SIDE or width * form.height < _MIN_PIXELS:
        raise ClipError(
            f"PSNR, SSIM and XPSNR need frames of sides of at least {_MIN_SIDE} and of at least "
            f"{_MIN_PIXELS} pixels, got {form.width}x{form.height}"
        )
    psnr, ssim = _Comparison("psnr", form), _Comparison("ssim", form)
    xpsnr = _Comparison("xpsnr", form, width)
    peak = 1023 if is_deep else 255
    for reference, distorted in pairs:
        # xpsnr weighs by the activity of its first input, so there the reference comes first.
        values = xpsnr.compare(_narrowed(reference, width), _narrowed(distorted, width))
        y, u, v = (10 ** (-values[f"lavfi.xpsnr.xpsnr.{component}"] / 20) for component in "yuv")
        yield FrameErrors(
            squared_error=psnr.compare(distorted, reference)["lavfi.psnr.mse_avg"] / peak**2,
            ssim=ssim.compare(distorted, reference)["lavfi.ssim.All"],
            weighted_errors=(y, u, v),
        )


def pooled(frames: Sequence[FrameErrors]) -> Fidelity:
    """Returns the likeness over frames, at least one."""
    roots = np.mean([frame.weighted_errors for frame in frames], axis=0)
    return Fidelity(
        psnr_db=_decibel(float(np.mean([frame.squared_error for frame in frames]))),
        ssim=float(np.mean([frame.ssim for frame in frames])),
        # Errors are averaged as roots, as the filter does it (get_avg_xpsnr in vf_xpsnr.c).
        xpsnr_db=min(_decibel(float(root) ** 2) for root in roots),
    )


def _decibel(error: float) -> float:
    """Returns a squared error, as a fraction of the squared peak, in dB."""
    return MAX_DB if error <= 0 else min(MAX_DB, -10 * math.log10(error))


def _narrowed(planes: Planes, width: int) -> Planes:
    """Returns stacked planes cut to a width.

    Beyond 8 bits vf_xpsnr.c takes lines to follow each other without padding: a 636 pixels wide
    clip got 0.7 and -17 dB instead of 34. PyAV pads lines to 16 bytes, a chroma line of 16-bit
    samples has as many bytes as there are pixels in a row.
    """
    if planes.shape[1] == width:
        return planes
    luma, *chroma = split(planes)
    return stack([luma[:, :width], *(side[:, : width // 2] for side in chroma)])


class _Comparison:
    """A filter with two inputs, run frame by frame."""

    def __init__(self, filter_name: str, form: FrameFormat, width: int | None = None) -> None:
        self._pix_fmt = form.pix_fmt
        self._time_base = 1 / form.frame_rate
        self._num_frames = 0
        inputs = (
            f"video_size={width or form.width}x{form.height}:pix_fmt={form.pix_fmt}:"
            f"time_base={self._time_base}:frame_rate={form.frame_rate}"
        )
        self._graph = Graph()
        self._graph.threads = 1
        self._first = self._graph.add("buffer", inputs, name="first")
        self._second = self._graph.add("buffer", inputs, name="second")
        self._sink = self._graph.add("buffersink")
        comparison = self._graph.add(filter_name)
        self._first.link_to(comparison, 0, 0)
        self._second.link_to(comparison, 0, 1)
        comparison.link_to(self._sink)
        self._graph.configure()

    def compare(self, first: Planes, second: Planes) -> dict[str, float]:
        """Returns what the filter notes in the frame's metadata; ``inf`` where nothing differs."""
        for buffer, planes in ((self._first, first), (self._second, second)):
            frame = av.VideoFrame.from_ndarray(planes, format=self._pix_fmt)
            frame.pts, frame.time_base = self._num_frames, self._time_base
            buffer.push(frame)
        self._num_frames += 1
        metadata = self._sink.pull().metadata
        return {name: float(value) for name, value in metadata.items() if "lavfi" in name}

"""Drives the SVT-AV1 library itself, because FFmpeg's wrapper drops regions of interest.

It is the very library that FFmpeg's wrapper runs, so without regions both give the same bytes.
"""

from __future__ import annotations

import ctypes
import math
import weakref
from collections.abc import Iterator
from ctypes import c_uint8, c_void_p
from typing import cast

import av
import numpy as np
import numpy.typing as npt

from .container import VideoPacket
from .encoder import describe, ffmpeg_options, nearest_crf
from .errors import EncodeError, RegionError
from .planes import FrameFormat, is_10_bit
from .settings import Bitrate, Crf, EncodeSettings, Qp
from .svtav1_library import (
    ANY_PICTURE,
    EMPTY_QUEUE,
    END_OF_STREAM,
    KEY_PICTURE,
    MAX_SEGMENTS,
    NO_ERROR,
    ROI_MAP_EVENT,
    Header,
    Library,
    Picture,
    PrivateNode,
    RegionEvent,
    Running,
    end_stream,
    free,
    load_library,
    new_config,
    new_handle,
    start_lock,
)
from .table import ENCODERS

BLOCK_PIXELS = ENCODERS["svtav1"].roi_block
QINDEX_PER_CRF = 4  # str_to_crf of enc_settings.c


class RegionsUnsupportedError(EncodeError):
    """Regions cannot be given to this library, or not with this rate control."""


def supports_regions() -> bool:
    """Returns whether regions can be given to the library here."""
    return isinstance(load_library(), Library)


def segment_map(
    qp_offsets: npt.NDArray[np.float32], width: int, height: int
) -> tuple[bytes, tuple[int, ...]]:
    """Returns the segment of each block, and the qindex offset of each segment, largest first.

    The library wants that order: where a qindex would fall below 1 it goes down the segments,
    and a block that lies across two gets the lower one. So 0 is one of them, if there is room.

    Raises:
        RegionError: The shape is not that of the frame's blocks, or there are too many values.
    """
    shape = (math.ceil(height / BLOCK_PIXELS), math.ceil(width / BLOCK_PIXELS))
    if qp_offsets.shape != shape:
        raise RegionError(
            f"qp_offsets must be {shape} for {width}x{height} pixels, got {qp_offsets.shape}"
        )
    if not np.isfinite(qp_offsets).all():
        raise RegionError("qp_offsets must be finite")
    # Further than the qindex itself goes, [0, 255], no offset can go.
    qindex_offsets = np.rint(np.clip(qp_offsets * QINDEX_PER_CRF, -255, 255)).astype(np.int16)
    values = np.unique(qindex_offsets)[::-1]
    if len(values) > MAX_SEGMENTS:
        raise RegionError(
            f"qp_offsets must be at most {MAX_SEGMENTS} different quarters, got {len(values)}"
        )
    if values[0] < 0 and len(values) < MAX_SEGMENTS:
        values = np.insert(values, 0, 0)
    ids = np.searchsorted(-values, -qindex_offsets).astype(np.uint8)
    return ids.tobytes(), tuple(values.tolist())


class SvtAv1Encoder:
    """One SVT-AV1 encoder at work, like ``RunningEncoder``, which heeds regions of interest."""

    def __init__(
        self, form: FrameFormat, settings: EncodeSettings, *, lowest_offset: float = 0
    ) -> None:
        """Starts an encoder.

        The library drops a frame's whole map if one block's qindex would fall below 1, and key
        frames have less than a third of the CRF's: at CRF 30 one had 31, so that -8 was lost. So
        name the lowest offset that is to come. The CRF is lowered by it and offsets count from
        there, which gives each block what it was to get. At equal PSNR of the objects -8 and +8
        saved 21 and 42 % on two clips that way, 11 and 15 % without.

        Args:
            form: What the frames are like.
            settings: What is asked of the encoder; the rate control must be Crf or Qp.
            lowest_offset: Of all maps, in steps of CRF.

        Raises:
            RegionsUnsupportedError: The library here, or its bitrate mode, heeds no regions.
            EncodeError: The library refused its settings.
        """
        library = load_library()
        fault = library if isinstance(library, str) else None
        if isinstance(settings.rate_control, Bitrate):
            # svt_aom_setup_segmentation is called for a constant quality only.
            fault = "rate control must be crf or qp for SVT-AV1 to heed regions, got a bitrate"
        if isinstance(library, str) or fault is not None:
            raise RegionsUnsupportedError(f"{fault}; settings {describe(settings)}", settings)
        self._form, self._settings, self._calls = form, settings, library.calls
        moved, self._moved_by = _moved(settings, lowest_offset)
        self._num_sent = self._num_packets = 0
        rows, columns = (math.ceil(side / BLOCK_PIXELS) for side in (form.height, form.width))
        self._no_offsets = np.zeros((rows, columns), np.float32)
        self._regions = segment_map(self._no_offsets, form.width, form.height)
        config = new_config()
        with start_lock:
            self._running = Running(new_handle(self._calls, config))
            self._handle, self._events = self._running.handle, self._running.events
            self._finalizer = weakref.finalize(self, free, self._calls, self._running)
            for name, value in _parameters(form, moved):
                if self._calls.svt_av1_enc_parse_parameter(config, name.encode(), value.encode()):
                    raise self._failure(f"did not take its settings: {name}={value}")
            config[library.enable_roi_map] = b"\x01"
            self._check("settings", self._calls.svt_av1_enc_set_parameter(self._handle, config))
            self._check("start", self._calls.svt_av1_enc_init(self._handle))
            self._running.needs_end = True

    def encode(
        self, frame: av.VideoFrame | None, qp_offsets: npt.NDArray[np.float32] | None = None
    ) -> list[VideoPacket]:
        """Returns the packets that are ready; None as the frame ends the stream.

        Args:
            frame: Its time is its number in frames.
            qp_offsets: (rows, columns), one value for each 64x64 block of this frame, of which
                the last ones may be partial. In steps of CRF, negative is better: 1 is 4 steps of
                AV1's qindex, as in CRF itself. Rounded to quarters, of which 8 may differ. None
                is 0 everywhere.

        Raises:
            EncodeError: The encoder failed, or the frame has another format.
            RegionError: The offsets do not fit the frame.
        """
        if frame is None:
            return self._flush()
        if not self._finalizer.alive:
            raise self._failure("takes no frame after the end of its stream")
        wanted = (self._form.width, self._form.height, self._form.pix_fmt)
        got = (frame.width, frame.height, frame.format.name)
        if got != wanted:
            raise self._failure(f"takes frames of {wanted} only, got {got}")
        sample_bytes = 2 if frame.format.components[0].bits > 8 else 1
        luma, cb, cr = frame.planes
        strides = (plane.line_size // sample_bytes for plane in (luma, cr, cb))
        picture = Picture(luma.buffer_ptr, cb.buffer_ptr, cr.buffer_ptr, *strides)
        header = Header(
            size=ctypes.sizeof(Header),
            p_buffer=ctypes.addressof(picture),
            n_filled_len=luma.buffer_size + cb.buffer_size + cr.buffer_size,
            pts=self._num_sent if frame.pts is None else frame.pts,
            pic_type=ANY_PICTURE,
        )
        node = self._region_node(qp_offsets)
        if node is not None:
            header.p_app_private = ctypes.addressof(node)
        # Copies picture and node before it returns; of the event it keeps the address.
        code = self._calls.svt_av1_enc_send_picture(self._handle, ctypes.byref(header))
        self._check("frame", code)
        self._num_sent += 1
        return self._receive(is_last=False)

    def close(self) -> None:
        """Gives memory and threads back, as the end of the stream and of the object do."""
        self._finalizer()

    def _flush(self) -> list[VideoPacket]:
        packets: list[VideoPacket] = []
        if self._finalizer.alive and self._num_sent:  # it never answers an end without a start
            end_stream(self._calls, self._running)
            packets = self._receive(is_last=True)
        self.close()
        return packets

    def _region_node(self, qp_offsets: npt.NDArray[np.float32] | None) -> PrivateNode | None:
        """Returns how the next picture says that its map is not that of the one before.

        The library keeps to a map until it gets another. Until the first one it gets none, since
        a map of zeros still costs bits.
        """
        offsets = self._no_offsets if qp_offsets is None else qp_offsets
        regions = segment_map(offsets - self._moved_by, self._form.width, self._form.height)
        if regions == self._regions:
            return None
        self._regions = ids, values = regions
        event = RegionEvent(
            start_picture_number=self._num_sent,
            b64_seg_map=(c_uint8 * len(ids)).from_buffer_copy(ids),
            seg_qp=values,
            max_seg_id=len(values) - 1,
        )
        self._events.append((self._num_sent, event))
        return PrivateNode(
            node_type=ROI_MAP_EVENT,
            data=ctypes.addressof(event),
            size=ctypes.sizeof(c_void_p),  # the library checks for just this
        )

    def _receive(self, *, is_last: bool) -> list[VideoPacket]:
        """Returns the packets that are ready, or waits for all that are left."""
        packets: list[VideoPacket] = []
        header = ctypes.POINTER(Header)()
        is_end = False
        while not is_end:
            code = self._calls.svt_av1_enc_get_packet(self._handle, ctypes.byref(header), is_last)
            if code == EMPTY_QUEUE:
                break
            self._check("packet", code)
            is_end = bool(header.contents.flags & END_OF_STREAM)
            if not is_end:
                packets.append(_packet(header.contents, self._form))
            self._calls.svt_av1_enc_release_out_buffer(ctypes.byref(header))
        # Each packet shows one frame, in order: those before are encoded, and their maps free.
        self._num_packets += len(packets)
        while len(self._events) > 1 and self._events[1][0] <= self._num_packets:
            self._events.popleft()
        return packets

    def _check(self, step: str, code: int) -> None:
        if code != NO_ERROR:
            raise self._failure(f"failed: {step} gave error 0x{code & 0xFFFFFFFF:x}")

    def _failure(self, message: str) -> EncodeError:
        self.close()
        text = f"SVT-AV1 {message}; settings {describe(self._settings)}"
        return EncodeError(text, self._settings)


def _moved(settings: EncodeSettings, offset: float) -> tuple[EncodeSettings, float]:
    """Returns settings whose Crf or Qp is moved as far as it goes, and how far that is."""
    encoder = ENCODERS[settings.codec]
    match settings.rate_control:
        case Crf(value=crf):
            moved = nearest_crf(encoder, crf + offset)
            return settings.at(moved), moved.value - crf
        case Qp(value=qp):
            low, high = encoder.qp_range
            moved_qp = min(max(math.floor(qp + offset), low), high)
            return settings.at(Qp(value=moved_qp)), moved_qp - qp
        case Bitrate():
            return settings, 0


def _packet(header: Header, form: FrameFormat) -> VideoPacket:
    """Returns a copy of a packet of the library's."""
    data = ctypes.string_at(header.p_buffer, header.n_filled_len)
    packet = cast("VideoPacket", av.Packet(data))
    packet.pts, packet.dts, packet.time_base = header.pts, header.dts, 1 / form.frame_rate
    packet.is_keyframe = header.pic_type == KEY_PICTURE
    return packet


def _parameters(form: FrameFormat, settings: EncodeSettings) -> Iterator[tuple[str, str]]:
    """Yields names and values in the order in which FFmpeg's wrapper sets them."""
    options = ffmpeg_options(settings)
    yield "preset", options["preset"]
    if "qp" in options:
        yield "rc", "cqp"
        yield "qp", options["qp"]
    yield "color-primaries", str(form.color_primaries)
    yield "matrix-coefficients", str(form.color_space)
    yield "transfer-characteristics", str(form.color_transfer)
    yield "color-range", "0"  # limited
    yield "fps-num", str(form.frame_rate.numerator)
    yield "fps-denom", str(form.frame_rate.denominator)
    yield "irefresh-type", "2"  # closed groups of pictures
    for pair in options[ENCODERS[settings.codec].params_name].split(":"):
        name, _, value = pair.partition("=")
        yield name, value
    yield "width", str(form.width)
    yield "height", str(form.height)
    yield "input-depth", "10" if is_10_bit(form) else "8"

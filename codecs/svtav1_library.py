"""The SVT-AV1 library that PyAV's wheel ships, called through ctypes.

The structures are those of ``EbSvtAv1.h`` in SVT-AV1 4.1, whose configuration is filled by name.
"""

from __future__ import annotations

import ctypes
import os
from collections import deque
from ctypes import c_double, c_int8, c_int16, c_int64, c_uint8, c_uint32, c_uint64, c_void_p
from dataclasses import dataclass, field
from functools import cache
from threading import RLock
from typing import ClassVar, TypeAlias

from .encoder import library_file
from .scheduling import kept_scheduling
from .table import ENCODERS

MAX_SEGMENTS = 8  # AV1 specification, section 3

NO_ERROR = 0  # EbErrorType
EMPTY_QUEUE = 0x80002033 - (1 << 32)
END_OF_STREAM = 1  # EB_BUFFERFLAG_EOS
KEY_PICTURE, ANY_PICTURE = 3, 0xFF  # EbAv1PictureType
ROI_MAP_EVENT = 2  # PrivDataType

_VERSION = "v4.1"
_CONFIG_BYTES = 1 << 16  # EbSvtAv1EncConfiguration has under 1000

# enable_roi_map has no name. In the configuration it lies between frame_scale_evts, which ends at
# a multiple of 8, and tf_strength. These lie at fixed distances from tf_strength on either side.
_ENABLE_ROI_MAP = -1
_LANDMARKS = (("startup-qp-offset", -35), ("tf-strength", 0), ("enable-variance-boost", 15))

# The library's start and end share tables between encoders, and FFmpeg too runs one at a time.
# It can be taken twice, since an encoder may be collected while its thread starts another.
start_lock = RLock()

Config: TypeAlias = "ctypes.Array[ctypes.c_char]"


class Header(ctypes.Structure):
    """``EbBufferHeaderType``: a picture on its way in, a packet on its way out."""

    _fields_: ClassVar = [
        ("size", c_uint32), ("p_buffer", c_void_p),
        ("n_filled_len", c_uint32), ("n_alloc_len", c_uint32),
        ("p_app_private", c_void_p), ("wrapper_ptr", c_void_p),
        ("n_tick_count", c_uint32), ("dts", c_int64), ("pts", c_int64),
        ("temporal_layer_index", c_uint8), ("qp", c_uint32), ("avg_qp", c_uint32),
        ("pic_type", c_uint32),
        ("luma_sse", c_uint64), ("cr_sse", c_uint64), ("cb_sse", c_uint64),
        ("flags", c_uint32),
        ("luma_ssim", c_double), ("cr_ssim", c_double), ("cb_ssim", c_double),
        ("metadata", c_void_p),
    ]  # fmt: skip


class Picture(ctypes.Structure):
    """``EbSvtIOFormat``: planes, and the lengths of their lines in samples."""

    _fields_: ClassVar = [
        ("luma", c_void_p), ("cb", c_void_p), ("cr", c_void_p),
        ("y_stride", c_uint32), ("cr_stride", c_uint32), ("cb_stride", c_uint32),
    ]  # fmt: skip


class PrivateNode(ctypes.Structure):
    """``EbPrivDataNode``: what comes along with a picture."""

    _fields_: ClassVar = [
        ("node_type", c_uint32), ("data", c_void_p), ("size", c_uint32), ("next", c_void_p),
    ]  # fmt: skip


class RegionEvent(ctypes.Structure):
    """``SvtAv1RoiMapEvt``; the first and last field are read by its command line tool only."""

    _fields_: ClassVar = [
        ("start_picture_number", c_uint64), ("b64_seg_map", ctypes.POINTER(c_uint8)),
        ("seg_qp", c_int16 * MAX_SEGMENTS), ("max_seg_id", c_int8), ("next", c_void_p),
    ]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """The library, and where ``enable_roi_map`` lies in its configuration."""

    calls: ctypes.CDLL
    enable_roi_map: int


@dataclass(slots=True)
class Running:
    """What the library works with until it is freed.

    Attributes:
        needs_end: It is started, and was not told yet that the stream is at its end.
        events: Maps that it may still read, each with the number of its first frame.
    """

    handle: c_void_p
    needs_end: bool = False
    events: deque[tuple[int, RegionEvent]] = field(default_factory=deque)


def version_fault(version: str) -> str | None:
    """Returns why regions cannot be given to a version of the library; None where they can."""
    if f"{version}.".startswith(f"{_VERSION}."):
        return None
    return f"SVT-AV1 must be {_VERSION} to take regions, this is {version}"


@cache
def load_library() -> Library | str:
    """Returns the library, or why regions cannot be given to it."""
    for name, value in ENCODERS["svtav1"].quiet_environment:
        os.environ.setdefault(name, value)
    file = library_file("svtav1")
    if file is None:
        return "SVT-AV1 must be in PyAV's wheel to take regions, this PyAV has none of its own"
    calls = ctypes.CDLL(str(file))  # loaded already: this is another reference to it
    calls.svt_av1_get_version.restype = ctypes.c_char_p
    fault = version_fault(calls.svt_av1_get_version().decode())
    if fault is not None:
        return fault
    config = new_config()
    with start_lock:
        free(calls, Running(new_handle(calls, config)))
    offsets = [_changed(calls, config, name) - distance for name, distance in _LANDMARKS]
    enable_roi_map = offsets[0] + _ENABLE_ROI_MAP
    if len(set(offsets)) > 1 or enable_roi_map % 8 or config.raw[enable_roi_map] != 0:
        return "SVT-AV1 must have the configuration of 4.1 to take regions, this one differs"
    return Library(calls=calls, enable_roi_map=enable_roi_map)


def _changed(calls: ctypes.CDLL, config: Config, name: str) -> int:
    """Returns where setting an option to 1 changes the one byte that it changes, else -1."""
    before = config.raw
    calls.svt_av1_enc_parse_parameter(config, name.encode(), b"1")
    changed = [
        at for at, pair in enumerate(zip(before, config.raw, strict=True)) if len(set(pair)) > 1
    ]
    return changed[0] if len(changed) == 1 else -1


def new_config() -> Config:
    """Returns room for a configuration, whose size is the library's business."""
    return ctypes.create_string_buffer(_CONFIG_BYTES)


def new_handle(calls: ctypes.CDLL, config: Config) -> c_void_p:
    """Returns a new encoder, and fills a configuration with the defaults."""
    handle = c_void_p()
    with kept_scheduling():
        fault = calls.svt_av1_enc_init_handle(ctypes.byref(handle), config)
    if fault != NO_ERROR:
        raise MemoryError("SVT-AV1 found no memory for an encoder")
    return handle


def end_stream(calls: ctypes.CDLL, running: Running) -> None:
    """Tells an encoder that no frame follows."""
    header = Header(pic_type=ANY_PICTURE, flags=END_OF_STREAM)
    calls.svt_av1_enc_send_picture(running.handle, ctypes.byref(header))
    running.needs_end = False


def free(calls: ctypes.CDLL, running: Running) -> None:
    """Ends the threads of an encoder and frees it."""
    if running.needs_end:
        end_stream(calls, running)  # it complains on stderr of being freed without
    with start_lock:
        calls.svt_av1_enc_deinit(running.handle)
        calls.svt_av1_enc_deinit_handle(running.handle)

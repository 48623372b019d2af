"""An encoder that is told, frame by frame, where a machine looks."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import av
from av.video.codeccontext import VideoCodecContext

from .container import VideoPacket
from .encoder import RunningEncoder
from .errors import RegionError
from .picture_filter import PictureFilter
from .planes import FrameFormat, Planes, is_10_bit, video_frame
from .region import ClipRegions, Region, weight_map
from .roi import RegionCoding
from .scaling import Scaler, scaled_format
from .settings import EncodeSettings
from .table import ENCODERS, Codec

# Size, top, bottom, left, right, and a quantiser offset as numerator and denominator.
_REGION = struct.Struct("=I6i")
_OFFSET_UNITS = 10**6
# Regions that may be added before there has to be room for more.
_SPARE_ROOM = 8

if TYPE_CHECKING:
    from av.sidedata.sidedata import SideDataContainer

    from .background import BackgroundFilter
    from .svtav1 import SvtAv1Encoder


def can_offset_qp(codec: Codec) -> bool:
    """Returns whether the library that is here takes QP offsets of regions."""
    if ENCODERS[codec].roi_by_side_data:
        return True
    from .svtav1 import supports_regions

    return supports_regions()


def require_regions(settings: EncodeSettings, regions: ClipRegions | None) -> None:
    """Refuses settings with regions where there are none.

    Raises:
        RegionError: There are none.
    """
    if settings.regions is not None and regions is None:
        raise RegionError("settings with roi=1 need the regions of the clip, got none")


def filter_version() -> str:
    """Returns what the pictures of the background filter depend on, beside its settings."""
    import cv2

    from .background import VERSION

    return f"{VERSION} opencv {cv2.__version__}"


class RegionEncoder:
    """Encodes planes, at the height that the settings ask for.

    Where they have regions on, the planes are filtered and QP offsets told.
    """

    def __init__(
        self, form: FrameFormat, settings: EncodeSettings, context: VideoCodecContext | None = None
    ) -> None:
        """Prepares an encoder for one stream; arguments as of RunningEncoder.

        Raises:
            SettingsError: The height does not fit the frames.
        """
        self._form = form = scaled_format(form, settings.height)
        self._scaler = Scaler(form.width, form.height)
        self._block = ENCODERS[settings.codec].roi_block
        self._coding = coding = settings.regions
        self._running = RunningEncoder(form, settings, context)
        self._side_data: RegionSideData | None = None
        self._library: SvtAv1Encoder | None = None
        self._filter: BackgroundFilter | None = None
        if coding is None:
            return
        if coding.has_filter:
            from .background import BackgroundFilter  # needs OpenCV

            self._filter = BackgroundFilter(
                blur_sigma=coding.blur_sigma, freeze_threshold=coding.freeze_threshold
            )
        if coding.has_qp_offsets and ENCODERS[settings.codec].roi_by_side_data:
            self._side_data = RegionSideData(form, coding)
        elif coding.has_qp_offsets:
            from .svtav1 import SvtAv1Encoder

            lowest = min(coding.qp_offset(0), coding.qp_offset(1))
            self._library = SvtAv1Encoder(form, settings, lowest_offset=lowest)
            if context is not None:
                # A muxer asks FFmpeg's context for the stream's header, and would open it itself:
                # a second encoder beside ours. Ended at once, it keeps the header.
                self._running.encode(None)

    def encode(
        self, planes: Planes, index: int, regions: Sequence[Region] = ()
    ) -> list[VideoPacket]:
        """Returns the packets that are ready.

        Args:
            planes: One frame, Y, U, V stacked.
            index: Its number in the stream.
            regions: Of this frame; unused where the settings have none.

        Raises:
            EncodeError: The encoder failed or ignored an option.
        """
        if self._coding is None:
            frame = video_frame(planes, self._form, index)
            return self._running.encode(self._scaler.scale(frame))
        if self._filter is not None:
            planes = self._filter.apply(planes, regions)
        frame = video_frame(planes, self._form, index)
        if self._side_data is not None:
            return self._running.encode(self._side_data.attach(frame, regions))
        if self._library is not None:
            weights = weight_map(regions, self._form.width, self._form.height, self._block)
            return self._library.encode(frame, self._coding.qp_offsets(weights))
        return self._running.encode(frame)

    def finish(self) -> list[VideoPacket]:
        """Ends the stream and returns the last packets."""
        return (self._library or self._running).encode(None)


class RegionSideData:
    """Attaches regions to frames, as libx264 and libx265 take them.

    FFmpeg's ``addroi`` is the only way to side data of that kind. A graph of them makes room, and
    the regions are written there: a graph for each set of regions took 15 % of the time that x264
    needs for 320x240.
    """

    def __init__(self, form: FrameFormat, coding: RegionCoding) -> None:
        self._coding = coding
        # What a quantiser offset of 1 stands for in libx264.c and libx265.c.
        self._qp_range = 51 + 6 * (2 if is_10_bit(form) else 0)
        self._everything = Region(x0=0, y0=0, x1=form.width, y1=form.height, weight=0)
        self._room = 0
        self._filter = PictureFilter()

    def attach(self, frame: av.VideoFrame, regions: Sequence[Region]) -> av.VideoFrame:
        """Returns the frame with its regions; where they overlap, the first one counts."""
        entries = [*regions, self._everything]
        if len(entries) > self._room:
            self._room = len(entries) + _SPARE_ROOM
            self._filter = PictureFilter(*[("addroi", "")] * self._room)
        with_regions = self._filter.apply(frame)
        # PyAV's stubs know of motion vectors alone.
        room = cast("SideDataContainer", with_regions.side_data)["REGIONS_OF_INTEREST"]
        # Everything once more changes nothing.
        entries += [self._everything] * (self._room - len(entries))
        packed = b"".join(self._pack(region) for region in entries)
        assert len(packed) == room.buffer_size
        # No other frame shares it. PyAV shows where it is, and writes there for packets only.
        ctypes.memmove(room.buffer_ptr, packed, len(packed))
        return with_regions

    def _pack(self, region: Region) -> bytes:
        """Returns a region as FFmpeg's AVRegionOfInterest of libavutil/frame.h."""
        offset = round(self._coding.qp_offset(region.weight) / self._qp_range * _OFFSET_UNITS)
        return _REGION.pack(
            _REGION.size, region.y0, region.y1, region.x0, region.x1, offset, _OFFSET_UNITS
        )

"""How a decoded picture is stood upright."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
from av.sidedata.sidedata import Type as SideDataType

from .errors import ClipError

if TYPE_CHECKING:
    from .planes import Planes


@dataclass(frozen=True, slots=True)
class Orientation:
    """How a decoded picture is stood upright: transposed first, then mirrored."""

    is_transposed: bool = False
    is_mirrored_left_right: bool = False
    is_mirrored_top_bottom: bool = False

    def apply(self, plane: Planes) -> Planes:
        """Returns a view of the upright plane."""
        if self.is_transposed:
            plane = plane.T
        if self.is_mirrored_left_right:
            plane = plane[:, ::-1]
        if self.is_mirrored_top_bottom:
            plane = plane[::-1]
        return plane

    @property
    def filters(self) -> list[str]:
        """FFmpeg's filters that do the same, in order."""
        steps = (
            ("transpose=cclock_flip", self.is_transposed),
            ("hflip", self.is_mirrored_left_right),
            ("vflip", self.is_mirrored_top_bottom),
        )
        return [name for name, is_needed in steps if is_needed]


# By quarter turns counter-clockwise.
_QUARTER_TURNS = (
    Orientation(),
    Orientation(True, False, True),
    Orientation(False, True, True),
    Orientation(True, True, False),
)


def orientation(frame: av.VideoFrame, path: Path) -> Orientation:
    """Returns how the container wants a frame stood upright.

    Raises:
        ClipError: It wants an angle between the quarter turns.
    """
    try:
        data = frame.side_data.get(SideDataType.DISPLAYMATRIX)  # type: ignore[call-overload]
    except ValueError:
        # PyAV knows not all that FFmpeg attaches to a frame, such as a photo's Exif, and then
        # shows nothing of it. The angle it does show; of mirrors it says nothing.
        return _QUARTER_TURNS[round(frame.rotation / 90) % 4]
    if data is None:
        return Orientation()
    # 16.16 fixed point, rows (a b u) (c d v) (x y w): x' = a x + c y, y' = b x + d y
    # (ISO/IEC 14496-12 section 6.2.2).
    a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].tolist()
    if b == c == 0:
        return Orientation(False, a < 0, d < 0)
    if a == d == 0:
        return Orientation(True, c < 0, b < 0)
    raise ClipError(
        f"rotation must be a multiple of 90 degrees, {path} asks for {frame.rotation % 360}; "
        f"rotate it first: ffmpeg -i IN -c:v ffv1 OUT.mkv"
    )

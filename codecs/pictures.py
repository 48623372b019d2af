"""Frames that are in memory already, read like those of a file."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import ColorRange, Interpolation

from .errors import ClipError
from .planes import Planes, plane, stack, video_frame
from .source import to_bgr

# Matrix, primaries and transfer in ITU-T H.273: what swscale makes of RGB, and two unknowns.
_BT601, _UNSPECIFIED = 6, 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pictures:
    """Pictures that stand for a clip, as a folder of them would.

    Attributes:
        pictures: (frames, height, width, 3) BGR in [0, 255], uint8.
        frame_rate: Frames a second.
        is_shortened: As of a ``Source``.

    Raises:
        ClipError: They have another shape or type, or are smaller than 2x2 pixels.
    """

    pictures: npt.NDArray[np.uint8]
    frame_rate: Fraction
    is_shortened: bool = False

    def __post_init__(self) -> None:
        pictures = self.pictures
        if pictures.ndim != 4 or pictures.shape[3] != 3 or pictures.dtype != np.uint8:
            raise ClipError(
                f"pictures must be uint8 (frames, height, width, 3) BGR, got {pictures.dtype} "
                f"{pictures.shape}"
            )
        if not (len(pictures) and self.width and self.height):
            raise ClipError(f"pictures must be at least 1 of 2x2 pixels, got {pictures.shape}")

    @property
    def width(self) -> int:
        """Of the planes: even, as that of a source."""
        return int(self.pictures.shape[2]) // 2 * 2

    @property
    def height(self) -> int:
        """Of the planes: even, as that of a source."""
        return int(self.pictures.shape[1]) // 2 * 2

    @property
    def num_frames(self) -> int:
        """Number of pictures."""
        return len(self.pictures)

    @property
    def pix_fmt(self) -> str:
        """Of the planes."""
        return "yuv420p"

    @property
    def color_space(self) -> int:
        """Of the planes."""
        return _BT601

    @property
    def color_primaries(self) -> int:
        """Of the planes."""
        return _UNSPECIFIED

    @property
    def color_transfer(self) -> int:
        """Of the planes."""
        return _UNSPECIFIED

    def bgr(self, index: int) -> npt.NDArray[np.uint8]:
        """Returns picture ``index`` as a machine sees it of a file: of even size, from 4:2:0."""
        return to_bgr(video_frame(self.planes(index), self, index), self.color_space)

    def planes(self, index: int) -> Planes:
        """Returns picture ``index`` as limited-range Y, U, V stacked: (height * 3 / 2, width).

        To the bit what ``load_source`` makes of it in a folder.
        """
        picture = np.ascontiguousarray(self.pictures[index][..., ::-1])
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(
            format=self.pix_fmt,
            interpolation=Interpolation.BICUBIC,
            dst_color_range=ColorRange.MPEG,
        )
        return stack(
            [
                plane(frame, number)[: self.height // factor, : self.width // factor]
                for number, factor in ((0, 1), (1, 2), (2, 2))
            ]
        )

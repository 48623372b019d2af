"""The parts of a picture that no machine looks at, made cheap for any encoder."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from .errors import RegionError
from .planes import Planes, split
from .region import Region, weight_map

Levels = npt.NDArray[np.int16]
Blocks = npt.NDArray[np.bool_]

# Changes whenever the same frames and settings give other pictures.
VERSION = "background 1"

_WHOLE = 1 << 14  # Share of a sample that is all original, in 16 bits.
_BLOCK = 16  # Side in luma, 8 in chroma: what H.264 codes as one.

# Noise has a maximum of its 5x5 means of about twice its mean absolute value, whatever its
# strength (95th percentile of background blocks on a real road camera: 5.3 to 2.6 levels); blocks
# with moving objects, even missed ones, four times and more.
_PEAK_TO_MEAN = 2

# A lamp, a cloud, an exposure control: all at once leaves less patchwork than block by block (99th
# percentile of the steps between blocks, threshold 4, at most 0.05 levels of drift a frame: 2.1 for
# 3.2 indoors, 3.2 for 3.5 on a road), mostly at fewer bits where light drifts (+1 to -16 points).
_SHARE_THAT_REFRESHES_ALL = 0.25


class BackgroundFilter:
    """Simplifies what lies outside of the regions, frame after frame of one stream."""

    def __init__(self, *, blur_sigma: float = 0.0, freeze_threshold: float = 0.0) -> None:
        """Stores what to do; 0 turns a part off.

        Args:
            blur_sigma: Of a Gaussian, in luma pixels.
            freeze_threshold: Mean absolute difference, in levels of 8 bits, up to which a block
                goes on showing an earlier picture. For cameras that do not move.

        Raises:
            RegionError: One of them is negative or not finite.
        """
        for name, value in (("blur_sigma", blur_sigma), ("freeze_threshold", freeze_threshold)):
            if not (math.isfinite(value) and value >= 0):
                raise RegionError(
                    f"{name} must be finite and at least 0, got {value:g}; 0 turns it off"
                )
        self._sigma, self._threshold = blur_sigma, freeze_threshold
        self._masked: tuple[Region, ...] | None = None
        self._shares: tuple[Levels, Levels] | None = None
        self._kept: Planes | None = None
        self._was_open: Blocks | None = None

    def apply(self, planes: Planes, regions: Sequence[Region]) -> Planes:
        """Returns a frame with a simpler background; the very argument where all is turned off.

        Samples in a region of weight 1 are the original's, to the bit. The low-pass comes first,
        so that it leaves frozen blocks alone and that less noise thaws them: 71 rather than 67 %
        smaller on a quiet camera (sigma 2, threshold 2), within 1.5 points on restless ones.

        Args:
            planes: Y, U, V stacked, as ``Source.planes`` has them; not written on.
            regions: Of this frame.

        Returns:
            Of the same shape and type; not to be written on, the next frame may build on it.
        """
        if self._sigma:
            planes = self._blurred(planes, regions)
        if self._threshold:
            planes = self._frozen(planes, regions)
        return planes

    def _blurred(self, planes: Planes, regions: Sequence[Region]) -> Planes:
        """Returns the low-passed frame with the original's share of each sample."""
        if self._masked != tuple(regions) or self._shares is None:
            self._masked, self._shares = tuple(regions), _shares(planes, regions, self._sigma)
        luma, chroma = self._shares
        sigmas = (self._sigma, self._sigma / 2, self._sigma / 2)
        simple = np.empty_like(planes, subok=False)
        for target, original, share, sigma in zip(
            split(simple), split(planes), (luma, chroma, chroma), sigmas, strict=True
        ):
            # As signed, 10 bits are filtered in a third of the time.
            samples = original if original.dtype == np.uint8 else original.view(np.int16)
            side = 2 * math.ceil(3 * sigma) + 1
            blurred = cv2.GaussianBlur(samples, (side, side), sigma)
            detail = cv2.subtract(samples, blurred, dtype=cv2.CV_16S)
            detail = cv2.multiply(detail, share, scale=1 / _WHOLE)
            target[:] = cv2.add(blurred, detail, dtype=cv2.CV_16S)
        simple.flags.writeable = False
        return simple

    def _frozen(self, planes: Planes, regions: Sequence[Region]) -> Planes:
        """Returns the frame with the earlier blocks where nothing changed.

        Each frozen block is within the threshold of what the camera sees now, so no object leaves
        a ghost. A block that a region covered starts afresh: its last picture shows the object.
        """
        luma, *_ = split(planes)
        height, width = luma.shape
        objects = [region for region in regions if region.weight > 0]
        is_open = weight_map(objects, width, height, _BLOCK) > 0
        if self._kept is None or self._was_open is None:
            self._kept, self._was_open = planes.copy(), is_open
            return planes
        threshold = self._threshold if planes.dtype == np.uint8 else self._threshold * 4
        is_new = np.zeros_like(is_open)
        sides = (_BLOCK, _BLOCK // 2, _BLOCK // 2)
        for current, kept, side in zip(split(planes), split(self._kept), sides, strict=True):
            is_new |= _has_changed(current, kept, side, threshold)
        is_fresh = is_open | self._was_open
        if np.count_nonzero(is_new & ~is_fresh) > _SHARE_THAT_REFRESHES_ALL * np.sum(~is_fresh):
            is_new[:] = True
        is_new |= is_fresh
        frozen = self._kept.copy()
        for target, current, side in zip(split(frozen), split(planes), sides, strict=True):
            rows, columns = is_new.shape
            mask = cv2.resize(
                is_new.astype(np.uint8),
                (columns * side, rows * side),
                interpolation=cv2.INTER_NEAREST,
            )
            cv2.copyTo(current, mask[: target.shape[0], : target.shape[1]], target)
        frozen.flags.writeable = False
        self._kept, self._was_open = frozen, is_open
        return frozen


def _shares(planes: Planes, regions: Sequence[Region], sigma: float) -> tuple[Levels, Levels]:
    """Returns how much of each luma and chroma sample is original, in 1 / ``_WHOLE``.

    Outside of the regions it falls in a straight line to 0, over two sigma.
    """
    height, width = planes.shape[0] * 2 // 3, planes.shape[1]
    luma: Levels = (weight_map(regions, width, height, 1) * _WHOLE).astype(np.int16)
    # A chroma sample is as original as the most original of its four pixels.
    chroma: Levels = np.maximum(
        np.maximum(luma[::2, ::2], luma[1::2, ::2]), np.maximum(luma[::2, 1::2], luma[1::2, 1::2])
    )
    return _feathered(luma, math.ceil(sigma)), _feathered(chroma, math.ceil(sigma / 2))


def _feathered(shares: Levels, radius: int) -> Levels:
    size = (2 * radius + 1, 2 * radius + 1)
    ramp = cv2.blur(cv2.dilate(shares, np.ones(size, np.uint8)), size)
    return np.asarray(cv2.copyTo(shares, (shares > 0).view(np.uint8), ramp), np.int16)


def _has_changed(current: Planes, kept: Planes, side: int, threshold: float) -> Blocks:
    """Returns which blocks differ on average, or in one small place."""
    height, width = current.shape
    # In sixteenths, which 16 bits hold: half of the memory, and of the time, of floats.
    difference = cv2.subtract(current, kept, dtype=cv2.CV_16S) * np.int16(16)
    window = (side // 4 + 1, side // 4 + 1)
    small = _whole_blocks(np.abs(cv2.blur(difference, window)), side)
    rows, columns = small.shape[0] // side, small.shape[1] // side
    # In two steps it takes a third of the time of one.
    peak = small.reshape(rows, side, columns, side).max(axis=1).max(axis=-1)
    # As floats: a block that the edge cuts to 2x2 pixels has 1 / 64 of its mean in the picture.
    total = _whole_blocks(np.abs(difference), side).astype(np.float32)
    mean = cv2.resize(total, (columns, rows), interpolation=cv2.INTER_AREA)
    num_rows, num_columns = (
        np.minimum(side, length - np.arange(0, length, side)) for length in (height, width)
    )
    limit = threshold * 16
    is_off = mean > limit * np.outer(num_rows, num_columns) / side**2
    changed: Blocks = is_off | (peak > limit * _PEAK_TO_MEAN)
    return changed


def _whole_blocks(levels: Levels, side: int) -> Levels:
    """Returns levels with zeros behind the last row and column, up to a multiple of ``side``."""
    below, right = -levels.shape[0] % side, -levels.shape[1] % side
    return np.pad(levels, ((0, below), (0, right))) if below or right else levels

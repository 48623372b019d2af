"""Regions: the parts of each frame that a machine looks at."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import RegionError, TargetError
from .whole_file import whole_file

Mask = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """One rectangle of one frame.

    Attributes:
        x0, y0, x1, y1: Pixels, right and bottom exclusive.
        weight: In [0, 1]; 1 gets the objects' QP offset, 0 the background's, what lies between
            gets a share of both.
    """

    x0: int
    y0: int
    x1: int
    y1: int
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not (0 <= self.x0 < self.x1 and 0 <= self.y0 < self.y1):
            raise RegionError(
                f"region must have 0 <= x0 < x1 and 0 <= y0 < y1, got {self.x0, self.y0} to "
                f"{self.x1, self.y1}"
            )
        if not 0 <= self.weight <= 1:
            raise RegionError(f"weight of a region must be in [0, 1], got {self.weight:g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipRegions:
    """Regions of every frame of a clip, as they move.

    Attributes:
        width, height: Of the frames, in pixels.
        frames: One entry a frame. Where regions overlap, the first one counts.

    Raises:
        RegionError: There is no frame or no pixel, or a region leaves the frame.
    """

    width: int
    height: int
    frames: tuple[tuple[Region, ...], ...]

    def __post_init__(self) -> None:
        if not (self.width > 0 and self.height > 0 and self.frames):
            raise RegionError(
                f"regions must be for at least 1 frame of 1x1, got {len(self.frames)} of "
                f"{self.width}x{self.height}"
            )
        for number, regions in enumerate(self.frames):
            for region in regions:
                if region.x1 > self.width or region.y1 > self.height:
                    raise RegionError(
                        f"region must lie inside {self.width}x{self.height}, frame {number} has "
                        f"one to {region.x1, region.y1}"
                    )

    def check_fit(self, width: int, height: int, num_frames: int) -> None:
        """Refuses another clip.

        Raises:
            RegionError: It has another size, or another number of frames.
        """
        if (self.width, self.height, len(self.frames)) != (width, height, num_frames):
            is_odd = (self.width // 2 * 2, self.height // 2 * 2) == (width, height)
            cut = ", without the odd last row or column, which no encode has" if is_odd else ""
            raise RegionError(
                f"regions must be for {num_frames} frames of {width}x{height}, got "
                f"{len(self.frames)} of {self.width}x{self.height}; make them for this clip{cut}"
            )

    @property
    def area_share(self) -> float:
        """Mean share of a frame that lies in a region of any weight, in [0, 1]."""
        return float(np.mean([(weights > 0).mean() for weights in self._weight_maps()]))

    @property
    def mean_weight(self) -> float:
        """Mean weight of a frame, in [0, 1]: its share in regions where all have weight 1."""
        return float(np.mean([weights.mean() for weights in self._weight_maps()]))

    def _weight_maps(self) -> Iterator[Mask]:
        for regions in self.frames:
            yield weight_map(regions, self.width, self.height, 8)


def weight_map(regions: Sequence[Region], width: int, height: int, block: int) -> Mask:
    """Returns the weight of each block of a frame, in [0, 1].

    A block belongs to a region as soon as they overlap; to the first one listed if there are more.

    Args:
        regions: Of one frame.
        width, height: Of the frame, in pixels.
        block: Side of a block, in pixels; 1 for a map of pixels.

    Returns:
        (rows, columns); the last ones may stand for less than a whole block.
    """
    weights: Mask = np.zeros((math.ceil(height / block), math.ceil(width / block)), np.float32)
    for region in reversed(regions):
        rows = slice(region.y0 // block, math.ceil(region.y1 / block))
        columns = slice(region.x0 // block, math.ceil(region.x1 / block))
        weights[rows, columns] = region.weight
    return weights


def write_regions(regions: ClipRegions, path: Path) -> None:
    """Writes regions as JSON: ``[x0, y0, x1, y1, weight]`` lists, one list of them a frame.

    Raises:
        TargetError: The file cannot be written.
    """
    frames = [
        [[one.x0, one.y0, one.x1, one.y1, round(one.weight, 4)] for one in frame]
        for frame in regions.frames
    ]
    content = {"width": regions.width, "height": regions.height, "frames": frames}
    try:
        with whole_file(path) as part:
            part.write_text(json.dumps(content, allow_nan=False) + "\n")
    except OSError as error:
        raise TargetError(f"cannot write {path}: {error.strerror}") from error


def read_regions(path: Path) -> ClipRegions:
    """Returns the regions of a JSON file; the weight may be left out.

    Raises:
        RegionError: The file is missing, is not such a file, or a region leaves the frame.
    """
    try:
        content: Any = json.loads(path.read_bytes())
        return ClipRegions(
            width=int(content["width"]),
            height=int(content["height"]),
            frames=tuple(
                tuple(
                    Region(
                        x0=math.floor(box[0]),
                        y0=math.floor(box[1]),
                        x1=math.ceil(box[2]),
                        y1=math.ceil(box[3]),
                        weight=float(box[4]) if len(box) > 4 else 1.0,
                    )
                    for box in frame
                )
                for frame in content["frames"]
            ),
        )
    except RegionError as error:
        raise RegionError(f"{path}: {error}") from error
    except OSError as error:
        raise RegionError(f"regions must be a readable file, {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, IndexError, OverflowError, RecursionError) as error:
        raise RegionError(
            f"regions must be a JSON file with width, height and frames, {path} is not: "
            f"{type(error).__name__} {error}"
        ) from error

"""What predicts a machine's loss from pictures alone, and a cache of its values.

A new predictor is a class that meets ``Predictor`` and a row in ``correlation.PREDICTORS``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from ratesight.codecs.whole_file import whole_file

from .labelled_groups import Floats, Group, Pictures

# What of a region's surroundings is looked at, as a share of its sides, and the least side.
_MARGIN, _MIN_SIDE_PIXELS = 0.1, 64

Picture = npt.NDArray[np.uint8]
# One original (height, width, 3) BGR and its versions (n, height, width, 3) -> named rows of (n,)
# values, higher is better.
Measure = Callable[[Picture, Pictures], Mapping[str, Floats]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Values:
    """What one predictor says of one group; higher is better.

    Attributes:
        frames: (versions, frames) for whole pictures; None where it knows only regions.
        regions: (versions, regions of all frames in order); None where it knows only frames.
    """

    frames: Floats | None = None
    regions: Floats | None = None

    def __post_init__(self) -> None:
        for values in (self.frames, self.regions):
            if values is not None and not np.isfinite(values).all():
                raise ValueError("a predictor's values must be finite; cap them instead")


class Predictor(Protocol):
    """Gives named rows of values for a group."""

    @property
    def name(self) -> str:
        """The predictor's name, which is that of its folder in the cache too."""

    @property
    def version(self) -> str:
        """Everything else that the values depend on: library versions, weights."""

    def predict(self, group: Group, pictures: Pictures) -> Mapping[str, Values]:
        """Returns one or more rows of the tables by name.

        Args:
            group: The regions, their classes and their scores on the original may be looked at;
                ``kept`` is what is to be predicted.
            pictures: (1 + versions, frames, height, width, 3) BGR, the originals first.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class PicturePredictor:
    """A metric of two pictures, on whole frames and on each region's crop."""

    name: str
    version: str
    measure: Measure

    def predict(self, group: Group, pictures: Pictures) -> dict[str, Values]:
        frames = [
            self.measure(pictures[0, index], pictures[1:, index])
            for index in range(pictures.shape[1])
        ]
        height, width = pictures.shape[2:4]
        crops = []
        for index, region in zip(group.frame_of_region, group.regions, strict=True):
            rows, columns = crop(region.box, width=width, height=height)
            crops.append(
                self.measure(pictures[0, index, rows, columns], pictures[1:, index, rows, columns])
            )
        return {
            row: Values(
                frames=np.stack([values[row] for values in frames], axis=1),
                regions=np.stack([values[row] for values in crops], axis=1),
            )
            for row in frames[0]
        }


def crop(box: tuple[float, ...], *, width: int, height: int) -> tuple[slice, slice]:
    """Returns the rows and columns of a region with a margin, at least 64 pixels where there are.

    Args:
        box: x0 y0 x1 y1 in pixels.
    """
    x0, y0, x1, y1 = box
    return _span(y0, y1, height), _span(x0, x1, width)


def _span(start: float, end: float, size: int) -> slice:
    length = min(size, max(_MIN_SIDE_PIXELS, round((end - start) * (1 + 2 * _MARGIN))))
    first = round((start + end - length) / 2)
    first = min(max(0, first), size - length)
    return slice(first, first + length)


def cached_values(predictor: Predictor, group: Group, cache: Path) -> dict[str, Values]:
    """Returns a predictor's values, which are made and kept in the cache where they are missing."""
    folder = cache / f"{predictor.name}-{_short_hash(predictor.version)}"
    file = folder / f"{group.name}-{_fingerprint(group)}.npz"
    if not file.exists():
        made = predictor.predict(group, group.pictures())
        arrays = {
            f"{row}/{part}": array
            for row, values in made.items()
            for part, array in (("frames", values.frames), ("regions", values.regions))
            if array is not None
        }
        folder.mkdir(parents=True, exist_ok=True)
        with whole_file(file) as part, part.open("wb") as stream:
            np.savez_compressed(stream, allow_pickle=False, **arrays)
    with np.load(file) as stored:
        rows = dict.fromkeys(key.partition("/")[0] for key in stored.files)
        return {
            row: Values(
                frames=stored[f"{row}/frames"] if f"{row}/frames" in stored.files else None,
                regions=stored[f"{row}/regions"] if f"{row}/regions" in stored.files else None,
            )
            for row in rows
        }


def _fingerprint(group: Group) -> str:
    """Returns what changes when the group's pictures or regions are made anew."""
    return _short_hash(repr((group.versions, [region.box for region in group.regions])))


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:10]

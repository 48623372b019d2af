"""Labelled pairs of the test material as arrays: what is to be predicted, and from what."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .distortions import Version
from .pairs import JUDGES, Pairs, Region, all_pairs, read_pictures

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Pictures = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Group:
    """A photo, or some frames of a clip, with compressed versions and labels.

    Attributes:
        is_chosen: Which of the stored versions these are.
        origin: The photo, person or whole clip, of which several groups may come.
        regions: Those of all frames in order.
        frame_of_region: The frame of each region.
        kept: What each machine keeps in [0, 1], (versions, regions), 0 where it saw nothing on the
            original.
        seen: Which regions each machine saw on the original, (regions,).
    """

    name: str
    task: str
    kind: str
    origin: str
    is_chosen: Bools
    versions: tuple[Version, ...]
    num_frames: int
    regions: tuple[Region, ...]
    frame_of_region: Ints
    kept: Mapping[str, Floats]
    seen: Mapping[str, Bools]
    cache: Path

    @property
    def weights(self) -> Floats:
        """The mean score of each region on the original, by judges only where they alone see it."""
        return np.array([np.mean(_scores(one)) for one in self.regions])

    def pictures(self) -> Pictures:
        """Returns (1 + versions, frames, height, width, 3) BGR, the originals first."""
        pictures = read_pictures(self.cache, self.name)
        expected = (1 + len(self.is_chosen), self.num_frames)
        if pictures.shape[:2] != expected:
            raise ValueError(
                f"pictures of {self.name} must begin with shape {expected}, got {pictures.shape}"
            )
        return pictures[np.concatenate([[True], self.is_chosen])]


def read_groups(
    cache: Path, tasks: Sequence[str], split: str, *, is_light: bool = False
) -> Iterator[Group]:
    """Yields the groups of one part of the data, in the order of names.

    Args:
        split: ``train``, ``validation`` or ``test``.
        is_light: With the versions that lose hardly anything, instead of the others.
    """
    for pairs in all_pairs(cache, tasks):
        chosen = np.array([version.is_light == is_light for version in pairs.versions])
        if pairs.split == split and chosen.any():
            yield _group(pairs, chosen, cache)


def _group(pairs: Pairs, chosen: Bools, cache: Path) -> Group:
    regions = [region for frame in pairs.regions for region in frame]
    labels = [
        [region for frame in version for region in frame]
        for version in itertools.compress(pairs.labels, chosen)
    ]
    machines = sorted({name for region in regions for name in region.machines})
    return Group(
        name=pairs.name,
        task=pairs.task,
        kind=pairs.kind,
        origin=_origin(pairs),
        is_chosen=chosen,
        versions=tuple(itertools.compress(pairs.versions, chosen)),
        num_frames=len(pairs.regions),
        regions=tuple(regions),
        frame_of_region=np.repeat(
            np.arange(len(pairs.regions)), [len(frame) for frame in pairs.regions]
        ),
        kept={
            name: np.array(
                [[one[name][0] if name in one else 0.0 for one in version] for version in labels]
            )
            for name in machines
        },
        seen={name: np.array([name in region.machines for region in regions]) for name in machines},
        cache=cache,
    )


def _scores(region: Region) -> list[float]:
    scores = {name: view.score for name, view in region.machines.items()}
    return [score for name, score in scores.items() if name not in JUDGES] or list(scores.values())


def _origin(pairs: Pairs) -> str:
    """Returns a name without a piece's start, a person's number, or that it was made smaller."""
    if pairs.kind == "clip" or pairs.task == "faces":
        return pairs.name.rpartition("_")[0]
    return pairs.name.removesuffix("_small")

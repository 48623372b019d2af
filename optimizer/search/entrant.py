"""One trial's settings on every clip of a search."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from ...codecs.settings import EncodeSettings
from .anchor import SearchedClip
from .candidate import Candidate, cost


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrant:
    """A trial's settings, one candidate a clip.

    Attributes:
        clips: What is known of them on each clip, in the order of the benches.
    """

    settings: EncodeSettings
    clips: tuple[Candidate, ...]

    @property
    def only(self) -> Candidate:
        """What is known on the only clip of a search."""
        (candidate,) = self.clips
        return candidate

    @property
    def num_points(self) -> int:
        """Encodes that it took."""
        return sum(len(one.measurements) for one in self.clips)

    @property
    def encode_fps(self) -> float:
        """Frames a second of its slowest clip; infinite before anything is measured.

        Of one encode on one thread, beside whatever else ran.
        """
        speeds = [
            sum(point.num_frames for point in points)
            / sum(point.encode_seconds for point in points)
            for one in self.clips
            if (points := list(one.measurements.values()))
        ]
        return min(speeds, default=math.inf)


def entrant(settings: EncodeSettings, num_clips: int) -> Entrant:
    """Returns settings of which nothing is known yet."""
    return Entrant(
        settings=settings, clips=tuple(Candidate(settings=settings) for _ in range(num_clips))
    )


def total_cost(one: Entrant, clips: Sequence[SearchedClip]) -> float:
    """Returns what an entrant costs against the anchor: the median over its measured clips.

    The median, because one clip on which an option does wonders is no reason to give it to all.
    """
    return median(
        cost(candidate, clip.anchor, clip.aim)
        for candidate, clip in zip(one.clips, clips, strict=True)
        if candidate.measurements
    )

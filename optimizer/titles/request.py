"""What to recommend for each of many titles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

from ...codecs.limits import ClipLimits
from ...codecs.settings import Crf, EncodeSettings
from ...codecs.table import ENCODERS, Codec
from ..checks import check_above_0, check_not_negative
from ..contestants import Contestant, check_clips, check_codecs, check_names, contestants_of
from ..errors import RequestError
from ..measuring.machine_choice import MachineChoice
from ..request import DEFAULT_STORE, MAX_VERIFIED_FRAMES

DEFAULT_QUALITIES = (0.99, 0.97, 0.95, 0.90)
DEFAULT_HEIGHTS = (None, 720, 540)

# A curve reaches so far below the lowest quality that is asked for, else it ends there by chance.
_ROOM_BELOW = 0.03


@dataclass(frozen=True, slots=True, kw_only=True)
class PerTitleRequest:
    """What to recommend for each of many titles.

    Attributes:
        contestants: Encoders and settings, each tried at all heights unless it has one itself. By
            the first of them the real machine's scale is made, where a learned metric chooses.
        qualities: In (0, 1); each is a rung.
        heights: Frame heights, None for the title's own; a title that is not higher keeps its own.
        tolerance: A rung that measures less than expected by more than this is not verified.
        The others as in TuneRequest.
    """

    clips: tuple[Path, ...]
    contestants: tuple[Contestant, ...]
    qualities: tuple[float, ...] = DEFAULT_QUALITIES
    heights: tuple[int | None, ...] = DEFAULT_HEIGHTS
    machine: MachineChoice = field(default_factory=MachineChoice)
    frame_rate: Fraction | None = None
    limits: ClipLimits = field(default_factory=ClipLimits)
    max_seconds: float | None = None
    num_segments: int = 0
    segment_seconds: float = 2.0
    frames_per_second: float = 5.0
    max_verified_frames: int = MAX_VERIFIED_FRAMES
    num_jobs: int = 0
    tolerance: float = 0.03
    store: Path = DEFAULT_STORE

    def __post_init__(self) -> None:
        check_clips(self.clips)
        if not self.contestants:
            raise RequestError("recommend needs a contestant, got none; give codecs or settings")
        check_names(self.contestants)
        for one in self.contestants:
            if one.settings.regions is not None:
                raise RequestError(
                    f"recommend takes no regions of interest, {one.name} has some (roi=1): no "
                    f"ffmpeg command moves them; leave it out"
                )
        if not self.qualities or len(set(self.qualities)) < len(self.qualities):
            raise RequestError(f"qualities must be different ones, got {list(self.qualities)}")
        for quality in self.qualities:
            if not 0 < quality < 1:
                raise RequestError(f"qualities must be between 0 and 1, got {quality:g}")
        if not self.heights or len(set(self.heights)) < len(self.heights):
            raise RequestError(f"heights must be different ones, got {list(self.heights)}")
        check_above_0(
            segment_seconds=self.segment_seconds,
            frames_per_second=self.frames_per_second,
            max_verified_frames=self.max_verified_frames,
            tolerance=self.tolerance,
            max_seconds=self.max_seconds,
        )
        check_not_negative(segments=self.num_segments, jobs=self.num_jobs)
        _ = self.variants  # checks the heights

    @property
    def variants(self) -> tuple[Contestant, ...]:
        """Every contestant at every height, the largest height first; of equals the first."""
        heights = sorted(self.heights, key=lambda height: -(height or math.inf))
        found: dict[EncodeSettings, Contestant] = {}
        for one in self.contestants:
            for height in heights if one.settings.height is None else [one.settings.height]:
                variant = at_height(one, height)
                found.setdefault(variant.settings, variant)
        return tuple(found.values())

    @property
    def verified_frames_per_second(self) -> float:
        """Frames a second of the verification, which leaves out those of the choice."""
        return 2 * self.frames_per_second

    @property
    def quality_range(self) -> tuple[float, float]:
        """Lowest and highest quality that curves reach over."""
        return max(0.0, min(self.qualities) - _ROOM_BELOW), max(self.qualities)


def at_height(one: Contestant, height: int | None) -> Contestant:
    """Returns a contestant at a height, its own rate control put aside."""
    name = one.name if height in (None, one.settings.height) else f"{one.name} {height}p"
    crf = Crf(value=ENCODERS[one.settings.codec].search_crf[0])
    return Contestant(name=name, settings=replace(one.settings, height=height, rate_control=crf))


def ladder_contestants(
    codecs: Sequence[Codec] | None, files: Sequence[Path]
) -> tuple[Contestant, ...]:
    """Returns encoders with their defaults in the order given, then those of settings files.

    Args:
        codecs: Where None all of them, but none where there are files.

    Raises:
        RequestError: An encoder is unknown.
        RecommendationError: A file is not a recommendation.
    """
    if codecs is None:
        codecs = () if files else tuple(ENCODERS)
    return contestants_of(codecs, files)


def parse_codecs(text: str | None) -> tuple[Codec, ...] | None:
    """Returns encoders from a text such as x264,svtav1; None for none.

    Raises:
        RequestError: One is unknown.
    """
    names = [one.strip() for one in (text or "").split(",") if one.strip()]
    check_codecs(names)
    return tuple(codec for name in names for codec in ENCODERS if codec == name) or None


def parse_qualities(text: str) -> tuple[float, ...]:
    """Returns qualities from a text such as 0.99,0.95.

    Raises:
        RequestError: It is not like that.
    """
    try:
        return tuple(float(one) for one in text.split(","))
    except ValueError:
        raise RequestError(f"qualities must be like 0.99,0.95, got {text!r}") from None


def parse_heights(text: str) -> tuple[int | None, ...]:
    """Returns heights from a text such as own,720,540; None is the clip's own.

    Raises:
        RequestError: It is not like that.
    """
    try:
        words = [one.strip() for one in text.split(",")]
        return tuple(None if one == "own" else int(one) for one in words)
    except ValueError:
        raise RequestError(f"heights must be like own,720,540, got {text!r}") from None

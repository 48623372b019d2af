"""What a search reports while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..codecs.region import ClipRegions
from .recommendation import Recommendation


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipLoaded:
    """The clip is decoded and its reference objects are known."""

    width: int
    height: int
    frame_rate: float
    num_frames: int
    num_frames_looked_at: int
    num_objects: int
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionsSkipped:
    """Regions would cover nearly all of the picture, so that only options are searched.

    Attributes:
        region_share: Mean share of a frame's area, each region by its weight.
    """

    region_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PointMeasured:
    """One encode was measured, or found in the store.

    Attributes:
        role: In the search, or in the verification of the anchor, of the best options, or of the
            best regions.
        trial: Of the search.
    """

    role: Literal["search", "anchor", "options", "regions"]
    trial: int | None
    crf: float
    rate_kbps: float
    quality: float
    is_from_store: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialFinished:
    """One candidate is known well enough.

    Attributes:
        cost_percent: Rate against the anchor's at the target quality, or quality lost at the
            target rate; negative is better than the anchor. None where the encoder refused.
        best_cost_percent: Lowest so far.
        num_points: Encodes that it took.
        failure: Why the encoder refused, None where it did not.
    """

    trial: int
    num_trials: int
    options: dict[str, int | float | str]
    cost_percent: float | None
    best_cost_percent: float
    num_points: int
    failure: str | None
    elapsed_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ToVerify:
    """The anchor, the best options without regions, or the best with them.

    Attributes:
        crf: Where the search expects it to meet the target.
    """

    role: Literal["anchor", "options", "regions"]
    options: dict[str, int | float | str]
    crf: float


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationStarted:
    """Anchor and contenders are measured again, on the whole clip and on other frames."""

    candidates: tuple[ToVerify, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommended:
    """The search is done.

    Attributes:
        regions: The objects on every frame of the clip, where the recommended settings have
            regions: as a user's own, which margin, hold and ring are still to grow.
    """

    recommendation: Recommendation
    regions: ClipRegions | None


TuneEvent = (
    ClipLoaded | RegionsSkipped | PointMeasured | TrialFinished | VerificationStarted | Recommended
)

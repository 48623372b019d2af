"""What a search reports while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..codecs.region import ClipRegions
from .recommendation import Recommendation
from .reports.close_look import CloseLook


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
            best regions; of one shot, or of all shots in its verification.
        trial: Of the search.
        crf: The mean over the frames where each shot has its own.
        quality_interval: 95 % bootstrap interval over frames; None where there are too few.
        encode_seconds: Of one thread; as it was then, where the store had it.
    """

    role: Literal["search", "anchor", "options", "regions", "shot", "shots"]
    trial: int | None
    crf: float
    rate_kbps: float
    quality: float
    is_from_store: bool
    quality_interval: tuple[float, float] | None = None
    encode_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetMoved:
    """The target is not met where the machine of the search would have met what was asked.

    Attributes:
        asked_quality: What was asked for.
        quality: What is searched for: less, where nobody named a quality and that is out of reach.
        metric_quality: What a learned metric says where the real machine keeps ``quality``; None
            where a real machine steers, or there is none.
    """

    asked_quality: float
    quality: float
    metric_quality: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialFinished:
    """One candidate is known well enough.

    Attributes:
        options: Of the encode; those at the encoder's default may be left out.
        parameters: What was proposed, the defaults among it.
        cost_percent: Rate against the anchor's at the target quality, or quality lost at the
            target rate; negative is better than the anchor. None where the encoder refused.
        best_cost_percent: Lowest so far.
        num_points: Encodes that it took.
        failure: Why the encoder refused, None where it did not.
    """

    trial: int
    num_trials: int
    options: dict[str, int | float | str]
    parameters: dict[str, int | float | str]
    cost_percent: float | None
    best_cost_percent: float
    num_points: int
    failure: str | None
    elapsed_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchFinished:
    """All trials of a part of the search are told.

    Attributes:
        importances: By evaluator, then by parameter: its share of what the costs differ by, in
            [0, 1], as Optuna's evaluators say it. Empty where there are too few trials to tell.
    """

    part: Literal["encoder", "regions"]
    importances: dict[str, dict[str, float]]


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
    """Anchor and contenders are measured again, on the whole clip and on other frames.

    Attributes:
        num_encodes: Of all of them, at least; more where the target lies beyond.
    """

    num_encodes: int
    candidates: tuple[ToVerify, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotsFound:
    """The shots of the clip are known; bits are shared over them where there are many.

    Attributes:
        num_without_objects: Shots with nothing to lose on the frames looked at.
    """

    num_shots: int
    num_without_objects: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommended:
    """The search is done.

    Attributes:
        look: What was kept of the frames that the verification looked at.
        regions: The objects on every frame of the clip, where the recommended settings have
            regions: as a user's own, which margin, hold and ring are still to grow.
    """

    recommendation: Recommendation
    look: CloseLook
    regions: ClipRegions | None


TuneEvent = (
    ClipLoaded
    | RegionsSkipped
    | PointMeasured
    | TargetMoved
    | TrialFinished
    | SearchFinished
    | VerificationStarted
    | ShotsFound
    | Recommended
)

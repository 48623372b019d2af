"""What a search over many clips found, as JSON too."""

from __future__ import annotations

from dataclasses import dataclass

from .contestants import ClipSkipped
from .curves.bd_comparison import Comparison
from .curves.interval import RateChange
from .measuring.store import Json
from .plain_json import plain_json
from .recommendation import MachinesUsed


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipOutcome:
    """What the settings do on one clip, verified.

    Attributes:
        crf, anchor_crf: Where tuned settings and defaults meet the aim.
        change, real_change: Against the defaults, by the machine of the search and the real one;
            their BD-rate is that of the comparison.
    """

    clip: str
    clip_content_sha256: str
    crf: float
    anchor_crf: float
    change: RateChange
    real_change: RateChange | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SetRecommendation:
    """What a search over many clips found.

    Attributes:
        settings: As in EncodeSettings, as JSON; its CRF is the median over the clips.
        keeps_defaults: What was found does not save on the median clip, by the machine of the
            search or by the real one: the settings are the encoder's defaults.
        comparison, real_comparison: BD-rate of what was found against the defaults, clip by clip
            and in the median, by each of them; None where there is none.
        num_clips: That it was searched for.
        clip_crfs: By clip, the CRF at which what is recommended meets the aim there.
        clips: Of what was found, recommended or not; empty where nothing was.
        num_not_saving, real_num_not_saving: Clips on which it saves nothing, by each of them.
        quality_gap: Of what is recommended, where it meets the aim: its verified quality, by the
            real machine where there is one that knows what to expect, minus the one that the search
            expected; the median over the clips. None where nothing was found, and so nothing
            verified.
        is_verified: The gap is not below 0 by more than the tolerance; None where there is none.
        search_cost_percent: What the search believed, on its own frames.
        The others as in Recommendation.
    """

    codec: str
    preset: str
    settings: dict[str, Json]
    keeps_defaults: bool
    target_quality: float | None
    target_rate_kbps: float | None
    quality_range: tuple[float, float] | None
    comparison: Comparison | None
    real_comparison: Comparison | None
    num_clips: int
    clip_crfs: dict[str, float]
    clips: tuple[ClipOutcome, ...]
    num_not_saving: int
    real_num_not_saving: int | None
    quality_gap: float | None
    tolerance: float
    is_verified: bool | None
    skipped: tuple[ClipSkipped, ...]
    search_cost_percent: float
    machines: MachinesUsed
    num_trials: int
    num_encodes: int
    num_from_store: int
    wall_seconds: float
    notes: tuple[str, ...]
    provenance: dict[str, Json]

    @property
    def crf_text(self) -> str:
        """The CRF of the settings, and the range of those of the clips."""
        control = self.settings["rate_control"]
        assert isinstance(control, dict)
        crfs = self.clip_crfs.values()
        low, high = min(crfs), max(crfs)
        over = f"median of {len(crfs)} clips, {low:g} to {high:g}" if len(crfs) > 1 else "one clip"
        return f"{control['crf']:g} ({over})"

    def to_json(self) -> dict[str, Json]:
        """Returns plain JSON values, of the form that ``read_settings`` reads."""
        return plain_json(self)

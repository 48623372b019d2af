"""The recommendation: what to use, what it saves, and everything needed to do it again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ..codecs.shots import ShotCrf
from ..metrics.errors import WeightsError
from .curves.curve import RdPoint
from .curves.interval import RateChange
from .measuring.machine_table import MetricName
from .measuring.store import Json
from .plain_json import plain_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """One setting looked at closely on the whole clip, fresh, on frames the search never saw.

    Attributes:
        rate_kbps: Measured.
        quality: Task quality in [0, 1] by the machine of the search: mean over objects.
        quality_p5, quality_min: 5th percentile and minimum over frames.
        real_quality: The same encode by the real machine, where the search went by a learned
            metric; None where there is none.
        map50_95, map50: Of the detector, against the original's detections or the annotations.
            None where there is no detector, as precision and recall.
        precision: Share of the detections that the original has too; lower where compression
            makes the machine see what is not there.
        recall: Share of the original's objects that are still detected.
        psnr_db, ssim, xpsnr_db: FFmpeg's filters, whole clip.
        encode_fps: Frames a second of one encode on one thread, others running beside it.
    """

    crf: float
    rate_kbps: float
    quality: float
    quality_p5: float
    quality_min: float
    real_quality: float | None
    map50_95: float | None
    map50: float | None
    precision: float | None
    recall: float | None
    psnr_db: float
    ssim: float
    xpsnr_db: float
    encode_fps: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A candidate that was verified, recommended or not.

    Attributes:
        role: The best options without regions of interest, or the best with them.
        settings: As in EncodeSettings, as JSON, at the CRF that meets the target.
        region_share: Mean share of a frame's area that lies in regions, None without them.
        curve, real_curve, second_curve: As the machine of the search, the real one and the second
            detector see its encodes.
        change, real_change, second_change: Against the anchor, by each of them.
        change_from_options, real_change_from_options, second_change_from_options: Of regions
            against the best options without them; None where there are none better than the
            anchor.
    """

    role: Literal["options", "regions"]
    settings: dict[str, Json]
    region_share: float | None
    curve: tuple[RdPoint, ...]
    change: RateChange
    real_curve: tuple[RdPoint, ...]
    real_change: RateChange | None
    second_curve: tuple[RdPoint, ...]
    second_change: RateChange | None
    change_from_options: RateChange | None
    real_change_from_options: RateChange | None
    second_change_from_options: RateChange | None

    @property
    def told_change(self) -> RateChange:
        """Against the anchor, as the real machine sees it where there is one."""
        return self.change if self.real_change is None else self.real_change


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionsUsed:
    """How to make the regions of another clip, or of this one again.

    Attributes:
        file: A user's own regions; None where they are found.
        detector: Who finds them; None for the built-in proposals.
        image_size, match_score: As in the search.
        weights_sha256: Of who finds them; None where nobody does.
        metric: For which they are found.
    """

    file: str | None
    detector: str | None
    image_size: int
    match_score: float
    weights_sha256: str | None = None
    metric: MetricName = "detector"

    def __post_init__(self) -> None:
        if self.metric not in get_args(MetricName):
            raise ValueError(f"unknown metric {self.metric!r}")

    def require_weights(self, weights_sha256: str, name: str | None) -> None:
        """Refuses weights that would find other regions than those of the search.

        Args:
            name: Of the weights; None for the built-in proposals.

        Raises:
            WeightsError: They are others.
        """
        if self.weights_sha256 not in (None, weights_sha256):
            raise WeightsError(
                f"weights must be those of the search, {self.weights_sha256}, to make its "
                f"regions; {name or 'those of the built-in proposals'} are {weights_sha256}; tune "
                f"with them"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class MachinesUsed:
    """What the search went by, and what verified it.

    Attributes:
        metric_sha256: Of the weights of a learned metric; None for a detector.
        regions_by: Who found its regions: a file or model name, or ``built-in proposals``.
        regions_sha256: Of the weights of that.
        real_machine: Version of the machine that the metric predicts; None where there was none,
            or where the search went by a real one.
    """

    metric: MetricName
    metric_sha256: str | None
    regions_by: str
    regions_sha256: str
    real_machine: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RealVerification:
    """What the real machine says where the search went by a learned metric.

    Attributes:
        quality: At the recommended settings.
        expected_quality: What it keeps of the defaults where the metric says what it promises of
            the recommended settings; None where it saw nothing on the frames of the search, so
            that nobody knows what its qualities are on the metric's scale.
        quality_gap: The difference of these.
        change: Of the winner against the anchor, on the real machine's own curves, at the quality
            that it gives the winner; at the target rate, or over the quality range and at its
            quality, where these are asked for.
        anchor_curve, winner_curve: These.
    """

    quality: float
    expected_quality: float | None
    quality_gap: float | None
    change: RateChange
    anchor_curve: tuple[RdPoint, ...]
    winner_curve: tuple[RdPoint, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotUsed:
    """One shot of a plan.

    Attributes:
        num_objects: What there is to lose on the frames that the choice looked at.
        rate_kbps: Of this shot at its CRF.
    """

    start_frame: int
    num_frames: int
    crf: float
    num_objects: int
    rate_kbps: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PerShot:
    """A CRF for each shot, verified against one for all of them.

    Attributes:
        shots: The plan that meets the target.
        is_recommended: It saves on frames that the choice of CRFs did not look at, at the target
            and in BD-rate, by the real machine too where there is one.
        rate_kbps, quality: Measured on the whole clip at that plan.
        change, real_change, second_change: Against the recommended settings with one CRF, by the
            machine of the search, the real one and the second detector.
        curve, real_curve, second_curve: Of plans around this one; a point's CRF is the mean over
            the frames of shots that have objects.
        ffmpeg_commands: That encode what the run saw: one a shot, then two that join their files.
            None where the clip's frames are unevenly spaced, which FFmpeg's joining would even.
    """

    shots: tuple[ShotUsed, ...]
    is_recommended: bool
    rate_kbps: float
    quality: float
    change: RateChange
    real_change: RateChange | None
    second_change: RateChange | None
    curve: tuple[RdPoint, ...]
    real_curve: tuple[RdPoint, ...]
    second_curve: tuple[RdPoint, ...]
    ffmpeg_commands: tuple[str, ...] | None

    @property
    def told_change(self) -> RateChange:
        """Against one CRF, as the real machine sees it where there is one."""
        return self.change if self.real_change is None else self.real_change

    @property
    def recommended(self) -> tuple[ShotCrf, ...] | None:
        """The CRF of each shot, None where one CRF for all is kept."""
        if not self.is_recommended:
            return None
        return tuple(
            ShotCrf(start_frame=shot.start_frame, num_frames=shot.num_frames, crf=shot.crf)
            for shot in self.shots
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """What a search found.

    Attributes:
        settings: As in EncodeSettings, as JSON.
        rate_kbps, anchor_rate_kbps: Rates of winner and anchor (the encoder's defaults at the same
            preset) where both meet the target, read off the verified curves.
            A learned metric's, where one steered: what the real machine sees is in ``real``.
        rate_change_percent: Of these two; negative is saved.
        rate_change_interval_percent: 95 % bootstrap interval over frames; an end is None where
            the curve measured does not reach it.
        bd_rate_percent: Mean rate change over all qualities that the verified curves share: less
            noisy than the change at one quality. None where they share too little.
        bd_rate_interval_percent: Its 95 % bootstrap interval over frames.
        bd_rate_qualities: Lowest and highest quality of that.
        target_quality: What is kept at the lowest rate; on the scale of the real machine where
            there is one.
        metric_target_quality: The same on the scale of the learned metric that steered: what it
            says of the defaults where the real machine keeps the target; None without either.
        quality_range: Lowest and highest quality that a search by BD-rate counted; else None.
        search_cost_percent: What the search believed of its best, on its own frames: rate change
            at the target quality, or quality lost at the target rate. The best of many noisy
            numbers is too good, which is why it is not the headline.
        quality: What the search expects at the recommended settings.
        verified_quality: Measured at the recommended settings.
        quality_gap: verified_quality - quality.
        is_verified: The verified quality is not below the expected one by more than the tolerance:
            the real machine's, where there is one that knows what to expect.
        machines: What the search went by.
        real: What the real machine says of it; None where there is none.
        contenders: Everything that was verified, recommended or not.
        num_encodes, num_from_store: Measurements made, and found in the store.
        seconds: Where the time went, in seconds of one job; ``wall`` in seconds of the clock.
        notes: What a reader should know, in sentences.
        regions: Where the regions of the settings come from; None where they have none.
        ffmpeg_command: That encodes the whole clip like this, also where the run saw its beginning
            only; None with regions, which FFmpeg's command line cannot move: then ``ratesight
            encode`` does. None also with shots: ``per_shot`` has their commands.
        shots: The CRF of each shot, where that is recommended over the one CRF of the settings.
        per_shot: What a CRF for each shot saves, recommended or not; None where it was not tried.
    """

    codec: str
    preset: str
    settings: dict[str, Json]
    rate_kbps: float
    anchor_rate_kbps: float
    rate_change_percent: float
    rate_change_interval_percent: tuple[float | None, float | None]
    bd_rate_percent: float | None
    bd_rate_interval_percent: tuple[float, float] | None
    bd_rate_qualities: tuple[float, float] | None
    search_cost_percent: float
    target_quality: float | None
    metric_target_quality: float | None
    target_rate_kbps: float | None
    quality_range: tuple[float, float] | None
    quality: float
    verified_quality: float
    quality_gap: float
    tolerance: float
    is_verified: bool
    machines: MachinesUsed
    real: RealVerification | None
    winner: Examined
    anchor: Examined
    winner_curve: tuple[RdPoint, ...]
    anchor_curve: tuple[RdPoint, ...]
    contenders: tuple[Contender, ...]
    num_trials: int
    num_encodes: int
    num_from_store: int
    seconds: dict[str, float]
    notes: tuple[str, ...]
    regions: RegionsUsed | None
    ffmpeg_command: str | None
    provenance: dict[str, Json]
    shots: tuple[ShotCrf, ...] | None = None
    per_shot: PerShot | None = None

    @property
    def steered_quality(self) -> float | None:
        """The target on the scale of the verified curves; None for a target rate."""
        if self.metric_target_quality is not None:
            return self.metric_target_quality
        return self.target_quality

    @property
    def keeps_defaults(self) -> bool:
        """Nothing that was tried is better than the encoder's defaults."""
        return self.winner_curve == self.anchor_curve

    @property
    def told_real(self) -> RealVerification | None:
        """The real machine whose saving is told first; of kept defaults nothing is saved by any."""
        return None if self.keeps_defaults else self.real

    def to_json(self) -> dict[str, Json]:
        """Returns plain JSON values."""
        return plain_json(self)

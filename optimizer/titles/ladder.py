"""The ladder of a title: for each quality the cheapest encoder, settings, frame height and CRF."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..contestants import ClipSkipped, CurveMeasured
from ..curves.hull import HullPoint
from ..measuring.store import Json
from ..plain_json import plain_json

# On every title, or on the median one.
Keeps = Literal["all titles", "median title"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What one rung uses, and how it held.

    Attributes:
        contestant: Whose settings.
        settings: As in EncodeSettings, as JSON; ``height`` only where frames are scaled.
        width, height: Of the encoded picture.
        expected_rate_kbps, expected_quality: As the curves of the choice have it.
        rate_kbps, quality: Of an encode of the whole clip, on frames that the choice never saw.
        quality_interval: 95 % bootstrap interval over these frames; None of too few.
        real_quality: Of the same encode by the real machine, where a learned metric chose.
        expected_real_quality: What that machine keeps of other encodes that the metric gives the
            expected quality.
        quality_gap: Quality minus the expected one; the real machine's where there is one.
        is_verified: The gap is not below 0 by more than the tolerance.
        ffmpeg_command: That makes the same encode.
    """

    contestant: str
    settings: dict[str, Json]
    width: int
    height: int
    crf: float
    expected_rate_kbps: float
    expected_quality: float
    rate_kbps: float
    quality: float
    quality_interval: tuple[float, float] | None
    real_quality: float | None
    expected_real_quality: float | None
    quality_gap: float
    is_verified: bool
    ffmpeg_command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One quality of one title.

    Attributes:
        target_quality: What was asked for, of the real machine where there is one.
        metric_target_quality: The same on the scale of the learned metric that chose; None where
            no real machine is beside it.
        chosen: The cheapest that keeps it; None where it is out of reach.
        reason: Why it is.
        most_quality: What can be had instead; None where it is in reach.
    """

    target_quality: float
    metric_target_quality: float | None
    chosen: Chosen | None
    reason: str | None
    most_quality: float | None

    @property
    def choice_quality(self) -> float:
        """What was asked for, as the machine of the choice says it."""
        if self.metric_target_quality is None:
            return self.target_quality
        return self.metric_target_quality


@dataclass(frozen=True, slots=True, kw_only=True)
class TitleLadder:
    """One title.

    Attributes:
        curves: Of every contestant that was tried, points from the lowest CRF to the highest.
        given_up: Contestants that were far behind after a few encodes.
        num_encodes_spared: About how many encodes that saved: those given up would have taken as
            many as the others on average.
        hull: Corners of the convex hull over log rate and quality, cheapest first.
        rungs: As asked for, best quality first.
        notes: What a reader should know.
    """

    clip: str
    clip_content_sha256: str
    width: int
    height: int
    curves: tuple[CurveMeasured, ...]
    given_up: tuple[str, ...]
    num_encodes_spared: int
    hull: tuple[HullPoint, ...]
    rungs: tuple[Rung, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedTitle:
    """One title at a single setting for all, against its own rung.

    Attributes:
        enough_quality: What measures less is short of the quality by more than the tolerance.
        rate_kbps, quality: Measured, of the single setting, on frames that no choice saw; by the
            real machine where there is one.
        own_rate_kbps, own_quality: Of the title's own rung, by the same machine.
        change_percent: Of the own rate against that of the single setting; negative is saved.
    """

    clip: str
    enough_quality: float
    rate_kbps: float
    quality: float
    own_rate_kbps: float
    own_quality: float
    change_percent: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixed:
    """A single setting for all titles, and what per-title saves over it.

    Attributes:
        contestant, crf, settings: It; its height is that of titles that are higher.
        titles: Those that reach the quality at all.
        median_percent, quartiles_percent: Of the change over titles; negative is saved.
        interval_percent: 95 % interval of the median over titles, as of ``median_interval``; None
            of fewer than six.
        total_percent: Change of the sum of all rates.
        num_worse: Titles on which per-title costs more.
        num_short, num_own_short: Titles on which the single setting, and the own rung, are short
            of the quality.
    """

    contestant: str
    crf: float
    settings: dict[str, Json]
    titles: tuple[FixedTitle, ...]
    median_percent: float
    quartiles_percent: tuple[float, float]
    interval_percent: tuple[float, float] | None
    total_percent: float
    num_worse: int
    num_short: int
    num_own_short: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedRung:
    """What per-title saves at one quality over a single setting for all titles.

    Attributes:
        keeps: Where the single setting keeps the quality.
        found: The one of the lowest total rate; None where no setting does.
    """

    target_quality: float
    keeps: Keeps
    found: Fixed | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PerTitle:
    """The outcome: a ladder a title, and what that saves over one setting for all.

    Attributes:
        fixed: Empty for fewer than two titles.
        not_fixed: Contestants that were far behind on most titles, and so were not asked for as
            the single setting.
        not_compared: Why the comparison with one setting for all failed, if it did.
        machine_version, real_machine: Of the machine that chose, and of the real one beside it;
            None where there is none.
    """

    titles: tuple[TitleLadder, ...]
    skipped: tuple[ClipSkipped, ...]
    fixed: tuple[FixedRung, ...]
    not_fixed: tuple[str, ...]
    not_compared: str | None
    tolerance: float
    machine_version: str
    real_machine: str | None
    num_encodes: int
    num_from_store: int

    @property
    def is_verified(self) -> bool:
        """Every rung kept what was expected of it."""
        rungs = (rung for title in self.titles for rung in title.rungs)
        return all(rung.chosen is None or rung.chosen.is_verified for rung in rungs)

    def to_json(self) -> dict[str, Json]:
        """Returns plain JSON values."""
        return plain_json(self)

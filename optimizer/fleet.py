"""A fleet: what clips save together that were each tuned by themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from ..codecs.address import clip_name
from .contestants import same_frames_notes
from .curves.bd_rate import is_below_0
from .curves.bootstrap import Floats, median_interval, over_clips
from .errors import RequestError
from .measuring.store import Json
from .plain_json import plain_json
from .recommendation import Contender, Recommendation, read_recommendation
from .reports.saving import Interval, saving_of

# Terabytes that 1 kbit/s fills in 30 days.
_TB_OF_KBPS = 1e3 / 8 * 86_400 * 30 / 1e12


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetClip:
    """What the search found for one clip, verified, as the machine sees it that judges.

    Attributes:
        encoder: And preset, such as ``x265 medium``.
        quality: That what is recommended keeps, verified.
        anchor_rate_kbps, rate_kbps: Of the encoder's defaults, and of what is recommended, at equal
            quality.
        percent, interval_percent: What the best of the search does to the rate at equal quality,
            also where it is not recommended, with the 95 % interval over frames; 0 where the search
            itself found nothing better than the defaults.
        second_percent: The same, as the second detector sees it; None without one.
        keeps_defaults: It is not recommended.
        is_verified: Quality is not below what the search expected by more than the tolerance.
    """

    clip: str
    encoder: str
    quality: float
    anchor_rate_kbps: float
    rate_kbps: float
    percent: float
    interval_percent: Interval
    second_percent: float | None
    keeps_defaults: bool
    is_verified: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """What a fleet saves; a clip counts as much as its rate, since every camera runs all day.

    Attributes:
        anchor_rate_kbps: Sum over the clips, of the encoder's defaults.
        percent: Change of that sum by the best of every search, recommended or not. What is
            recommended was chosen by the frames that its saving is told of: over many clips that
            adds up to a saving that is not there, and this does not.
        interval_percent: 95 % bootstrap interval over clips: what another fleet of such clips
            would save; None of fewer than six.
        recommended_percent: Change of the sum by what is recommended.
        second_percent: As ``percent``, as the second detector sees it; None where a clip has none.
        median_percent, median_interval_percent: Over the clips, each counting as much.
        num_keeping: Clips that keep the defaults.
        num_unsure: Of the others, those whose saving may be chance by its interval.
        num_not_verified: Clips that failed verification.
        notes: What a reader should know, in sentences.
    """

    clips: tuple[FleetClip, ...]
    anchor_rate_kbps: float
    percent: float
    interval_percent: tuple[float, float] | None
    recommended_percent: float
    second_percent: float | None
    median_percent: float
    median_interval_percent: tuple[float, float] | None
    num_keeping: int
    num_unsure: int
    num_not_verified: int
    notes: tuple[str, ...]

    @property
    def rate_kbps(self) -> float:
        """The sum of rates that ``percent`` leaves."""
        return self.anchor_rate_kbps * (1 + self.percent / 100)

    @property
    def terabytes(self) -> tuple[float, float]:
        """What 30 days of all clips take with the defaults, and tuned."""
        return self.anchor_rate_kbps * _TB_OF_KBPS, self.rate_kbps * _TB_OF_KBPS

    def to_json(self) -> dict[str, Json]:
        """Returns plain JSON values."""
        return plain_json(self)


def fleet(recommendations: Sequence[Recommendation | Path | str]) -> Fleet:
    """Returns what clips save together that were each tuned by themselves.

    Args:
        recommendations: Of one clip each; or files ``recommendation.json``, or their folders.

    Raises:
        RequestError: There are none.
        RecommendationError: A file is no recommendation for one clip.
    """
    if not recommendations:
        raise RequestError("a fleet needs recommendations, got none")
    found = [
        one if isinstance(one, Recommendation) else read_recommendation(_file(Path(one)))
        for one in recommendations
    ]
    clips = tuple(_clip(name, one) for name, one in zip(_names(found), found, strict=True))
    rates = np.array([one.anchor_rate_kbps for one in clips])
    changes = np.array([one.percent for one in clips])
    recommended = np.array([0.0 if one.keeps_defaults else one.percent for one in clips])
    seconds = [one.second_percent for one in clips if one.second_percent is not None]
    return Fleet(
        clips=clips,
        anchor_rate_kbps=float(rates.sum()),
        percent=_of_sums(rates, changes),
        interval_percent=over_clips(lambda at: _of_sums(rates[at], changes[at]), len(clips)),
        recommended_percent=_of_sums(rates, recommended),
        second_percent=_of_sums(rates, np.array(seconds)) if len(seconds) == len(clips) else None,
        median_percent=median(changes.tolist()),
        median_interval_percent=median_interval(changes),
        num_keeping=sum(one.keeps_defaults for one in clips),
        num_unsure=sum(
            not one.keeps_defaults and not is_below_0(one.interval_percent) for one in clips
        ),
        num_not_verified=sum(not one.is_verified for one in clips),
        notes=tuple(_notes(clips, found)),
    )


def _file(path: Path) -> Path:
    return path / "recommendation.json" if path.is_dir() else path


def _names(found: Sequence[Recommendation]) -> list[str]:
    """Returns the name of each clip; with its folder where two have one name."""
    paths = [str(one.provenance["clip"]) for one in found]
    names = [clip_name(Path(path)) for path in paths]
    return [
        path if names.count(name) > 1 else name for path, name in zip(paths, names, strict=True)
    ]


def _clip(name: str, found: Recommendation) -> FleetClip:
    saving, best = saving_of(found), _best(found)
    percent, second = 0.0, None
    interval: Interval = (0.0, 0.0)
    if best is not None:
        change = best.change if best.real_change is None else best.real_change
        percent, interval = change.percent, (change.low_percent, change.high_percent)
        second = None if best.second_change is None else best.second_change.percent
    elif found.provenance["second_detector"] is not None:
        second = 0.0
    return FleetClip(
        clip=name,
        encoder=f"{found.codec} {found.preset}",
        quality=found.verified_quality if found.real is None else found.real.quality,
        anchor_rate_kbps=saving.anchor_rate_kbps,
        rate_kbps=saving.rate_kbps,
        percent=percent,
        interval_percent=interval,
        second_percent=second,
        keeps_defaults=found.keeps_defaults,
        is_verified=found.is_verified,
    )


def _best(found: Recommendation) -> Contender | None:
    """Returns the contender that is recommended, or else the first; None where there is none."""
    winners = (one for one in found.contenders if one.curve == found.winner_curve)
    return next(winners, found.contenders[0] if found.contenders else None)


def _of_sums(rates: Floats, changes: Floats) -> float:
    """Returns the change of the sum of rates, each of which changes by so many percent."""
    return float((rates * changes).sum() / rates.sum())


def _notes(clips: Sequence[FleetClip], found: Sequence[Recommendation]) -> Iterator[str]:
    yield from same_frames_notes(
        (clip.clip, str(one.provenance["clip_content_sha256"]))
        for clip, one in zip(clips, found, strict=True)
    )
    for what, values in (
        ("encoders", {one.encoder for one in clips}),
        ("metrics", {one.machines.metric for one in found}),
    ):
        if len(values) > 1:
            yield f"Runs with different {what} are added up: {', '.join(sorted(values))}."
    if num_shots := sum(one.shots is not None for one in found):
        yield (
            f"{num_shots} of these have a CRF for each shot, whose further saving is not counted."
        )

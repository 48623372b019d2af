"""A fleet: what clips save together that were each tuned by themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from ..codecs.address import clip_name
from .curves.bd_rate import may_be_chance
from .curves.bootstrap import LEAST_CLIPS, Floats, median_interval, over_clips
from .curves.interval import RateChange
from .curves.shrinkage import expected_percents
from .errors import RecommendationError, RequestError
from .measuring.store import Json
from .plain_json import plain_json
from .recommendation import Contender, Recommendation
from .recommendation_file import read_recommendation
from .reports.saving import Interval, saving_of

# Terabytes that 1 kbit/s fills in 30 days.
_TB_OF_KBPS = 1e3 / 8 * 86_400 * 30 / 1e12
# Standard deviations from the middle of a 95 % interval to its end.
_END = float(norm.ppf(0.975))
# An interval of a point says that few frames count, not that there is no error.
_LEAST_DEVIATION = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetClip:
    """What the search found for one clip, verified, as the machine sees it that judges.

    Attributes:
        encoder: And preset, such as ``x265 medium``.
        quality: That what is recommended keeps.
        anchor_rate_kbps, rate_kbps: Of the encoder's defaults, and of what is recommended, at equal
            quality.
        percent, interval_percent: What the best of the search does to the rate, also where it is
            not recommended: at equal quality, or as BD-rate over the range asked for; with its
            95 % interval over frames. 0 where the search found nothing better than the defaults,
            or nothing that reaches the quality.
        expected_percent: What to expect of what is recommended, given the errors of all clips; 0
            where that is the defaults.
        second_percent: Of what is recommended, as the second detector sees it; None without one,
            or where it never sees the quality.
        keeps_defaults: The best of the search is not recommended.
        is_verified: Quality is not below what the search expected by more than the tolerance.
    """

    clip: str
    encoder: str
    quality: float
    anchor_rate_kbps: float
    rate_kbps: float
    percent: float
    interval_percent: Interval
    expected_percent: float
    second_percent: float | None
    keeps_defaults: bool
    is_verified: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """What a fleet saves; a clip counts as much as its rate, since every camera runs all day.

    Attributes:
        anchor_rate_kbps, rate_kbps: Sums over the clips, of the encoder's defaults and of what is
            recommended, as ``percent`` has it.
        percent: Change of the sum of rates by what is recommended, as it is to be expected.
            Settings are recommended by what was measured of them, and errors that made some of
            them look good do not come again. As measured where ``is_corrected`` is False.
        interval_percent: 95 % bootstrap interval over clips, for the mean of all such clips; None
            of fewer than six.
        measured_percent: The same change as it was measured.
        is_corrected: There are six clips or more, and their errors are known.
        second_percent: As the second detector measured it, on the clips where it could; None
            where it could on none.
        num_second: Clips of that.
        median_percent, median_interval_percent: Of what was measured of the best of every search,
            recommended or not, each clip counting as much.
        terabytes_a_month: What 30 days of all clips take, with the defaults and as recommended.
        num_keeping: Clips that keep the defaults.
        num_unsure: Of the others, those whose saving may be chance by their own interval.
        num_not_verified: Clips that failed verification.
        notes: What a reader should know, in sentences.
    """

    clips: tuple[FleetClip, ...]
    anchor_rate_kbps: float
    rate_kbps: float
    percent: float
    interval_percent: tuple[float, float] | None
    measured_percent: float
    is_corrected: bool
    second_percent: float | None
    num_second: int
    median_percent: float
    median_interval_percent: tuple[float, float] | None
    terabytes_a_month: tuple[float, float]
    num_keeping: int
    num_unsure: int
    num_not_verified: int
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Json]:
        """Returns plain JSON values."""
        return plain_json(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What was found for one clip.

    Attributes:
        percent, interval_percent, second_percent: As of FleetClip, but of the best of the search,
            recommended or not; None where nothing was compared.
    """

    recommendation: Recommendation
    percent: float | None = None
    interval_percent: Interval = (0.0, 0.0)
    second_percent: float | None = None

    @classmethod
    def of(cls, recommendation: Recommendation) -> _Found:
        best = _best(recommendation)
        if best is None or best.told_change.falls_short:
            return cls(recommendation=recommendation)
        is_range, second = recommendation.quality_range is not None, best.second_change
        percent, interval = _measured(best.told_change, is_range=is_range)
        second_percent = None
        if second is not None and not second.falls_short:
            second_percent, _ = _measured(second, is_range=is_range)
        return cls(
            recommendation=recommendation,
            percent=percent,
            interval_percent=interval,
            second_percent=second_percent,
        )

    @property
    def recommended_second_percent(self) -> float | None:
        """What the second detector sees of what is recommended; None where it cannot say."""
        if not self.recommendation.keeps_defaults:
            return self.second_percent
        return None if self.recommendation.provenance.get("second_detector") is None else 0.0


def _measured(change: RateChange, *, is_range: bool) -> tuple[float, Interval]:
    """Returns a change with its interval: over a range of qualities as BD-rate, if there is one."""
    if is_range and change.bd_rate is not None:
        return change.bd_rate.percent, change.bd_rate_interval_percent or (None, None)
    return change.percent, (change.low_percent, change.high_percent)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Numbers:
    """What is known of the clips, as (clips,) arrays.

    Attributes:
        rates: Of the defaults, in kbit/s.
        percents: Measured; NaN where nothing was compared.
        deviations: Of the errors of these, in log ratios; NaN where none is known of any clip.
        is_recommended: The best of the search is.
    """

    rates: Floats
    percents: Floats
    deviations: Floats
    is_recommended: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, found: Sequence[_Found]) -> _Numbers:
        percents = np.array([np.nan if one.percent is None else one.percent for one in found])
        ends = np.array([one.interval_percent for one in found], np.float64)
        middle = np.log1p(percents / 100)
        sides = np.abs(np.log1p(ends / 100) - middle[:, None]) / _END
        is_open = np.isnan(ends).any(axis=1)
        known = np.where(np.isnan(sides), _LEAST_DEVIATION, sides).max(axis=1)
        # A missing end is one that was not reached: further away than any that was.
        widest = known.max() if (~is_open & ~np.isnan(percents)).any() else np.nan
        return cls(
            rates=np.array([saving_of(one.recommendation).anchor_rate_kbps for one in found]),
            percents=percents,
            deviations=np.maximum(_LEAST_DEVIATION, np.where(is_open, widest, known)),
            is_recommended=np.array([not one.recommendation.keeps_defaults for one in found]),
        )

    @property
    def is_corrected(self) -> bool:
        """There is enough to tell errors from what clips differ by."""
        return len(self.rates) >= LEAST_CLIPS and not np.isnan(self.deviations).any()

    def expected(self, at: npt.NDArray[np.intp]) -> Floats:
        """Returns (clips,) what to expect of what is recommended on some of the clips."""
        percents, deviations = self.percents[at], self.deviations[at]
        compared = ~np.isnan(percents)
        expected = np.where(compared, percents, 0.0)
        if self.is_corrected and compared.any():
            expected[compared] = expected_percents(percents[compared], deviations[compared])
        found: Floats = np.where(self.is_recommended[at], expected, 0.0)
        return found

    def of_sums(self, changes: Floats, at: npt.NDArray[np.intp]) -> float:
        """Returns the change of the sum of rates, each of which changes by so many percent."""
        rates = self.rates[at]
        return float((rates * changes).sum() / rates.sum())


def fleet(
    recommendations: Iterable[Recommendation | Path | str] | Recommendation | Path | str,
) -> Fleet:
    """Returns what clips save together that were each tuned by themselves.

    Args:
        recommendations: Of one clip each; or files ``recommendation.json``, or folders. A folder
            that holds none, as that of a failed run or of several clips, is left out and said.

    Raises:
        RequestError: There are none.
        RecommendationError: A file is no recommendation for one clip at a quality.
    """
    if isinstance(recommendations, Recommendation | Path | str):
        recommendations = [recommendations]
    read, left_out = _read(recommendations)
    if not read:
        why = f", {left_out[0]}" if left_out else ""
        raise RequestError(f"a fleet needs recommendations of 'ratesight tune', got none{why}")
    found = [_Found.of(one) for one in read]
    numbers, every = _Numbers.of(found), np.arange(len(found))
    expected = numbers.expected(every)
    clips = tuple(map(_clip, _names(read), found, expected.tolist()))
    percents = np.nan_to_num(numbers.percents)
    percent = numbers.of_sums(expected, every)
    anchor_rate = float(numbers.rates.sum())
    rate = anchor_rate * (1 + percent / 100)
    adopted = [one for one in clips if not one.keeps_defaults]
    seconds = {
        at: told
        for at, one in enumerate(found)
        if (told := one.recommended_second_percent) is not None
    }
    return Fleet(
        clips=clips,
        anchor_rate_kbps=anchor_rate,
        rate_kbps=rate,
        percent=percent,
        interval_percent=over_clips(
            lambda at: numbers.of_sums(numbers.expected(at), at), len(clips)
        ),
        measured_percent=numbers.of_sums(np.where(numbers.is_recommended, percents, 0.0), every),
        is_corrected=numbers.is_corrected,
        second_percent=(
            numbers.of_sums(np.array([*seconds.values()]), np.array([*seconds]))
            if seconds
            else None
        ),
        num_second=len(seconds),
        median_percent=float(np.median(percents)),
        median_interval_percent=median_interval(percents),
        terabytes_a_month=(anchor_rate * _TB_OF_KBPS, rate * _TB_OF_KBPS),
        num_keeping=len(clips) - len(adopted),
        num_unsure=sum(may_be_chance(one.percent, one.interval_percent) for one in adopted),
        num_not_verified=sum(not one.is_verified for one in clips),
        notes=(*left_out, *_notes(clips, read)),
    )


def _read(
    recommendations: Iterable[Recommendation | Path | str],
) -> tuple[list[Recommendation], list[str]]:
    """Returns recommendations, and which folders hold none that counts, and why."""
    found, left_out = list[Recommendation](), list[str]()
    for one in recommendations:
        if isinstance(one, Recommendation):
            found.append(_at_a_quality(one))
            continue
        path = Path(one)
        try:
            file = path / "recommendation.json" if path.is_dir() else path
            found.append(_at_a_quality(read_recommendation(file)))
        except RecommendationError as error:
            if not path.is_dir():
                raise
            left_out.append(f"{path} is left out: {error}")
    return found, left_out


def _at_a_quality(found: Recommendation) -> Recommendation:
    """Refuses what spends a given rate.

    Raises:
        RecommendationError: It does.
    """
    if found.target_rate_kbps is None:
        return found
    raise RecommendationError(
        f"a fleet adds up rates at equal quality, the recommendation for {_path(found)} spends a "
        f"target rate of {found.target_rate_kbps:g} kbit/s; leave it out"
    )


def _path(found: Recommendation) -> str:
    return str(found.provenance.get("clip", "a clip"))


def _best(found: Recommendation) -> Contender | None:
    """Returns the contender that is recommended, or else the first; None where there is none."""
    winners = (one for one in found.contenders if one.curve == found.winner_curve)
    return next(winners, found.contenders[0] if found.contenders else None)


def _names(found: Sequence[Recommendation]) -> list[str]:
    """Returns the name of each clip; with its folder where two have one name."""
    paths = [_path(one) for one in found]
    names = [clip_name(Path(path)) for path in paths]
    return [
        path if names.count(name) > 1 else name for path, name in zip(paths, names, strict=True)
    ]


def _clip(name: str, one: _Found, expected: float) -> FleetClip:
    found = one.recommendation
    saving = saving_of(found)
    return FleetClip(
        clip=name,
        encoder=f"{found.codec} {found.preset}",
        quality=found.verified_quality if found.real is None else found.real.quality,
        anchor_rate_kbps=saving.anchor_rate_kbps,
        rate_kbps=saving.rate_kbps,
        percent=0.0 if one.percent is None else one.percent,
        interval_percent=one.interval_percent,
        expected_percent=expected,
        second_percent=None if found.keeps_defaults else one.second_percent,
        keeps_defaults=found.keeps_defaults,
        is_verified=found.is_verified,
    )


def _notes(clips: Sequence[FleetClip], found: Sequence[Recommendation]) -> Iterator[str]:
    first: dict[str, str] = {}
    for clip, one in zip(clips, found, strict=True):
        told = f"{clip.clip} ({clip.encoder})"
        content = str(one.provenance.get("clip_content_sha256", told))
        if content in first:
            yield f"{told} has the frames of {first[content]}: both are added up, leave one out."
        first.setdefault(content, told)
    for what, values in (
        ("encoders", {one.encoder for one in clips}),
        ("metrics", {one.machines.metric for one in found}),
        ("machines", {one.machines.regions_by for one in found}),
        ("targets", {_target(one) for one in found}),
    ):
        if len(values) > 1:
            yield f"Runs with different {what} are added up: {', '.join(sorted(values))}."
    num_alone = sum(one.machines.metric_sha256 is not None and one.real is None for one in found)
    if num_alone:
        yield (
            f"Of {num_alone} clips only a learned metric tells what is saved, which steered the "
            f"search too: not a figure to quote."
        )
    if num_shots := sum(one.shots is not None for one in found):
        yield f"The further saving of a CRF for each shot is not counted, on {num_shots} clips."


def _target(found: Recommendation) -> str:
    if found.quality_range is not None:
        low, high = found.quality_range
        return f"BD-rate over quality {low:g} to {high:g}"
    return f"quality {found.target_quality:g}"

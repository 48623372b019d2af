"""What ratesight does, as Python calls: ``tune``, ``recommend``, ``compare`` and ``bd_rate``."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from ..codecs.limits import USUAL_LIMITS, ClipLimits
from ..codecs.table import Codec
from ..metrics.face_embedder import Levels
from .aim import Aim, QualityRange, TargetQuality, TargetRate
from .compare import Compared, CompareRequest, compare_events
from .contestants import contestants_of
from .curves import bd_comparison
from .curves.bd_comparison import Comparison, FrameQualities, Rules
from .curves.bd_rate import LEAST_OVERLAP, Method
from .curves.measured_curve import Policy
from .errors import CurveError, RequestError
from .events import Recommended
from .measuring.machine_choice import machine_of
from .measuring.machine_table import MetricName
from .recommendation import Recommendation
from .request import DEFAULT_STORE, TuneRequest, exact_frame_rate
from .titles.ladder import PerTitle
from .titles.per_title import recommend_events
from .titles.request import (
    DEFAULT_HEIGHTS,
    DEFAULT_QUALITIES,
    PerTitleRequest,
    ladder_contestants,
)
from .tune import tune_events

OutcomeT = TypeVar("OutcomeT")

_USUAL_QUALITY = 0.95


def tune(
    clip: Path | str,
    *,
    codec: Codec = "x264",
    preset: str | None = None,
    metric: MetricName | None = None,
    detector: Path | str | None = None,
    face_detector: Path | str | None = None,
    face_embedder: Path | str | None = None,
    face_levels: Levels | None = None,
    plate_detector: Path | str | None = None,
    annotations: Path | str | None = None,
    target_quality: float | None = None,
    target_rate: float | None = None,
    quality_range: tuple[float, float] | None = None,
    num_trials: int = 25,
    image_size: int = 640,
    reference_score: float = 0.4,
    match_score: float | None = None,
    tolerance: float = 0.03,
    frame_rate: Fraction | float | None = None,
    max_seconds: float | None = None,
    num_segments: int = 0,
    frames_per_second: float = 5.0,
    num_jobs: int = 0,
    seed: int = 0,
    store: Path | str = DEFAULT_STORE,
    limits: ClipLimits = USUAL_LIMITS,
) -> Recommendation:
    """Searches encoder settings for a clip and returns the verified recommendation.

    Everything else that a run can be told is in TuneRequest, for ``tune_events``.

    Args:
        metric: What the search goes by, a real machine or a learned metric: ``detector`` where None
            and there is one, else ``objects``, which needs no weights but our own.
        detector, face_detector, face_embedder, plate_detector: Files of weights; as in
            MachineChoice.
        target_quality: Lowest rate that keeps this, in (0, 1); 0.95 where no target is given.
        target_rate: Best quality within this rate in kbit/s.
        quality_range: Lowest BD-rate over these qualities.
        image_size: Longest side that detectors see.
        face_levels: How the embedder wants its pictures.
        reference_score: A detection on the original is an object from this score on.
        match_score: A detection on the encode may match from this score on; 0.25 or the reference
            score, if that is lower, where None.
        tolerance: How far verified quality may fall below what was expected.
        frame_rate: Overrides the clip's.
        limits: What the clip may cost.

    Raises:
        RequestError, SettingsError: What is asked makes no sense.
        ClipError, WeightsError and the others of ``tune_events``.
    """
    request = TuneRequest(
        clip=Path(clip),
        codec=codec,
        preset=preset,
        aim=aim_of(target_quality, target_rate, quality_range),
        machine=machine_of(
            metric=metric,
            detector=detector,
            face_detector=face_detector,
            face_embedder=face_embedder,
            face_levels=face_levels,
            plate_detector=plate_detector,
            image_size=image_size,
            reference_score=reference_score,
            match_score=match_score,
        ),
        annotations=None if annotations is None else Path(annotations),
        num_trials=num_trials,
        tolerance=tolerance,
        frame_rate=exact_frame_rate(frame_rate),
        max_seconds=max_seconds,
        num_segments=num_segments,
        frames_per_second=frames_per_second,
        num_jobs=num_jobs,
        seed=seed,
        store=Path(store),
        limits=limits,
    )
    return _outcome(tune_events(request), Recommended).recommendation


def aim_of(
    target_quality: float | None = None,
    target_rate: float | None = None,
    quality_range: tuple[float, float] | None = None,
) -> Aim:
    """Returns the aim that a user's targets make; a quality of 0.95 where there are none.

    Args:
        quality_range: Lowest and highest quality of a search by BD-rate. A target quality is then
            what the recommended CRF is chosen for, 0.95 or the nearest in the range if not given.

    Raises:
        RequestError: What is given does not go together, or is out of range.
    """
    if target_rate is not None:
        if target_quality is not None or quality_range is not None:
            raise RequestError(
                "target_rate does not go with target_quality or quality_range; leave one "
                "of them out"
            )
        return TargetRate(rate_kbps=target_rate)
    if quality_range is not None:
        low, high = quality_range
        if target_quality is None:
            target_quality = min(max(_USUAL_QUALITY, low), high)
        return QualityRange(low=low, high=high, quality=target_quality)
    if target_quality is None:
        return TargetQuality(quality=_USUAL_QUALITY, or_less=True)
    return TargetQuality(quality=target_quality)


def recommend(
    clips: Iterable[Path | str] | Path | str,
    *,
    qualities: Iterable[float] = DEFAULT_QUALITIES,
    codecs: Iterable[Codec] | Codec | None = None,
    settings: Path | str | Iterable[Path | str] = (),
    heights: Iterable[int | None] = DEFAULT_HEIGHTS,
    metric: MetricName | None = None,
    detector: Path | str | None = None,
    face_detector: Path | str | None = None,
    face_embedder: Path | str | None = None,
    face_levels: Levels | None = None,
    plate_detector: Path | str | None = None,
    image_size: int = 640,
    reference_score: float = 0.4,
    match_score: float | None = None,
    tolerance: float = 0.03,
    frame_rate: Fraction | float | None = None,
    limits: ClipLimits = USUAL_LIMITS,
    max_seconds: float | None = None,
    num_segments: int = 0,
    frames_per_second: float = 5.0,
    num_jobs: int = 0,
    store: Path | str = DEFAULT_STORE,
) -> PerTitle:
    """Makes a ladder of each clip: for each quality the cheapest encoder, frame height and CRF.

    Everything else that a run can be told is in PerTitleRequest, for ``recommend_events``.

    Args:
        codecs: At their usual presets, with their defaults; where None all of them, but none where
            there are settings.
        settings: Files of recommendations, which are tried too.
        heights: Frame heights, None for the clip's own.
        metric, detector, face_detector, face_embedder, face_levels, plate_detector, image_size,
            reference_score, match_score, tolerance, frame_rate: As of ``tune``.

    Raises:
        RequestError, SettingsError: What is asked makes no sense.
        RecommendationError: A file of settings is none.
        WeightsError and the others of ``recommend_events``.
    """
    request = PerTitleRequest(
        clips=_paths(clips),
        contestants=ladder_contestants(
            None if codecs is None else _codecs(codecs), _paths(settings)
        ),
        qualities=tuple(qualities),
        heights=tuple(heights),
        machine=machine_of(
            metric=metric,
            detector=detector,
            face_detector=face_detector,
            face_embedder=face_embedder,
            face_levels=face_levels,
            plate_detector=plate_detector,
            image_size=image_size,
            reference_score=reference_score,
            match_score=match_score,
        ),
        tolerance=tolerance,
        frame_rate=exact_frame_rate(frame_rate),
        limits=limits,
        max_seconds=max_seconds,
        num_segments=num_segments,
        frames_per_second=frames_per_second,
        num_jobs=num_jobs,
        store=Path(store),
    )
    return _outcome(recommend_events(request), PerTitle)


def compare(
    clips: Iterable[Path | str] | Path | str,
    *,
    codecs: Iterable[Codec] | Codec = (),
    settings: Path | str | Iterable[Path | str] = (),
    quality_range: tuple[float, float] = (0.8, 0.97),
    metric: MetricName | None = None,
    detector: Path | str | None = None,
    face_detector: Path | str | None = None,
    face_embedder: Path | str | None = None,
    face_levels: Levels | None = None,
    plate_detector: Path | str | None = None,
    image_size: int = 640,
    reference_score: float = 0.4,
    match_score: float | None = None,
    frame_rate: Fraction | float | None = None,
    max_seconds: float | None = None,
    frames_per_second: float = 5.0,
    num_jobs: int = 0,
    store: Path | str = DEFAULT_STORE,
    limits: ClipLimits = USUAL_LIMITS,
) -> Compared:
    """Measures curves of encoders and settings on clips, and the BD-rate of each pair.

    Args:
        codecs: At their usual presets, with their defaults.
        settings: Files of recommendations. With the codecs they must be two at least.
        quality_range: Lowest and highest quality that curves and BD-rates cover.
        metric, detector, face_detector, face_embedder, face_levels, plate_detector, image_size,
            reference_score, match_score, frame_rate, limits: As of ``ratesight.tune``; but no real
            machine is asked beside a learned metric.

    Raises:
        RequestError, SettingsError: What is asked makes no sense.
        RecommendationError: A file of settings is none.
        CurveError: No clip could be measured.
        WeightsError and the others of ``compare_events``.
    """
    request = CompareRequest(
        clips=_paths(clips),
        contestants=contestants_of(_codecs(codecs), _paths(settings)),
        low_quality=quality_range[0],
        high_quality=quality_range[1],
        machine=machine_of(
            metric=metric,
            detector=detector,
            face_detector=face_detector,
            face_embedder=face_embedder,
            face_levels=face_levels,
            plate_detector=plate_detector,
            image_size=image_size,
            reference_score=reference_score,
            match_score=match_score,
        ),
        frame_rate=exact_frame_rate(frame_rate),
        max_seconds=max_seconds,
        frames_per_second=frames_per_second,
        num_jobs=num_jobs,
        store=Path(store),
        limits=limits,
    )
    return _outcome(compare_events(request), Compared)


def bd_rate(
    anchor_rates: npt.ArrayLike,
    anchor_qualities: npt.ArrayLike,
    test_rates: npt.ArrayLike,
    test_qualities: npt.ArrayLike,
    *,
    method: Method = "pchip",
    policy: Policy = "strict",
    min_overlap: float = LEAST_OVERLAP,
    saturation: float = 0.005,
    block_frames: int = 1,
) -> Comparison:
    """Returns the BD-rate of two curves measured anywhere, and what was done to them.

    Args:
        anchor_rates, test_rates: (points,) above 0, in one unit, in any order.
        anchor_qualities, test_qualities: (points,), higher is better; or (points, frames), the same
            frames in order of time, for an interval over frames, from four on.
        method: ``pchip`` is monotone; ``akima`` a cross-check; ``cubic`` the polynomial of
            VCEG-M33, to reproduce published numbers.
        policy: Where quality does not rise with rate: ``strict`` refuses, ``pareto`` leaves out
            points that a cheaper one equals, ``monotone`` mends by isotonic regression.
        min_overlap: Smallest share of the anchor's quality range that both must cover.
        saturation: Points at the top that gain less than this share of the range are cut off.
        block_frames: How many neighbouring frames show the same.

    Raises:
        CurveError: There is no such number, or rates and qualities do not fit together.
        RequestError: A rule is out of range.
    """
    rules = Rules(
        method=method,
        policy=policy,
        saturation=saturation,
        min_overlap=min_overlap,
        block_frames=block_frames,
    )
    anchor = _measured("anchor", anchor_rates, anchor_qualities)
    test = _measured("test", test_rates, test_qualities)
    return bd_comparison.compare({"": anchor}, {"": test}, rules)


def _measured(name: str, rates: npt.ArrayLike, qualities: npt.ArrayLike) -> FrameQualities:
    try:
        given, of_frames = np.asarray(rates, np.float64), np.asarray(qualities, np.float64)
    except (TypeError, ValueError) as error:
        raise CurveError(f"{name}: rates and qualities must be numbers, {error}") from None
    if of_frames.ndim == 1:
        of_frames = of_frames[:, None]
    if given.ndim != 1 or of_frames.ndim != 2 or len(given) != len(of_frames):
        raise CurveError(
            f"{name}: rates must have shape (points,), qualities (points,) or (points, frames), "
            f"got {given.shape} and {np.shape(qualities)}"
        )
    return FrameQualities(given, of_frames)


def _outcome(events: Iterable[object], kind: type[OutcomeT]) -> OutcomeT:
    """Returns what a run ends with."""
    for event in events:
        if isinstance(event, kind):
            return event
    raise AssertionError("a run ends with its outcome or an error")


def _codecs(given: Iterable[Codec] | Codec) -> tuple[Codec, ...]:
    """Returns one encoder, or several."""
    return (given,) if isinstance(given, str) else tuple(given)


def _paths(given: Iterable[Path | str] | Path | str) -> tuple[Path, ...]:
    """Returns one path, or several, as paths."""
    return tuple(Path(one) for one in ([given] if isinstance(given, Path | str) else given))

"""Compares encoders and settings on clips: curves over a range of quality, BD-rate of each pair."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np

from ..codecs.errors import ClipError, EncodeError, SettingsError
from ..codecs.limits import ClipLimits
from ..codecs.settings import Crf, EncodeSettings
from ..codecs.source import load_source
from ..codecs.table import ENCODERS, Codec
from ..metrics.errors import NoObjectsError
from ..metrics.feature_file import open_feature_file
from .curves.bd_comparison import Comparison, FrameQualities, Rules, compare
from .curves.curve import RdPoint
from .curves.interval import block_frames, quality_interval
from .errors import CurveError, RequestError
from .measuring.bench import Bench, Measurement, sampled_frames
from .measuring.machine_choice import MachineChoice
from .measuring.machines import Machines, load_machines
from .measuring.measure import Measurer, open_measurer
from .measuring.set_up import find_regions, set_up_bench
from .measuring.store import open_store
from .recommendation import read_settings, read_shots
from .request import DEFAULT_STORE, num_jobs_here
from .search.candidate import Candidate, next_crfs


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """Settings to compare, at any CRF.

    Attributes:
        name: Unique, as it stands in tables.
    """

    name: str
    settings: EncodeSettings


def contestants_of(codecs: Sequence[Codec], files: Sequence[Path]) -> tuple[Contestant, ...]:
    """Returns encoders with their defaults, then the settings of recommendation files.

    Raises:
        RecommendationError: A file is not a recommendation.
        RequestError: A codec is unknown; or the regions of a file come from a user's own, which
            fits one clip only, or it has a CRF for each shot of one clip.
    """
    check_codecs(codecs)
    defaults = [
        Contestant(
            name=codec,
            settings=EncodeSettings(
                codec=codec,
                preset=ENCODERS[codec].default_preset,
                rate_control=Crf(value=ENCODERS[codec].search_crf[0]),
            ),
        )
        for codec in dict.fromkeys(codecs)
    ]
    given = []
    for file in files:
        settings, used = read_settings(file)
        if used is not None and used.file is not None:
            raise RequestError(
                f"compare finds regions on each clip, {file} goes by {used.file}; leave it out"
            )
        if read_shots(file) is not None:
            raise RequestError(
                f"settings must be for any clip, {file} has a CRF for each shot of its own; leave "
                f"it out, or tune without per_shot"
            )
        # ratesight tune names its folder after clip and codec, and its files all alike.
        name = file.parent.name if file.name == "recommendation.json" else file.stem
        given.append(Contestant(name=name or file.stem, settings=settings))
    return (*defaults, *given)


def check_codecs(codecs: Iterable[str]) -> None:
    """Refuses what is no encoder.

    Raises:
        RequestError: One is none.
    """
    for codec in codecs:
        if codec not in ENCODERS:
            raise RequestError(f"codecs must be among {', '.join(ENCODERS)}, got {codec!r}")


def check_clips(clips: Sequence[Path]) -> None:
    """Refuses clips that tables could not tell apart.

    Raises:
        RequestError: There is none, or two have one name.
    """
    if not clips:
        raise RequestError("there must be a clip, got none")
    by_name: dict[str, Path] = {}
    for clip in clips:
        if clip.stem in by_name:
            raise RequestError(
                f"clips must differ in their names without folder and suffix, "
                f"{by_name[clip.stem]} and {clip} do not; rename one, or make a link to it"
            )
        by_name[clip.stem] = clip


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareRequest:
    """What to compare, and how.

    Attributes:
        contestants: Two at least.
        low_quality, high_quality: Each curve reaches over this range, where the encoder does.
        machine: That judges; the real one behind a learned metric is not asked.
        The others as in TuneRequest.
    """

    clips: tuple[Path, ...]
    contestants: tuple[Contestant, ...]
    low_quality: float = 0.8
    high_quality: float = 0.97
    machine: MachineChoice = field(default_factory=MachineChoice)
    frame_rate: Fraction | None = None
    max_seconds: float | None = None
    frames_per_second: float = 5.0
    num_jobs: int = 0
    store: Path = DEFAULT_STORE
    limits: ClipLimits = field(default_factory=ClipLimits)

    def __post_init__(self) -> None:
        if not 0 < self.low_quality < self.high_quality < 1:
            raise RequestError(
                f"quality range must be low and high between 0 and 1, got {self.low_quality:g} "
                f"and {self.high_quality:g}"
            )
        names = [one.name for one in self.contestants]
        if len(names) < 2 or len(set(names)) < len(names):
            raise RequestError(
                f"compare needs two contestants of different names at least, got {names}; give "
                f"each with --codec or --settings"
            )
        check_clips(self.clips)
        for name, value in (
            ("frames_per_second", self.frames_per_second),
            ("max_seconds", 1.0 if self.max_seconds is None else self.max_seconds),
        ):
            if not 0 < value < math.inf:
                raise RequestError(f"{name} must be above 0 and finite, got {value:g}")
        if self.machine.face_embedder is not None and self.machine.metric == "faces":
            raise RequestError(
                "compare asks one machine only, and metric faces none that is real; choose metric "
                "face-embedder, or leave face_embedder out"
            )
        if self.num_jobs < 0:
            raise RequestError(f"jobs must not be negative, got {self.num_jobs}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveMeasured:
    """One contestant's curve on one clip is known; points from the lowest CRF to the highest.

    Attributes:
        intervals: 95 % bootstrap interval of the quality of each point; None of too few frames.
    """

    clip: str
    contestant: str
    points: tuple[RdPoint, ...]
    intervals: tuple[tuple[float, float] | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipSkipped:
    """A clip of which there are no curves, and why."""

    clip: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """BD-rate of a test against an anchor over all clips.

    Attributes:
        comparison: None where no clip has a number.
        reason: Why there is none.
    """

    anchor: str
    test: str
    comparison: Comparison | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """The outcome: every curve, and every ordered pair of contestants.

    Attributes:
        notes: What a reader should know of the clips; older records have none.
    """

    skipped: tuple[ClipSkipped, ...]
    curves: tuple[CurveMeasured, ...]
    pairs: tuple[Pair, ...]
    num_encodes: int
    num_from_store: int
    notes: tuple[str, ...] = ()


def compare_events(request: CompareRequest) -> Iterator[CurveMeasured | ClipSkipped | Compared]:
    """Measures all curves, clip after clip, and yields them as they come; the outcome is last.

    A clip that cannot be used, on which the machine sees nothing, or that an encoder fails on, is
    skipped and said.

    Raises:
        WeightsError: There is nothing to measure quality with.
        ScratchError, StoreError: There is no room.
    """
    skipped: list[ClipSkipped] = []
    curves: list[CurveMeasured] = []
    notes: list[str] = []
    qualities: dict[str, dict[str, FrameQualities]] = {one.name: {} for one in request.contestants}
    with ExitStack() as stack:
        store = stack.enter_context(open_store(request.store))
        feature_file = stack.enter_context(open_feature_file())
        machines = load_machines(request.machine, feature_file, is_verified=False)
        measurer = stack.enter_context(open_measurer(store, num_jobs_here(request.num_jobs)))
        for clip in request.clips:
            try:
                with ExitStack() as of_clip:
                    of_clip.callback(feature_file.clear)
                    bench = _set_up(request, clip, machines, measurer, of_clip)
                    all_measured = _measure(request, bench, measurer)
            except (ClipError, EncodeError, SettingsError, NoObjectsError) as error:
                # Settings were checked; here they do not fit the clip, which has fewer lines.
                skipped.append(ClipSkipped(clip=clip.stem, reason=str(error)))
                yield skipped[-1]
                continue
            notes += [f"{clip.stem}: {note}" for note in bench.source.notes]
            for contestant, measured in zip(request.contestants, all_measured, strict=True):
                candidate = Candidate(settings=contestant.settings, measurements=measured)
                qualities[contestant.name][clip.stem] = frame_qualities(bench, measured)
                curve = CurveMeasured(
                    clip=clip.stem,
                    contestant=contestant.name,
                    points=tuple(candidate.points),
                    intervals=tuple(
                        quality_interval(bench, one) for _, one in sorted(measured.items())
                    ),
                )
                curves.append(curve)
                yield curve
        yield Compared(
            skipped=tuple(skipped),
            curves=tuple(curves),
            pairs=tuple(_pairs(request, qualities)),
            num_encodes=measurer.spent.num_encodes,
            num_from_store=measurer.spent.num_from_store,
            notes=tuple(notes),
        )


def _set_up(
    request: CompareRequest, clip: Path, machines: Machines, measurer: Measurer, stack: ExitStack
) -> Bench:
    source = stack.enter_context(
        load_source(
            clip,
            max_seconds=request.max_seconds,
            frame_rate=request.frame_rate,
            limits=request.limits,
        )
    )
    has_regions = any(one.settings.regions is not None for one in request.contestants)
    regions = None
    if has_regions:
        regions = find_regions(source, machines.finder, request.machine.thresholds, measurer)
    return set_up_bench(
        source,
        machines.own,
        segments=source.whole,
        sample=sampled_frames(source, source.whole, request.frames_per_second, phase=0),
        annotations=None,
        regions=regions,
        measurer=measurer,
    )


def _measure(
    request: CompareRequest, bench: Bench, measurer: Measurer
) -> list[dict[float, Measurement]]:
    """Measures all contestants on one clip, step by step, the encodes of a step side by side."""
    candidates = [Candidate(settings=one.settings) for one in request.contestants]
    todo = [(one, crf) for one in candidates for crf in first_crfs(one)]
    while todo:
        measure_points(bench, measurer, todo)
        todo = [
            (one, crf)
            for one in candidates
            for crf in next_crfs(one, request.low_quality, request.high_quality)
        ]
    return [one.measurements for one in candidates]


def measure_points(
    bench: Bench, measurer: Measurer, todo: Sequence[tuple[Candidate, float]]
) -> None:
    """Measures candidates at CRFs, side by side, and notes what is found with each."""
    measured = measurer.pool.map(lambda work: measurer.measure(bench, work[0].at(work[1]))[0], todo)
    for (candidate, crf), measurement in zip(todo, measured, strict=True):
        candidate.measurements[crf] = measurement


def first_crfs(candidate: Candidate) -> list[float]:
    """Returns where a curve of which nothing is known is measured first."""
    low, high = candidate.search_crf
    return [float(round(low + (high - low) * share)) for share in (0.3, 0.5, 0.7)]


def frame_qualities(bench: Bench, measured: Mapping[float, Measurement]) -> FrameQualities:
    """Returns encodes by CRF as a curve whose frames can be resampled."""
    ordered = [one for _, one in sorted(measured.items())]
    weights = ordered[0].scores.frame_weights
    losses = np.stack([one.scores.frame_losses for one in ordered])
    with_objects = np.where(weights > 0, weights, 1)  # a frame without objects weighs nothing
    return FrameQualities(
        np.array([one.rate_kbps for one in ordered]),
        1 - losses / with_objects,
        weights,
        block_frames=block_frames(bench),
    )


def _pairs(
    request: CompareRequest, qualities: dict[str, dict[str, FrameQualities]]
) -> Iterator[Pair]:
    rules = Rules(policy="monotone", qualities=(request.low_quality, request.high_quality))
    names: Sequence[str] = [one.name for one in request.contestants]
    for anchor, test in itertools.permutations(names, 2):
        comparison, reason = None, None
        try:
            comparison = compare(qualities[anchor], qualities[test], rules)
        except CurveError as error:
            reason = str(error)
        yield Pair(anchor=anchor, test=test, comparison=comparison, reason=reason)

"""Compares encoders and settings on clips: curves over a range of quality, BD-rate of each pair."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np

from ..codecs.address import clip_name
from ..codecs.errors import ClipError, EncodeError, SettingsError
from ..codecs.limits import ClipLimits
from ..codecs.source import load_source
from ..metrics.errors import NoObjectsError
from ..metrics.feature_file import open_feature_file
from .checks import check_above_0, check_not_negative
from .contestants import (
    ClipSkipped,
    Contestant,
    CurveMeasured,
    check_clips,
    check_names,
    same_frames_notes,
)
from .curves.bd_comparison import Comparison, FrameQualities, Rules, compare
from .curves.interval import block_frames, quality_interval
from .errors import CurveError, RequestError
from .measuring.bench import Bench, Measurement, sampled_frames
from .measuring.machine_choice import MachineChoice
from .measuring.machine_table import MACHINE_KINDS, REAL_MACHINES, MetricName, task_of
from .measuring.machines import Machines, load_machines
from .measuring.measure import Measurer, open_measurer
from .measuring.set_up import find_regions, set_up_bench
from .measuring.store import Json, open_store
from .plain_json import plain_json
from .request import DEFAULT_STORE, num_jobs_here
from .search.candidate import Candidate, measure_over


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
        if len(self.contestants) < 2:
            names = [one.name for one in self.contestants]
            raise RequestError(
                f"compare needs two contestants at least, got {', '.join(names) or 'none'}; give "
                f"each by codec or settings"
            )
        check_names(self.contestants)
        here = _finding(
            self.machine.metric,
            self.machine.finder,
            self.machine.image_size,
            self.machine.thresholds.match,
        )
        for one in self.contestants:
            if (used := one.used) is None:
                continue
            there = _finding(used.metric, used.detector, used.image_size, used.match_score)
            if there != here:
                raise RequestError(
                    f"regions must be found as in the search, {one.name} has those of {there}, got "
                    f"{here}; give the same, or leave {one.name} out"
                )
        check_clips(self.clips)
        check_above_0(frames_per_second=self.frames_per_second, max_seconds=self.max_seconds)
        check_not_negative(jobs=self.num_jobs)
        if self.machine.face_embedder is not None and self.machine.metric not in REAL_MACHINES:
            raise RequestError(
                f"compare asks one machine only, and metric {self.machine.metric} none that is "
                f"real; choose metric {self.machine.kind.real}, or leave face_embedder out"
            )


def _finding(metric: MetricName, weights: str | None, image_size: int, match_score: float) -> str:
    """Returns how regions are found, but for what is in the weights."""
    kind = MACHINE_KINDS[task_of(metric)]
    if weights is None:
        return f"built-in proposals ({', '.join(kind.proposed)}), match_score {match_score:g}"
    return f"a {kind.finder}, image_size {image_size}, match_score {match_score:g}"


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
        clips_content_sha256: Of the decoded frames of each clip that was measured; as the notes.
        machine_version: Of what judged; as the notes.
    """

    skipped: tuple[ClipSkipped, ...]
    curves: tuple[CurveMeasured, ...]
    pairs: tuple[Pair, ...]
    num_encodes: int
    num_from_store: int
    notes: tuple[str, ...] = ()
    clips_content_sha256: dict[str, str] = field(default_factory=dict)
    machine_version: str = ""

    def comparison(self, anchor: str, test: str) -> Comparison | None:
        """Returns the BD-rate of a contestant against another; None where no clip has a number.

        Raises:
            RequestError: There is no such pair.
        """
        for pair in self.pairs:
            if (pair.anchor, pair.test) == (anchor, test):
                return pair.comparison
        names = ", ".join(dict.fromkeys(pair.anchor for pair in self.pairs))
        raise RequestError(f"anchor and test must be two of {names}, got {anchor!r} and {test!r}")

    def to_json(self) -> dict[str, Json]:
        """Returns plain JSON values."""
        return plain_json(self)


def compare_events(request: CompareRequest) -> Iterator[CurveMeasured | ClipSkipped | Compared]:
    """Measures all curves, clip after clip, and yields them as they come; the outcome is last.

    A clip that cannot be used, on which the machine sees nothing, or that an encoder fails on, is
    skipped and said.

    Raises:
        WeightsError: There is nothing to measure quality with, or regions of settings were found
            with other weights.
        CurveError: No clip could be measured.
        ScratchError, StoreError: There is no room.
    """
    skipped: list[ClipSkipped] = []
    curves: list[CurveMeasured] = []
    notes: list[str] = []
    contents: dict[str, str] = {}
    qualities: dict[str, dict[str, FrameQualities]] = {one.name: {} for one in request.contestants}
    with ExitStack() as stack:
        store = stack.enter_context(open_store(request.store))
        feature_file = stack.enter_context(open_feature_file())
        machines = load_machines(request.machine, feature_file, is_verified=False)
        for one in request.contestants:
            if one.used is not None:
                one.used.require_weights(machines.finder.weights_sha256, request.machine.finder)
        measurer = stack.enter_context(open_measurer(store, num_jobs_here(request.num_jobs)))
        for clip in request.clips:
            try:
                with ExitStack() as of_clip:
                    of_clip.callback(feature_file.clear)
                    bench = _set_up(request, clip, machines, measurer, of_clip)
                    all_measured = _measure(request, bench, measurer)
            except (ClipError, EncodeError, SettingsError, NoObjectsError) as error:
                # Settings were checked; here they do not fit the clip, which has fewer lines.
                skipped.append(ClipSkipped.of(clip, error))
                yield skipped[-1]
                continue
            notes += [f"{clip_name(clip)}: {note}" for note in bench.source.notes]
            contents[clip_name(clip)] = bench.source.content_sha256
            for contestant, measured in zip(request.contestants, all_measured, strict=True):
                candidate = Candidate(settings=contestant.settings, measurements=measured)
                qualities[contestant.name][clip_name(clip)] = frame_qualities(
                    measured, block_frames=block_frames(bench)
                )
                curve = CurveMeasured(
                    clip=clip_name(clip),
                    contestant=contestant.name,
                    points=tuple(candidate.points),
                    intervals=tuple(
                        quality_interval(bench, one) for _, one in sorted(measured.items())
                    ),
                )
                curves.append(curve)
                yield curve
        if not curves:
            raise CurveError(f"no clip could be measured; {skipped[0].reason}")
        yield Compared(
            skipped=tuple(skipped),
            curves=tuple(curves),
            pairs=tuple(_pairs(request, qualities)),
            num_encodes=measurer.spent.num_encodes,
            num_from_store=measurer.spent.num_from_store,
            notes=(*notes, *same_frames_notes(contents.items())),
            clips_content_sha256=contents,
            machine_version=machines.own.version,
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
    measure_over(bench, measurer, candidates, request.low_quality, request.high_quality)
    return [one.measurements for one in candidates]


def frame_qualities(measured: Mapping[float, Measurement], *, block_frames: int) -> FrameQualities:
    """Returns encodes by CRF as a curve whose frames can be resampled.

    Encodes of exactly one size, which no rate tells apart, are one point: their mean.
    """
    encodes = list(measured.values())
    rates, point_of = np.unique([one.rate_kbps for one in encodes], return_inverse=True)
    weights = encodes[0].scores.frame_weights
    losses = np.stack([one.scores.frame_losses for one in encodes])
    points = np.stack([losses[point_of == point].mean(axis=0) for point in range(len(rates))])
    with_objects = np.where(weights > 0, weights, 1)  # a frame without objects weighs nothing
    return FrameQualities(
        rates,
        1 - points / with_objects,
        weights,
        block_frames=block_frames,
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

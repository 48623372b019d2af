"""The curve of each shot of a clip, measured where bits may be shared."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...codecs.encode import Encoding, encode
from ...codecs.settings import Crf, EncodeSettings
from ...codecs.source import Segment, Source
from ...metrics.annotations import Annotations
from ...metrics.errors import NoObjectsError
from ..events import PointMeasured
from ..measuring.bench import Bench, sampled_frames
from ..measuring.measure import Measurer, StoppedError
from ..measuring.set_up import set_up_bench
from ..search.candidate import Candidate
from .plan import Plan, ShotCurve, shot_curve

# CRFs at which every shot is measured first: coarse steps from that of the whole clip.
_FIRST_RUNGS = (-2, -1, 0, 1, 2)
# A CRF this near to a measured one, in shares of the search range, is known well enough: a CRF of
# x264, one and a half of SVT-AV1.
_NEAR = 1 / 40
_MOST_POINTS = 10

Choose = Callable[[Sequence[ShotCurve]], Sequence[Plan]]


@dataclass(slots=True, kw_only=True)
class Shot:
    """A shot under measurement.

    Attributes:
        bench: None where nothing was seen that could be lost.
        candidate: The settings, and what was measured of the shot.
        kilobits_at_least: Of the shot at the highest CRF of the search; only without a bench.
    """

    segment: Segment
    bench: Bench | None
    candidate: Candidate
    kilobits_at_least: float = 0.0

    @property
    def crf_at_most(self) -> float:
        """The highest CRF of a search."""
        return float(self.candidate.search_crf[1])

    @property
    def curve(self) -> ShotCurve:
        """What is known of the shot so far."""
        if self.bench is None:
            return ShotCurve(
                num_frames=self.segment.num_frames,
                crfs=np.array([self.crf_at_most]),
                kilobits=np.array([self.kilobits_at_least]),
                losses=np.zeros(1),
                weight=0.0,
            )
        return shot_curve(
            self.candidate.curve,
            num_frames=self.segment.num_frames,
            frame_rate=self.bench.source.frame_rate,
            weight=weight_of(self.bench),
        )


def weight_of(bench: Bench) -> float:
    """Returns the weight of all objects that a bench looks for."""
    return float(sum(one.objects.scores.sum() for one in bench.references))


def unverified_bench(
    bench: Bench,
    verified: Iterable[int],
    frames_per_second: float,
    annotations: Annotations | None,
    measurer: Measurer,
) -> Bench:
    """Returns a bench of the whole clip, on frames that nothing is verified by.

    Those of the search and, since shots are short, about as many more, which the machine looks at
    now.

    Args:
        bench: Of the search.
        verified: Frames that the verification looks at.
        frames_per_second: Of all frames together.
    """
    source = bench.source
    left_out = frozenset(verified)
    known = dict(zip(bench.frames, bench.references, strict=True))
    annotated = None if annotations is None else annotations.frames
    sample = sampled_frames(source, source.whole, frames_per_second, phase=0.5, annotated=annotated)
    more = [pair for pair in sample if pair[0] not in left_out and pair[0] not in known]
    if more:
        try:
            others = set_up_bench(
                source,
                bench.machine,
                segments=source.whole,
                sample=more,
                annotations=annotations,
                regions=None,
                measurer=measurer,
            )
        except NoObjectsError:
            pass  # those of the search have some
        else:
            known |= dict(zip(others.frames, others.references, strict=True))
    # A clip that has no other frames was verified on those of the search, and that was said.
    frames = sorted(known.keys() - left_out) or sorted(known)
    return replace(
        bench,
        segments=source.whole,
        frames=tuple(frames),
        positions=tuple(frames),
        references=tuple(known[frame] for frame in frames),
        regions=None,
    )


def part_of(bench: Bench, segment: Segment) -> Bench | None:
    """Returns the bench of one segment of the whole clip; None where there is nothing to lose."""
    end = segment.start_frame + segment.num_frames
    picked = [at for at, frame in enumerate(bench.frames) if segment.start_frame <= frame < end]
    references = tuple(bench.references[at] for at in picked)
    if not any(one.objects.class_names for one in references):
        return None
    frames = [bench.frames[at] for at in picked]
    return replace(
        bench,
        segments=(segment,),
        frames=tuple(frames),
        positions=tuple(frame - segment.start_frame for frame in frames),
        references=references,
        key={
            **bench.key,
            "segments": [[segment.start_frame, segment.num_frames]],
            "frames": list(frames),
        },
    )


def measure_shots(
    bench: Bench,
    segments: Sequence[Segment],
    settings: EncodeSettings,
    crf: float,
    choose: Choose,
    measurer: Measurer,
) -> Generator[PointMeasured, None, list[Shot]]:
    """Measures all shots around a CRF, then around where the common slope falls.

    Args:
        bench: Of the whole clip.
        settings: Of every shot, but for the CRF.
        crf: That of the whole clip.
        choose: The plans that the curves known so far suggest.

    Raises:
        EncodeError: An encode failed.
    """
    shots = [
        Shot(segment=one, bench=part_of(bench, one), candidate=Candidate(settings=settings))
        for one in segments
    ]
    blind = [shot for shot in shots if shot.bench is None]
    encodings = list(
        measurer.local_pool.map(lambda shot: _at_least(shot, bench.source, measurer), blind)
    )
    for shot, alone in zip(blind, encodings, strict=True):
        shot.kilobits_at_least = alone.size_bytes * 8 / 1000
    measurer.spent.book_encodes(encodings)
    todo = [(shot, first) for shot in shots for first in _first_crfs(shot, crf)]
    while todo:
        yield from measurer.pool.map(lambda work: _measure(work[0], work[1], measurer), todo)
        plans = choose([shot.curve for shot in shots])
        todo = [
            (shot, further)
            for number, shot in enumerate(shots)
            for further in _next_crfs(shot, [plan.crfs[number] for plan in plans])
        ]
    return shots


def _at_least(shot: Shot, source: Source, measurer: Measurer) -> Encoding:
    """Returns the smallest encode of a shot in which there is nothing to lose."""
    if measurer.stop.is_set():
        raise StoppedError
    settings = shot.candidate.settings.at(Crf(value=shot.crf_at_most))
    return encode(source, settings, (shot.segment,))


def _measure(shot: Shot, crf: float, measurer: Measurer) -> PointMeasured:
    assert shot.bench is not None
    measurement, is_from_store = measurer.measure(shot.bench, shot.candidate.at(crf))
    shot.candidate.measurements[crf] = measurement
    return PointMeasured(
        role="shot",
        trial=None,
        crf=crf,
        rate_kbps=measurement.rate_kbps,
        quality=measurement.scores.quality,
        is_from_store=is_from_store,
    )


def _coarse_step(shot: Shot) -> float:
    low, high = shot.candidate.search_crf
    return float(round((high - low) / 8))


def _first_crfs(shot: Shot, crf: float) -> list[float]:
    if shot.bench is None:
        return []
    low, high = (float(end) for end in shot.candidate.search_crf)
    step = _coarse_step(shot)
    return sorted({min(max(round(crf) + rung * step, low), high) for rung in _FIRST_RUNGS})


def _next_crfs(shot: Shot, chosen: Sequence[float]) -> list[float]:
    """Returns where a shot is measured next: beyond its points, then where it was chosen."""
    known = sorted(shot.candidate.measurements)
    if shot.bench is None or len(known) >= _MOST_POINTS:
        return []
    low, high = (float(end) for end in shot.candidate.search_crf)
    if min(chosen) <= known[0] > low:
        return [max(low, known[0] - _coarse_step(shot))]
    if max(chosen) >= known[-1] < high:
        return [min(high, known[-1] + _coarse_step(shot))]
    near = (high - low) * _NEAR
    return [crf for crf in chosen if all(abs(crf - one) > near for one in known)][:1]

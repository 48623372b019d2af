"""The benches of a search on one clip: some to search on, others to verify on."""

from __future__ import annotations

from typing import Protocol

from ...codecs.source import Segment, Source
from ..measuring.bench import Benches, Sample, sampled_frames, spread_segments
from ..measuring.machines import Machines
from ..measuring.measure import Measurer
from ..measuring.set_up import set_up_bench


class Looks(Protocol):
    """What a request says of the frames that are looked at, as in TuneRequest."""

    @property
    def num_segments(self) -> int: ...
    @property
    def segment_seconds(self) -> float: ...
    @property
    def frames_per_second(self) -> float: ...
    @property
    def verified_frames_per_second(self) -> float: ...


def search_benches(
    request: Looks, source: Source, machines: Machines, measurer: Measurer
) -> tuple[Benches, Benches]:
    """Returns what a search looks at, and twice as many frames of the whole clip to verify on.

    None of the latter is among the former, where the clip has others.

    Raises:
        NoObjectsError: There is no object on any of the frames.
    """
    segments = spread_segments(source, request.num_segments, request.segment_seconds)
    sample = sampled_frames(source, segments, request.frames_per_second, phase=0.25)
    searched = {frame for frame, _ in sample}
    dense = sampled_frames(source, source.whole, request.verified_frames_per_second, phase=0)
    unseen = [pair for pair in dense if pair[0] not in searched] or dense

    def benches(segments: tuple[Segment, ...], sample: Sample) -> Benches:
        own, real = (
            set_up_bench(
                source,
                machine,
                segments=segments,
                sample=sample,
                annotations=None,
                regions=None,
                measurer=measurer,
            )
            if machine is not None
            else None
            for machine in (machines.own, machines.real)
        )
        assert own is not None
        return Benches(own=own, real=real)

    return benches(segments, sample), benches(source.whole, unseen)

"""The benches of a search on one clip: one to search on, others to verify on."""

from __future__ import annotations

from ...codecs.source import Source
from ..measuring.bench import Bench, sampled_frames, spread_segments
from ..measuring.machines import Machines
from ..measuring.measure import Measurer
from ..measuring.set_up import set_up_bench
from ..request import TuneRequest
from .verification import Benches


def search_benches(
    request: TuneRequest, source: Source, machines: Machines, measurer: Measurer
) -> tuple[Bench, Benches]:
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
    bench, own, real = (
        None
        if machine is None
        else set_up_bench(
            source,
            machine,
            segments=of,
            sample=frames,
            annotations=None,
            regions=None,
            measurer=measurer,
        )
        for machine, of, frames in (
            (machines.own, segments, sample),
            (machines.own, source.whole, unseen),
            (machines.real, source.whole, unseen),
        )
    )
    assert bench is not None
    assert own is not None
    return bench, Benches(own=own, real=real)

"""The benches of one clip: some frames to search on, others to verify on."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Protocol

from ...codecs.source import Segment, Source
from ...metrics.annotations import Annotations
from ...metrics.errors import NoObjectsError
from ...metrics.task import TaskMachine
from ..events import ClipLoaded
from ..measuring.bench import (
    Bench,
    Benches,
    Sample,
    sampled_frames,
    spread,
    spread_segments,
)
from ..measuring.machines import Machines
from ..measuring.measure import Measurer
from ..measuring.regions import RegionSource
from ..measuring.set_up import set_up_bench

# How the note of a verification begins that has no frames of its own.
SAME_FRAMES = "The verification looked at the frames of the search"


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
    @property
    def max_verified_frames(self) -> int: ...


@dataclass(slots=True, kw_only=True)
class ClipBenches:
    """Sets the benches of one clip up.

    Attributes:
        annotations: What is there, for a detector or a reader of plates.
        regions: What settings with regions of interest go by.
        needs_real: A clip on which the real machine sees nothing is of no use.
        notes: What a reader should know: which machines see nothing, say.
    """

    looks: Looks
    source: Source
    machines: Machines
    measurer: Measurer
    annotations: Annotations | None = None
    regions: RegionSource | None = None
    needs_real: bool = False
    notes: list[str] = field(default_factory=list)

    def to_search(self) -> Benches:
        """Returns what a search looks at.

        Raises:
            NoObjectsError: The machine of the search sees no object on any of the frames.
        """
        looks = self.looks
        segments = self._segments
        if looks.num_segments and segments == self.source.whole:
            self.notes.append(
                f"The clip is too short for {looks.num_segments} pieces of "
                f"{looks.segment_seconds:g} s: all of it was searched."
            )
        mine, _ = self._annotated(segments)
        sample = sampled_frames(
            self.source, segments, looks.frames_per_second, phase=0.25, annotated=mine
        )
        return Benches(
            own=self._bench(self.machines.own, segments, sample),
            real=self._bench_if_seen(
                self.machines.real,
                segments,
                sample,
                "Qualities are on the metric's own scale",
                is_needed=self.needs_real,
            ),
        )

    def to_verify(self, searched: Benches) -> Benches:
        """Returns twice as many frames of the whole clip, none of the search's if it has others.

        Of a long clip no more than are asked for, spread over all of it.

        Raises:
            NoObjectsError: The machine of the search sees no object on any of the frames.
        """
        whole, known = self.source.whole, frozenset(searched.own.frames)
        _, others = self._annotated(self._segments)
        rate = self.looks.verified_frames_per_second
        sample = sampled_frames(self.source, whole, rate, phase=0, annotated=others)
        unseen = [pair for pair in sample if pair[0] not in known]
        if not unseen:
            what = "others" if self.annotations is None else "other annotated ones"
            self.notes.append(f"{SAME_FRAMES}: the clip has no {what}.")
        sample = spread(unseen or sample, self.looks.max_verified_frames)
        own = self._bench(self.machines.own, whole, sample)
        self._note_unseen(own)
        return Benches(
            own=own,
            real=self._bench_if_seen(
                self.machines.real,
                whole,
                sample,
                "No opinion of the real machine",
                is_needed=self.needs_real,
            ),
            second=self._bench_if_seen(
                self.machines.second, whole, sample, "No opinion of the second detector"
            ),
        )

    def _note_unseen(self, bench: Bench) -> None:
        """Notes how much of what is annotated the machine does not see on the original."""
        if self.annotations is None:
            return
        there = sum(len(self.annotations.frames[frame].class_names) for frame in bench.frames)
        if bench.num_objects < there:
            self.notes.append(
                f"{there - bench.num_objects} of {there} annotated objects are not seen on the "
                f"original: they have nothing to lose, and do not count."
            )

    @property
    def _segments(self) -> tuple[Segment, ...]:
        """Pieces that the search looks at."""
        looks = self.looks
        return spread_segments(self.source, looks.num_segments, looks.segment_seconds)

    def _annotated(
        self, segments: tuple[Segment, ...]
    ) -> tuple[Collection[int] | None, Collection[int] | None]:
        """Returns the annotated frames of the search, and those of the verification.

        That one looks at twice as many; where too few would be left, the search has every third.
        """
        if self.annotations is None:
            return None, None
        frames, rate = sorted(self.annotations.frames), self.looks.frames_per_second
        mine: Collection[int] = frames
        sample = sampled_frames(self.source, segments, rate, phase=0.25, annotated=frames)
        wanted = {index for index, _ in sample}
        if len(frames) < 3 * len(wanted):
            mine = wanted = set(frames[1::3] or frames)
        return mine, [one for one in frames if one not in wanted] or frames

    def _bench_if_seen(
        self,
        machine: TaskMachine[Any] | None,
        segments: tuple[Segment, ...],
        sample: Sample,
        note: str,
        *,
        is_needed: bool = False,
    ) -> Bench | None:
        """Returns a bench, or None and a note where the machine sees nothing or there is none."""
        if machine is None:
            return None
        try:
            return self._bench(machine, segments, sample)
        except NoObjectsError as error:
            if is_needed:
                raise
            self.notes.append(f"{note}: {error}.")
            return None

    def _bench(
        self, machine: TaskMachine[Any], segments: tuple[Segment, ...], sample: Sample
    ) -> Bench:
        return set_up_bench(
            self.source,
            machine,
            segments=segments,
            sample=sample,
            annotations=self.annotations,
            regions=self.regions,
            measurer=self.measurer,
        )


def clip_loaded(bench: Bench, notes: tuple[str, ...]) -> ClipLoaded:
    """Returns what is known of a clip before anything is encoded."""
    source = bench.source
    return ClipLoaded(
        width=source.width,
        height=source.height,
        frame_rate=float(source.frame_rate),
        num_frames=source.num_frames,
        num_frames_looked_at=len(bench.frames),
        num_objects=bench.num_objects,
        notes=notes,
    )

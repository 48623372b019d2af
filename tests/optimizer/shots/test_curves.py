"""Shots of a real clip are measured where a plan wants them, and nothing twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from ratesight.codecs.settings import Crf, EncodeSettings
from ratesight.codecs.source import Segment, Source, load_source
from ratesight.metrics.detector import load_detector
from ratesight.optimizer.events import PointMeasured
from ratesight.optimizer.measuring.bench import Bench, sampled_frames
from ratesight.optimizer.measuring.machine_choice import MachineChoice
from ratesight.optimizer.measuring.machine_table import object_machine
from ratesight.optimizer.measuring.measure import Measurer, open_measurer
from ratesight.optimizer.measuring.set_up import set_up_bench
from ratesight.optimizer.measuring.store import open_store
from ratesight.optimizer.shots.curves import (
    Shot,
    measure_shots,
    part_of,
    unverified_bench,
    weight_of,
)
from ratesight.optimizer.shots.plan import Plan, ShotCurve, cheapest_plan

RunFfmpeg = Callable[..., str]

MAN, WALL = Segment(start_frame=0, num_frames=16), Segment(start_frame=16, num_frames=15)
SETTINGS = EncodeSettings(codec="x264", preset="ultrafast", rate_control=Crf(value=30))


@pytest.fixture(scope="module")
def source(
    clips: Path, ffmpeg: RunFfmpeg, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Source]:
    """A man in a car, then a grey wall."""
    path = tmp_path_factory.mktemp("curves") / "two.mkv"
    form = "setpts=N/25/TB,fps=25,setsar=1,format=yuv420p"
    ffmpeg(
        *("-i", clips / "carphone_qcif.mp4", "-f", "lavfi", "-i", "color=gray:s=176x144:r=25"),
        "-filter_complex",
        f"[0]trim=end_frame=16,{form}[a];[1]trim=end_frame=15,{form}[b];[a][b]concat=n=2",
        *("-c:v", "ffv1", path),
    )
    with load_source(path) as source:
        assert source.num_frames == 31
        yield source


@pytest.fixture(scope="module")
def measurer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measurer]:
    path = tmp_path_factory.mktemp("store") / "store.sqlite"
    with open_store(path) as store, open_measurer(store, 2) as measurer:
        yield measurer


@pytest.fixture(scope="module")
def bench(source: Source, weights: Path, measurer: Measurer) -> Bench:
    """Looks at one frame in five, as a search does."""
    choice = MachineChoice(detector=str(weights), image_size=128)
    machine = object_machine(load_detector(str(weights), image_size=128), choice)
    return set_up_bench(
        source,
        machine,
        segments=source.whole,
        sample=sampled_frames(source, source.whole, 5, phase=0.25),
        annotations=None,
        regions=None,
        measurer=measurer,
    )


def measured(
    bench: Bench, measurer: Measurer, choose: Callable[[Sequence[ShotCurve]], Sequence[Plan]]
) -> tuple[list[PointMeasured], list[Shot]]:
    steps = measure_shots(bench, (MAN, WALL), SETTINGS, 30, choose, measurer)
    points = []
    while True:
        try:
            points.append(next(steps))
        except StopIteration as end:
            return points, end.value


def at_least_loss(curves: Sequence[ShotCurve]) -> list[Plan]:
    return [cheapest_plan(curves, 0)]


class TestBenches:
    def test_a_part_looks_at_its_own_frames(self, bench: Bench) -> None:
        part = part_of(bench, MAN)
        assert part is not None
        assert part.frames == (1, 6, 11)
        assert part.positions == part.frames
        assert part.segments == (MAN,)
        assert weight_of(part) == pytest.approx(weight_of(bench))
        assert part.key != bench.key

    def test_positions_count_from_the_start_of_the_part(self, bench: Bench) -> None:
        part = part_of(bench, Segment(start_frame=5, num_frames=11))
        assert part is not None
        assert (part.frames, part.positions) == ((6, 11), (1, 6))

    def test_nothing_to_lose_is_no_bench(self, bench: Bench) -> None:
        assert part_of(bench, WALL) is None

    def test_frames_of_the_verification_are_left_out(
        self, bench: Bench, measurer: Measurer
    ) -> None:
        verified = [0, 2, 5, 7, 10, 11, 12]
        found = unverified_bench(bench, verified, 10, None, measurer)
        assert not set(found.frames) & set(verified)
        # Those of the search, but for 11, and others in between.
        assert {1, 6, 3, 8} < set(found.frames)
        assert len(found.references) == len(found.frames)

    def test_a_clip_without_other_frames_is_seen_on_those_of_the_search(
        self, bench: Bench, measurer: Measurer
    ) -> None:
        found = unverified_bench(bench, range(31), 10, None, measurer)
        assert found.frames == bench.frames
        assert found.references == bench.references


class TestMeasureShots:
    def test_measures_what_has_objects_and_sizes_the_rest(
        self, bench: Bench, measurer: Measurer
    ) -> None:
        points, (man, wall) = measured(bench, measurer, at_least_loss)
        assert {point.role for point in points} == {"shot"}
        assert len(points) == len(man.candidate.measurements) >= 5
        assert (np.diff(man.curve.kilobits) > 0).all()
        assert man.curve.weight == pytest.approx(weight_of(bench))
        assert wall.candidate.measurements == {}
        assert (list(wall.curve.crfs), list(wall.curve.losses)) == ([51], [0])
        assert wall.curve.weight == 0
        assert 0 < wall.curve.kilobits[0] < man.curve.kilobits[-1]

    def test_goes_on_where_the_plan_lies_at_an_end(self, bench: Bench, measurer: Measurer) -> None:
        def dearest(curves: Sequence[ShotCurve]) -> list[Plan]:
            return [
                Plan(
                    choices=(0, 0),
                    crfs=tuple(float(one.crfs[-1]) for one in curves),
                    mean_crf=0,
                    kilobits=0,
                    loss=0,
                )
            ]

        _, (man, _) = measured(bench, measurer, dearest)
        assert sorted(man.candidate.measurements) == [8, 10, 15, 20, 25, 30, 35, 40]

    def test_measures_nothing_twice(self, bench: Bench, measurer: Measurer) -> None:
        before, _ = measured(bench, measurer, at_least_loss)
        again, _ = measured(bench, measurer, at_least_loss)
        assert all(point.is_from_store for point in again)
        assert [(one.crf, one.quality) for one in again] == [
            (one.crf, one.quality) for one in before
        ]

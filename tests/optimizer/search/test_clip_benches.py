"""Benches of a clip that the metric sees something on, and its real machine nothing."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from ratesight.codecs.settings import Crf, EncodeSettings
from ratesight.codecs.source import load_source
from ratesight.metrics.annotations import Annotations
from ratesight.metrics.boxes import Detections
from ratesight.metrics.errors import NoObjectsError
from ratesight.metrics.feature_file import open_feature_file
from ratesight.optimizer.aim import TargetQuality
from ratesight.optimizer.contestants import Contestant
from ratesight.optimizer.events import Recommended
from ratesight.optimizer.measuring.bench import sampled_frames
from ratesight.optimizer.measuring.machine_choice import MachineChoice
from ratesight.optimizer.measuring.machines import Machines, load_machines
from ratesight.optimizer.measuring.measure import open_measurer
from ratesight.optimizer.measuring.store import open_store
from ratesight.optimizer.recommendation import Recommendation
from ratesight.optimizer.reports.sentences import real_lines
from ratesight.optimizer.request import TuneRequest
from ratesight.optimizer.search.clip_benches import ClipBenches
from ratesight.optimizer.titles.ladder import PerTitle
from ratesight.optimizer.titles.per_title import recommend_events
from ratesight.optimizer.titles.request import PerTitleRequest
from ratesight.optimizer.tune import tune_events

FRAME_RATE = Fraction(25)


# Of 12 frames, those that a search at 10 frames a second looks at.
SEARCHED = {0, 3, 5, 8, 10}


def plate_clip(data: Path, folder: Path, unreadable: Container[int]) -> Path:
    """Writes a clip of a plate that is found, on some frames too blurred to be read."""
    folder.mkdir()
    photo = cv2.imread(str(data / "plates" / "openalpr_eu" / "eu10.jpg"))
    assert photo is not None
    photo = cv2.resize(photo, (640, 512), interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(photo, (0, 0), 2)
    for number in range(12):
        picture = blurred if number in unreadable else photo
        cv2.imwrite(str(folder / f"{number:03d}.png"), picture)
    return folder


@pytest.fixture(scope="module")
def unreadable(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plate_clip(data, tmp_path_factory.mktemp("clips") / "unreadable", range(12))


@pytest.fixture(scope="module")
def choice(data: Path) -> MachineChoice:
    detector = data / "weights" / "plate_yolov8n.pt"
    return MachineChoice(asked_metric="plates", plate_detector=str(detector), image_size=320)


@pytest.fixture
def set_up(unreadable: Path, choice: MachineChoice, tmp_path: Path) -> Iterator[ClipBenches]:
    looks = TuneRequest(clip=unreadable, frames_per_second=10.0)
    with (
        open_store(tmp_path / "store.sqlite") as store,
        open_measurer(store, 1) as measurer,
        open_feature_file() as file,
        load_source(unreadable, frame_rate=FRAME_RATE) as source,
    ):
        machines = load_machines(choice, file)
        yield ClipBenches(looks=looks, source=source, machines=machines, measurer=measurer)


def test_a_machine_that_sees_nothing_has_no_opinion(set_up: ClipBenches) -> None:
    searched = set_up.to_search()
    verified = set_up.to_verify(searched)

    assert set(searched.own.frames) == SEARCHED
    assert searched.real is None
    assert verified.real is None
    assert not set(searched.own.frames) & set(verified.own.frames)
    scale, opinion = set_up.notes
    assert scale.startswith("Qualities are on the metric's own scale: the machine must see at")
    assert opinion.startswith("No opinion of the real machine: the machine must see at least one")


def test_a_second_detector_that_sees_nothing_has_none_either(set_up: ClipBenches) -> None:
    machines: Machines = set_up.machines
    set_up.machines = replace(machines, real=None, second=machines.real)

    verified = set_up.to_verify(set_up.to_search())

    assert verified.second is None
    (note,) = set_up.notes
    assert note.startswith("No opinion of the second detector: ")


def test_a_clip_is_of_no_use_where_it_must_have_an_opinion(set_up: ClipBenches) -> None:
    set_up.needs_real = True

    with pytest.raises(NoObjectsError, match="the machine must see at least one object"):
        set_up.to_search()


def test_frames_of_the_search_verify_where_there_are_no_others(
    set_up: ClipBenches, unreadable: Path
) -> None:
    set_up.looks = TuneRequest(clip=unreadable, frames_per_second=25.0)
    searched = set_up.to_search()

    verified = set_up.to_verify(searched)

    assert set(verified.own.frames) <= set(searched.own.frames)
    assert any("the clip has no others" in note for note in set_up.notes)


def test_of_a_long_clip_some_frames_verify_spread_over_it(
    set_up: ClipBenches, unreadable: Path
) -> None:
    searched = set_up.to_search()
    every = set_up.to_verify(searched).own.frames
    set_up.looks = TuneRequest(clip=unreadable, frames_per_second=10.0, max_verified_frames=3)

    some = set_up.to_verify(searched).own.frames

    assert len(every) == 5
    assert some == every[::2]


def test_a_clip_too_short_for_pieces_is_told(set_up: ClipBenches, unreadable: Path) -> None:
    set_up.looks = TuneRequest(clip=unreadable, num_segments=8, segment_seconds=4.0)
    set_up.to_search()
    assert any("too short for 8 pieces of 4 s" in note for note in set_up.notes)


@pytest.mark.parametrize(
    ("every", "num_searched"), [(1, 20), (2, 17), (3, 11), (5, 7), (10, 3), (30, 1)]
)
def test_the_verification_has_annotated_frames_of_its_own(
    every: int, num_searched: int, clips: Path, weights: Path, tmp_path: Path
) -> None:
    looks = TuneRequest(clip=clips / "highway_cam_240p.avi")
    nothing = Detections(boxes=np.zeros((0, 4)), scores=np.zeros(0), class_names=())
    with (
        open_store(tmp_path / "store.sqlite") as store,
        open_measurer(store, 1) as measurer,
        open_feature_file() as file,
        load_source(looks.clip, max_seconds=4) as source,
    ):
        machines = load_machines(MachineChoice(detector=str(weights), image_size=64), file)
        annotations = Annotations(
            frames=dict.fromkeys(range(0, source.num_frames, every), nothing), sha256="", texts={}
        )
        set_up = ClipBenches(
            looks=looks,
            source=source,
            machines=machines,
            measurer=measurer,
            annotations=annotations,
        )
        mine, others = set_up._annotated(source.whole)
        assert mine is not None
        assert others is not None
        searched = sampled_frames(source, source.whole, 5.0, phase=0.25, annotated=mine)
        verified = sampled_frames(source, source.whole, 10.0, phase=0, annotated=others)

    assert len(searched) == num_searched
    assert not {*searched} & {*verified}
    assert len(verified) >= len(searched)


def test_a_ladder_is_then_on_the_metrics_own_scale(
    unreadable: Path, choice: MachineChoice, tmp_path: Path
) -> None:
    settings = EncodeSettings(codec="x264", preset="veryfast", rate_control=Crf(value=30))
    request = PerTitleRequest(
        clips=(unreadable,),
        contestants=(Contestant(name="x264", settings=settings),),
        qualities=(0.7,),
        machine=choice,
        frame_rate=FRAME_RATE,
        frames_per_second=10.0,
        store=tmp_path / "store.sqlite",
    )

    *_, found = recommend_events(request)

    assert isinstance(found, PerTitle)
    (title,) = found.titles
    (rung,) = title.rungs
    assert rung.metric_target_quality is None
    assert rung.chosen is not None
    assert rung.chosen.real_quality is None
    assert any("on the metric's own scale" in note for note in title.notes)


def tuned(clip: Path, choice: MachineChoice, quality: float, folder: Path) -> Recommendation:
    request = TuneRequest(
        clip=clip,
        aim=TargetQuality(quality=quality),
        machine=choice,
        frame_rate=FRAME_RATE,
        preset="veryfast",
        num_trials=2,
        frames_per_second=10.0,
        store=folder / "store.sqlite",
    )
    *_, last = tune_events(request)
    assert isinstance(last, Recommended)
    return last.recommendation


def test_a_search_then_says_that_no_machine_verified_it(
    unreadable: Path, choice: MachineChoice, tmp_path: Path
) -> None:
    found = tuned(unreadable, choice, 0.7, tmp_path)
    assert found.real is None
    assert found.metric_target_quality is None
    assert any("No machine verified this but the metric plates" in note for note in found.notes)


@pytest.mark.parametrize(("is_searched_readable", "quality"), [(False, 0.7), (True, 0.99)])
def test_qualities_on_two_scales_are_not_compared(
    data: Path, choice: MachineChoice, tmp_path: Path, is_searched_readable: bool, quality: float
) -> None:
    """The machine sees the plate on the frames of the search only, or of the verification only."""
    others = set(range(12)) - SEARCHED
    clip = plate_clip(data, tmp_path / "clip", others if is_searched_readable else SEARCHED)
    found = tuned(clip, choice, quality, tmp_path)
    assert found.is_verified == (found.quality_gap >= -found.tolerance)
    assert not any("less than the target" in note for note in found.notes)
    if is_searched_readable:
        assert found.real is None
        assert found.metric_target_quality is not None
        assert found.metric_target_quality < quality - found.tolerance
        return
    assert found.real is not None
    assert found.real.expected_quality is None
    assert found.real.quality_gap is None
    unknown = "since it saw nothing on the frames of the search"
    assert any(line.endswith(unknown) for line in real_lines(found))

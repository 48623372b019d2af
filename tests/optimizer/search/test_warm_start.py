"""What a clip is like, and what won on clips like it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from ratesight.codecs.settings import Crf, EncodeSettings, sorted_options
from ratesight.codecs.source import load_source
from ratesight.codecs.table import ENCODERS, Codec, OptionValue
from ratesight.metrics.objects import ObjectMachine
from ratesight.optimizer.measuring.bench import Bench, sampled_frames
from ratesight.optimizer.measuring.machine_choice import MachineChoice
from ratesight.optimizer.measuring.machine_table import load_finder, object_machine
from ratesight.optimizer.measuring.measure import open_measurer
from ratesight.optimizer.measuring.set_up import set_up_bench
from ratesight.optimizer.measuring.store import Store, open_store
from ratesight.optimizer.search.study import Study, open_study
from ratesight.optimizer.search.study_storage import open_storage
from ratesight.optimizer.search.warm_start import (
    ClipFeatures,
    clip_features,
    remember_winner,
    similar_winners,
)

CROWD = ClipFeatures(
    spatial_information=94, temporal_information=17, object_share=0.5, log2_objects=4,
    log2_pixels=19.8,
)  # fmt: skip
PLAIN = EncodeSettings(codec="x264", preset="medium", rate_control=Crf(value=23))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "store.sqlite") as opened:
        yield opened


@pytest.fixture(scope="module")
def machine(weights: Path) -> ObjectMachine:
    choice = MachineChoice(detector=str(weights), image_size=192)
    return object_machine(load_finder("objects", str(weights), image_size=192), choice)


@pytest.fixture
def bench(clips: Path, machine: ObjectMachine, store: Store) -> Iterator[Bench]:
    path = clips / "carphone_qcif.mp4"
    with load_source(path, max_seconds=0.5) as source, open_measurer(store, 2) as measurer:
        yield set_up_bench(
            source,
            machine,
            segments=source.whole,
            sample=sampled_frames(source, source.whole, 5.0, phase=0),
            annotations=None,
            regions=None,
            measurer=measurer,
        )


def of_other_clip(bench: Bench, name: str) -> Bench:
    source = dataclasses.replace(bench.source, path=Path(name), content_sha256=name)
    return dataclasses.replace(bench, source=source)


def settings(**options: OptionValue) -> EncodeSettings:
    named = {name.replace("_", "-"): value for name, value in options.items()}
    return dataclasses.replace(PLAIN, options=sorted_options(named))


def test_features_of_a_real_clip(bench: Bench) -> None:
    found = clip_features(bench)

    assert found.log2_pixels == pytest.approx(math.log2(176 * 144))
    assert 60 < found.spatial_information < 130  # a face in a car, full of edges at this size
    assert 1 < found.temporal_information < 15
    assert 0 < found.object_share <= 1
    assert found.log2_objects == pytest.approx(
        math.log2(1 + bench.num_objects / len(bench.references))
    )


def test_a_still_picture_has_no_temporal_information(bench: Bench, tmp_path: Path) -> None:
    planes = np.asarray(bench.source.planes(0))
    scratch = (tmp_path / "still").open("wb+", buffering=0)
    scratch.write(planes.tobytes() * 3)
    still = dataclasses.replace(bench.source, num_frames=3, scratch=scratch)

    found = clip_features(dataclasses.replace(bench, source=still))

    scratch.close()
    assert found.temporal_information == 0
    assert found.spatial_information > 0


def test_distance_is_zero_to_itself_and_grows() -> None:
    near = dataclasses.replace(CROWD, spatial_information=80.0)
    far = dataclasses.replace(near, log2_objects=1.0)

    assert CROWD.distance(CROWD) == 0
    assert 0 < CROWD.distance(near) < CROWD.distance(far)
    assert CROWD.distance(far) == far.distance(CROWD)


def itself(bench: Bench) -> set[str]:
    return {bench.source.content_sha256}


def test_the_most_similar_other_clip_comes_first(bench: Bench, store: Store) -> None:
    for name, sharpness, strength in (("a", 60, 0.5), ("b", 90, 0.6), ("c", 20, 0.7)):
        features = dataclasses.replace(CROWD, spatial_information=float(sharpness))
        remember_winner(store, of_other_clip(bench, name), features, settings(aq_strength=strength))

    found = similar_winners(store, itself(bench), CROWD, PLAIN, 2)

    assert [(one.clip, one.options) for one in found] == [
        ("b", {"aq-strength": 0.6}),
        ("a", {"aq-strength": 0.5}),
    ]
    assert similar_winners(store, itself(bench), CROWD, PLAIN, 0) == []


def test_the_clip_itself_other_encoders_and_other_kinds_of_clips_are_left_out(
    bench: Bench, store: Store
) -> None:
    other = of_other_clip(bench, "other")
    another_kind = dataclasses.replace(CROWD, log2_pixels=10.0, log2_objects=0.0)
    fast = dataclasses.replace(PLAIN, preset="veryfast", options=(("bframes", 1),))
    svtav1 = EncodeSettings(codec="svtav1", preset="8", rate_control=Crf(value=35))
    remember_winner(store, bench, CROWD, settings(aq_strength=0.5))
    remember_winner(store, other, CROWD, fast)
    remember_winner(store, other, CROWD, svtav1)
    remember_winner(store, other, another_kind, settings(aq_strength=0.7))

    assert similar_winners(store, itself(bench), CROWD, PLAIN, 5) == []


def test_what_won_on_any_clip_of_a_set_is_left_out(bench: Bench, store: Store) -> None:
    other = of_other_clip(bench, "other")
    remember_winner(store, other, CROWD, settings(aq_strength=0.5))

    clips = {bench.source.content_sha256, other.source.content_sha256}

    assert similar_winners(store, clips, CROWD, PLAIN, 5) == []
    assert len(similar_winners(store, itself(bench), CROWD, PLAIN, 5)) == 1


def test_equal_options_are_tried_once_and_regions_are_not_carried_over(
    bench: Bench, store: Store
) -> None:
    won = settings(aq_strength=0.5, roi=1, roi_object_qp=-4.0)
    for name in "ab":
        remember_winner(store, of_other_clip(bench, name), CROWD, won)

    (found,) = similar_winners(store, itself(bench), CROWD, PLAIN, 5)

    assert found.options == {"aq-strength": 0.5}


def test_where_regions_alone_won_there_is_nothing_to_set_out_from(
    bench: Bench, store: Store
) -> None:
    remember_winner(store, of_other_clip(bench, "a"), CROWD, settings(roi=1, roi_object_qp=-4.0))
    assert similar_winners(store, itself(bench), CROWD, PLAIN, 5) == []


def warm_study(
    codec: Codec, warm_starts: Sequence[Mapping[str, OptionValue]], folder: Path
) -> Study:
    encoder = ENCODERS[codec]
    return open_study(
        encoder,
        preset=encoder.default_preset,
        part="encoder",
        fixed={},
        sampler="tpe",
        seed=0,
        storage=open_storage(folder / "journal"),
        name="warm",
        warm_starts=warm_starts,
    )


def test_a_study_tries_warm_starts_right_after_the_defaults(tmp_path: Path) -> None:
    warm_starts = [{"aq-strength": 0.5, "roi": 1}, {"aq-strength": 0.5}, {"trellis": 2}]
    study = warm_study("x264", warm_starts, tmp_path)

    asked = [study.ask().options for _ in range(4)]

    assert asked[:3] == [{}, {"aq-strength": 0.5}, {"trellis": 2}]
    assert asked[3] == dict(ENCODERS["x264"].starts[0])


@pytest.mark.parametrize(
    ("codec", "won"),
    [
        ("x264", {"bframes": 16, "psy-rd": 0.1, "aq-strength": 0.5}),
        ("svtav1", {"tune": 4, "sharpness": 2}),
    ],
)
def test_what_is_not_searched_is_no_start(
    codec: Codec, won: dict[str, OptionValue], tmp_path: Path
) -> None:
    # A user may fix what no search proposes; the winner's other options are worth a trial.
    study = warm_study(codec, [won], tmp_path)

    study.tell(study.ask(), 0.0, {})
    proposal = study.ask()
    study.tell(proposal, -0.1, {})

    assert proposal.options == dict([list(won.items())[-1]])

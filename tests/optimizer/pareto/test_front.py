"""Fronts of rate, quality and speed: the mathematics, and a real search."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ratesight.codecs.errors import ClipError
from ratesight.codecs.limits import ClipLimits
from ratesight.codecs.table import ENCODERS, OptionValue
from ratesight.optimizer.aim import QualityRange, TargetQuality
from ratesight.optimizer.commands.app import app
from ratesight.optimizer.errors import RequestError, UnreachableError
from ratesight.optimizer.measuring.machine_choice import MachineChoice
from ratesight.optimizer.measuring.store import open_store
from ratesight.optimizer.pareto.front import (
    FrontMember,
    ParetoEvent,
    ParetoFront,
    ParetoTrial,
    is_dominated,
    mark_front,
    pareto_events,
)
from ratesight.optimizer.pareto.study import Point, open_pareto_study
from ratesight.optimizer.recommendation_file import read_settings
from ratesight.optimizer.reports.summaries import front_record
from ratesight.optimizer.request import TuneRequest
from ratesight.optimizer.search.study_storage import open_storage
from typer.testing import CliRunner

NUM_TRIALS = 7

points = st.lists(
    st.builds(
        Point,
        rate_kbps=st.integers(1, 6).map(float),
        quality=st.integers(0, 5).map(lambda fifth: fifth / 5),
        seconds_per_frame=st.integers(1, 6).map(float),
    ),
    min_size=1,
    max_size=12,
)


@given(points)
def test_what_is_not_dominated_is_beaten_by_nothing(found: list[Point]) -> None:
    dominated = is_dominated(found)

    def beats(one: Point, other: Point) -> bool:
        pairs = (
            (one.rate_kbps, other.rate_kbps),
            (-one.quality, -other.quality),
            (one.seconds_per_frame, other.seconds_per_frame),
        )
        return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)

    assert list(dominated) == [any(beats(other, one) for other in found) for one in found]
    assert not dominated.all()


@pytest.fixture(scope="module")
def asked(clips: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> TuneRequest:
    return TuneRequest(
        clip=clips / "carphone_qcif.mp4",
        aim=QualityRange(low=0.3, high=0.9, quality=0.6),
        machine=MachineChoice(detector=str(weights), image_size=192),
        preset="veryfast",
        num_trials=NUM_TRIALS,
        max_seconds=0.5,
        frames_per_second=10.0,
        num_jobs=2,
        store=tmp_path_factory.mktemp("pareto") / "store.sqlite",
    )


@pytest.fixture(scope="module")
def events(asked: TuneRequest) -> list[ParetoEvent]:
    return list(pareto_events(asked))


@pytest.fixture(scope="module")
def front(events: list[ParetoEvent]) -> ParetoFront:
    assert isinstance(events[-1], ParetoFront)
    return events[-1]


def test_the_defaults_are_tried_first_over_a_ladder(events: list[ParetoEvent]) -> None:
    trials = [event for event in events if isinstance(event, ParetoTrial)]

    assert [trial.number for trial in trials] == list(range(NUM_TRIALS))
    for trial in trials[:4]:
        assert (trial.settings.preset, trial.settings.options) == ("veryfast", ())
    assert len({trial.settings for trial in trials[:4]}) == 4


def test_the_front_is_what_no_useful_trial_beats(front: ParetoFront) -> None:
    useful = [one.point for one in front.trials if one.is_useful and one.point is not None]
    kept = [point for point, beaten in zip(useful, is_dominated(useful), strict=True) if not beaten]

    assert sorted(one.expected.rate_kbps for one in front.front) == sorted(
        {one.rate_kbps for one in kept}
    )
    assert all(one.expected.quality >= 0.3 for one in front.front)


def test_each_member_is_verified_by_an_encode_of_the_same_bytes(front: ParetoFront) -> None:
    for one in (*front.front, *front.defaults):
        assert one.verified.rate_kbps == pytest.approx(one.expected.rate_kbps)
        assert 0 <= one.verified.quality <= 1
        assert one.real_quality is None
    rates = [one.verified.rate_kbps for one in front.front]
    assert rates == sorted(rates)
    every = list({id(one): one for one in (*front.front, *front.defaults)}.values())
    beaten = is_dominated([one.verified for one in every])
    assert [one.is_on_front for one in every] == [
        not is_beaten and one.verified.quality >= 0.3
        for one, is_beaten in zip(every, beaten, strict=True)
    ]


def store_with(
    change: Callable[[dict[str, Any]], dict[str, Any]], before: Path, after: Path
) -> Path:
    """Returns a new store that holds the measurements of another one, changed."""
    with open_store(before) as store, open_store(after) as changed:
        for key, value in store.of_kind("measurement"):
            assert isinstance(value, dict)
            changed.put(key, change(value))
    return after


def test_what_keeps_less_when_it_is_verified_is_of_no_use(
    asked: TuneRequest, front: ParetoFront, tmp_path: Path
) -> None:
    # As if the search had seen half of all that is lost.
    def halved(value: dict[str, Any]) -> dict[str, Any]:
        return {**value, "deltas": [[one / 2 for one in some] for some in value["deltas"]]}

    path = store_with(halved, asked.store, tmp_path / "store.sqlite")
    aim = QualityRange(low=0.988, high=0.998, quality=0.99)
    *_, found = pareto_events(dataclasses.replace(asked, store=path, aim=aim))

    assert isinstance(found, ParetoFront)
    short = [one for one in found.defaults if one.verified.quality < 0.988]
    assert short
    assert all(one.expected.quality >= 0.988 for one in short)
    assert not any(one.is_on_front for one in short)
    assert found.front
    assert all(one.verified.quality >= 0.988 for one in found.front)


def test_of_use_is_what_the_real_machine_keeps(asked: TuneRequest, tmp_path: Path) -> None:
    machine = dataclasses.replace(asked.machine, asked_metric="objects")
    request = dataclasses.replace(
        asked, machine=machine, num_trials=5, store=tmp_path / "store.sqlite"
    )

    *_, found = pareto_events(request)

    assert isinstance(found, ParetoFront)
    low = found.metric_low_quality
    assert low is not None
    assert low != found.low_quality == 0.3
    assert [one.is_useful for one in found.trials] == [
        one.point is not None and one.point.quality >= low for one in found.trials
    ]
    assert found.front
    assert all(one.real_quality is not None for one in found.front)
    # The defaults that both machines saw are not encoded again when they are tried.
    assert found.num_from_store >= 3


def test_what_the_real_machine_does_not_see_beats_nothing(front: ParetoFront) -> None:
    """The second one is cheaper and better for the metric; the real machine loses a third in it."""
    members = [
        FrontMember(
            settings=front.front[0].settings,
            expected=Point(rate_kbps=rate, quality=quality, seconds_per_frame=0.01),
            verified=Point(rate_kbps=rate, quality=quality, seconds_per_frame=0.01),
            real_quality=real,
            is_on_front=True,
        )
        for rate, quality, real in [(500, 0.950, 0.97), (490, 0.951, 0.70)]
    ]
    by_metric = [dataclasses.replace(one, real_quality=None) for one in members]

    assert [one.is_on_front for one in mark_front(members, [True, False])] == [True, False]
    assert [one.is_on_front for one in mark_front(by_metric, [True, True])] == [False, True]


def test_a_floor_on_speed_that_nothing_reaches_is_one_line(asked: TuneRequest) -> None:
    with pytest.raises(UnreachableError, match=r"keeps quality 0.3 at 1e\+06 fps; ask"):
        list(pareto_events(dataclasses.replace(asked, min_fps=1e6)))


def test_speeds_of_the_store_put_nothing_on_the_front(
    asked: TuneRequest, front: ParetoFront, tmp_path: Path
) -> None:
    # As if a machine a million times faster had searched.
    def fast(value: dict[str, Any]) -> dict[str, Any]:
        return {**value, "encode_seconds": value["encode_seconds"] / 1e6}

    path = store_with(fast, asked.store, tmp_path / "store.sqlite")
    request = dataclasses.replace(asked, store=path, min_fps=1e6, num_trials=3)

    with pytest.raises(
        UnreachableError, match=r"quality 0.3 at min_fps 1e\+06 is out of reach: none of the \d"
    ):
        list(pareto_events(request))


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"aim": TargetQuality(quality=0.9)}, "a Pareto front needs a quality_range"),
        ({"regions": "detector"}, "regions does not go with aim pareto"),
        ({"fixed_options": {"roi": 1}}, "roi does not go with aim pareto; leave it out"),
        ({"sampler": "cmaes"}, "cmaes knows one objective only"),
        ({"sampler": "additive"}, "additive knows one objective only; choose tpe"),
    ],
)
def test_what_does_not_go_with_a_front_is_misuse(
    asked: TuneRequest, fields: dict[str, object], rule: str
) -> None:
    # Before any clip is opened.
    given = {"clip": Path("missing.mp4"), **fields}
    request = dataclasses.replace(asked, **given)  # type: ignore[arg-type]  # some of its fields

    with pytest.raises(RequestError, match=rule):
        list(pareto_events(request))


def test_limits_hold(asked: TuneRequest) -> None:
    with pytest.raises(ClipError, match="frames"):
        list(pareto_events(dataclasses.replace(asked, limits=ClipLimits(frames=3))))


def test_the_front_says_what_a_reader_must_know(front: ParetoFront) -> None:
    assert "cut to its first 15 frames, as asked" in front.notes


def test_the_report_of_a_front_has_no_empty_column(front: ParetoFront) -> None:
    record = front_record(front, name="front", title="a", encode_command="b", pictures=[])

    (table,) = record.tables
    assert table.columns[:4] == ("", "rate kbps", "quality", "encode fps")
    assert "real quality" not in table.columns
    assert {len(row) for row in table.rows} == {len(table.columns)}


def test_the_front_says_who_proposed_it(front: ParetoFront) -> None:
    assert (front.provenance["sampler"], front.provenance["num_warm_starts"]) == ("tpe", 0)


@pytest.mark.parametrize(
    ("preset", "fixed", "among", "not_among"),
    [
        ("medium", {"psy-rd": 0.0}, {"slow", "medium"}, {"faster", "veryfast", "ultrafast"}),
        ("veryfast", {"deadzone-inter": 10}, {"veryfast", "ultrafast"}, {"faster"}),
    ],
)
def test_presets_that_do_not_take_a_fixed_option_are_left_out(
    tmp_path: Path, preset: str, fixed: dict[str, OptionValue], among: set[str], not_among: set[str]
) -> None:
    study = open_pareto_study(
        ENCODERS["x264"],
        default_preset=preset,
        fixed=fixed,
        sampler="random",
        seed=0,
        storage=open_storage(tmp_path / "journal"),
        name="pareto",
        low_quality=0.5,
        min_fps=None,
        ladder=[20.0],
    )

    presets = {study.ask().settings.preset for _ in range(60)}

    assert among <= presets
    assert not presets & not_among


def test_the_command_writes_files_that_encode_takes(
    asked: TuneRequest, front: ParetoFront, tmp_path: Path
) -> None:
    stale = tmp_path / "front" / "77.json"
    stale.parent.mkdir()
    stale.write_text("{}")
    words = [
        "tune", asked.clip, "--aim", "pareto", "--quality-range", 0.3, 0.9, "--detector",
        asked.machine.detector, "--image-size", 192, "--preset", "veryfast",
        "--trials", NUM_TRIALS, "--max-seconds", 0.5, "--frames-per-second", 10, "--jobs", 2,
        "--store", asked.store, "--out", tmp_path,
    ]  # fmt: skip

    result = CliRunner().invoke(app, [str(word) for word in words])

    assert result.exit_code == 0, result.output
    written = json.loads((tmp_path / "pareto.json").read_text())
    assert [one["settings"] for one in written["front"]] == [one.settings for one in front.front]
    assert not stale.exists()
    rows = (tmp_path / "pareto.csv").read_text().splitlines()
    assert len(rows) == 1 + len(front.front) + len(front.defaults)
    assert (tmp_path / "pareto.png").read_bytes().startswith(b"\x89PNG")
    assert "Rate, quality and speed" in (tmp_path / "report.html").read_text()
    settings, regions = read_settings(tmp_path / "front" / "01.json")
    assert settings.preset == front.front[0].settings["preset"]
    assert regions is None

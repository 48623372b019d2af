"""The tables of ladders and of what they save, from results as the benchmark writes them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from ratesight.optimizer.contestants import CurveMeasured
from ratesight.optimizer.curves.curve import RdPoint
from ratesight.optimizer.titles.fixed_ladder import FixedChoice, compare_fixed
from ratesight.optimizer.titles.ladder import Chosen, FixedRung, FixedTitle, Rung, TitleLadder

Table = Callable[[dict[str, Any]], str]


@pytest.fixture(scope="module")
def ladders(benchmark: Callable[[str], ModuleType]) -> Table:
    made: Table = benchmark("ladder_table").ladders
    return made


@pytest.fixture(scope="module")
def savings(benchmark: Callable[[str], ModuleType]) -> Table:
    made: Table = benchmark("ladder_table").savings
    return made


def rung(quality: float, chosen: Chosen | None) -> Rung:
    return Rung(
        target_quality=quality,
        metric_target_quality=None,
        chosen=chosen,
        reason="out of reach" if chosen is None else None,
        most_quality=0.97 if chosen is None else None,
    )


def title(clip: str, rate_kbps: float) -> TitleLadder:
    point = RdPoint(crf=30, rate_kbps=rate_kbps, quality=0.96)
    chosen = Chosen(
        contestant="x264 360p",
        settings={"codec": "x264"},
        width=640,
        height=360,
        crf=30,
        expected_rate_kbps=rate_kbps,
        expected_quality=0.96,
        rate_kbps=rate_kbps,
        quality=0.9,
        quality_interval=(0.85, 0.95),
        real_quality=None,
        expected_real_quality=None,
        quality_gap=-0.06,
        is_verified=False,
        ffmpeg_command="ffmpeg",
    )
    return TitleLadder(
        clip=clip,
        clip_content_sha256="0",
        width=1280,
        height=720,
        curves=(CurveMeasured(clip=clip, contestant="x264", points=(point,), intervals=(None,)),),
        given_up=("x265",),
        num_encodes_spared=3,
        hull=(),
        rungs=(
            rung(0.99, None),
            rung(0.95, chosen),
        ),
        notes=(),
    )


@pytest.fixture
def results() -> dict[str, Any]:
    titles = [title("a", 100), title("b", 50)]
    rows = [
        FixedTitle(
            clip=clip,
            enough_quality=0.92,
            rate_kbps=200,
            quality=0.97,
            own_rate_kbps=rate,
            own_quality=0.9,
            change_percent=(rate / 200 - 1) * 100,
        )
        for clip, rate in (("a", 100), ("b", 50))
    ]
    found = compare_fixed(FixedChoice(contestant="x264", crf=24.5), {}, rows)
    fixed = [
        FixedRung(target_quality=0.99, keeps="all titles", found=None),
        FixedRung(target_quality=0.95, keeps="all titles", found=found),
    ]
    return {
        "titles": [dataclasses.asdict(one) for one in titles],
        "skipped": [{"clip": "c", "reason": "nothing is seen"}],
        "fixed": [dataclasses.asdict(one) for one in fixed],
        "tolerance": 0.03,
    }


def test_each_title_is_a_row(ladders: Table, results: dict[str, Any]) -> None:
    lines = ladders(results).splitlines()
    assert lines[0] == "| title | quality 0.99 | quality 0.95 |"
    assert lines[2] == ("| a, 1280x720 | out of reach | x264 360p, CRF 30: 100 kbit/s, 0.90 |")
    assert {line.count("|") for line in lines} == {4}


def test_each_quality_is_a_row(savings: Table, results: dict[str, Any]) -> None:
    lines = savings(results).splitlines()
    assert "| 0.99 | all titles | none keeps it | | | | |" in lines
    assert (
        "| 0.95 | all titles | x264, CRF 24.5 | -62.5 %, -69 to -56 | -62.5 % | 0 of 2 | 2, 0 |"
    ) in lines
    assert {line.count("|") for line in lines} == {8, 0}
    assert lines[-1].startswith("Of 4 rungs 2 are out of reach; the others use x264 360p 2.")
    assert "and 2 fall short by more than 0.03" in lines[-1]
    assert "spared about 6 in all. Skipped: c." in lines[-1]


def test_results_of_a_run_under_way_tell_counts_alone(
    savings: Table, results: dict[str, Any]
) -> None:
    said = savings({**results, "fixed": []})
    assert said.strip().startswith("Of 4 rungs 2 are out of reach")

"""BD-rate of files: clips, frames, intervals, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ratesight.optimizer.commands.app import app
from ratesight.optimizer.curves.bd_comparison import (
    FrameQualities,
    Rules,
    compare,
)
from ratesight.optimizer.curves.bootstrap import median_interval
from ratesight.optimizer.curves.curve_files import read_curves
from ratesight.optimizer.errors import CurveError
from ratesight.optimizer.reports.comparison_files import comparison_lines
from typer.testing import CliRunner

import ratesight

RATES = np.array([100.0, 200, 400, 800])
QUALITIES = np.array([0.5, 0.7, 0.8, 0.9])


def one_curve(scale: float = 1, shift: float = 0) -> FrameQualities:
    return FrameQualities(RATES * scale, QUALITIES[:, None] + shift)


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.fixture
def anchor(tmp_path: Path) -> Path:
    return write(
        tmp_path / "anchor.csv", "rate,quality,crf\n100,.5,40\n200,.7,34\n400,.8,28\n800,.9,22\n"
    )


@pytest.fixture
def cheaper(tmp_path: Path) -> Path:
    return write(tmp_path / "test.csv", "quality, rate\n.9,720\n.8,360\n.7,180\n.5,90\n")


def test_a_tenth_less_rate_is_minus_10_percent(anchor: Path, cheaper: Path) -> None:
    done = CliRunner().invoke(app, ["bdrate", str(anchor), str(cheaper), "--json"])

    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["bd_rate_percent"] == pytest.approx(-10)
    assert (said["overlap"], said["interval_percent"]) == (1, None)
    assert (said["method"], said["policy"]) == ("pchip", "strict")


def test_the_text_names_method_and_policy(anchor: Path, cheaper: Path) -> None:
    arguments = ["bdrate", str(anchor), str(cheaper), "--method", "akima", "--policy", "monotone"]

    done = CliRunner().invoke(app, arguments)

    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("BD-rate: -10.00 % over quality 0.5 to 0.9 (overlap 100%)")
    assert done.stdout.endswith("method akima, policy monotone\n")


def test_over_clips_the_median_counts_and_what_has_no_number_is_counted() -> None:
    anchor = {name: one_curve() for name in "abcd"}
    test = {"a": one_curve(0.9), "b": one_curve(0.8), "c": one_curve(0.3), "d": one_curve(1, 5)}

    found = compare(anchor, test, Rules())

    assert found.bd_rate_percent == pytest.approx(-20)
    assert found.num_not_available == 1
    assert found.quartiles_percent == pytest.approx((-45, -15))
    assert found.interval_percent is None  # three clips say nothing about a median
    lines = comparison_lines(found)
    assert lines[3].startswith("d: n/a, curves must share at least 0.25")
    assert lines[-2].startswith("median of 3 clips: -20.00 %")


def test_six_clips_give_the_median_an_interval() -> None:
    anchor = {name: one_curve() for name in "abcdef"}
    test = {name: one_curve(0.4 + number / 10) for number, name in enumerate("abcdef")}

    found = compare(anchor, test, Rules())

    # The median lies beyond all six with a probability of 3 %.
    assert found.interval_percent == pytest.approx((-60, -10))


@pytest.mark.parametrize("num_clips", [6, 7, 12, 13, 25])
def test_the_interval_of_a_median_holds_it_in_95_percent_of_samples(num_clips: int) -> None:
    samples = np.random.default_rng(0).exponential(size=(4000, num_clips))
    intervals = [median_interval(sample) for sample in samples]
    held = [one is not None and one[0] <= np.log(2) <= one[1] for one in intervals]
    assert 0.945 <= np.mean(held) < 0.995


def test_another_clip_changes_no_clip_s_interval() -> None:
    frames = QUALITIES[:, None] + np.random.default_rng(2).normal(0, 0.03, (4, 30))
    pairs = {
        name: (FrameQualities(RATES, frames), FrameQualities(RATES * 0.9, frames + 0.001))
        for name in "ab"
    }
    found = compare(
        {name: anchor for name, (anchor, _) in pairs.items()},
        {name: test for name, (_, test) in pairs.items()},
        Rules(policy="monotone"),
    )
    first, second = found.clips
    assert first.interval_percent == second.interval_percent is not None


def test_frames_give_an_interval_around_the_truth() -> None:
    rng = np.random.default_rng(1)
    easiness = rng.normal(0, 0.05, 200)
    frames = QUALITIES[:, None] + easiness + rng.normal(0, 0.02, (4, 200))
    others = QUALITIES[:, None] + easiness + rng.normal(0, 0.02, (4, 200))

    found = compare(
        {"": FrameQualities(RATES, frames)}, {"": FrameQualities(RATES * 0.9, others)}, Rules()
    )

    assert found.interval_percent is not None
    low, high = found.interval_percent
    assert low < -10 < high
    assert high - low < 10
    again = compare(
        {"": FrameQualities(RATES, frames)}, {"": FrameQualities(RATES * 0.9, others)}, Rules()
    )
    assert again == found


def test_there_is_no_interval_where_most_resamples_have_no_number() -> None:
    """One frame alone tells the encodes apart: a third of the draws lack it, and are flat."""
    frames = np.ones((4, 40))
    frames[:, 0] = QUALITIES

    found = compare(
        {"": FrameQualities(RATES, frames)}, {"": FrameQualities(RATES * 0.9, frames)}, Rules()
    )

    assert found.bd_rate_percent == pytest.approx(-10)
    assert found.interval_percent is None


def test_frames_are_read_and_must_be_the_same(tmp_path: Path) -> None:
    rows = [
        f"{rate},{quality + frame / 100},{frame},street"
        for rate, quality in zip(RATES, QUALITIES, strict=True)
        for frame in range(3)
    ]
    path = write(tmp_path / "a.csv", "\n".join(["rate,quality,frame,clip", *rows]))

    curves = read_curves(path)

    assert list(curves) == ["street"]
    assert curves["street"].qualities.shape == (4, 3)
    assert curves["street"].qualities.mean(axis=1) == pytest.approx(QUALITIES + 0.01)
    write(path, "\n".join(["rate,quality,frame,clip", *rows[:-1]]))
    with pytest.raises(CurveError, match="same frames"):
        read_curves(path)


def test_frames_stand_in_order_of_time(tmp_path: Path) -> None:
    rows = [f"{rate},{frame},{frame}" for rate in RATES for frame in (10, 2, 0, 11)]
    path = write(tmp_path / "a.csv", "\n".join(["rate,quality,frame", *rows]))

    assert read_curves(path)[""].qualities[0].tolist() == [0, 2, 10, 11]


@pytest.fixture
def contestants(tmp_path: Path) -> Path:
    """Curves of two encoders on one clip, as ``ratesight compare`` writes them."""
    rows = [
        f"street,{name},{rate * scale},{quality}"
        for name, scale in (("x264", 1), ("x265", 0.9))
        for rate, quality in zip(RATES, QUALITIES, strict=True)
    ]
    return write(tmp_path / "curves.csv", "\n".join(["clip,contestant,rate,quality", *rows]))


def test_several_contestants_are_never_one_curve(contestants: Path) -> None:
    done = CliRunner().invoke(app, ["bdrate", str(contestants), str(contestants)])

    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
    assert "curves must be of one contestant" in done.stderr
    assert f"{contestants} has x264, x265; choose one with --anchor-contestant" in done.stderr


def test_contestants_of_one_file_are_compared(contestants: Path, anchor: Path) -> None:
    words = ["bdrate", str(contestants), str(contestants)]
    chosen = ["--anchor-contestant", "x264", "--test-contestant"]

    done = CliRunner().invoke(app, [*words, *chosen, "x265"])
    missing = CliRunner().invoke(app, [*words, *chosen, "x266"])

    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("street: -10.00 %")
    assert "contestant must be one of x264, x265, as in " in missing.stderr
    assert "got 'x266'" in missing.stderr
    with pytest.raises(CurveError, match="column contestant"):
        read_curves(anchor, "x264")


def test_one_contestant_needs_no_choice(contestants: Path) -> None:
    lines = contestants.read_text().splitlines()
    write(contestants, "\n".join(line for line in lines if "x265" not in line))

    assert read_curves(contestants).keys() == {"street"}


@pytest.mark.parametrize("num_frames", [3, 4])
def test_fewer_than_four_frames_have_no_interval(num_frames: int) -> None:
    frames = np.repeat(QUALITIES[:, None], num_frames, axis=1)
    one, other = FrameQualities(RATES, frames), FrameQualities(RATES * 0.9, frames)

    found = compare({"": one}, {"": other}, Rules())

    assert (found.interval_percent is not None) == (num_frames == 4)


def test_a_clip_may_have_blocks_of_its_own() -> None:
    rng = np.random.default_rng(1)
    frames = QUALITIES[:, None] + np.repeat(rng.normal(0, 0.02, (4, 20)), 10, axis=1)
    others = QUALITIES[:, None] + np.repeat(rng.normal(0, 0.02, (4, 20)), 10, axis=1)

    def width(block_frames: int | None) -> float:
        found = compare(
            {"": FrameQualities(RATES, frames, block_frames=block_frames)},
            {"": FrameQualities(RATES, others, block_frames=block_frames)},
            Rules(),
        )
        assert found.interval_percent is not None
        return found.interval_percent[1] - found.interval_percent[0]

    assert width(10) > 1.5 * width(None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no quality"),
        ("rate,quality\n", "has none"),
        ("rate,psnr\n1,2\n", "no quality"),
        ("rate,quality\n1,good\n", "'good' in line 2"),
        ("rate,quality\n1\n", "must be numbers"),
        ("rate,quality\n1,2\n1,3\n", "1 again in line 3"),
        ("rate,quality\n1,1\n2,2\n3,3\n", "at least 4 points"),
        ("rate,quality\n1,1\n2,2\n3,3\n4,3\n", "choose policy"),
        ("rate;quality\n1;1\n", "has no quality in its first line, 'rate;quality'; part columns"),
        ("Rate,Quality\n1,1\n", "'Rate,Quality'; part columns by commas and name them in small"),
        ("rate,quality\n1,11\n2,12\n3,13\n4,14\n", "share 0.00"),
        ("rate,quality,clip\n1,.5,x\n2,.6,x\n3,.7,x\n4,.8,x\n", "same clips"),
    ],
)
def test_a_bad_file_is_one_line(text: str, words: str, anchor: Path, tmp_path: Path) -> None:
    bad = write(tmp_path / "bad.csv", text)

    done = CliRunner().invoke(app, ["bdrate", str(anchor), str(bad)])

    assert done.exit_code == 1
    assert done.stderr.startswith("ratesight: ")
    assert done.stderr.count("\n") == 1
    assert words in done.stderr


def test_a_missing_or_binary_file_is_one_line(anchor: Path, tmp_path: Path) -> None:
    (tmp_path / "binary.csv").write_bytes(bytes(range(256)))

    for name in ("no.csv", "binary.csv", "."):
        done = CliRunner().invoke(app, ["bdrate", str(anchor), str(tmp_path / name)])
        assert done.exit_code == 1
        assert done.stderr.count("\n") == 1


def test_a_cubic_needs_four_qualities_left() -> None:
    flat = FrameQualities(RATES, np.array([[0.5], [0.8], [0.9], [0.9]]))

    with pytest.raises(CurveError, match="choose pchip"):
        compare({"": flat}, {"": flat}, Rules(method="cubic", policy="monotone", saturation=0))


def test_only_the_qualities_asked_for_count() -> None:
    bent = FrameQualities(RATES * np.array([1, 1, 0.8, 0.8]), QUALITIES[:, None])
    anchor, test = {"": one_curve()}, {"": bent}

    low = compare(anchor, test, Rules(qualities=(0.5, 0.7)))
    high = compare(anchor, test, Rules(qualities=(0.8, 0.9)))

    assert -25 < high.bd_rate_percent < -18
    assert abs(low.bd_rate_percent) < 6
    assert (low.overlap, high.overlap) == (1, 1)


def test_other_frames_are_not_paired() -> None:
    frames = np.repeat(QUALITIES[:, None], 3, axis=1)
    anchor = FrameQualities(RATES, frames, frames=("0", "1", "2"))
    test = FrameQualities(RATES, frames, frames=("0", "1", "3"))

    with pytest.raises(CurveError, match="the same frames"):
        compare({"": anchor}, {"": test}, Rules())


def test_blocks_of_frames_need_frames(anchor: Path, cheaper: Path) -> None:
    done = CliRunner().invoke(app, ["bdrate", str(anchor), str(cheaper), "--block-frames", "5"])

    assert done.exit_code == 2
    assert "block_frames is for curves with a column frame, got 5" in done.stderr


@pytest.mark.parametrize(
    "asked", [["--min-overlap", "nan"], ["--saturation", "-1"], ["--block-frames", "0"]]
)
def test_rules_out_of_range_are_misuse(anchor: Path, cheaper: Path, asked: list[str]) -> None:
    done = CliRunner().invoke(app, ["bdrate", str(anchor), str(cheaper), *asked])

    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1


def test_the_python_call_takes_arrays() -> None:
    found = ratesight.bd_rate(RATES, QUALITIES, RATES[::-1] * 0.9, QUALITIES[::-1])

    assert found.bd_rate_percent == pytest.approx(-10)
    assert found.interval_percent is None
    assert found.to_json()["bd_rate_percent"] == found.bd_rate_percent


def test_the_python_call_gives_an_interval_over_frames() -> None:
    frames = QUALITIES[:, None] + np.random.default_rng(1).normal(0, 0.01, (4, 50))

    found = ratesight.bd_rate(RATES, frames, RATES * 0.9, frames)

    assert found.bd_rate_percent == pytest.approx(-10)
    assert found.interval_percent == pytest.approx((-10, -10))


def test_the_python_call_s_interval_is_of_the_frames_given() -> None:
    anchor, test = (
        QUALITIES[:, None] + np.random.default_rng(seed).normal(0, 0.05, (4, 50)) for seed in (1, 2)
    )

    found = ratesight.bd_rate(RATES, anchor, RATES * 0.9, test)

    assert found.interval_percent is not None
    low, high = found.interval_percent
    assert low < found.bd_rate_percent < high
    assert high - low > 1


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"anchor_rates": RATES[:3]}, r"anchor: rates must have shape \(points,\).* got \(3,\)"),
        ({"test_qualities": ["a", "b", "c", "d"]}, "test: rates and qualities must be numbers"),
        ({"test_qualities": np.ones((4, 2))}, "on the same frames, got 1 and 2"),
        ({"test_qualities": QUALITIES[::-1]}, "the higher the better"),
        ({"method": "spline"}, "method must be one of pchip, akima, cubic, got 'spline'"),
        ({"policy": "hope"}, "policy must be one of strict, pareto, monotone, got 'hope'"),
    ],
)
def test_the_python_call_refuses_in_one_line(fields: dict[str, Any], words: str) -> None:
    curves = {
        "anchor_rates": RATES,
        "anchor_qualities": QUALITIES,
        "test_rates": RATES,
        "test_qualities": QUALITIES,
    }

    with pytest.raises(ratesight.RatesightError, match=words):
        ratesight.bd_rate(**(curves | fields))

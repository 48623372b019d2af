"""How the texts of options are read, and which do not go together."""

from __future__ import annotations

import pytest
from ratesight.optimizer.aim import Aim, QualityRange, TargetQuality, TargetRate
from ratesight.optimizer.commands.app import app
from ratesight.optimizer.commands.options import AimName, parse_aim
from ratesight.optimizer.errors import RequestError
from typer.testing import CliRunner


@pytest.mark.parametrize(
    ("name", "targets", "aim"),
    [
        (None, (0.9, None, None), TargetQuality(quality=0.9)),
        (AimName.RATE, (0.9, None, None), TargetQuality(quality=0.9)),
        (AimName.QUALITY, (None, 300.0, None), TargetRate(rate_kbps=300)),
        (AimName.BD_RATE, (0.9, None, None), QualityRange(quality=0.9)),
        (AimName.PARETO, (None, None, None), QualityRange()),
        (AimName.PARETO, (None, None, (0.5, 0.9)), QualityRange(low=0.5, high=0.9, quality=0.9)),
    ],
)
def test_targets_make_the_aim(
    name: AimName | None,
    targets: tuple[float | None, float | None, tuple[float, float] | None],
    aim: Aim,
) -> None:
    assert parse_aim(name, *targets) == aim


@pytest.mark.parametrize(
    ("name", "targets", "rule"),
    [
        (AimName.QUALITY, (0.9, None, None), "aim quality needs a target_rate"),
        (AimName.RATE, (None, 300.0, None), "aim rate does not go with these targets"),
        (AimName.RATE, (None, None, (0.5, 0.9)), "aim rate does not go with these targets"),
        (AimName.BD_RATE, (None, 300.0, None), "aim bd-rate does not go with these targets"),
        (AimName.PARETO, (None, 300.0, None), "aim pareto does not go with these targets"),
        (AimName.PARETO, (0.9, None, None), "no target_quality, got 0.9; .* of quality_range"),
        (AimName.PARETO, (0.9, None, (0.5, 0.9)), "no target_quality, got 0.9; .* quality_range"),
    ],
)
def test_targets_that_do_not_go_with_the_aim_are_refused(
    name: AimName,
    targets: tuple[float | None, float | None, tuple[float, float] | None],
    rule: str,
) -> None:
    with pytest.raises(RequestError, match=rule):
        parse_aim(name, *targets)


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        (("--aim", "pareto", "--warm-starts", "2"), "--warm-starts does not go with aim pareto"),
        (("--aim", "pareto", "--tolerance", "0.03"), "--tolerance does not go with aim pareto"),
        (("--region-trials", "12"), "--region-trials goes with --regions only"),
        (("--image-size", "640"), "--image-size is what a detector sees"),
        (("--match-score", "0.25"), "--match-score is a detector's"),
    ],
)
def test_an_option_that_nothing_goes_by_is_refused_even_at_its_default(
    words: tuple[str, ...], rule: str
) -> None:
    done = CliRunner().invoke(app, ["tune", "missing.mp4", *words])

    assert done.exit_code == 2
    assert rule in done.stderr


@pytest.mark.parametrize("command", ["compare", "recommend"])
@pytest.mark.parametrize(
    ("words", "rule"),
    [
        (("--image-size", "640"), "--image-size is what a detector sees"),
        (("--match-score", "0.25"), "--match-score is a detector's"),
        (("--detector", "y.pt", "--match-score", "0.5"), "at most the reference score, 0.4"),
        (("--reference-score", "2"), "reference score must be between 0 and 1"),
    ],
)
def test_other_commands_have_the_options_of_detectors_too(
    command: str, words: tuple[str, ...], rule: str
) -> None:
    encoders = {"compare": ("--codec", "x264", "--codec", "x265"), "recommend": ()}[command]

    done = CliRunner().invoke(app, [command, "missing.mp4", *encoders, *words])

    assert done.exit_code == 2
    assert rule in done.stderr


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        (("--image-size", "640"), "--image-size is what a detector sees"),
        (("--metric", "psnr", "--reference-score", "0.4"), "--reference-score is of machines'"),
        (("--metric", "psnr", "--frames-per-second", "5"), "--frames-per-second is what machines"),
        (("--metric", "psnr", "--csv", "/"), "/ is a folder; give the name of a file"),
        (("--metric", "psnr, vmaf"), "got 'vmaf'"),
    ],
)
def test_a_score_refuses_what_nothing_goes_by(words: tuple[str, ...], rule: str) -> None:
    done = CliRunner().invoke(app, ["score", "missing.mp4", "other.mp4", *words])

    assert done.exit_code == 2
    assert rule in done.stderr

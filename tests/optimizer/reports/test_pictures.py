"""The picture of a recommendation, and its sentences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
from matplotlib.figure import Figure
from ratesight.optimizer.curves.bd_rate import BdRate
from ratesight.optimizer.curves.interval import RateChange
from ratesight.optimizer.errors import OutputError
from ratesight.optimizer.recommendation import PerShot, RealVerification, Recommendation
from ratesight.optimizer.reports.drawing import NARROW, WIDE
from ratesight.optimizer.reports.figures import curves
from ratesight.optimizer.reports.pictures import color_and_marker, draw_curves, rate_axis
from ratesight.optimizer.reports.sentences import (
    bd_rate_text,
    examined_rows,
    headline,
    shot_lines,
)

MakeRecommendation = Callable[..., Recommendation]


def picture(path: Path) -> npt.NDArray[np.uint8]:
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    return frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)


def share_of(shown: npt.NDArray[np.uint8], colour: tuple[int, int, int]) -> float:
    return float((np.abs(shown.astype(int) - colour).max(axis=2) < 12).mean())


BLUE = (0x00, 0x72, 0xB2)  # of the winner


def real_of(found: Recommendation, *, percent: float, anchor_rate_kbps: float) -> RealVerification:
    """Returns what a real machine says that sees the curves as the machine of the search does."""
    change = RateChange(
        percent=percent,
        rate_kbps=anchor_rate_kbps * (1 + percent / 100),
        anchor_rate_kbps=anchor_rate_kbps,
        low_percent=percent - 8,
        high_percent=percent + 6,
        is_clamped=False,
        bd_rate=None,
        bd_rate_interval_percent=None,
    )
    return RealVerification(
        quality=0.9,
        expected_quality=0.9,
        quality_gap=0.0,
        change=change,
        anchor_curve=found.anchor_curve,
        winner_curve=found.winner_curve,
    )


@pytest.mark.parametrize(
    "target", [{}, {"target_quality": None, "target_rate_kbps": 90.0}], ids=["quality", "rate"]
)
def test_the_curves_are_drawn_as_png(
    recommendation: MakeRecommendation, tmp_path: Path, target: dict[str, float | None]
) -> None:
    path = tmp_path / "curves.png"

    draw_curves(recommendation(**target), path)

    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    shown = picture(path)
    assert shown.shape == (690, 1050, 3)
    assert share_of(shown, BLUE) > 0.002


def test_a_dozen_contestants_are_told_apart() -> None:
    assert len({color_and_marker(number) for number in range(12)}) == 12


@pytest.mark.parametrize(
    ("ends", "labels"),
    [((36, 995), [50, 100, 200, 500, 1000]), ((310, 390), [320, 340, 360, 380])],
    ids=["wide", "narrow"],
)
def test_rates_are_labelled_all_along_their_axis(
    ends: tuple[float, float], labels: list[float]
) -> None:
    axes = Figure().subplots()
    axes.plot(ends, (0, 1))
    rate_axis(axes)
    low, high = axes.get_xlim()

    assert [tick for tick in axes.get_xticks() if low <= tick <= high] == pytest.approx(labels)


def test_a_winner_that_is_the_default_is_not_drawn_twice(
    recommendation: MakeRecommendation, tmp_path: Path
) -> None:
    curve = recommendation().anchor_curve

    draw_curves(recommendation(winner_curve=curve), tmp_path / "curves.png")

    shown = picture(tmp_path / "curves.png")
    assert share_of(shown, BLUE) == 0
    assert share_of(shown, (0x66, 0x66, 0x66)) > 0.002


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_the_page_too_shows_what_the_real_machine_says(
    recommendation: MakeRecommendation, width: float
) -> None:
    real = real_of(recommendation(), percent=-7.3, anchor_rate_kbps=100.0)
    found = recommendation(real=real, metric_target_quality=0.92)

    (axes,) = curves(found, ())(width).axes

    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        "defaults", "defaults, real machine", "tuned", "tuned, real machine",
    ]  # fmt: skip
    assert "target 0.9 of the real machine" in [text.get_text() for text in axes.texts]


def test_defaults_that_are_kept_have_the_rate_at_which_the_search_has_them(
    recommendation: MakeRecommendation,
) -> None:
    curve = recommendation().anchor_curve
    real = real_of(recommendation(winner_curve=curve), percent=0.0, anchor_rate_kbps=30.0)

    kept = recommendation(real=real, winner_curve=curve, anchor_rate_kbps=81.5)

    assert examined_rows(kept)[0] == ("rate at target, kbit/s", "81.5", "81.5")


def test_a_place_that_cannot_be_written_is_named(
    recommendation: MakeRecommendation, tmp_path: Path
) -> None:
    with pytest.raises(OutputError, match=r"missing/c\.png cannot be written: No such file"):
        draw_curves(recommendation(), tmp_path / "missing" / "c.png")


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        ((-25.25, -11.04), "-18.5 % (-25.2 to -11.0)"),
        ((None, -11.0), "-18.5 % (below to -11.0)"),
        ((-25.0, None), "-18.5 % (-25.0 to above, may be chance)"),
        ((-25.0, 0.0), "-18.5 % (-25.0 to +0.0, may be chance)"),
        ((None, None), "-18.5 % (no interval, may be chance)"),
    ],
)
def test_a_rate_change_comes_with_its_interval(
    recommendation: MakeRecommendation, interval: tuple[float | None, float | None], text: str
) -> None:
    told = headline(recommendation(rate_change_interval_percent=interval))

    assert told == f"{text} rate at task quality 0.9"


def test_a_change_for_the_worse_has_its_sign(recommendation: MakeRecommendation) -> None:
    worse = recommendation(rate_change_percent=3.0, rate_change_interval_percent=(-1.0, 7.0))

    assert headline(worse).startswith("+3.0 % (-1.0 to +7.0) rate")


def test_the_headline_says_at_what(recommendation: MakeRecommendation) -> None:
    at_rate = recommendation(target_quality=None, target_rate_kbps=90.0)

    assert headline(recommendation()) == ("-18.5 % (-25.2 to -11.0) rate at task quality 0.9")
    assert headline(at_rate) == (
        "-18.5 % (-25.2 to -11.0) rate at the quality reached with 90 kbit/s"
    )


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "-17.0 % (-21.0 to -12.5) BD-rate over task quality 0.800 to 0.960"),
        (
            {"bd_rate_interval_percent": None},
            "-17.0 % (no interval, may be chance) BD-rate over task quality 0.800 to 0.960",
        ),
        (
            {"bd_rate_interval_percent": (-35.0, 1.5)},
            "-17.0 % (-35.0 to +1.5, may be chance) BD-rate over task quality 0.800 to 0.960",
        ),
        (
            {
                "bd_rate_percent": None,
                "bd_rate_interval_percent": None,
                "bd_rate_qualities": None,
            },
            None,
        ),
    ],
)
def test_the_bd_rate_comes_with_its_qualities(
    recommendation: MakeRecommendation,
    fields: dict[str, tuple[float, float] | None],
    text: str | None,
) -> None:
    assert bd_rate_text(recommendation(**fields)) == text


@pytest.mark.parametrize(("high", "said"), [(-1.0, "-1.0)"), (0.5, "+0.5, may be chance)")])
def test_a_saving_of_shots_may_be_chance(high: float, said: str) -> None:
    change = RateChange(
        percent=-7.3,
        rate_kbps=92.7,
        anchor_rate_kbps=100.0,
        low_percent=-15.2,
        high_percent=high,
        is_clamped=False,
        bd_rate=BdRate(percent=-6.0, overlap=1.0, low_quality=0.8, high_quality=0.95),
        bd_rate_interval_percent=(-12.0, high),
    )
    found = PerShot(
        shots=(),
        is_recommended=True,
        rate_kbps=92.7,
        quality=0.9,
        change=change,
        real_change=None,
        second_change=change,
        curve=(),
        real_curve=(),
        second_curve=(),
        ffmpeg_commands=None,
    )

    first, _, second = shot_lines(found)

    assert first.endswith(f"against one CRF, BD-rate -6.0 % (-12.0 to {said}")
    assert f"-7.3 % (-15.2 to {said} rate at equal quality" in first
    assert second == f"second detector: BD-rate -6.0 % (-12.0 to {said}"
    of_real = replace(found, change=replace(change, percent=-30.0), real_change=change)
    first, _, second, _ = shot_lines(of_real)
    assert first.startswith(f"a CRF for each shot: by the real machine, -7.3 % (-15.2 to {said}")
    assert second.startswith("the metric itself: BD-rate ")

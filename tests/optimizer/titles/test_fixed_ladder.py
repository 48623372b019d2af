"""The single setting for all titles, on curves made up."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from ratesight.codecs.settings import Crf, EncodeSettings
from ratesight.codecs.table import Codec
from ratesight.optimizer.measuring.bench import Measurement
from ratesight.optimizer.search.candidate import Candidate
from ratesight.optimizer.titles.fixed_ladder import (
    FixedChoice,
    choose_fixed,
    compare_fixed,
    far_behind,
)
from ratesight.optimizer.titles.ladder import FixedTitle

MakeMeasurement = Callable[..., Measurement]


@pytest.fixture
def candidate(measurement: MakeMeasurement) -> Callable[..., Candidate]:
    def make(codec: Codec, points: Mapping[int, tuple[float, float]]) -> Candidate:
        return Candidate(
            settings=EncodeSettings(codec=codec, preset="medium", rate_control=Crf(value=30)),
            measurements={
                float(crf): measurement(rate, [1 - quality])
                for crf, (rate, quality) in points.items()
            },
        )

    return make


EASY = {20: (200, 0.99), 30: (100, 0.95), 40: (50, 0.85)}
HARD = {20: (2000, 0.95), 30: (1000, 0.85), 40: (500, 0.6)}


def test_highest_crf_that_keeps_the_quality_on_all(candidate: Callable[..., Candidate]) -> None:
    curves = {"x264": [candidate("x264", EASY), candidate("x264", HARD)]}
    # The hard title has 0.895 at 25.5, 0.89 at 26.
    assert choose_fixed(curves, (0.891, 0.891), "all titles") == FixedChoice(
        contestant="x264", crf=25.5
    )
    # The median of two is their mean, 0.9 at 30 and 0.8825 at 31.
    assert choose_fixed(curves, (0.891, 0.891), "median title") == FixedChoice(
        contestant="x264", crf=30.5
    )
    assert choose_fixed(curves, (0.97, 0.97), "all titles") is None


def test_each_title_has_a_quality_of_its_own(candidate: Callable[..., Candidate]) -> None:
    curves = {"x264": [candidate("x264", EASY), candidate("x264", HARD)]}
    # A learned metric is stricter on the hard one: 0.85 there is 0.95 of its machine.
    assert choose_fixed(curves, (0.95, 0.85), "all titles") == FixedChoice(
        contestant="x264", crf=30
    )
    assert choose_fixed(curves, (0.97, 0.85), "all titles") == FixedChoice(
        contestant="x264", crf=25
    )


def test_cheapest_in_sum_wins(candidate: Callable[..., Candidate]) -> None:
    # Cheaper on the easy title, dearer where the bits are.
    other_easy = {crf: (rate * 0.5, quality) for crf, (rate, quality) in EASY.items()}
    other_hard = {crf: (rate * 1.2, quality) for crf, (rate, quality) in HARD.items()}
    curves = {
        "x264": [candidate("x264", EASY), candidate("x264", HARD)],
        "x265": [candidate("x265", other_easy), candidate("x265", other_hard)],
    }
    found = choose_fixed(curves, (0.9, 0.9), "all titles")
    assert found is not None
    assert found.contestant == "x264"
    del curves["x264"]
    found = choose_fixed(curves, (0.9, 0.9), "all titles")
    assert found is not None
    assert found.contestant == "x265"


def test_above_the_highest_crf_measured_nothing_is_relied_on(
    candidate: Callable[..., Candidate],
) -> None:
    only = {20: (200, 0.99), 25: (150, 0.97)}
    curves = {"x264": [candidate("x264", only), candidate("x264", EASY)]}
    assert choose_fixed(curves, (0.9, 0.9), "all titles") == FixedChoice(contestant="x264", crf=25)


def test_below_the_lowest_crf_measured_rates_go_on(candidate: Callable[..., Candidate]) -> None:
    low = {30: (100, 0.999), 40: (50, 0.99)}
    curves = {
        "x264": [candidate("x264", low), candidate("x264", HARD)],
        "x265": [candidate("x265", EASY), candidate("x265", HARD)],
    }
    # At CRF 20 the easy title costs twice as much again as at 30: 200, as with x265.
    found = choose_fixed(curves, (0.95, 0.95), "all titles")
    assert found is not None
    assert found.crf == 20


def test_above_the_highest_crf_measured_rates_go_on(candidate: Callable[..., Candidate]) -> None:
    # The easy title costs half as much every ten CRFs, and was measured up to 20 with x264 only.
    low = {10: (200, 0.999), 20: (100, 0.99)}
    curves = {
        "x264": [candidate("x264", low), candidate("x264", HARD), candidate("x264", HARD)],
        "x265": [
            candidate("x265", {20: (100, 0.99), 40: (60, 0.98)}),
            candidate("x265", HARD),
            candidate("x265", HARD),
        ],
    }
    found = choose_fixed(curves, (0.5, 0.5, 0.5), "median title")
    assert found == FixedChoice(contestant="x264", crf=40)


@pytest.mark.parametrize(
    ("given_up", "expected"),
    [
        ([{"b"}, {"b"}, {"a"}], ("b",)),
        ([{"b"}, set(), {"a"}], ()),
        # Each title is won by another: none can be left out for all.
        ([{"b", "c"}, {"a", "c"}, {"a", "b"}], ()),
        ([{"b", "c"}, {"a", "b", "c"}, {"a", "b"}], ("b",)),
    ],
)
def test_what_most_titles_gave_up_is_no_single_setting(
    given_up: list[set[str]], expected: tuple[str, ...]
) -> None:
    assert far_behind(("a", "b", "c"), given_up) == expected


def title(clip: str, rate: float, own_rate: float, quality: float = 0.95) -> FixedTitle:
    return FixedTitle(
        clip=clip,
        enough_quality=0.9,
        rate_kbps=rate,
        quality=quality,
        own_rate_kbps=own_rate,
        own_quality=0.91,
        change_percent=(own_rate / rate - 1) * 100,
    )


def test_savings_and_losses_are_counted() -> None:
    titles = [title("a", 100, 50), title("b", 100, 80), title("c", 200, 220, quality=0.8)]
    found = compare_fixed(FixedChoice(contestant="x264", crf=25), {"codec": "x264"}, titles)
    assert found.median_percent == pytest.approx(-20)
    assert found.quartiles_percent == (pytest.approx(-35), pytest.approx(-5))
    assert found.interval_percent is None  # of three titles
    assert found.total_percent == pytest.approx((350 / 400 - 1) * 100)
    assert (found.num_worse, found.num_short, found.num_own_short) == (1, 1, 0)


def test_six_titles_give_the_median_an_interval() -> None:
    titles = [title(str(at), 100, 40 + 10 * at) for at in range(6)]
    choice = FixedChoice(contestant="x264", crf=25)

    assert compare_fixed(choice, {}, titles[:5]).interval_percent is None
    assert compare_fixed(choice, {}, titles).interval_percent == pytest.approx((-60, -10))

"""Bootstrap interval of a rate change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from ratesight.codecs.source import Source
from ratesight.metrics.boxes import Floats
from ratesight.optimizer.aim import Aim, QualityRange, TargetQuality, TargetRate
from ratesight.optimizer.curves.curve import RdPoint, fit_curve
from ratesight.optimizer.curves.interval import RateChange, block_frames, rate_change
from ratesight.optimizer.measuring.bench import Bench, Measurement
from ratesight.optimizer.search.verification import saves

MakeMeasurement = Callable[..., Measurement]
Ladder = dict[float, Measurement]
MakeLadder = Callable[..., Ladder]

NUM_FRAMES = 40
NUM_RESAMPLES = 200
CRFS = (20.0, 24.0, 28.0, 32.0)


def change(anchor: Ladder, test: Ladder, aim: Aim, seed: int = 0) -> RateChange:
    return rate_change(
        anchor, test, aim, max_crf=51, block_frames=2, seed=seed, num_resamples=NUM_RESAMPLES
    )


def width(found: RateChange) -> float:
    assert found.low_percent is not None
    assert found.high_percent is not None
    return found.high_percent - found.low_percent


@pytest.fixture(scope="module")
def ladder(measurement: MakeMeasurement) -> MakeLadder:
    """Makes measurements of an encoder: 1000 kbit/s and a loss of 0.1 at CRF 20, falling from it.

    Args of what it returns:
        ratio: Of the rates to those of the anchor.
        noise: Standard deviation of one frame's loss from encode to encode, relative to it.
    """

    def make(seed: int, *, ratio: float = 1.0, noise: float = 0.2) -> Ladder:
        rng = np.random.default_rng(seed)
        # What makes a frame hard is the same for all encodes of one clip.
        hard = np.random.default_rng(seed // 2).uniform(0.5, 1.5, NUM_FRAMES)
        return {
            crf: measurement(
                1000 * ratio * 0.9 ** (crf - 20),
                np.clip((0.1 + 0.012 * (crf - 20)) * hard * rng.normal(1, noise, NUM_FRAMES), 0, 1),
            )
            for crf in CRFS
        }

    return make


def test_a_curve_against_itself_changes_nothing(ladder: MakeLadder) -> None:
    found = change(ladder(0), ladder(0), TargetQuality(quality=0.85))

    assert (found.percent, found.low_percent, found.high_percent) == (0, 0, 0)
    assert found.rate_kbps == found.anchor_rate_kbps
    assert found.bd_rate is not None
    assert (found.bd_rate.percent, found.bd_rate_interval_percent) == (0, (0, 0))
    assert not found.is_clamped


@pytest.mark.parametrize("aim", [TargetQuality(quality=0.85), TargetRate(rate_kbps=500)])
def test_rates_times_k_change_by_exactly_that(ladder: MakeLadder, aim: Aim) -> None:
    found = change(ladder(0), ladder(0, ratio=0.8), aim)

    percent = pytest.approx(-20, abs=1e-6)
    assert found.percent == percent
    assert found.low_percent == percent
    assert found.high_percent == percent
    assert found.rate_kbps == pytest.approx(0.8 * found.anchor_rate_kbps)
    assert isinstance(aim, TargetQuality) or found.rate_kbps == pytest.approx(500)
    assert found.bd_rate is not None
    assert found.bd_rate.percent == percent
    assert found.bd_rate_interval_percent == pytest.approx((-20, -20), abs=1e-6)


def test_the_interval_is_as_wide_as_the_change_varies_from_clip_to_clip(
    ladder: MakeLadder,
) -> None:
    """A bootstrap of each of many clips would be coverage itself, but takes a second a clip."""
    aim, ratio = TargetQuality(quality=0.85), 0.8

    def at_target(measurements: Ladder) -> float:
        points = [
            RdPoint(crf=crf, rate_kbps=one.rate_kbps, quality=one.scores.quality)
            for crf, one in measurements.items()
        ]
        return aim.rate_on(fit_curve(points)).value

    pairs = [(ladder(seed), ladder(seed + 1, ratio=ratio)) for seed in range(0, 160, 2)]
    changes = [(at_target(test) / at_target(anchor) - 1) * 100 for anchor, test in pairs]

    first, again, other_seed = (change(*pairs[0], aim, seed) for seed in (0, 0, 1))

    assert np.mean(changes) == pytest.approx((ratio - 1) * 100, abs=1)
    assert first.percent == pytest.approx(changes[0])
    expected_width = 2 * 1.96 * float(np.std(changes))
    for found in (first, other_seed):
        assert width(found) == pytest.approx(expected_width, rel=0.4)
    assert first == again
    assert other_seed.percent == first.percent
    assert width(other_seed) != width(first)
    calm = change(ladder(0, noise=0.05), ladder(1, ratio=ratio, noise=0.05), aim)
    assert 0 < 2 * width(calm) < width(first)


@pytest.mark.parametrize(
    ("anchor_crfs", "test_crfs", "open_end"),
    [
        (CRFS, CRFS[2:], "high"),  # even the test's best point is too bad: it may need more rate
        (CRFS[2:], CRFS, "low"),  # even the anchor's best is too bad: it may need more
    ],
)
def test_an_end_that_no_curve_reaches_is_open(
    ladder: MakeLadder,
    anchor_crfs: tuple[float, ...],
    test_crfs: tuple[float, ...],
    open_end: str,
) -> None:
    measured = ladder(0, noise=0.02)
    target = TargetQuality(quality=0.848)  # at CRF 24
    anchor, test = ({crf: measured[crf] for crf in crfs} for crfs in (anchor_crfs, test_crfs))

    found = change(anchor, test, target)

    assert found.is_clamped
    assert found.falls_short == (open_end == "high")
    assert (found.low_percent is None, found.high_percent is None) == (
        open_end == "low",
        open_end == "high",
    )


def test_at_a_rate_beyond_saturation_a_curve_costs_what_it_costs(
    measurement: MakeMeasurement,
) -> None:
    def saturated(ratio: float) -> Ladder:
        losses = {20.0: 0.0, 24.0: 0.0, 28.0: 0.1, 32.0: 0.2}
        return {
            crf: measurement(ratio * 1500 * 0.84 ** (crf - 20), np.full(NUM_FRAMES, loss))
            for crf, loss in losses.items()
        }

    target = TargetRate(rate_kbps=1400)
    itself = change(saturated(1.0), saturated(1.0), target)
    cheaper = change(saturated(1.0), saturated(0.9), target)

    assert (itself.percent, itself.rate_kbps) == (0, itself.anchor_rate_kbps)
    assert cheaper.percent == pytest.approx(-10)


def test_what_never_reaches_the_target_saves_nothing_at_it(ladder: MakeLadder) -> None:
    target = TargetQuality(quality=0.88)
    capped = {crf: one for crf, one in ladder(0, ratio=0.3).items() if crf > 20}

    found = change(ladder(0), capped, target)

    assert found.percent < 0
    assert found.bd_rate is not None
    assert found.bd_rate.percent < 0
    assert not saves(found, target)
    assert saves(change(ladder(0), ladder(0, ratio=0.3), target), target)
    assert saves(found, QualityRange(low=0.8, high=0.85, quality=0.82))


def test_nothing_lies_below_the_highest_crf(ladder: MakeLadder) -> None:
    measured, aim = ladder(0, noise=0.02), TargetQuality(quality=0.848)

    found = rate_change(
        measured,
        {20.0: measured[20.0]},
        aim,
        max_crf=20,
        block_frames=2,
        seed=0,
        num_resamples=NUM_RESAMPLES,
    )

    assert not found.is_clamped
    assert found.low_percent is not None
    assert found.high_percent is not None


def test_draws_without_an_object_are_left_out(
    ladder: MakeLadder, measurement: MakeMeasurement
) -> None:
    # Four frames in forty have an object, in a row: some of the draws have none.
    def lonely(measurements: Ladder) -> Ladder:
        weights = np.zeros(NUM_FRAMES)
        weights[7:11] = 0.8
        return {
            crf: measurement(one.rate_kbps, one.scores.frame_losses, weights)
            for crf, one in measurements.items()
        }

    found = change(lonely(ladder(0)), lonely(ladder(0, ratio=0.8)), TargetRate(rate_kbps=500))

    assert found.low_percent == pytest.approx(-20)
    assert found.high_percent == pytest.approx(-20)


@pytest.mark.parametrize("num_with_objects", [1, 3, 4])
def test_fewer_than_four_frames_have_no_interval(
    ladder: MakeLadder, measurement: MakeMeasurement, num_with_objects: int
) -> None:
    weights = [1.0] * num_with_objects + [0.0] * (NUM_FRAMES - num_with_objects)
    anchor, test = (
        {
            crf: measurement(one.rate_kbps, one.scores.frame_losses, weights)
            for crf, one in ladder(0, ratio=ratio).items()
        }
        for ratio in (1, 0.8)
    )

    found = change(anchor, test, TargetRate(rate_kbps=500))

    assert found.percent == pytest.approx(-20)
    assert found.bd_rate is not None
    has_interval = num_with_objects == 4
    assert (found.low_percent is not None, found.high_percent is not None) == (has_interval,) * 2
    assert (found.bd_rate_interval_percent is not None) == has_interval


@pytest.mark.parametrize(("overlap", "has_number"), [(0.04, False), (0.3, True)])
def test_curves_that_share_too_little_have_no_bd_rate(
    measurement: MakeMeasurement, overlap: float, has_number: bool
) -> None:
    """The same floor as in a comparison: what is shared must be a quarter of the anchor's range."""

    def make(rate: float, shift: float) -> Ladder:
        return {
            crf: measurement(rate * 0.8**rung, [0.02 + shift + 0.1 * rung] * NUM_FRAMES)
            for rung, crf in enumerate(CRFS)
        }

    anchor, test = make(1000, 0), make(100, 0.3 * (1 - overlap))

    found = change(anchor, test, TargetQuality(quality=0.69))

    assert found.percent < 0
    assert (found.bd_rate is not None) == has_number
    assert (found.bd_rate_interval_percent is not None) == has_number
    assert saves(found, TargetQuality(quality=0.69)) == has_number


@pytest.mark.parametrize(("last_crf", "has_number"), [(51.0, True), (50.5, False)])
def test_a_curve_that_ends_at_the_highest_crf_need_not_fall_as_far_as_the_anchors(
    measurement: MakeMeasurement, last_crf: float, has_number: bool
) -> None:
    """As of a face that tuned settings keep at any CRF, and the defaults lose: 13 % are shared."""

    def make(points: dict[float, tuple[float, float]]) -> Ladder:
        return {crf: measurement(rate, [loss] * NUM_FRAMES) for crf, (rate, loss) in points.items()}

    anchor = make({40.0: (114, 0.02), 44.0: (79, 0.04), 48.0: (47, 0.42), 51.0: (34, 0.95)})
    test = make({45.0: (68, 0.03), 47.0: (55, 0.05), 49.0: (44, 0.08), last_crf: (36, 0.15)})

    found = change(anchor, test, TargetQuality(quality=0.9))

    assert found.percent < 0
    assert (found.bd_rate is not None) == has_number
    assert saves(found, TargetQuality(quality=0.9)) == has_number


@pytest.mark.parametrize(
    ("frames", "frame_rate", "expected"),
    [
        (range(0, 60, 3), 30, 20),  # ten a second
        ([at for at in range(0, 60, 3) if at % 6 != 0], 30, 10),  # half of them left to the search
        (range(20), 2, 4),  # a clip that has fewer frames a second than are asked for
        ([5], 30, 1),
    ],
)
def test_a_block_is_two_seconds_as_the_frames_lie(
    phone: Source, frames: Sequence[int], frame_rate: int, expected: int
) -> None:
    source = replace(phone, frame_rate=Fraction(frame_rate))
    bench = Bench(
        source=source,
        segments=source.whole,
        frames=tuple(frames),
        positions=tuple(frames),
        machine=None,  # type: ignore[arg-type]  # nothing is looked at
        references=(),
        regions=None,
        key={},
    )

    assert block_frames(bench) == expected


def test_neighbours_that_show_the_same_are_drawn_together(measurement: MakeMeasurement) -> None:
    # Five frames in a row lose the same: forty frames say as much as eight.
    scene_noise = np.repeat(np.random.default_rng(0).normal(1, 0.3, 8), NUM_FRAMES // 8)

    def make(ratio: float, noise: float | np.ndarray) -> Ladder:
        return {
            crf: measurement(
                1000 * ratio * 0.9 ** (crf - 20),
                np.clip((0.1 + 0.012 * (crf - 20)) * noise * np.ones(NUM_FRAMES), 0, 1),
            )
            for crf in CRFS
        }

    anchor, test = make(1.0, 1.0), make(0.8, scene_noise)
    single, together = (
        rate_change(
            anchor,
            test,
            TargetQuality(quality=0.85),
            max_crf=51,
            block_frames=length,
            seed=0,
            num_resamples=NUM_RESAMPLES,
        )
        for length in (1, 5)
    )

    assert single.percent == together.percent
    assert width(together) > 1.5 * width(single)


def test_the_interval_is_of_the_change_at_the_target(measurement: MakeMeasurement) -> None:
    """Where the saving differs along the curves it matters at which quality it is told."""
    num_runs, num_frames, truth = 40, 100, np.expm1(-0.1) * 100
    log_ratios = np.arange(-3, 4) * 0.23

    def tilted(shift: float, steepness: float, hard: Floats) -> Ladder:
        """Returns a curve of quality 0.95 at 400 kbit/s, shifted in log rate."""
        return {
            30.0 - at: measurement(
                400 * float(np.exp(ratio + shift)),
                np.clip(0.05 * np.exp(-steepness * ratio) * hard, 0, 1),
            )
            for at, ratio in enumerate(log_ratios)
        }

    num_hits = 0
    for seed in range(num_runs):
        drawn = np.random.default_rng(seed).normal(size=num_frames + 3)
        # How hard a frame is to see, alike from one to the next, and 1 in the mean.
        hard = np.exp(0.3 * np.convolve(drawn, np.ones(4), "valid") - 0.18)
        found = rate_change(
            tilted(0.0, 1.2, hard), tilted(-0.1, 0.92, hard), TargetQuality(quality=0.95),
            max_crf=51, block_frames=10, seed=seed, num_resamples=NUM_RESAMPLES,
        )  # fmt: skip
        low = -np.inf if found.low_percent is None else found.low_percent
        high = np.inf if found.high_percent is None else found.high_percent
        num_hits += low <= truth <= high
    assert num_hits >= 0.8 * num_runs

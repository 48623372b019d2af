"""Where a target of the real machine lies on the scale of the metric that steers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from ratesight.codecs.settings import Crf, EncodeSettings
from ratesight.optimizer.aim import Aim, QualityRange, TargetQuality, TargetRate
from ratesight.optimizer.measuring.bench import Bench, Measurement
from ratesight.optimizer.search.anchor import SearchedClip
from ratesight.optimizer.search.candidate import Candidate

MakeClip = Callable[..., SearchedClip]

# CRF: rate in kbit/s, and what the real machine loses; the metric loses twice as much.
LADDER = {20.0: (800, 0.02), 26.0: (400, 0.05), 32.0: (200, 0.15), 38.0: (100, 0.4)}


@pytest.fixture
def clip(measurement: Callable[..., Measurement]) -> MakeClip:
    settings = EncodeSettings(codec="x264", preset="medium", rate_control=Crf(value=30))

    def candidate(factor: float | None) -> Candidate:
        points = {} if factor is None else LADDER
        return Candidate(
            settings=settings,
            measurements={
                crf: measurement(rate, [loss * (factor or 0)] * 4)
                for crf, (rate, loss) in points.items()
            },
        )

    def make(target: Aim, *, metric: float = 2.0, real: float | None = 1.0) -> SearchedClip:
        bench: Bench = None  # type: ignore[assignment]  # nothing is measured
        return SearchedClip(
            bench=bench, anchor=candidate(metric), real_anchor=candidate(real), target=target
        )

    return make


@pytest.mark.parametrize(("quality", "metric_quality"), [(0.95, 0.9), (0.85, 0.7), (0.9, 0.8)])
def test_a_target_is_met_where_the_real_machine_says(
    clip: MakeClip, quality: float, metric_quality: float
) -> None:
    searched = clip(TargetQuality(quality=quality))

    assert isinstance(searched.aim, TargetQuality)
    assert searched.aim.quality == pytest.approx(metric_quality, abs=1e-6)
    assert searched.target == TargetQuality(quality=quality)
    assert searched.expected_real_quality(metric_quality) == pytest.approx(quality, abs=1e-6)


def test_a_range_moves_with_its_ends(clip: MakeClip) -> None:
    aim = clip(QualityRange(low=0.6, high=0.95, quality=0.85)).aim

    assert isinstance(aim, QualityRange)
    assert (aim.low, aim.quality, aim.high) == pytest.approx((0.2, 0.7, 0.9), abs=1e-6)


def test_a_metric_that_sees_no_difference_leaves_a_range_as_it_is(clip: MakeClip) -> None:
    target = QualityRange(low=0.6, high=0.95, quality=0.85)

    assert clip(target, metric=0.0).aim == target


def test_a_target_beyond_the_curves_stays_one(clip: MakeClip) -> None:
    aim = clip(TargetQuality(quality=0.5), metric=2.5).aim  # the metric keeps nothing at CRF 38

    assert isinstance(aim, TargetQuality)
    assert 0 < aim.quality < 1e-5


@pytest.mark.parametrize(
    ("target", "real"),
    [(TargetRate(rate_kbps=300), 1.0), (TargetQuality(quality=0.9), None)],
    ids=["a rate", "no real machine"],
)
def test_other_targets_stay_as_they_are(clip: MakeClip, target: Aim, real: float | None) -> None:
    searched = clip(target, real=real)

    assert searched.aim == target
    assert (searched.expected_real_quality(0.8) is None) == (real is None)

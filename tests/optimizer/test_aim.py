"""What a search is after."""

from __future__ import annotations

import math

import pytest
from ratesight.optimizer.aim import TargetQuality, TargetRate
from ratesight.optimizer.curves.curve import RdCurve, RdPoint, fit_curve
from ratesight.optimizer.errors import RequestError


@pytest.fixture
def curve() -> RdCurve:
    return fit_curve(
        [
            RdPoint(crf=crf, rate_kbps=rate, quality=quality)
            for crf, rate, quality in [(40, 100, 0.5), (30, 200, 0.7), (20, 400, 0.9)]
        ]
    )


@pytest.mark.parametrize("quality", [0, 1, -0.5, 1.5, math.nan, math.inf])
def test_a_target_quality_lies_between_0_and_1(quality: float) -> None:
    with pytest.raises(RequestError, match="target_quality must be between 0 and 1, got"):
        TargetQuality(quality=quality)


@pytest.mark.parametrize("rate_kbps", [0, -1, math.nan, math.inf])
def test_a_target_rate_is_above_0(rate_kbps: float) -> None:
    with pytest.raises(RequestError, match="target_rate must be above 0 kbit/s, got"):
        TargetRate(rate_kbps=rate_kbps)


@pytest.mark.parametrize(
    ("quality", "rate", "end"), [(0.7, 200, None), (0.4, 100, "low"), (0.95, 400, "high")]
)
def test_the_rate_of_a_target_quality(
    curve: RdCurve, quality: float, rate: float, end: str | None
) -> None:
    reading = TargetQuality(quality=quality).rate_on(curve)

    assert reading.value == pytest.approx(rate)
    assert reading.end == end


@pytest.mark.parametrize(
    ("target", "rate", "end"), [(150, 150, None), (50, 100, "low"), (900, 400, "high")]
)
def test_the_rate_of_a_target_rate_is_itself_within_the_curve(
    curve: RdCurve, target: float, rate: float, end: str | None
) -> None:
    reading = TargetRate(rate_kbps=target).rate_on(curve)

    assert reading.value == pytest.approx(rate)
    assert reading.end == end

"""Monotone curves through noisy points."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ratesight.optimizer.curves.curve import RdCurve, RdPoint, Reading, fit_curve

# Rates at least 5 % apart, some of them equal, in no order; qualities as noisy as they can be.
points = st.lists(
    st.builds(
        lambda crf, step, quality: RdPoint(
            crf=crf, rate_kbps=20 * 1.05**step, quality=quality / 1000
        ),
        st.integers(0, 70),
        st.integers(0, 100),
        st.integers(0, 1000),
    ),
    min_size=1,
    max_size=8,
)


def curve_of(*pairs: tuple[float, float]) -> RdCurve:
    return fit_curve(
        [
            RdPoint(crf=50.0 - index, rate_kbps=rate, quality=quality)
            for index, (rate, quality) in enumerate(pairs)
        ]
    )


def rates_on(curve: RdCurve, number: int = 60) -> list[float]:
    """Rates from below the curve's lowest to above its highest."""
    return list(np.exp(np.linspace(curve.log_rates[0] - 0.5, curve.log_rates[-1] + 0.5, number)))


@given(points)
def test_quality_never_falls_with_rate_and_stays_among_the_points(some: list[RdPoint]) -> None:
    curve = fit_curve(some)

    qualities = np.array([curve.quality_at(rate).value for rate in rates_on(curve)])

    assert (np.diff(qualities) >= -1e-12).all()
    assert qualities.min() >= min(point.quality for point in some) - 1e-12
    assert qualities.max() <= max(point.quality for point in some) + 1e-12
    assert (np.diff(curve.log_rates) > 0).all()
    assert (np.diff(curve.crfs) <= 1e-12).all()


@given(points)
def test_crf_never_rises_with_rate(some: list[RdPoint]) -> None:
    curve = fit_curve(some)

    crfs = np.array([curve.crf_at(rate).value for rate in rates_on(curve)])

    assert (np.diff(crfs) <= 1e-9).all()


@given(points, st.integers(0, 1000))
def test_a_quality_is_read_at_the_lowest_rate_that_reaches_it(
    some: list[RdPoint], thousandths: int
) -> None:
    curve, quality = fit_curve(some), thousandths / 1000

    reading = curve.rate_at(quality)

    match reading.end:
        case "low":
            assert quality < curve.qualities[0]
            assert reading.value == pytest.approx(min(point.rate_kbps for point in some))
        case "high":
            assert quality > curve.qualities[-1]
            assert reading.value == pytest.approx(max(point.rate_kbps for point in some))
        case None:
            assert curve.quality_at(reading.value).value == pytest.approx(quality, abs=1e-8)
            assert curve.quality_at(reading.value * 0.99).value <= quality


@given(points, st.floats(0, 1))
def test_a_rate_is_not_below_the_rate_of_its_quality(some: list[RdPoint], share: float) -> None:
    curve = fit_curve(some)
    low, high = curve.log_rates[0], curve.log_rates[-1]
    rate = float(np.exp(low + share * (high - low)))

    assert curve.rate_at(curve.quality_at(rate).value).value <= rate * (1 + 1e-6)


@given(points, st.floats(0.01, 100), st.integers(0, 1000))
def test_rates_times_k_are_read_as_rates_times_k(
    some: list[RdPoint], k: float, thousandths: int
) -> None:
    curve = fit_curve(some)
    scaled = fit_curve(
        [RdPoint(crf=one.crf, rate_kbps=one.rate_kbps * k, quality=one.quality) for one in some]
    )

    before, after = (one.rate_at(thousandths / 1000) for one in (curve, scaled))

    assert after.end == before.end
    assert after.value == pytest.approx(before.value * k, rel=1e-6)
    for rate in rates_on(curve, 7):
        assert scaled.quality_at(rate * k).value == pytest.approx(curve.quality_at(rate).value)


@given(points, st.data())
def test_the_order_of_points_does_not_matter(some: list[RdPoint], data: st.DataObject) -> None:
    curve, mixed = fit_curve(some), fit_curve(data.draw(st.permutations(some)))

    np.testing.assert_allclose(mixed.log_rates, curve.log_rates, rtol=1e-12)
    np.testing.assert_allclose(mixed.qualities, curve.qualities, atol=1e-12)
    np.testing.assert_allclose(mixed.crfs, curve.crfs, rtol=1e-12)


# Rounding leaves the fit of these a hair below its own highest knot.
@example([RdPoint(crf=9 - n, rate_kbps=r, quality=q) for n, (r, q) in enumerate(
    [(50, 0.43), (650, 0.6), (790, 0.81)])])  # fmt: skip
@given(points)
def test_a_hair_below_a_point_is_read_at_the_point(some: list[RdPoint]) -> None:
    curve = fit_curve(some)

    for log_rate, quality in zip(curve.log_rates, curve.qualities, strict=True):
        reading = curve.rate_at(float(np.nextafter(quality, 0)))
        assert reading.value <= np.exp(log_rate) * (1 + 1e-9)


@given(points)
def test_many_qualities_at_once_are_those_one_by_one(some: list[RdPoint]) -> None:
    curve = fit_curve(some)
    rates = np.array(rates_on(curve, 6)).reshape(2, 3)

    together = curve.qualities_at(np.log(rates))

    singly = [[curve.quality_at(float(rate)).value for rate in row] for row in rates]
    np.testing.assert_allclose(together, singly, atol=1e-12)


def test_points_in_order_are_kept() -> None:
    curve = curve_of((100, 0.5), (200, 0.75), (400, 1.0))

    assert [curve.quality_at(rate).value for rate in (100, 200, 400)] == [0.5, 0.75, 1.0]
    # Over the log of the rate they lie on a line.
    assert curve.quality_at(100 * 2**0.5).value == pytest.approx(0.625)
    assert curve.rate_at(0.625).value == pytest.approx(100 * 2**0.5)


def test_points_out_of_order_are_pooled() -> None:
    curve = curve_of((100, 0.8), (200, 0.6), (400, 0.9))

    np.testing.assert_allclose(curve.qualities, [0.7, 0.7, 0.9])
    assert curve.rate_at(0.7).value == pytest.approx(100)


def test_points_of_equal_rate_are_averaged_and_weigh_as_many() -> None:
    curve = curve_of((100, 0.9), (100, 0.7), (200, 0.5))

    np.testing.assert_allclose(curve.qualities, [2.1 / 3] * 2)
    np.testing.assert_allclose(curve.crfs, [49.5, 48])


@pytest.mark.parametrize(
    ("quality", "expected", "end"),
    [(0.4, 100, "low"), (0.5, 100, None), (0.9, 400, None), (0.95, 400, "high")],
)
def test_a_quality_beyond_the_ends_is_clamped(
    quality: float, expected: float, end: str | None
) -> None:
    reading = curve_of((100, 0.5), (200, 0.7), (400, 0.9)).rate_at(quality)

    assert reading.value == pytest.approx(expected)
    assert reading.end == end


@pytest.mark.parametrize(
    ("rate", "quality", "crf", "end"), [(50, 0.5, 50, "low"), (900, 0.9, 48, "high")]
)
def test_a_rate_beyond_the_ends_is_clamped(
    rate: float, quality: float, crf: float, end: str
) -> None:
    curve = curve_of((100, 0.5), (200, 0.7), (400, 0.9))

    assert curve.quality_at(rate) == Reading(value=quality, end=end)  # type: ignore[arg-type]
    assert curve.crf_at(rate) == Reading(value=crf, end=end)  # type: ignore[arg-type]


def test_one_point_is_a_curve() -> None:
    curve = curve_of((100, 0.5))

    assert [curve.quality_at(rate).value for rate in (50, 100, 200)] == [0.5] * 3
    assert [curve.rate_at(quality).end for quality in (0.4, 0.5, 0.6)] == ["low", None, "high"]
    assert curve.rate_at(0.6).value == pytest.approx(100)
    assert curve.crf_at(100).value == curve.crf_at(1).value == 50
    assert curve.quality_at_crf(20) == 0.5


def test_no_point_is_no_curve() -> None:
    with pytest.raises(ValueError, match="at least one point"):
        fit_curve([])


def test_quality_at_a_crf_is_read_between_the_points() -> None:
    curve = curve_of((100, 0.5), (200, 0.7), (400, 0.9))  # CRF 50, 49, 48

    assert curve.quality_at_crf(48.5) == pytest.approx(0.8)
    assert [curve.quality_at_crf(crf) for crf in (60, 10)] == [0.5, 0.9]

"""Bjontegaard delta rate: identities, and a second opinion."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import bjontegaard
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from ratesight.optimizer.curves.bd_rate import BdRate, Method, bd_rate, is_below_0
from ratesight.optimizer.curves.curve import RdCurve, fit_arrays
from ratesight.optimizer.curves.measured_curve import measured_curve

# Clean curves: quality rises with every step of the rate, as the second opinion wants it.
curves = st.lists(st.tuples(st.integers(1, 20), st.integers(20, 150)), min_size=4, max_size=8).map(
    lambda steps: fit_arrays(
        5 + np.cumsum([rate for rate, _ in steps]) / 10,
        np.cumsum([quality for _, quality in steps]) / 1000,
        -np.arange(len(steps), dtype=np.float64),
    )
)


def moved(curve: RdCurve, *, log_rate: float = 0, scale: float = 1, offset: float = 0) -> RdCurve:
    return RdCurve(curve.log_rates + log_rate, curve.qualities * scale + offset, curve.crfs)


def known(found: BdRate | None) -> BdRate:
    assert found is not None
    return found


@given(curves)
def test_a_curve_against_itself_is_0(curve: RdCurve) -> None:
    found = known(bd_rate(curve, curve))

    assert found.percent == 0
    assert found.overlap == 1
    assert (found.low_quality, found.high_quality) == (curve.qualities[0], curve.qualities[-1])


@given(curves, st.floats(0.1, 10))
def test_rates_times_k_are_k_minus_1(curve: RdCurve, k: float) -> None:
    found = known(bd_rate(curve, moved(curve, log_rate=float(np.log(k)))))

    assert found.percent == pytest.approx((k - 1) * 100, abs=1e-8)


@given(curves, curves)
def test_there_and_back_is_where_one_was(anchor: RdCurve, test: RdCurve) -> None:
    there, back = bd_rate(anchor, test), bd_rate(test, anchor)
    assume(there is not None)

    product = (1 + known(there).percent / 100) * (1 + known(back).percent / 100)

    assert product == pytest.approx(1)


@given(curves, curves, st.floats(0.1, 10), st.floats(-1, 1))
def test_the_scale_of_quality_does_not_matter(
    anchor: RdCurve, test: RdCurve, scale: float, offset: float
) -> None:
    plain = bd_rate(anchor, test)
    assume(plain is not None and plain.high_quality - plain.low_quality > 0.01)

    other = bd_rate(*(moved(one, scale=scale, offset=offset) for one in (anchor, test)))

    assert known(other).percent == pytest.approx(known(plain).percent, rel=1e-6, abs=1e-6)


METHODS: tuple[Method, ...] = ("pchip", "akima", "cubic")
each_method = pytest.mark.parametrize("method", METHODS)


@each_method
@given(anchor=curves, test=curves)
def test_the_reference_implementation_agrees(
    method: Method, anchor: RdCurve, test: RdCurve
) -> None:
    found = bd_rate(anchor, test, method)
    assume(found is not None and found.high_quality - found.low_quality > 0.01)

    expected = bjontegaard.bd_rate(
        np.exp(anchor.log_rates),
        anchor.qualities,
        np.exp(test.log_rates),
        test.qualities,
        method=method,
        require_matching_points=False,
        min_overlap=0,
    )

    assert known(found).percent == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_published_numbers_come_out(data: Path) -> None:
    # Curves whose BD-rates others have published, or measured with other programs.
    vectors = json.loads((data.parent / "guides" / "bd_vectors.json").read_text())["vectors"]
    assert len(vectors) == 8
    for vector in vectors:
        check(vector)


def check(vector: dict[str, Any]) -> None:
    anchor, test = (
        measured_curve(*np.array(vector[side], dtype=np.float64).T, saturation=0)
        for side in ("anchor", "test")
    )

    numbers = {
        (kind, name): number["bd_rate"]
        for kind in ("published", "measured_only")
        for name, number in vector.get(kind, {}).items()
    }
    assert numbers
    for (kind, name), expected in numbers.items():
        method: Method = "cubic" if name == "cubic_is_garbage" else name
        # The garbage is garbage to its last digits: its author's solver was another one.
        exact = 1e-6 if name == "cubic_is_garbage" else 1e-9
        found = known(bd_rate(anchor, test, method)).percent
        assert found == pytest.approx(expected, rel=exact, abs=1e-9), (kind, name)


def test_one_encode_is_read_off_the_anchor() -> None:
    anchor = measured_curve(np.array([0.1, 0.2, 0.4, 0.8]), np.array([30.0, 35, 40, 45]))
    curve = fit_arrays(anchor.log_rates, anchor.qualities, np.array([4.0, 3, 2, 1]))

    change = (0.18 / curve.rate_at(36.0).value - 1) * 100

    assert change == pytest.approx(-21.65, abs=0.005)


def test_a_flat_top_counts_with_its_lowest_rate() -> None:
    rising = fit_arrays(np.array([4.0, 5, 6]), np.array([0.5, 0.7, 0.9]), np.array([3.0, 2, 1]))
    flat = fit_arrays(
        np.array([4.0, 5, 6, 9]), np.array([0.5, 0.7, 0.9, 0.9]), np.array([3.0, 2, 1, 0])
    )

    assert known(bd_rate(rising, flat)).percent == 0


def test_overlap_is_a_share_of_the_anchor() -> None:
    anchor = fit_arrays(np.array([4.0, 5]), np.array([0.5, 0.9]), np.array([2.0, 1]))
    test = fit_arrays(np.array([4.0, 5]), np.array([0.8, 1.0]), np.array([2.0, 1]))

    found = known(bd_rate(anchor, test))

    assert found.overlap == pytest.approx(0.25)
    assert (found.low_quality, found.high_quality) == (0.8, 0.9)


@pytest.mark.parametrize("qualities", [(0.1, 0.4), (0.5, 0.5), (0.9, 1.0), (0.2, 0.5)])
def test_without_a_shared_quality_there_is_none(qualities: tuple[float, float]) -> None:
    anchor = fit_arrays(np.array([4.0, 5]), np.array([0.5, 0.9]), np.array([2.0, 1]))
    test = fit_arrays(np.array([4.0, 5]), np.array(qualities), np.array([2.0, 1]))

    assert bd_rate(anchor, test) is None
    assert bd_rate(test, anchor) is None


def test_a_single_point_has_none() -> None:
    point = fit_arrays(np.array([4.0]), np.array([0.5]), np.array([2.0]))

    assert bd_rate(point, point) is None


@pytest.mark.parametrize(
    ("interval", "is_sure"),
    [((-9.0, -1.0), True), ((-9.0, 0.0), False), ((-9.0, 2.0), False), (None, False)],
)
def test_a_saving_is_sure_where_all_of_its_interval_is_one(
    interval: tuple[float, float] | None, is_sure: bool
) -> None:
    assert is_below_0(interval) == is_sure

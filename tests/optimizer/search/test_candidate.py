"""Which CRFs a candidate is measured at, and what is read off them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ratesight.codecs.settings import Crf, EncodeSettings
from ratesight.codecs.table import ENCODERS, Codec
from ratesight.optimizer.aim import Aim, TargetQuality, TargetRate
from ratesight.optimizer.measuring.bench import Measurement
from ratesight.optimizer.search.candidate import (
    Candidate,
    cost,
    extended,
    first_crfs,
    next_anchor_crfs,
    next_crf,
)

MakeMeasurement = Callable[..., Measurement]

MAX_POINTS = 2
CODECS: tuple[Codec, ...] = tuple(ENCODERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Logistic:
    """An encoder: rate falls exponentially with CRF, quality is logistic in log rate.

    Attributes:
        log_rate: Added to the log rate that a quality needs, against the usual encoder.
        crf: Added to the CRF that gives a rate.
    """

    codec: Codec
    measurement: MakeMeasurement
    log_rate: float = 0.0
    crf: float = 0.0

    def measured(self, crf: float) -> Measurement:
        low, high = ENCODERS[self.codec].search_crf
        log_rate = 8.5 - 5 * (crf - self.crf - low) / (high - low)
        return self.measurement(math.exp(log_rate), [1 - self.quality(log_rate)])

    def quality(self, log_rate: float) -> float:
        return 1 / (1 + math.exp(-(log_rate - self.log_rate - 5.2) / 0.45))

    def candidate(self) -> Candidate:
        encoder = ENCODERS[self.codec]
        return Candidate(
            settings=EncodeSettings(
                codec=self.codec, preset=encoder.default_preset, rate_control=Crf(value=30)
            )
        )

    def anchor(self, aim: Aim) -> Candidate:
        anchor = self.candidate()
        crfs = first_crfs(anchor.settings)
        while crfs:
            anchor.measurements.update({crf: self.measured(crf) for crf in crfs})
            crfs = next_anchor_crfs(anchor, aim)
        return anchor

    def explored(self, anchor: Candidate, aim: Aim, best_cost: float = 0.0) -> Candidate:
        candidate = self.candidate()
        while (crf := next_crf(candidate, anchor, aim, best_cost)) is not None:
            assert crf not in candidate.measurements
            candidate.at(crf)  # the encoder takes it
            candidate.measurements[crf] = self.measured(crf)
        return candidate


AIMS = (TargetQuality(quality=0.85), TargetRate(rate_kbps=350))

each_codec = pytest.mark.parametrize("codec", CODECS)
each_aim = pytest.mark.parametrize("aim", AIMS)


@each_codec
def test_the_first_ladder_spans_the_range_without_its_ends(codec: Codec) -> None:
    low, high = ENCODERS[codec].search_crf

    crfs = first_crfs(Logistic(codec=codec, measurement=min).candidate().settings)

    assert len(crfs) == 3
    assert crfs == sorted(crfs)
    assert low + 5 < crfs[0] < crfs[-1] < high


@each_codec
@each_aim
def test_the_anchor_is_dense_around_the_target(
    measurement: MakeMeasurement, codec: Codec, aim: Aim
) -> None:
    anchor = Logistic(codec=codec, measurement=measurement).anchor(aim)

    crfs = sorted(anchor.measurements)
    at_target = anchor.curve.crf_at(aim.rate_on(anchor.curve).value).value
    around = [crf for crf in crfs if abs(crf - at_target) <= 5]
    assert min(around) < at_target < max(around)
    assert len(around) >= 4
    assert len(crfs) <= 6


@each_codec
def test_the_anchor_goes_to_the_lowest_crf_where_the_target_needs_it(
    measurement: MakeMeasurement, codec: Codec
) -> None:
    encoder, low = Logistic(codec=codec, measurement=measurement), ENCODERS[codec].search_crf[0]

    assert low in encoder.anchor(TargetQuality(quality=0.999)).measurements
    assert low not in encoder.anchor(TargetQuality(quality=0.8)).measurements
    # Out of reach even there: it ends all the same.
    assert low in encoder.anchor(TargetQuality(quality=0.99999)).measurements
    assert low in encoder.anchor(TargetRate(rate_kbps=1e6)).measurements


@each_codec
@pytest.mark.parametrize("log_rate", [-0.3, -0.15, -0.03, 0.05])
@pytest.mark.parametrize("crf", [-4, 0, 5])
def test_a_shift_of_the_rate_is_found_with_few_points(
    measurement: MakeMeasurement, codec: Codec, log_rate: float, crf: float
) -> None:
    aim = TargetQuality(quality=0.85)
    anchor = Logistic(codec=codec, measurement=measurement).anchor(aim)
    encoder = Logistic(codec=codec, measurement=measurement, log_rate=log_rate, crf=crf)

    candidate = encoder.explored(anchor, aim)

    assert len(candidate.measurements) <= MAX_POINTS
    assert cost(candidate, anchor, aim) == pytest.approx(log_rate, abs=0.02)


@each_codec
@pytest.mark.parametrize("log_rate", [-0.3, -0.15, 0.05])
def test_a_gain_at_the_target_rate_is_found_with_few_points(
    measurement: MakeMeasurement, codec: Codec, log_rate: float
) -> None:
    aim = TargetRate(rate_kbps=350)
    usual = Logistic(codec=codec, measurement=measurement)
    anchor = usual.anchor(aim)
    encoder = Logistic(codec=codec, measurement=measurement, log_rate=log_rate)

    candidate = encoder.explored(anchor, aim)

    assert len(candidate.measurements) <= MAX_POINTS
    at_rate = math.log(aim.rate_kbps)
    expected = usual.quality(at_rate) - encoder.quality(at_rate)
    assert cost(candidate, anchor, aim) == pytest.approx(expected, abs=0.02)


@each_codec
@each_aim
def test_what_looks_hopeless_is_given_up(
    measurement: MakeMeasurement, codec: Codec, aim: Aim
) -> None:
    anchor = Logistic(codec=codec, measurement=measurement).anchor(aim)
    bad = Logistic(codec=codec, measurement=measurement, log_rate=0.9)
    good = Logistic(codec=codec, measurement=measurement, log_rate=-0.2)

    assert len(bad.explored(anchor, aim).measurements) == 1
    assert len(good.explored(anchor, aim).measurements) == 2
    # Against a better best, the good one is hopeless as well.
    assert len(good.explored(anchor, aim, best_cost=-0.9).measurements) == 1


@each_codec
@each_aim
def test_the_first_point_is_at_the_crf_of_the_anchor(
    measurement: MakeMeasurement, codec: Codec, aim: Aim
) -> None:
    usual = Logistic(codec=codec, measurement=measurement)
    anchor = usual.anchor(aim)

    first = next_crf(usual.candidate(), anchor, aim, 0.0)

    at_target = anchor.curve.crf_at(aim.rate_on(anchor.curve).value).value
    assert first == pytest.approx(at_target, abs=0.5)


@each_codec
@each_aim
def test_a_copy_of_the_anchor_costs_nothing(
    measurement: MakeMeasurement, codec: Codec, aim: Aim
) -> None:
    usual = Logistic(codec=codec, measurement=measurement)
    anchor = usual.anchor(aim)

    assert cost(anchor, anchor, aim) == 0
    assert cost(usual.explored(anchor, aim), anchor, aim) == pytest.approx(0, abs=0.006)


noisy = st.lists(st.tuples(st.floats(0.5, 2), st.floats(0, 1)), min_size=30, max_size=30)


@given(
    st.sampled_from(CODECS),
    st.sampled_from([*AIMS, TargetQuality(quality=0.02), TargetQuality(quality=0.998)]),
    noisy,
    st.floats(-1, 0.5),
)
def test_whatever_is_measured_the_search_ends(
    measurement: MakeMeasurement,
    codec: Codec,
    aim: Aim,
    answers: list[tuple[float, float]],
    best_cost: float,
) -> None:
    usual = Logistic(codec=codec, measurement=measurement)
    left = iter(answers)

    def measured(crf: float) -> Measurement:
        factor, quality = next(left)
        return measurement(usual.measured(crf).rate_kbps * factor, [1 - quality])

    anchor, candidate = usual.candidate(), usual.candidate()
    crfs = first_crfs(anchor.settings)
    while crfs:
        anchor.measurements.update({crf: measured(crf) for crf in crfs})
        crfs = next_anchor_crfs(anchor, aim)
    while (crf := next_crf(candidate, anchor, aim, best_cost)) is not None:
        assert crf not in candidate.measurements
        low, high = ENCODERS[codec].search_crf
        assert low <= crf <= high
        candidate.measurements[crf] = measured(crf)

    assert 1 <= len(candidate.measurements) <= MAX_POINTS
    assert math.isfinite(cost(candidate, anchor, aim))


@each_codec
@pytest.mark.parametrize("log_rate", [-0.2, 0.1])
def test_an_extended_curve_joins_both(
    measurement: MakeMeasurement, codec: Codec, log_rate: float
) -> None:
    aim = TargetQuality(quality=0.85)
    anchor = Logistic(codec=codec, measurement=measurement).anchor(aim)
    encoder = Logistic(codec=codec, measurement=measurement, log_rate=log_rate, crf=2)
    candidate = encoder.explored(anchor, aim, best_cost=1.0)

    curve = extended(candidate, anchor)

    for point in candidate.points:
        assert curve.quality_at(point.rate_kbps).value == pytest.approx(point.quality)
        assert curve.quality_at_crf(point.crf) == pytest.approx(point.quality)
    assert (np.diff(curve.log_rates) > 0).all()
    assert (np.diff(curve.qualities) >= 0).all()
    assert (np.diff(curve.crfs) <= 0).all()
    # Beyond its own points: the anchor's shape, which is the truth here.
    for quality in (0.4, 0.6, 0.95):
        true_rate = anchor.curve.rate_at(quality).value * math.exp(log_rate)
        assert curve.rate_at(quality).value == pytest.approx(true_rate, rel=0.05)
    assert curve.qualities[0] == anchor.curve.qualities[0]
    assert curve.qualities[-1] == anchor.curve.qualities[-1]


def test_the_anchor_is_not_extended_by_itself(measurement: MakeMeasurement) -> None:
    anchor = Logistic(codec="x264", measurement=measurement).anchor(AIMS[0])

    curve = extended(anchor, anchor)

    np.testing.assert_array_equal(curve.log_rates, anchor.curve.log_rates)


def test_points_are_in_order_of_crf(measurement: MakeMeasurement) -> None:
    encoder = Logistic(codec="x264", measurement=measurement)
    candidate = encoder.candidate()
    for crf in (40.0, 20.0, 30.0):
        candidate.measurements[crf] = encoder.measured(crf)

    points = candidate.points

    assert [point.crf for point in points] == [20, 30, 40]
    assert points[0].rate_kbps == encoder.measured(20).rate_kbps
    assert points[0].quality == pytest.approx(encoder.measured(20).scores.quality)


def test_the_settings_of_a_point_are_the_candidate_s_at_that_crf(
    measurement: MakeMeasurement,
) -> None:
    candidate = Logistic(codec="svtav1", measurement=measurement).candidate()

    settings = candidate.at(41.5)

    assert settings == EncodeSettings(codec="svtav1", preset="8", rate_control=Crf(value=41.5))
    assert candidate.search_crf == ENCODERS["svtav1"].search_crf

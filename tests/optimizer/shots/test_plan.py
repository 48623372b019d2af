"""Equal slope is the best that can be done: against every choice there is, on small shots."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ratesight.optimizer.curves.curve import fit_arrays
from ratesight.optimizer.curves.hull import lower_hull
from ratesight.optimizer.shots.plan import (
    ShotCurve,
    best_plan,
    cheapest_plan,
    equal_slope_plans,
    shot_curve,
)


def curve(kilobits, losses, *, num_frames=10, weight=1.0):
    count = len(kilobits)
    return ShotCurve(
        num_frames=num_frames,
        crfs=np.arange(count, 0, -1.0),
        kilobits=np.array(kilobits, dtype=float),
        losses=np.array(losses, dtype=float),
        weight=weight,
    )


@st.composite
def shots(draw, most=4):
    """Curves as encoders give them: bits rise as the CRF falls, losses do not."""
    found = []
    for _ in range(draw(st.integers(1, most))):
        count = draw(st.integers(1, 4))
        steps = st.lists(st.integers(1, 50), min_size=count, max_size=count)
        falls = st.lists(st.integers(0, 30), min_size=count, max_size=count)
        losses = np.cumsum(draw(falls))[::-1]
        found.append(curve(np.cumsum(draw(steps)), losses, weight=float(losses.max())))
    return found


def everything(curves):
    """Every choice of a CRF a shot, as (kilobits, loss)."""
    for choices in itertools.product(*(range(len(one.crfs)) for one in curves)):
        chosen = list(zip(curves, choices, strict=True))
        yield (
            sum(one.kilobits[choice] for one, choice in chosen),
            sum(one.losses[choice] for one, choice in chosen),
        )


class TestLowerHull:
    @given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=9))
    def test_no_point_lies_below_it(self, points):
        points.sort()
        xs, ys = (np.array(values, dtype=float) for values in zip(*points, strict=True))
        corners = lower_hull(xs, ys)
        assert min(ys) == ys[corners[-1]]
        assert xs[corners[0]] == xs.min()
        slopes = np.diff(ys[corners]) / np.diff(xs[corners])
        assert (slopes < 0).all()
        assert (np.diff(slopes) > 0).all()
        inside = xs <= xs[corners[-1]]
        assert (np.interp(xs[inside], xs[corners], ys[corners]) <= ys[inside] + 1e-9).all()

    def test_keeps_what_lies_on_both_ends_only(self):
        assert lower_hull(np.array([1.0, 2, 3, 4, 5]), np.array([8.0, 7, 2, 1, 1])) == [0, 2, 3]


class TestEqualSlope:
    @given(shots())
    def test_no_other_choice_has_less_loss_at_as_few_bits(self, curves):
        others = list(everything(curves))
        for plan in equal_slope_plans(curves):
            better = [
                (kilobits, loss)
                for kilobits, loss in others
                if kilobits <= plan.kilobits and loss < plan.loss
            ]
            assert better == []

    @given(shots())
    def test_from_the_smallest_to_the_one_of_least_loss(self, curves):
        plans = equal_slope_plans(curves)
        assert plans[0].kilobits == min(kilobits for kilobits, _ in everything(curves))
        assert plans[-1].loss == min(loss for _, loss in everything(curves))
        assert (np.diff([plan.kilobits for plan in plans]) > 0).all()
        assert (np.diff([plan.loss for plan in plans]) < 0).all()
        assert (np.diff([plan.mean_crf for plan in plans]) < 0).all() or len(plans) == 1

    @given(shots(), st.floats(0, 1))
    def test_is_the_best_within_a_loss_but_for_one_step(self, curves, share):
        losses = sorted(loss for _, loss in everything(curves))
        max_loss = losses[0] + share * (losses[-1] - losses[0])
        plan = cheapest_plan(curves, max_loss)
        best = min(kilobits for kilobits, loss in everything(curves) if loss <= max_loss)
        assert plan.loss <= max_loss
        # Whole steps only: what equal slope can miss is less than the longest one.
        longest = max(np.ptp(one.kilobits) for one in curves)
        assert best <= plan.kilobits <= best + longest

    @given(shots(), st.floats(0, 1))
    def test_is_the_best_within_a_size_but_for_one_step(self, curves, share):
        sizes = sorted(kilobits for kilobits, _ in everything(curves))
        max_kilobits = sizes[0] + share * (sizes[-1] - sizes[0])
        plan = best_plan(curves, max_kilobits)
        best = min(loss for kilobits, loss in everything(curves) if kilobits <= max_kilobits)
        assert plan.kilobits <= max_kilobits
        assert best <= plan.loss <= best + max(np.ptp(one.losses) for one in curves)

    @given(shots(most=1), st.floats(0, 1))
    def test_one_shot_alone_gets_its_very_best(self, curves, share):
        losses = curves[0].losses
        # Not below the least of them by a rounding.
        max_loss = max(share * losses.max() + (1 - share) * losses.min(), losses.min())
        best = min(kilobits for kilobits, loss in everything(curves) if loss <= max_loss)
        assert cheapest_plan(curves, max_loss).kilobits == best

    def test_bits_go_where_they_save_most(self):
        # The second shot keeps its objects at any CRF, the first needs its bits.
        needy = curve([10, 20, 30], [9, 3, 1])
        easy = curve([10, 20, 30], [1.2, 1.1, 1])
        plan = cheapest_plan([needy, easy], 4.3)
        assert plan.choices == (1, 0)
        assert (plan.kilobits, plan.loss) == (30, pytest.approx(4.2))

    def test_a_loss_out_of_reach_gets_the_least_there_is(self):
        assert cheapest_plan([curve([10, 20], [3, 1])], 0.5).loss == 1

    def test_a_size_out_of_reach_gets_the_smallest_there_is(self):
        assert best_plan([curve([10, 20], [3, 1])], 5).kilobits == 10

    def test_a_shot_without_objects_costs_least_and_moves_no_mean(self):
        curves = [curve([10, 20], [3, 1], num_frames=5), curve([7], [0], num_frames=90, weight=0)]
        plan = cheapest_plan(curves, 1)
        assert plan.crfs == (1, 1)
        assert plan.kilobits == 27
        assert [one.mean_crf for one in equal_slope_plans(curves)] == [2, 1]


class TestShotCurve:
    def test_lies_on_the_fit_at_every_half_crf(self):
        crfs = np.array([20.0, 30.0, 40.0])
        rates, qualities = np.array([400.0, 100.0, 25.0]), np.array([0.98, 0.9, 0.6])
        fit = fit_arrays(np.log(rates), qualities, crfs)
        found = shot_curve(fit, num_frames=50, frame_rate=Fraction(25), weight=8.0)
        assert list(found.crfs) == [40 - 0.5 * step for step in range(41)]
        at = {crf: index for index, crf in enumerate(found.crfs)}
        for crf, rate, quality in zip(crfs, rates, qualities, strict=True):
            assert found.kilobits[at[crf]] == pytest.approx(rate * 2)
            assert found.losses[at[crf]] == pytest.approx(8 * (1 - quality))
        # Between two points the rate is the geometric mean: CRF is a logarithmic scale.
        assert found.kilobits[at[25]] == pytest.approx(2 * 200)
        assert (np.diff(found.losses) <= 0).all()

    def test_one_point_is_a_curve_of_one_choice(self):
        fit = fit_arrays(np.log([50.0]), np.array([1.0]), np.array([51.0]))
        found = shot_curve(fit, num_frames=25, frame_rate=Fraction(25), weight=0.0)
        assert list(found.crfs) == [51]
        assert found.kilobits == pytest.approx([50])

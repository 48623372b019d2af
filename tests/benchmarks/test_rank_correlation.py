from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
from scipy.stats import spearmanr


@pytest.fixture(scope="module")
def rank_correlation(benchmark: Callable[[str], ModuleType]) -> ModuleType:
    return benchmark("rank_correlation")


class TestAsLossy:
    def test_what_is_chosen_keeps_what_is_wanted(self, rank_correlation: ModuleType) -> None:
        random = np.random.default_rng(0)
        kept = np.concatenate([random.uniform(size=4000), random.beta(6, 1, size=1000)])
        wanted = np.arange(5000) >= 4000
        chosen = rank_correlation.as_lossy(kept, ~wanted, wanted)
        assert not (chosen & wanted).any()
        quantiles = [0.1, 0.25, 0.5, 0.75, 0.9]
        expected = np.quantile(kept[wanted], quantiles)
        assert np.quantile(kept[chosen], quantiles) == pytest.approx(expected, abs=0.02)
        assert np.quantile(kept[~wanted], quantiles) != pytest.approx(expected, abs=0.1)
        # A twelfth of the pool lies between 0.9 and 0.97, 0.3 of what is wanted: about 300 of 0.3.
        assert chosen.sum() > 600

    def test_alike_ones_are_all_chosen(self, rank_correlation: ModuleType) -> None:
        kept = np.tile([0.0, 0.3, 0.65, 0.95, 1.0], 20)
        wanted = np.arange(100) >= 50
        assert rank_correlation.as_lossy(kept, ~wanted, wanted).tolist() == (~wanted).tolist()


class TestCorrelations:
    def test_known_values(self, rank_correlation: ModuleType) -> None:
        prediction, target = np.array([1.0, 2, 3, 4, 5]), np.array([2.0, 1, 4, 3, 5])
        assert rank_correlation.srcc(prediction, target) == pytest.approx(0.8)
        assert rank_correlation.krcc(prediction, target) == pytest.approx(0.6)

    def test_ties_take_their_mean_rank(self, rank_correlation: ModuleType) -> None:
        prediction, target = np.array([1.0, 1, 2, 3]), np.array([1.0, 2, 2, 3])
        assert rank_correlation.srcc(prediction, target) == pytest.approx(7.5 / 9)
        # tau-b: 4 pairs agree, none disagrees, each side has 5 pairs that are not tied.
        assert rank_correlation.krcc(prediction, target) == pytest.approx(4 / 5)

    @pytest.mark.parametrize("name", ["srcc", "plcc", "krcc"])
    @pytest.mark.parametrize(
        ("prediction", "target"),
        [([1.0, 1, 1], [1.0, 2, 3]), ([1.0, 2, 3], [4.0, 4, 4]), ([1.0, 2], [1.0, 2])],
    )
    def test_nothing_to_rank_gives_none(
        self, rank_correlation: ModuleType, name: str, prediction: list[float], target: list[float]
    ) -> None:
        found = getattr(rank_correlation, name)(np.array(prediction), np.array(target))
        assert found is None

    def test_lengths_must_agree(self, rank_correlation: ModuleType) -> None:
        with pytest.raises(ValueError, match="must be of one length"):
            rank_correlation.srcc(np.zeros(3), np.zeros(4))

    def test_plcc_sees_through_a_logistic_curve(self, rank_correlation: ModuleType) -> None:
        decibels = np.linspace(15, 50, 60)
        kept = 0.1 + 0.8 / (1 + np.exp(-(decibels - 28) / 2.5))
        assert rank_correlation.plcc(decibels, kept) == pytest.approx(1.0, abs=1e-6)
        assert np.corrcoef(decibels, kept)[0, 1] < 0.94

    def test_the_fit_is_monotone(self, rank_correlation: ModuleType) -> None:
        random = np.random.default_rng(0)
        prediction = np.sort(random.normal(size=200))
        target = np.tanh(prediction) + random.normal(scale=0.5, size=200)
        assert (np.diff(rank_correlation.fit_logistic(prediction, target)) >= 0).all()


class TestWithin:
    def test_ranks_restart_in_each_group(self, rank_correlation: ModuleType) -> None:
        values, groups = np.array([5.0, 9, 1, 9, 5, 7]), np.array([0, 1, 0, 1, 0, 1])
        found = rank_correlation.ranks_within(values, groups)
        assert found.tolist() == [2.5, 2.5, 1.0, 2.5, 2.5, 1.0]

    def test_agrees_with_srcc_of_each_group(self, rank_correlation: ModuleType) -> None:
        random = np.random.default_rng(0)
        prediction, target = random.integers(0, 5, (2, 60)).astype(float)
        groups = random.integers(0, 4, 60)
        found, names = rank_correlation.srcc_within(prediction, target, groups)
        assert names.tolist() == [0, 1, 2, 3]
        for value, name in zip(found, names, strict=True):
            of_group = groups == name
            expected = spearmanr(prediction[of_group], target[of_group]).statistic
            assert value == pytest.approx(expected)

    def test_a_constant_target_is_left_out_and_a_constant_prediction_counts_zero(
        self, rank_correlation: ModuleType
    ) -> None:
        prediction = np.array([1.0, 2, 3, 7, 7, 7, 1, 2])
        target = np.array([4.0, 4, 4, 1, 2, 3, 1, 2])
        groups = np.array([0, 0, 0, 1, 1, 1, 2, 2])
        found, names = rank_correlation.srcc_within(prediction, target, groups)
        assert (found.tolist(), names.tolist()) == ([0.0], [1])

    def test_ordered_rightly_leaves_out_ties_of_the_target(
        self, rank_correlation: ModuleType
    ) -> None:
        prediction, target = np.array([1.0, 2, 2, 0]), np.array([0.1, 0.3, 0.35, 0.3])
        pairs = np.array([[0, 1], [1, 2], [1, 3], [3, 0]])
        verdicts, judged = rank_correlation.ordered_rightly(prediction, target, pairs)
        assert (verdicts.tolist(), judged.tolist()) == ([1.0, 0.5, 0.0], [0, 1, 3])
        verdicts, judged = rank_correlation.ordered_rightly(prediction, target, pairs, 0.1)
        assert (verdicts.tolist(), judged.tolist()) == ([1.0, 0.0], [0, 3])


class TestBootstrap:
    def test_strata_keep_their_size(self, rank_correlation: ModuleType) -> None:
        strata = ("clip", "photo", "photo", "clip", "photo")
        counts = rank_correlation.draw_clusters(strata, 50, np.random.default_rng(0))
        assert (counts[:, [0, 3]].sum(axis=1) == 2).all()
        assert (counts[:, [1, 2, 4]].sum(axis=1) == 3).all()

    def test_weights_do_what_copies_do(self, rank_correlation: ModuleType) -> None:
        random = np.random.default_rng(0)
        clusters = np.sort(random.integers(0, 6, 80))
        prediction = random.integers(0, 9, 80).astype(float)
        target = prediction + random.integers(-4, 5, 80)
        # One resample twice: its percentiles are its value.
        counts = np.repeat(
            rank_correlation.draw_clusters(["photo"] * 6, 1, np.random.default_rng(3)), 2, axis=0
        )
        copies = np.repeat(np.arange(80), counts[0, clusters].astype(int))
        bootstrap = rank_correlation.Bootstrap(clusters, counts)
        ranks = bootstrap.ranks(prediction), bootstrap.ranks(target)

        by_rank = bootstrap.srcc(0.5, *ranks)
        expected = rank_correlation.srcc(prediction[copies], target[copies])
        assert by_rank.low == by_rank.high == pytest.approx(expected, abs=1e-5)

        by_pair = bootstrap.krcc(rank_correlation.krcc(prediction, target), prediction, target)
        expected = rank_correlation.krcc(prediction[copies], target[copies])
        assert by_pair.low == pytest.approx(expected, abs=1e-5)

        linear = bootstrap.plcc(0.5, prediction, target)
        expected = np.corrcoef(prediction[copies], target[copies])[0, 1]
        assert linear.low == pytest.approx(expected)

        mean = bootstrap.mean(target, np.arange(80))
        assert mean.value == pytest.approx(target.mean())
        assert mean.low == pytest.approx(target[copies].mean())

    def test_the_interval_holds_the_value(self, rank_correlation: ModuleType) -> None:
        random = np.random.default_rng(0)
        clusters = np.repeat(np.arange(40), 30)
        prediction = random.normal(size=1200)
        target = prediction + random.normal(size=1200)
        counts = rank_correlation.draw_clusters(["photo"] * 40, 200, random)
        bootstrap = rank_correlation.Bootstrap(clusters, counts)
        value = rank_correlation.srcc(prediction, target)
        found = bootstrap.srcc(value, bootstrap.ranks(prediction), bootstrap.ranks(target))
        assert found.low < value < found.high
        assert found.high - found.low < 0.2
        value = rank_correlation.krcc(prediction, target)
        found = bootstrap.krcc(value, prediction, target)
        assert found.low < value < found.high

"""Correlation of predictions with targets: SRCC, PLCC, KRCC, with bootstraps over clusters.

Pairs of one photo or clip stand and fall together, so whole photos and clips are resampled. A
resample is a weight for each cluster, the number of times that it was drawn: nothing is copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares
from scipy.special import expit
from scipy.stats import kendalltau, rankdata

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

# Pairs of which the bootstrap of KRCC compares each with each.
_MAX_KRCC_PAIRS = 1000
# Resamples whose ranks are made at once, which bounds the memory.
_BATCH = 50
_LEAST_PAIRS = 3
# Kept shares between which pairs count as alike.
_KEPT_EDGES = np.array([0, 0.05, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.97, 1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float


def srcc(prediction: Floats, target: Floats) -> float | None:
    """Returns Spearman's rank correlation in [-1, 1], ties at their mean rank.

    Returns:
        None for fewer than three pairs, or where either side is constant.
    """
    if not _varies(prediction, target):
        return None
    return _pearson(rankdata(prediction), rankdata(target))


def krcc(prediction: Floats, target: Floats) -> float | None:
    """Returns Kendall's tau-b in [-1, 1]; None where ``srcc`` has none."""
    if not _varies(prediction, target):
        return None
    return float(kendalltau(prediction, target, variant="b").statistic)


def plcc(prediction: Floats, target: Floats) -> float | None:
    """Returns Pearson's correlation after ``fit_logistic``; None where ``srcc`` has none."""
    if not _varies(prediction, target):
        return None
    fitted = fit_logistic(prediction, target)
    return _pearson(fitted, target) if np.ptp(fitted) > 0 else None


def fit_logistic(prediction: Floats, target: Floats) -> Floats:
    """Returns predictions on the target's scale, by the monotone logistic with least squares.

    Source: VQEG FR-TV Phase II (2003), four parameters: (b1 - b2) / (1 + exp(-(x - b3) / |b4|))
    + b2. The five-parameter function of Sheikh et al. 2006 has a linear term and need not be
    monotone.

    Args:
        prediction: Not constant.
    """
    centre, spread = prediction.mean(), prediction.std()
    x = (prediction - centre) / spread

    def residuals(b: Floats) -> Floats:
        curve: Floats = (b[0] - b[1]) * expit((x - b[2]) / abs(b[3])) + b[1]
        return curve - target

    def slopes(b: Floats) -> Floats:
        share = expit((x - b[2]) / abs(b[3]))
        steep = (b[0] - b[1]) * share * (1 - share) / abs(b[3])
        return np.stack([share, 1 - share, -steep, -steep * (x - b[2]) / b[3]], axis=1)

    start = np.array([target.max(), target.min(), 0.0, 1.0])
    found = least_squares(residuals, start, jac=slopes, method="lm", max_nfev=200)
    fitted: Floats = residuals(found.x) + target
    return fitted


def ranks_within(values: Floats, groups: Ints) -> Floats:
    """Returns each value's rank from 1 among its group, ties at their mean rank."""
    order = np.lexsort((values, groups))
    ordered, grouped = values[order], groups[order]
    starts = np.flatnonzero(np.r_[True, np.diff(grouped) != 0])
    first = np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    new = np.r_[True, (np.diff(ordered) != 0) | (np.diff(grouped) != 0)]
    tied = np.flatnonzero(new)
    sizes = np.diff(np.r_[tied, len(order)])
    ranks = np.empty(len(order))
    ranks[order] = np.repeat(tied + (sizes + 1) / 2, sizes) - first
    return ranks


def srcc_within(prediction: Floats, target: Floats, groups: Ints) -> tuple[Floats, Ints]:
    """Returns Spearman's rank correlation inside each group, and which group each is of.

    Groups of fewer than three pairs or with a constant target are left out; a constant prediction
    of a varying target tells nothing and counts 0.
    """
    names, index = np.unique(groups, return_inverse=True)
    sizes = np.bincount(index)
    deviations = []
    for values in (prediction, target):
        ranks = ranks_within(values, index)
        deviations.append(ranks - (np.bincount(index, ranks) / sizes)[index])
    products = np.bincount(index, deviations[0] * deviations[1])
    squares = [np.bincount(index, one * one) for one in deviations]
    kept = (sizes >= _LEAST_PAIRS) & (squares[1] > 0)
    norm = np.sqrt(squares[0] * squares[1])[kept]
    found = np.divide(products[kept], norm, out=np.zeros(len(norm)), where=norm > 0)
    return found, names[kept]


def ordered_rightly(
    prediction: Floats, target: Floats, pairs: Ints, least_difference: float = 0.0
) -> tuple[Floats, Ints]:
    """Returns 1 for each pair in the target's order, 0 for the other, 0.5 for a tied prediction.

    Args:
        pairs: (n, 2) indices; those whose targets do not differ by more than
            ``least_difference`` are left out.

    Returns:
        The verdicts, and the indices of the pairs that have one.
    """
    wanted = target[pairs[:, 0]] - target[pairs[:, 1]]
    kept = np.flatnonzero(np.abs(wanted) > least_difference)
    said = prediction[pairs[kept, 0]] - prediction[pairs[kept, 1]]
    return (np.sign(said) * np.sign(wanted[kept]) + 1) / 2, kept


def as_lossy(kept: Floats, pool: Bools, wanted: Bools) -> Bools:
    """Returns as many pairs of a pool as can be that keep what the wanted ones keep.

    A codec whose versions lose little is harder to rank, whoever ranks: codecs compare on pairs
    whose kept shares are distributed alike.

    Args:
        kept: Share kept of each pair, in [0, 1].
        pool, wanted: Which pairs there are to choose from, and whose distribution is wanted.
    """
    shares = np.histogram(kept[wanted], _KEPT_EDGES)[0] / wanted.sum()
    available = np.histogram(kept[pool], _KEPT_EDGES)[0]
    size = np.min(available[shares > 0] / shares[shares > 0])
    random = np.random.default_rng(0)
    chosen = np.zeros_like(pool)
    bins = np.digitize(kept, _KEPT_EDGES[1:-1])
    for index, share in enumerate(shares):
        here = np.flatnonzero(pool & (bins == index))
        chosen[random.permutation(here)[: round(share * size)]] = True
    return chosen


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """Resamples of pairs that belong to clusters.

    Attributes:
        clusters: Of each pair, from 0.
        counts: (resamples, clusters), how often each cluster was drawn.
    """

    clusters: Ints
    counts: Floats

    def ranks(self, values: Floats) -> ResampledRanks:
        """Returns what SRCC needs to know of one side, once for all its partners."""
        order = np.argsort(values, kind="stable")
        ends = np.flatnonzero(np.r_[np.diff(values[order]) != 0, True])
        tied = np.repeat(np.arange(len(ends)), np.diff(np.r_[-1, ends]))
        vectors = np.empty((len(self.counts), len(values)), dtype=np.float32)
        has_order = np.empty(len(self.counts), dtype=bool)
        for start in range(0, len(self.counts), _BATCH):
            batch = slice(start, start + _BATCH)
            weights = self.counts[batch][:, self.clusters[order]]
            below = np.cumsum(weights, axis=1)[:, ends]
            middles = (below + np.pad(below, ((0, 0), (1, 0)))[:, :-1]) / 2
            ranks = middles[:, tied]
            # The mean of all ranks, ties or not, is half of their number.
            ranks -= below[:, -1:] / 2
            ranks *= np.sqrt(weights)
            norm = np.sqrt(np.square(ranks).sum(axis=1, keepdims=True))
            has_order[batch] = norm[:, 0] > 0
            vectors[batch, order] = np.divide(ranks, norm, out=np.zeros_like(ranks), where=norm > 0)
        return ResampledRanks(vectors=vectors, has_order=has_order)

    def srcc(self, value: float, prediction: ResampledRanks, target: ResampledRanks) -> Estimate:
        """Returns SRCC with its interval, from ranks made anew in each resample."""
        found = np.einsum("ij,ij->i", prediction.vectors, target.vectors)
        return _estimate(value, found[prediction.has_order & target.has_order].astype(np.float64))

    def plcc(self, value: float, fitted: Floats, target: Floats) -> Estimate:
        """Returns PLCC with its interval; the logistic function is not fitted anew."""
        num_clusters = self.counts.shape[1]
        x, y = fitted - fitted.mean(), target - target.mean()
        sums = [
            np.bincount(self.clusters, one, minlength=num_clusters)
            for one in (np.ones(len(x)), x, y, x * x, y * y, x * y)
        ]
        n, sx, sy, sxx, syy, sxy = (self.counts @ np.array(sums).T).T
        norm = (n * sxx - sx * sx) * (n * syy - sy * sy)
        kept = norm > 0
        return _estimate(value, (n * sxy - sx * sy)[kept] / np.sqrt(norm[kept]))

    def krcc(self, value: float, prediction: Floats, target: Floats) -> Estimate:
        """Returns KRCC with its interval.

        From 1000 pairs on, the interval is that of a sample of so many, moved to the value of all.
        """
        sample = self.krcc_sample
        clusters, index = np.unique(self.clusters[sample], return_inverse=True)
        member = np.eye(len(clusters), dtype=np.float32)[index]
        counts = self.counts[:, clusters]
        signs = [
            np.sign(one[sample, None] - one[None, sample]).astype(np.float32)
            for one in (prediction, target)
        ]
        sums = []
        for one in (signs[0] * signs[1], np.abs(signs[0]), np.abs(signs[1])):
            between = (member.T @ one @ member).astype(np.float64)
            sums.append((np.sum(counts @ between * counts, axis=1), between.sum()))
        (agree, all_agree), (first, all_first), (second, all_second) = sums
        if not all_first or not all_second:
            return _estimate(value, np.empty(0))
        kept = (first > 0) & (second > 0)
        moved = value - all_agree / np.sqrt(all_first * all_second)
        return _estimate(value, agree[kept] / np.sqrt(first[kept] * second[kept]) + moved)

    def mean(self, values: Floats, index: Ints) -> Estimate:
        """Returns the mean of values that belong to some of the pairs, with its interval.

        Args:
            index: A pair of each value, for its cluster.
        """
        num_clusters = self.counts.shape[1]
        clusters = self.clusters[index]
        sums = self.counts @ np.bincount(clusters, values, minlength=num_clusters)
        numbers = self.counts @ np.bincount(clusters, minlength=num_clusters)
        kept = numbers > 0
        return _estimate(float(values.mean()), sums[kept] / numbers[kept])

    @cached_property
    def krcc_sample(self) -> Ints:
        """The pairs that KRCC's interval comes from."""
        sample = np.arange(len(self.clusters))
        if len(sample) > _MAX_KRCC_PAIRS:
            random = np.random.default_rng(0)
            sample = random.choice(len(sample), _MAX_KRCC_PAIRS, replace=False)
        return sample


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResampledRanks:
    """Ranks of one side in each resample, as unit vectors: their product is SRCC.

    Attributes:
        vectors: (resamples, pairs).
        has_order: False for a resample in which this side is constant.
    """

    vectors: npt.NDArray[np.float32]
    has_order: Bools


def draw_clusters(strata: Sequence[str], num_resamples: int, random: np.random.Generator) -> Floats:
    """Returns how often each cluster is drawn, (resamples, clusters).

    Args:
        strata: Of each cluster; each stratum keeps its number of clusters.
    """
    counts = np.zeros((num_resamples, len(strata)))
    for stratum in sorted(set(strata)):
        members = np.array([one == stratum for one in strata])
        size = int(members.sum())
        counts[:, members] = random.multinomial(size, np.full(size, 1 / size), num_resamples)
    return counts


def _estimate(value: float, resampled: Floats) -> Estimate:
    """Returns a number with percentiles; without resamples the interval says nothing."""
    low, high = np.quantile(resampled, [0.025, 0.975]) if len(resampled) else (-1.0, 1.0)
    return Estimate(value=value, low=float(low), high=float(high))


def _varies(prediction: Floats, target: Floats) -> bool:
    if prediction.shape != target.shape or prediction.ndim != 1:
        raise ValueError(
            f"prediction and target must be of one length, got {prediction.shape} and "
            f"{target.shape}"
        )
    return len(target) >= _LEAST_PAIRS and bool(np.ptp(prediction) > 0 and np.ptp(target) > 0)


def _pearson(first: Floats, second: Floats) -> float:
    x, y = first - first.mean(), second - second.mean()
    return float(np.sum(x * y) / np.sqrt(np.sum(x * x) * np.sum(y * y)))

"""What each option does to a cost, and each two together, as a Gaussian process.

A few dozen trials cannot tell what twenty options do in all their combinations. But most of what
they do adds up, so that a trial tells of every option that it changes at once, and of those that
depend on another one as well. Defaults are chosen with care: a change of which nothing is known is
expected to cost a little.

Source: Duvenaud, Nickisch, Rasmussen, "Additive Gaussian Processes", NIPS 2011, to second order;
    of one option a Brownian motion that sets out from the default.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize
from scipy.stats import norm

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# What is expected before anything is known, in units of the root mean square of the costs, and by
# what factor (one standard deviation, log-normal) it may differ. Of options as far from their
# defaults as those tried are on average: by how much they cost more, and the standard deviation of
# what they do. Of a cost: its noise. Of two options together: the variance of what they do, against
# the product of what each does. Chosen on emulators of all options of x264 (see
# benchmarks.search_emulated): twice or half of one of them is a little worse.
_DRIFT = 0.3
_EFFECT, _EFFECT_FACTOR = 0.5, 1.6
_NOISE, _NOISE_FACTOR = 0.3, 1.6
_TOGETHER, _TOGETHER_FACTOR = 1.0, 2.0
# Of a way from the defaults to what was tried, where nothing else was.
_SHORTEST = 0.1
_JITTER = 1e-6
# Beyond this many of its standard deviations none of them is looked for.
_BOUND = 3.0


@dataclass(frozen=True, kw_only=True)
class AdditiveModel:
    """A posterior over costs, 0 at the defaults.

    Attributes:
        points: (n, options) coordinates of what was measured.
        costs: (n,) their costs.
        default: (options,) coordinates of the defaults.
        is_mode: (options,) values are names: each is as far from any other.
        scale: Root mean square of the costs.
        effects: (options,) variance of what each does over its range, in units of the scale.
        together: Variance of what two do together, against the product of their own.
        noise: Variance of a cost, in units of the scale.
        drift: What options are expected to cost over their range, in units of the scale.
    """

    points: Floats
    costs: Floats
    default: Floats
    is_mode: Bools
    scale: float
    effects: Floats
    together: float
    noise: float
    drift: float

    def believing(self, points: Floats) -> AdditiveModel:
        """Returns the model as if points that are under way cost what is expected of them."""
        expected, _ = self.predict(points)
        return replace(
            self,
            points=np.vstack([self.points, points]),
            costs=np.concatenate([self.costs, expected]),
        )

    def predict(self, points: Floats) -> tuple[Floats, Floats]:
        """Returns (m,) what (m, options) points cost, and the standard deviation of each."""
        across = self._kernel(self._shared(points, self.points))
        own = self._kernel(_distances(points, self.default[None], self.is_mode)[:, 0])
        known = solve_triangular(self._factor, across.T, lower=True)
        variances = np.maximum(own - (known**2).sum(axis=0), _JITTER)
        means = self._usual(points) + across @ self._solved
        return means * self.scale, np.sqrt(variances) * self.scale

    @cached_property
    def _factor(self) -> Floats:
        covariance = self._kernel(self._shared(self.points, self.points))
        covariance[np.diag_indices_from(covariance)] += self.noise + _JITTER
        return np.asarray(cholesky(covariance, lower=True))

    @cached_property
    def _solved(self) -> Floats:
        unexpected = self.costs / self.scale - self._usual(self.points)
        return np.asarray(cho_solve((self._factor, True), unexpected))

    def _usual(self, points: Floats) -> Floats:
        """Returns what points are expected to cost before anything is known."""
        return self.drift * _travelled(points, self.default, self.is_mode)

    def _kernel(self, shared: Floats) -> Floats:
        return _kernel(shared * self.effects, self.together)[0]

    def _shared(self, left: Floats, right: Floats) -> Floats:
        return _shared(left, right, self.default, self.is_mode)


def fit_additive_model(
    points: Floats, costs: Floats, *, default: Floats, is_mode: Bools
) -> AdditiveModel:
    """Returns the model that explains the costs best, as far as they tell (maximum a posteriori).

    Args:
        points: (n, options) coordinates, 0 to 1 over the range of an option.
        costs: (n,) against the defaults; n >= 1.
        default: (options,) coordinates of the defaults.
        is_mode: (options,) values are names: each is as far from any other.
    """
    num_options = len(default)
    scale = max(float(np.sqrt(np.mean(costs**2))), 1e-9)
    shared = _shared(points, points, default, is_mode)
    travelled = _travelled(points, default, is_mode)
    usual_way = max(float(travelled.mean()), _SHORTEST)
    drift = _DRIFT / usual_way
    wanted = costs / scale - drift * travelled
    # Logarithms of the standard deviations of effects and noise, then of the variance of two.
    effect = _EFFECT / np.sqrt(usual_way)
    middle = np.log([*[effect] * num_options, _NOISE, _TOGETHER])
    spread = np.log([*[_EFFECT_FACTOR] * num_options, _NOISE_FACTOR, _TOGETHER_FACTOR])

    def unlikeliness(logs: Floats) -> tuple[float, Floats]:
        """Returns minus the log of the posterior, and its slopes."""
        effects, noise, together = _parameters(logs)
        scaled = shared * effects
        kernel, alone = _kernel(scaled, together)
        covariance = kernel + (noise + _JITTER) * np.eye(len(wanted))
        factor = cholesky(covariance, lower=True)
        solved = cho_solve((factor, True), wanted)
        off = (logs - middle) / spread
        found = wanted @ solved / 2 + np.log(np.diag(factor)).sum() + off @ off / 2
        inverse = cho_solve((factor, True), np.eye(len(wanted)))
        slope = (inverse - np.outer(solved, solved)) / 2
        of_effects = 2 * scaled * (1 + together * (alone[..., None] - scaled))
        slopes = np.concatenate(
            [
                np.einsum("nm,nmo->o", slope, of_effects),
                [2 * noise * np.trace(slope), (slope * (kernel - alone)).sum()],
            ]
        )
        return float(found), slopes + off / spread

    bounds = list(zip(middle - _BOUND * spread, middle + _BOUND * spread, strict=True))
    best = minimize(unlikeliness, middle, jac=True, method="L-BFGS-B", bounds=bounds)
    effects, noise, together = _parameters(best.x)
    return AdditiveModel(
        points=points,
        costs=costs,
        default=default,
        is_mode=is_mode,
        scale=scale,
        effects=effects,
        together=together,
        noise=noise,
        drift=drift,
    )


def log_expected_improvement(means: Floats, deviations: Floats, best: float) -> Floats:
    """Returns (m,) the log of by how much each is expected to cost less than the best.

    Source: Ament et al., "Unexpected Improvements to Expected Improvement", NeurIPS 2023: its log
        tells points apart of which none is likely to improve.
    """
    ahead = (best - means) / deviations
    near = np.log(np.maximum(ahead * norm.cdf(ahead) + norm.pdf(ahead), 1e-300))
    # Far behind, h(z) = phi(z) / z^2 to within a percent or so.
    far = norm.logpdf(ahead) - 2 * np.log(np.maximum(-ahead, 1.0))
    return np.asarray(np.log(deviations) + np.where(ahead > -10, near, far))


def _travelled(points: Floats, default: Floats, is_mode: Bools) -> Floats:
    """Returns (n,) how far points are from the defaults, all options together."""
    return np.asarray(_distances(points, default[None], is_mode)[:, 0].sum(axis=-1))


def _parameters(logs: Floats) -> tuple[Floats, float, float]:
    """Returns variances of effects and noise, and the share of what two do together."""
    return np.exp(2 * logs[:-2]), float(np.exp(2 * logs[-2])), float(np.exp(logs[-1]))


def _kernel(scaled: Floats, together: float) -> tuple[Floats, Floats]:
    """Returns the covariance of what all options do, and of what each does alone.

    Args:
        scaled: (..., options) covariance of what each option does.
    """
    alone = scaled.sum(axis=-1)
    pairs = (alone**2 - (scaled**2).sum(axis=-1)) / 2
    return alone + together * pairs, alone


def _shared(left: Floats, right: Floats, default: Floats, is_mode: Bools) -> Floats:
    """Returns (n, m, options) covariances of Brownian motions that set out from the defaults."""
    from_left = _distances(left, default[None], is_mode)
    from_right = _distances(right, default[None], is_mode)
    between = _distances(left, right, is_mode)
    return np.asarray((from_left + from_right.transpose(1, 0, 2) - between) / 2)


def _distances(left: Floats, right: Floats, is_mode: Bools) -> Floats:
    """Returns (n, m, options) how far apart values are."""
    apart = np.abs(left[:, None] - right[None])
    return np.where(is_mode, apart > 0, apart)

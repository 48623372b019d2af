"""Proposes the options that an additive model expects to improve most."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import optuna
from optuna.trial import FrozenTrial, TrialState
from scipy.stats import norm

from ...codecs.table import OptionValue
from .additive_model import AdditiveModel, fit_additive_model, log_expected_improvement
from .option_space import OptionSpace

Floats = npt.NDArray[np.float64]
Options = dict[str, OptionValue]

# Attribute of a trial.
ENCODE_FPS = "encode_fps"

# Proposals set out from the best trials, and change so many options of one at most, one after the
# other: far from all that was tried a model promises much, and knows nothing.
_BEST_TRIALS, _MOST_CHANGED = 3, 4
# Values of one option that are looked at, at random where there are more.
_MOST_VALUES = 6
# How much worse than this against the best makes no difference: it would drown what does.
_WORST_COST = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposer:
    """Proposes from what was told so far; trials under way count as if they cost what is expected.

    Attributes:
        default_cost: Of the defaults.
        min_fps: Slower encodes are not wanted; their speed is the attribute ``ENCODE_FPS``.
    """

    space: OptionSpace
    rng: np.random.Generator
    default_cost: float
    min_fps: float | None

    def propose(self, study: optuna.Study) -> Options:
        """Returns options that were not proposed yet, if there are any."""
        trials = study.get_trials(deepcopy=False)
        told = [trial for trial in trials if trial.state == TrialState.COMPLETE]
        if not told or not self.space.completed({}):
            return self.space.random(self.rng)
        promise = _Promise(self, trials, told)
        climbed = [
            self._climb(promise, self.space.completed(told[number].params))
            for number in promise.order[:_BEST_TRIALS]
        ]
        value, best = max(climbed, key=lambda one: one[0])
        return best if value > -math.inf else self.space.random(self.rng)

    def _climb(self, promise: _Promise, options: Options) -> tuple[float, Options]:
        """Returns the most promising options on a way from these, and their promise."""
        value = -math.inf
        for _ in range(_MOST_CHANGED):
            around = list(self.space.neighbours(options, self.rng, _MOST_VALUES))
            values = promise.of(around)
            best = int(np.argmax(values))
            if values[best] <= value:
                break
            value, options = float(values[best]), around[best]
        return value, options


class _Promise:
    """How much better options are expected to be, by what was told so far.

    Attributes:
        order: (told,) numbers of what was told, the best first: fast enough, then cheap, as far as
            the model believes it.
    """

    def __init__(
        self, proposer: Proposer, trials: Iterable[FrozenTrial], told: Sequence[FrozenTrial]
    ) -> None:
        self._space = proposer.space
        seen = [trial.params for trial in trials if trial.state != TrialState.WAITING]
        self._seen = {tuple(point) for point in self._points(seen)}
        points = self._points(trial.params for trial in told)
        costs = np.array([trial.value for trial in told]) - proposer.default_cost
        under_way = [trial.params for trial in trials if trial.state == TrialState.RUNNING]
        self._costs = self._model(points, np.minimum(costs, costs.min() + _WORST_COST))
        if under_way:
            self._costs = self._costs.believing(self._points(under_way))
        expected, _ = self._costs.predict(points)
        is_fast = np.ones(len(told), dtype=bool)
        self._speeds: AdditiveModel | None = None
        if proposer.min_fps is not None:
            # Regions without effect are told without an encode.
            speeds = np.log([trial.user_attrs.get(ENCODE_FPS, math.nan) for trial in told])
            is_fast = speeds >= math.log(proposer.min_fps)
            if (is_known := np.isfinite(speeds)).any():
                mean = float(speeds[is_known].mean())
                self._min_speed = math.log(proposer.min_fps) - mean
                self._speeds = self._model(points[is_known], speeds[is_known] - mean)
        self.order = np.lexsort((expected, ~is_fast))
        self._best = float(expected[is_fast].min(initial=expected.max()))

    def of(self, proposals: Sequence[Options]) -> Floats:
        """Returns (n,) log expected improvements.

        -inf where they were proposed before, or are regions without effect.
        """
        points = self._points(proposals)
        values = log_expected_improvement(*self._costs.predict(points), self._best)
        if self._speeds is not None:
            means, deviations = self._speeds.predict(points)
            values = values + norm.logcdf((means - self._min_speed) / deviations)
        is_known = [tuple(point) in self._seen for point in points]
        is_idle = [not self._space.has_effect(options) for options in proposals]
        values[np.logical_or(is_known, is_idle)] = -math.inf
        return values

    def _model(self, points: Floats, values: Floats) -> AdditiveModel:
        return fit_additive_model(
            points, values, default=self._space.coordinates({}), is_mode=self._space.is_mode
        )

    def _points(self, many: Iterable[Options]) -> Floats:
        return np.array([self._space.coordinates(one) for one in many])

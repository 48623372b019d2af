"""What each parameter of a search was worth, by Optuna's own evaluators."""

from __future__ import annotations

import warnings

import optuna
from optuna.importance import (
    FanovaImportanceEvaluator,
    PedAnovaImportanceEvaluator,
    get_param_importances,
)

# Trials from which on it can be told what a parameter is worth, and the share of them that
# PED-ANOVA calls good: of two dozen, Optuna's tenth would be two.
_FEWEST_TRIALS, _BEST_SHARE = 10, 0.25


def importances(study: optuna.Study) -> dict[str, dict[str, float]]:
    """Returns by evaluator, then by parameter, its share of what the costs differ by, in [0, 1].

    fANOVA knows parameters that every trial has only, PED-ANOVA the others too. Empty where there
    are too few trials to tell.
    """
    told = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    costs = {trial.value for trial in told}
    if len(told) < _FEWEST_TRIALS or len(costs) < 2:
        return {}
    evaluators = {
        "fANOVA": FanovaImportanceEvaluator(seed=0),
        "PED-ANOVA": PedAnovaImportanceEvaluator(target_quantile=_BEST_SHARE),
    }
    found = {}
    with warnings.catch_warnings():
        # PED-ANOVA warns of parameters that one trial has; the report says how many there are.
        warnings.simplefilter("ignore", UserWarning)
        for name, evaluator in evaluators.items():
            shares = get_param_importances(study, evaluator=evaluator)
            found[name] = {parameter: float(share) for parameter, share in shares.items()}
    return found

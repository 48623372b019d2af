"""Searches that others would run on a measured grid: one encode a trial, CRF one more parameter."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Literal

import optuna
from ratesight.codecs.settings import sorted_options
from ratesight.codecs.table import ENCODERS, Encoder, OptionValue

from .search_table import Options, SearchTable, Step

PlainSampler = Literal["random", "tpe", "nsga2", "cmaes", "gp"]

# Of a quality too low, in log rate for each unit of quality: three times what the steepest of the
# grids' curves give, so that to fall short never pays.
PENALTY = 50.0
_POPULATION = 20  # Optuna's 50 would be six generations
_CRF_STEP = 0.25

# CRFs that encoders take where none is given (x264 and x265 in FFmpeg; SVT-AV1).
_USUAL_CRF = {"x264": 23.0, "x265": 28.0, "svtav1": 35.0}


def replay_plain(
    table: SearchTable,
    seed: int,
    sampler: PlainSampler,
    budget: int,
    starts: Sequence[Options] = (),
) -> list[Step]:
    """Searches options and CRF together, one encode a trial, the defaults and starts first.

    Each of those is tried at the CRF that the encoder takes where none is given. The cost is the
    log rate, plus a penalty where the quality is missed; NSGA-II has rate and quality as two
    objectives. What is recommended is the cheapest encode that keeps the quality, and its options
    are judged by their rate at the target: what the encode itself costs too much is forgiven.
    """
    study = optuna.create_study(
        sampler=_plain_sampler(sampler, seed),
        directions=["minimize", "maximize"] if sampler == "nsga2" else ["minimize"],
    )
    encoder = ENCODERS[table.codec]
    for start in ((), *starts):
        first = {
            name: values.index(dict(start).get(name, encoder.option(name).default))
            for name, values in table.values.items()
        }
        study.enqueue_trial({**first, "crf": _USUAL_CRF[table.codec]})
    seen: set[tuple[Options, float]] = set()
    steps: list[Step] = []
    chosen: Options | None = None
    lowest = math.inf
    # A grid may have fewer encodes than the budget.
    for _ in range(2 * budget):
        trial = study.ask()
        options = _suggest_options(trial, table, encoder, as_numbers=sampler in ("cmaes", "gp"))
        crf = trial.suggest_float("crf", *table.crfs, step=_CRF_STEP)
        log_rate, quality = table.combinations[options].at(crf)
        if quality >= table.target_quality and log_rate < lowest:
            chosen, lowest = options, log_rate
        if sampler == "nsga2":
            study.tell(trial, [log_rate, quality])
        else:
            study.tell(trial, log_rate + PENALTY * max(0.0, table.target_quality - quality))
        seen.add((options, crf))
        steps.append(Step(len(seen), chosen))
        if len(seen) == budget:
            break
    return steps


def _suggest_options(
    trial: optuna.Trial, table: SearchTable, encoder: Encoder, *, as_numbers: bool
) -> Options:
    """Returns a combination.

    Args:
        as_numbers: Choices are numbers, and options whose condition does not hold are asked for
            too, and dropped: some samplers draw choices, or what is not always there, at random.
    """
    chosen: dict[str, OptionValue] = {}
    names = [option.name for option in encoder.options if option.name in table.values]
    for name in names:
        values = table.values[name]
        is_met = all(one.is_met(chosen, encoder) for one in encoder.option(name).requires)
        if as_numbers:
            index = trial.suggest_int(name, 0, len(values) - 1)
        elif is_met:
            index = trial.suggest_categorical(name, range(len(values)))
        if is_met:
            chosen[name] = values[index]
    return sorted_options(
        {name: value for name, value in chosen.items() if value != encoder.option(name).default}
    )


def _plain_sampler(name: PlainSampler, seed: int) -> optuna.samplers.BaseSampler:
    match name:
        case "random":
            return optuna.samplers.RandomSampler(seed=seed)
        case "tpe":
            return optuna.samplers.TPESampler(seed=seed)
        case "nsga2":
            return optuna.samplers.NSGAIISampler(seed=seed, population_size=_POPULATION)
        case "cmaes":
            return optuna.samplers.CmaEsSampler(seed=seed)
        case "gp":
            return optuna.samplers.GPSampler(seed=seed)


def replay_grid(table: SearchTable, seed: int) -> list[Step]:
    """Measures one combination after the other at all its CRFs, the first one drawn by the seed."""
    order = list(table.combinations)
    first = random.Random(seed).randrange(len(order))
    steps: list[Step] = []
    num_encodes = 0
    best: Options | None = None
    for options in order[first:] + order[:first]:
        num_encodes += len(table.combinations[options].crfs)
        if best is None or table.rates_at_target[options] < table.rates_at_target[best]:
            best = options
        steps.append(Step(num_encodes, best))
    return steps

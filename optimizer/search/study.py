"""Proposes encoder options, and keeps what they cost, with Optuna."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import optuna
from optuna.trial import TrialState

from ...codecs.table import Choice, Encoder, Floats, Ints, Option, OptionValue
from .option_space import OptionSpace, Part
from .proposer import ENCODE_FPS, Proposer
from .study_storage import StudyStorage

if TYPE_CHECKING:
    from ..request import Sampler

# Trials before one of Optuna's samplers models anything, the defaults and starts included. On
# measured grids 3 to 5 beat 10.
_STARTUP_TRIALS = 5
_POPULATION = 10

# Proposals of regions without effect that are answered before one is passed on: a user may have
# fixed options such that there are no others.
_IDLE_PROPOSALS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """Options to try; those that are as the preset sets them are left out."""

    trial: optuna.Trial
    options: Mapping[str, OptionValue]

    @property
    def parameters(self) -> dict[str, OptionValue]:
        """All that was proposed, the defaults among it."""
        return dict(self.trial.params)


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A search over the options of one encoder.

    A run is a function of its inputs and its seed, and the store remembers what was measured. So
    a run that was killed is simply run again: the study starts afresh, proposes the same options,
    and finds their measurements in the store. Finished trials are copied to a storage that
    ``optuna-dashboard`` opens.
    """

    space: OptionSpace
    proposer: Proposer | None
    idle_cost: float
    min_fps: float | None
    live: optuna.Study
    kept: optuna.Study
    storage: StudyStorage

    def ask(self) -> Proposal:
        """Returns options to try, known good starts first.

        Regions without any effect are not passed on: what they cost is known, and told.
        """
        proposal = self._propose()
        for _ in range(_IDLE_PROPOSALS):
            if self.space.has_effect(proposal.options):
                break
            self.tell(proposal, self.idle_cost, {})
            proposal = self._propose()
        return proposal

    def _propose(self) -> Proposal:
        if self.proposer is not None and not self._num_queued:
            self.live.enqueue_trial(self.proposer.propose(self.live))
        trial = self.live.ask()
        space = self.space
        chosen = space.complete(lambda option: suggest(trial, option))
        # What the preset itself sets is left out, for a short command.
        chosen = {name: value for name, value in chosen.items() if value != space.defaults[name]}
        return Proposal(trial=trial, options={**space.fixed, **chosen})

    @property
    def _num_queued(self) -> int:
        return len(self.live.get_trials(deepcopy=False, states=(TrialState.WAITING,)))

    def tell(
        self, proposal: Proposal, cost: float | None, attributes: Mapping[str, float | int]
    ) -> None:
        """Records what a proposal cost, lower is better; None where the encoder refused it.

        Raises:
            StoreError: The storage cannot be written, or is damaged.
        """
        for name, value in attributes.items():
            proposal.trial.set_user_attr(name, value)
        if self.min_fps is not None and ENCODE_FPS in attributes:
            proposal.trial.set_constraint(ENCODE_FPS, self.min_fps - attributes[ENCODE_FPS])
        state = TrialState.FAIL if cost is None else None
        finished = self.live.tell(proposal.trial, cost, state=state)
        self.storage.keep(self.live, self.kept, finished)


def open_study(
    encoder: Encoder,
    *,
    preset: str,
    part: Part,
    fixed: Mapping[str, OptionValue],
    sampler: Sampler,
    seed: int,
    storage: StudyStorage,
    name: str,
    idle_cost: float = 0.0,
    warm_starts: Sequence[Mapping[str, OptionValue]] = (),
    min_fps: float | None = None,
) -> Study:
    """Returns a new study with known good starts queued, the encoder's defaults first of all.

    Args:
        part: Which options are searched.
        fixed: Options that the user set; they are not searched.
        storage: Where finished trials are kept.
        name: Of the study in the storage; the same search has the same name.
        idle_cost: What regions without any effect cost: as much as none.
        warm_starts: Options that won on other clips, to try before the encoder's own starts. Those
            that are not searched here are left out.
        min_fps: Slower encodes break a constraint that the sampler learns to keep; their speed is
            the attribute ``ENCODE_FPS``.

    Raises:
        StoreError: The storage cannot be written, or is damaged.
    """
    space = OptionSpace(encoder=encoder, preset=preset, part=part, fixed=fixed)
    live = optuna.create_study(sampler=make_sampler(sampler, seed))
    own = encoder.starts if part == "encoder" else encoder.roi_starts
    defaults: list[Mapping[str, OptionValue]] = [{}] if part == "encoder" else []
    queued: list[Mapping[str, OptionValue]] = []
    for start in (*defaults, *warm_starts, *map(dict, own)):
        values = space.completed(start)
        # Where only filters work, a start without one is none.
        if values not in queued and space.has_effect(values):
            queued.append(values)
            live.enqueue_trial(values)
    proposer = Proposer(
        space=space, rng=np.random.default_rng(seed), default_cost=idle_cost, min_fps=min_fps
    )
    return Study(
        space=space,
        proposer=proposer if sampler == "additive" else None,
        idle_cost=idle_cost,
        min_fps=min_fps,
        live=live,
        kept=storage.study(name, live.directions),
        storage=storage,
    )


def make_sampler(name: Sampler, seed: int) -> optuna.samplers.BaseSampler:
    """Returns one of Optuna's samplers; for ours any, since what it asks for is queued."""
    match name:
        case "tpe":
            return optuna.samplers.TPESampler(
                seed=seed, n_startup_trials=_STARTUP_TRIALS, constant_liar=True
            )
        case "random" | "additive":
            return optuna.samplers.RandomSampler(seed=seed)
        case "gp":
            return optuna.samplers.GPSampler(seed=seed, n_startup_trials=_STARTUP_TRIALS)
        case "cmaes":
            # It knows numbers only; choices are drawn at random.
            return optuna.samplers.CmaEsSampler(
                seed=seed, n_startup_trials=_STARTUP_TRIALS, warn_independent_sampling=False
            )
        case "nsga2":
            return optuna.samplers.NSGAIISampler(seed=seed, population_size=_POPULATION)


def suggest(trial: optuna.Trial, option: Option) -> OptionValue:
    """Returns what the sampler proposes for an option."""
    match option.search:
        case Ints(low=low, high=high):
            return trial.suggest_int(option.name, low, high)
        case Floats(low=low, high=high, step=step):
            # Optuna's multiples of a step carry binary dust, which would end up in the command.
            return round(trial.suggest_float(option.name, low, high, step=step), 6)
        case Choice(values=choices):
            chosen: OptionValue = trial.suggest_categorical(option.name, choices)  # type: ignore[assignment]
            return chosen  # optuna's stubs know no categories without None
    raise AssertionError(option.name)

"""Proposes encoder options with Optuna; with its two neighbours the only file that imports it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import optuna

from ...codecs.roi import region_coding
from ...codecs.table import Choice, Encoder, Floats, Ints, OptionValue
from .study_storage import StudyStorage

Sampler = Literal["tpe", "random", "gp", "cmaes", "nsga2"]
# What a study searches: the encoder's own options, or those of regions of interest.
Part = Literal["encoder", "regions"]

# Trials before the sampler models anything, the defaults and starts included. On measured grids 3
# to 5 beat 10.
_STARTUP_TRIALS = 5
_POPULATION = 10

# Proposals of regions without effect that are answered before one is passed on: a user may have
# fixed options such that there are no others.
_IDLE_PROPOSALS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """Options to try; those at the encoder's default are left out."""

    trial: optuna.Trial
    options: Mapping[str, OptionValue]

    @property
    def number(self) -> int:
        return self.trial.number

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

    encoder: Encoder
    preset: str
    part: Part
    fixed: Mapping[str, OptionValue]
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
            if _has_effect(self.part, proposal.options):
                break
            self.tell(proposal, self.idle_cost, {})
            proposal = self._propose()
        return proposal

    def _propose(self) -> Proposal:
        trial = self.live.ask()
        chosen: dict[str, OptionValue] = dict(self.fixed)
        for name, values in searched_options(
            self.encoder, self.preset, self.part, self.fixed, chosen
        ):
            chosen[name] = suggest(trial, name, values)
        # Defaults are left out for a short command, but only where they are known to be the
        # preset's own.
        if self.preset == self.encoder.default_preset:
            chosen = {
                name: value
                for name, value in chosen.items()
                if name in self.fixed or value != self.encoder.option(name).default
            }
        return Proposal(trial=trial, options=chosen)

    def tell(
        self, proposal: Proposal, cost: float | None, attributes: Mapping[str, float | int]
    ) -> None:
        """Records what a proposal cost, lower is better; None where the encoder refused it.

        Raises:
            StoreError: The storage cannot be written, or is damaged.
        """
        for name, value in attributes.items():
            proposal.trial.set_user_attr(name, value)
        if self.min_fps is not None and "encode_fps" in attributes:
            proposal.trial.set_constraint("encode_fps", self.min_fps - attributes["encode_fps"])
        state = optuna.trial.TrialState.FAIL if cost is None else None
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
            the attribute ``encode_fps``.

    Raises:
        StoreError: The storage cannot be written, or is damaged.
    """
    live = optuna.create_study(sampler=make_sampler(sampler, seed))
    study = Study(
        encoder=encoder,
        preset=preset,
        part=part,
        fixed=fixed,
        idle_cost=idle_cost,
        min_fps=min_fps,
        live=live,
        kept=storage.study(name, live.directions),
        storage=storage,
    )
    own = [dict(start) for start in (encoder.starts if part == "encoder" else encoder.roi_starts)]
    defaults: list[Mapping[str, OptionValue]] = [{}] if part == "encoder" else []
    queued: list[Mapping[str, OptionValue]] = []
    for start in (*defaults, *warm_starts, *own):
        values = _complete(study, start)
        # Where only filters work, a start without one is none.
        if values not in queued and _has_effect(part, {**fixed, **values}):
            queued.append(values)
            live.enqueue_trial(values)
    return study


def searched_options(
    encoder: Encoder,
    preset: str,
    part: Part,
    fixed: Mapping[str, OptionValue],
    chosen: Mapping[str, OptionValue],
) -> Iterator[tuple[str, Ints | Floats | Choice]]:
    """Yields options whose conditions hold for what was chosen so far, in table order.

    What a fixed option depends on stays at its default, where the condition holds. ``chosen`` may
    grow between two of them.
    """
    needed = {requirement.name for name in fixed for requirement in encoder.option(name).requires}
    for option in encoder.options:
        if option.search is None or option.name in fixed or option.name in needed:
            continue
        if option.is_ours != (part == "regions"):
            continue
        if preset in option.not_presets:
            continue
        if all(requirement.is_met(chosen, encoder) for requirement in option.requires):
            yield option.name, option.search


def _has_effect(part: Part, options: Mapping[str, OptionValue]) -> bool:
    regions = region_coding(options) if part == "regions" else None
    return regions is None or regions.has_effect


def _complete(study: Study, start: Mapping[str, OptionValue]) -> dict[str, OptionValue]:
    """Returns start values for every option that is searched along with them.

    The default where a start's value is not among those searched: a user may have fixed another.
    """
    chosen = dict(study.fixed)
    for name, values in searched_options(
        study.encoder, study.preset, study.part, study.fixed, chosen
    ):
        default = study.encoder.option(name).default
        value = start.get(name, default)
        chosen[name] = value if _has(values, value) else default
    return {name: value for name, value in chosen.items() if name not in study.fixed}


def _has(values: Ints | Floats | Choice, value: OptionValue) -> bool:
    """Says whether a search may propose a value."""
    match values:
        case Choice(values=choices):
            return value in choices
        case Ints(low=low, high=high):
            return isinstance(value, int) and low <= value <= high
        case Floats(low=low, high=high, step=step):
            if isinstance(value, str) or not low <= value <= high:
                return False
            return math.isclose((value - low) / step, round((value - low) / step), abs_tol=1e-6)


def make_sampler(name: Sampler, seed: int) -> optuna.samplers.BaseSampler:
    """Returns one of Optuna's samplers."""
    match name:
        case "tpe":
            return optuna.samplers.TPESampler(
                seed=seed, n_startup_trials=_STARTUP_TRIALS, constant_liar=True
            )
        case "random":
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


def suggest(trial: optuna.Trial, name: str, values: Ints | Floats | Choice) -> OptionValue:
    """Returns what the sampler proposes for an option."""
    match values:
        case Ints(low=low, high=high):
            return trial.suggest_int(name, low, high)
        case Floats(low=low, high=high, step=step):
            # Optuna's multiples of a step carry binary dust, which would end up in the command.
            return round(trial.suggest_float(name, low, high, step=step), 6)
        case Choice(values=choices):
            chosen: OptionValue = trial.suggest_categorical(name, choices)  # type: ignore[assignment]
            return chosen  # optuna's stubs know no categories without None

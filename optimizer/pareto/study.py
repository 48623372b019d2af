"""Proposes presets, options and CRFs with Optuna, for rate, quality and speed at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import optuna

from ...codecs.errors import SettingsError
from ...codecs.settings import Crf, EncodeSettings, check_options, sorted_options
from ...codecs.table import Encoder, OptionValue
from ..errors import RequestError
from ..request import Sampler
from ..search.option_space import OptionSpace
from ..search.proposer import ENCODE_FPS
from ..search.study import make_sampler, suggest
from ..search.study_storage import StudyStorage

# Names of parameters that no encoder has as an option.
_PRESET, _CRF, _OWN = "preset", "crf", "own options"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What one encode cost and kept.

    Attributes:
        seconds_per_frame: Of the encode, on one thread.
    """

    rate_kbps: float
    quality: float
    seconds_per_frame: float

    @property
    def encode_fps(self) -> float:
        """Frames a second."""
        return 1 / self.seconds_per_frame


@dataclass(frozen=True, slots=True, kw_only=True)
class ParetoProposal:
    """Settings to try."""

    trial: optuna.Trial
    settings: EncodeSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class ParetoStudy:
    """A search for settings that nothing beats in rate, quality and speed together.

    Attributes:
        presets: To choose from.
        low_quality: Whatever keeps less is of no use, and the sampler learns that.
        min_fps: So is whatever is slower.
    """

    encoder: Encoder
    presets: Sequence[str]
    fixed: Mapping[str, OptionValue]
    low_quality: float
    min_fps: float | None
    live: optuna.Study
    kept: optuna.Study
    storage: StudyStorage

    def ask(self) -> ParetoProposal:
        """Returns settings to try, the presets' own options over a ladder of CRFs first."""
        trial = self.live.ask()
        preset: str = trial.suggest_categorical(_PRESET, list(self.presets))
        low, high = self.encoder.search_crf
        crf = trial.suggest_int(_CRF, low, high)
        chosen = dict(self.fixed)
        if trial.suggest_categorical(_OWN, [False, True]):
            space = OptionSpace(
                encoder=self.encoder, preset=preset, part="encoder", fixed=self.fixed
            )
            chosen |= space.complete(lambda option: suggest(trial, option))
        settings = EncodeSettings(
            codec=self.encoder.codec,
            preset=preset,
            rate_control=Crf(value=crf),
            options=sorted_options(chosen),
        )
        return ParetoProposal(trial=trial, settings=settings)

    def tell(self, proposal: ParetoProposal, point: Point | None) -> None:
        """Records what became of a proposal; None where the encoder refused it.

        Raises:
            StoreError: The storage cannot be written, or is damaged.
        """
        trial = proposal.trial
        if point is None:
            finished = self.live.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            trial.set_constraint("quality", self.low_quality - point.quality)
            if self.min_fps is not None:
                trial.set_constraint(ENCODE_FPS, self.min_fps - point.encode_fps)
            values = (point.rate_kbps, point.quality, point.seconds_per_frame)
            finished = self.live.tell(trial, values)
        self.storage.keep(self.live, self.kept, finished)


def check_sampler(sampler: Sampler) -> None:
    """Refuses a sampler that cannot search for a front.

    Raises:
        RequestError: It knows one objective only.
    """
    if sampler in ("additive", "cmaes"):
        raise RequestError(
            f"sampler {sampler} knows one objective only; choose tpe, nsga2, gp or random"
        )


def open_pareto_study(
    encoder: Encoder,
    *,
    default_preset: str,
    fixed: Mapping[str, OptionValue],
    sampler: Sampler,
    seed: int,
    storage: StudyStorage,
    name: str,
    low_quality: float,
    min_fps: float | None,
    ladder: Sequence[float],
) -> ParetoStudy:
    """Returns a new study with the default preset over a ladder of CRFs queued.

    Args:
        default_preset: Presets from the next slower one on are tried, those that are slower yet
            are not: a fleet encodes in real time.
        sampler: One that knows several objectives.
        ladder: CRFs.

    Raises:
        StoreError: The storage cannot be written, or is damaged.
    """
    live = optuna.create_study(
        directions=["minimize", "maximize", "minimize"], sampler=make_sampler(sampler, seed)
    )
    for crf in ladder:
        live.enqueue_trial({_PRESET: default_preset, _CRF: int(crf), _OWN: False})
    slowest = max(0, encoder.presets.index(default_preset) - 1)
    return ParetoStudy(
        encoder=encoder,
        presets=[one for one in encoder.presets[slowest:] if _takes(encoder, one, fixed)],
        fixed=fixed,
        low_quality=low_quality,
        min_fps=min_fps,
        live=live,
        kept=storage.study(name, live.directions),
        storage=storage,
    )


def _takes(encoder: Encoder, preset: str, fixed: Mapping[str, OptionValue]) -> bool:
    """Whether a preset takes what the user fixed: others ignore it, or lack what it needs."""
    try:
        check_options(encoder, preset, fixed)
    except SettingsError:
        return False
    return True

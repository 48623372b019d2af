"""Loads the machines of a search: the one it goes by, and the real one of the verification."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...metrics.detector import Finder
from ...metrics.task import HeatMapOf, TaskMachine
from .machine_choice import MachineChoice
from .machine_table import REAL_MACHINES, load_finder, task_of

if TYPE_CHECKING:
    from ...metrics.feature_file import FeatureFile
    from ...metrics.views import LearnedTask


@dataclass(frozen=True, slots=True, kw_only=True)
class Machines:
    """What must still see.

    Attributes:
        own: What a search goes by.
        real: What that one predicts, where it is a learned metric and the real one is there.
        second: A detector that takes no part in the search, if one is asked too.
        finder: Finds the regions, on originals only.
        task: Of the machine.
        metric_sha256: Of the weights of a learned metric.
    """

    own: TaskMachine[Any]
    real: TaskMachine[Any] | None
    finder: Finder
    task: LearnedTask
    metric_sha256: str | None
    second: TaskMachine[Any] | None = None

    def heat_map(self) -> tuple[str, HeatMapOf]:
        """Returns the learned metric that shows where sight is lost: of the task of the machine.

        Raises:
            WeightsError: The weights are missing.
        """
        # Torch takes seconds to load.
        from ...metrics.learned import LearnedMetric, load_learned_metric

        learned = self.own
        if not isinstance(learned, LearnedMetric):
            learned = load_learned_metric(self.task, self.finder)
        return learned.task, learned.heat_map


def unverified_notes(machines: Machines, real: object) -> list[str]:
    """Returns that a learned metric alone says what is saved, where no real machine does.

    Args:
        real: What the real machine looks at; None where there is none.
    """
    if machines.metric_sha256 is None or real is not None:
        return []
    return [f"No machine verified this but the metric {machines.task} itself."]


def load_machines(
    choice: MachineChoice, feature_file: FeatureFile, *, is_verified: bool = True
) -> Machines:
    """Returns the machines of a choice.

    Args:
        feature_file: Holds what a learned metric makes of originals.
        is_verified: A learned metric is, by the real machine; that one is not loaded otherwise.

    Raises:
        WeightsError: A model cannot be loaded.
    """
    finder, task = _finder_of(choice), task_of(choice.metric)
    if choice.metric in REAL_MACHINES:
        own = choice.kind.load_real(finder, choice)
        return Machines(own=own, real=None, finder=finder, task=task, metric_sha256=None)
    # Torch takes seconds to load.
    from ...metrics.learned import load_learned_metric

    learned = load_learned_metric(
        task,
        finder,
        min_score=choice.thresholds.reference,
        feature_file=feature_file,
    )
    is_asked = is_verified and choice.has_real_machine
    return Machines(
        own=learned,
        real=choice.kind.load_real(finder, choice) if is_asked else None,
        finder=finder,
        task=task,
        metric_sha256=learned.weights_sha256,
    )


def load_real_machine(choice: MachineChoice) -> TaskMachine[Any]:
    """Returns the real machine that a choice names as its metric.

    Raises:
        WeightsError: A model cannot be loaded.
    """
    return choice.kind.load_real(_finder_of(choice), choice)


def _finder_of(choice: MachineChoice) -> Finder:
    return load_finder(task_of(choice.metric), choice.finder, image_size=choice.image_size)

"""Our metrics as predictors: the head of the group's task, and the general one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from ratesight.metrics.boxes import Detections
from ratesight.metrics.learned import LearnedMetric, LearnedReference, load_learned_metric
from ratesight.metrics.views import LEARNED_TASKS
from ratesight.optimizer.measuring.machine_table import load_finder

from .labelled_groups import Floats, Group, Pictures
from .pairs import TRAINING_MACHINES
from .predictors import Values


@dataclass(frozen=True, kw_only=True, eq=False)
class LearnedPredictor:
    """The metrics as they ship, in regions that are known, and in the built-in ones.

    Of the known ones they are given the scores of those machines that they were trained with.
    """

    metrics: Mapping[str, LearnedMetric]

    @property
    def name(self) -> str:
        return "learned"

    @cached_property
    def version(self) -> str:
        return ", ".join(one.version for one in self.metrics.values())

    def predict(self, group: Group, pictures: Pictures) -> Mapping[str, Values]:
        metric, general = self.metrics[group.task], self.metrics["general"]
        return {
            "ours": Values(regions=_qualities(metric, group, pictures)),
            "ours, built-in regions": Values(frames=_frame_qualities(metric, pictures)),
            "ours, general": Values(regions=_qualities(general, group, pictures)),
        }


def learned_predictor() -> LearnedPredictor:
    """Returns the metrics with the weights that ship."""
    metrics = {task: load_learned_metric(task, load_finder(task, None)) for task in LEARNED_TASKS}
    return LearnedPredictor(metrics=metrics)


def _qualities(metric: LearnedMetric, group: Group, pictures: Pictures) -> Floats:
    """Returns (versions, regions) qualities."""
    found = np.zeros((len(pictures) - 1, len(group.regions)))
    for frame in np.unique(group.frame_of_region):
        here = np.flatnonzero(group.frame_of_region == frame)
        (prepared,) = metric.prepare([_reference(group, here)], [pictures[0, frame]])
        for version, distorted in enumerate(pictures[1:, frame]):
            found[version, here] = 1 - metric.losses([prepared], [distorted])[0]
    return found


def _frame_qualities(metric: LearnedMetric, pictures: Pictures) -> Floats:
    """Returns (versions, frames) qualities in the regions that a metric finds itself.

    Where it finds none, nothing can be lost.
    """
    found = np.ones((len(pictures) - 1, pictures.shape[1]))
    for frame, original in enumerate(pictures[0]):
        (seen,) = metric.look([original])
        if not seen.objects.class_names:
            continue
        for version, distorted in enumerate(pictures[1:, frame]):
            (losses,) = metric.losses([seen], [distorted])
            found[version, frame] = 1 - np.average(losses, weights=seen.objects.scores)
    return found


def _reference(group: Group, here: npt.NDArray[np.intp]) -> LearnedReference:
    machines = TRAINING_MACHINES[group.task]
    chosen = [group.regions[at] for at in here]
    scores = [
        [view.score for name, view in one.machines.items() if name in machines] or [0.0]
        for one in chosen
    ]
    return LearnedReference(
        objects=Detections(
            boxes=np.array([one.box for one in chosen]),
            scores=np.array([np.mean(some) for some in scores]),
            class_names=tuple(one.class_name for one in chosen),
        )
    )

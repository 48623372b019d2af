"""Our metrics as predictors: the head of the group's task, and the general one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import get_args

import numpy as np
import numpy.typing as npt
from ratesight.metrics.boxes import Detections
from ratesight.metrics.learned import (
    LearnedMetric,
    LearnedReference,
    LearnedTask,
    load_learned_metric,
)
from ratesight.metrics.region_proposals import load_proposal_detector

from .labelled_groups import Floats, Group, Pictures
from .pairs import TRAINING_MACHINES
from .predictors import Values


@dataclass(frozen=True, kw_only=True, eq=False)
class LearnedPredictor:
    """The metrics as they ship, in regions that are known.

    They are given the scores of those machines that they were trained with.
    """

    metrics: Mapping[str, LearnedMetric]

    @property
    def name(self) -> str:
        return "learned"

    @cached_property
    def version(self) -> str:
        return self.metrics["general"].version

    def predict(self, group: Group, pictures: Pictures) -> Mapping[str, Values]:
        rows = {"ours": self.metrics[group.task], "ours, general": self.metrics["general"]}
        return {
            row: Values(regions=_qualities(metric, group, pictures)) for row, metric in rows.items()
        }


def learned_predictor() -> LearnedPredictor:
    """Returns the metrics with the weights that ship."""
    tasks: tuple[LearnedTask, ...] = get_args(LearnedTask)
    finder = load_proposal_detector()
    return LearnedPredictor(metrics={task: load_learned_metric(task, finder) for task in tasks})


def _qualities(metric: LearnedMetric, group: Group, pictures: Pictures) -> Floats:
    """Returns (versions, regions) qualities."""
    found = np.zeros((len(pictures) - 1, len(group.regions)))
    for frame in np.unique(group.frame_of_region):
        here = np.flatnonzero(group.frame_of_region == frame)
        (prepared,) = metric.prepare([_reference(group, here)], [pictures[0, frame]])
        for version, distorted in enumerate(pictures[1:, frame]):
            found[version, here] = 1 - metric.losses([prepared], [distorted])[0]
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

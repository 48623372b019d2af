"""Our metrics as predictors: the head of the group's task, and the general one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from ratesight.metrics.learned import class_number, load_network, to_tensor
from ratesight.metrics.similarity_network import Regions, SimilarityNetwork

from .labelled_groups import Group, Pictures
from .pairs import TRAINING_MACHINES
from .predictors import Values

# Versions that go through the network at once.
_BATCH = 8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LearnedPredictor:
    """The trained network on whole pictures, as they are.

    It is given the scores of those machines that it was trained with.
    """

    network: SimilarityNetwork
    weights_sha256: str

    @property
    def name(self) -> str:
        return "learned"

    @property
    def version(self) -> str:
        return f"{self.weights_sha256} torch {torch.__version__}"

    def predict(self, group: Group, pictures: Pictures) -> Mapping[str, Values]:
        shape = (pictures.shape[0] - 1, len(group.regions))
        found = {"ours": np.zeros(shape), "ours, general": np.zeros(shape)}
        for frame in range(pictures.shape[1]):
            here = [at for at, index in enumerate(group.frame_of_region) if index == frame]
            if not here:
                continue
            known = _regions(group, here)
            unknown = Regions(
                boxes=known.boxes,
                scores=torch.zeros_like(known.scores),
                classes=torch.full_like(known.classes, class_number("")),
            )
            seen = to_tensor(np.asarray(pictures[:, frame]))
            with torch.inference_mode():
                reference = self.network.reference(seen[:1], known.boxes)
                statistics = torch.cat(
                    [
                        self.network.statistics(reference, part)
                        for part in torch.split(seen[1:], _BATCH)
                    ]
                )
                for row, task, regions in (
                    ("ours", group.task, known),
                    ("ours, general", "general", unknown),
                ):
                    quality = self.network.judge(task, reference, statistics, regions)
                    found[row][:, here] = quality.numpy()
        return {row: Values(regions=values) for row, values in found.items()}


def learned_predictor() -> LearnedPredictor:
    """Returns the metrics with the weights that ship."""
    network, digest = load_network()
    return LearnedPredictor(network=network, weights_sha256=digest)


def _regions(group: Group, here: list[int]) -> Regions:
    chosen = [group.regions[at] for at in here]
    machines = TRAINING_MACHINES[group.task]
    scores = [
        float(
            np.mean(
                [one.machines[name].score for name in machines if name in one.machines] or [0.0]
            )
        )
        for one in chosen
    ]
    return Regions(
        boxes=torch.tensor([one.box for one in chosen], dtype=torch.float32),
        scores=torch.tensor(scores, dtype=torch.float32),
        classes=torch.tensor([class_number(one.class_name) for one in chosen]),
    )

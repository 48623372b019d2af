"""Trains all layers of the learned metrics on pictures; goes on after the last whole epoch."""

from __future__ import annotations

import json
import math
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ratesight.metrics.learned import to_tensor
from ratesight.metrics.similarity_network import Regions, SimilarityNetwork
from safetensors.torch import save_file
from scipy.stats import spearmanr
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from .machine import describe_machine
from .similarity_examples import (
    GENERAL,
    WITHHELD,
    Example,
    pictures_of,
    to_device,
    withheld,
)
from .similarity_heads import DECAY, loss_of

_SEED = 0
_RATE_HEADS, _RATE_FEATURES = 2e-4, 1e-4
# Of a step: originals, and of each at most so many versions and regions.
_EXAMPLES, _VERSIONS, _REGIONS = 4, 4, 12
# Originals of a task seen in an epoch, drawn anew for each; and over how many steps weights are
# averaged.
_VISITS, _AVERAGED_STEPS = 1300, 500

Log = list[dict[str, float | str]]
WEIGHTS_FILE, LOG_FILE = "similarity.safetensors", "training.json"


def train_all(
    network: SimilarityNetwork,
    examples: dict[str, list[Example]],
    cache: Path,
    num_epochs: int,
    state: Path,
    out: Path,
    log: Log,
) -> None:
    """Trains all layers on pictures, and writes the weights of the epoch that ranks best.

    What is judged and written is a moving average of the weights.

    Args:
        state: What the last whole epoch left, and where to go on from; gone in the end.
        out: Folder for the weights.
        log: Of the training so far; what this one reaches is added.
    """
    visits = visits_of(examples["train"])
    num_steps = sum(min(_VISITS, len(some)) for some in visits) // _EXAMPLES
    training = Training(network, num_epochs * num_steps, log)
    if state.exists():
        training.load(state)
    else:
        training.note("start", network, examples["validation"], cache, out)
    while training.num_epochs < num_epochs:
        drawn = [training.random.permutation(some)[:_VISITS] for some in visits]
        order = training.random.permutation(np.concatenate(drawn))
        training.run_epoch([examples["train"][index] for index in order], cache)
        name = f"epoch {training.num_epochs}"
        training.note(name, training.averaged, examples["validation"], cache, out)
        training.save(state)
    state.unlink()


def visits_of(examples: Sequence[Example]) -> list[list[int]]:
    """Returns for each task which examples to draw from; more versions make more visits."""
    visits: defaultdict[str, list[int]] = defaultdict(list)
    for index, example in enumerate(examples):
        count = math.ceil(len(example.targets) / (2 * _VERSIONS))
        visits[example.pairs.task] += [index] * count
    return list(visits.values())


class Training:
    """All that changes from one step of the training to the next.

    Attributes:
        averaged: The network whose weights are the moving average.
        random: Of the draw of originals, versions and regions.
        num_epochs: Already run.
    """

    def __init__(self, network: SimilarityNetwork, num_steps: int, log: Log) -> None:
        """Begins.

        Args:
            num_steps: Of the whole training.
            log: Of what came before it.
        """
        self.network, self.log = network, log
        self.random = np.random.default_rng(_SEED)
        self.num_epochs, self.best = 0, -1.0
        features = [*network.stem.parameters(), *network.stages.parameters()]
        heads = network.heads.parameters()
        self.optimizer = torch.optim.AdamW(
            [
                {"params": features, "lr": _RATE_FEATURES, "weight_decay": 0.01},
                {"params": heads, "lr": _RATE_HEADS, "weight_decay": DECAY},
            ]
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, [_RATE_FEATURES, _RATE_HEADS], num_steps, pct_start=0.1
        )
        average = get_ema_multi_avg_fn(1 - 1 / _AVERAGED_STEPS)  # type: ignore[no-untyped-call]
        self.averaging = AveragedModel(network, multi_avg_fn=average)

    @property
    def averaged(self) -> SimilarityNetwork:
        averaged = self.averaging.module
        assert isinstance(averaged, SimilarityNetwork)
        return averaged

    def run_epoch(self, examples: Sequence[Example], cache: Path) -> None:
        """Makes the steps of one epoch, with a line for every fiftieth."""
        started = time.perf_counter()
        num_steps = len(examples) // _EXAMPLES
        self.network.train()
        losses = []
        for step in range(num_steps):
            self.optimizer.zero_grad()
            for example in examples[step * _EXAMPLES : (step + 1) * _EXAMPLES]:
                loss = example_loss(self.network, example, cache, self.random)
                (loss / _EXAMPLES).backward()  # type: ignore[no-untyped-call]  # it has no type
                losses.append(float(loss.detach()))
            nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
            self.optimizer.step()
            self.schedule.step()
            self.averaging.update_parameters(self.network)
            if step % 50 == 0:
                left = (time.perf_counter() - started) / (step + 1) * (num_steps - step - 1)
                recent = np.mean(losses[-50 * _EXAMPLES :])
                print(
                    f"epoch {self.num_epochs + 1} loss {recent:.4f}, {left / 60:.1f} min left",
                    flush=True,
                )
        self.num_epochs += 1

    def note(
        self,
        stage: str,
        network: SimilarityNetwork,
        examples: Sequence[Example],
        cache: Path,
        out: Path,
    ) -> None:
        """Judges a network on the validation part, and writes it where it is the best so far."""
        found = validate(network, examples, cache)
        for task, srcc in found.items():
            self.log.append({"stage": stage, "task": task, "validation_srcc": srcc})
        print(stage, " ".join(f"{task} {srcc:.4f}" for task, srcc in found.items()), flush=True)
        mean = float(np.mean(list(found.values())))
        if mean > self.best:
            self.best = mean
            write(network, out, self.log)

    def save(self, file: Path) -> None:
        """Writes what a run needs that goes on from here."""
        partial = file.with_suffix(".part")
        torch.save(
            {
                **{name: part.state_dict() for name, part in self._parts().items()},
                "log": self.log,
                "num_epochs": self.num_epochs,
                "best": self.best,
                "random": self.random.bit_generator.state,
                "torch_random": torch.get_rng_state(),
                "cuda_random": torch.cuda.get_rng_state_all(),
            },
            partial,
        )
        partial.rename(file)

    def load(self, file: Path) -> None:
        """Goes on from what ``save`` wrote."""
        state = torch.load(file, weights_only=True)
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.log[:] = state["log"]
        self.num_epochs, self.best = state["num_epochs"], state["best"]
        self.random.bit_generator.state = state["random"]
        torch.set_rng_state(state["torch_random"])
        torch.cuda.set_rng_state_all(state["cuda_random"])

    def _parts(self) -> dict[str, Any]:
        return {
            "network": self.network,
            "averaging": self.averaging,
            "optimizer": self.optimizer,
            "schedule": self.schedule,
        }


def example_loss(
    network: SimilarityNetwork,
    example: Example,
    cache: Path,
    random: np.random.Generator,
) -> Tensor:
    """Returns the loss of some versions and regions of one frame, perhaps mirrored."""
    device = next(network.parameters()).device
    num_versions, num_regions = example.targets.shape
    versions = random.permutation(num_versions)[:_VERSIONS]
    some = torch.from_numpy(random.permutation(num_regions)[:_REGIONS])
    stored = pictures_of(example, cache)
    pictures = to_tensor(stored[[0, *(versions + 1)]])
    regions = Regions(
        boxes=example.regions.boxes[some],
        scores=example.regions.scores[some],
        classes=example.regions.classes[some],
    )
    if random.random() < 0.5:
        pictures = pictures.flip(3)
        x0, y0, x1, y1 = regions.boxes.unbind(1)
        width = pictures.shape[3]
        boxes = torch.stack([width - x1, y0, width - x0, y1], 1)
        regions = Regions(boxes=boxes, scores=regions.scores, classes=regions.classes)
    pictures = pictures.to(device)
    reference = network.reference(pictures[:1], regions.boxes.to(device))
    statistics = network.statistics(reference, pictures[1:])
    targets = example.targets[versions][:, some].to(device)
    region = torch.arange(len(some), device=device).expand(len(versions), -1)
    total = torch.zeros((), device=device)
    for task in (example.pairs.task, GENERAL):
        known = withheld(regions, 1.0 if task == GENERAL else WITHHELD)
        logits = network.head(task)(statistics, to_device(known, device))
        total = total + loss_of(logits.flatten(0, 1), targets.flatten(), region.flatten())
    return total


def validate(
    network: SimilarityNetwork, examples: Sequence[Example], cache: Path
) -> dict[str, float]:
    """Returns the rank correlation of each task's head on all regions."""
    device = next(network.parameters()).device
    network.eval()
    found: defaultdict[str, list[float]] = defaultdict(list)
    wanted: defaultdict[str, list[float]] = defaultdict(list)
    with torch.inference_mode():
        for example in examples:
            pictures = to_tensor(pictures_of(example, cache)).to(device)
            regions = to_device(example.regions, device)
            reference = network.reference(pictures[:1], regions.boxes)
            for task in (example.pairs.task, GENERAL):
                known = example.regions if task != GENERAL else withheld(example.regions, 1.0)
                parts = [
                    network.quality(task, reference, part, to_device(known, device))
                    for part in torch.split(pictures[1:], _VERSIONS)
                ]
                found[task] += torch.cat(parts).flatten().tolist()
                wanted[task] += example.targets.flatten().tolist()
    return {task: float(spearmanr(found[task], wanted[task])[0]) for task in found}


def write(network: SimilarityNetwork, out: Path, log: Log) -> None:
    """Writes weights and the course of the training, each under its final name when complete."""
    out.mkdir(parents=True, exist_ok=True)
    partial = out / "similarity.part"
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, partial)
    partial.rename(out / WEIGHTS_FILE)
    partial = out / "training.part"
    partial.write_text(json.dumps({"log": log, "machine": describe_machine()}, indent=1))
    partial.rename(out / LOG_FILE)

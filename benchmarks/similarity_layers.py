"""Trains all layers of the learned metrics on pictures; goes on after the last whole epoch."""

from __future__ import annotations

import json
import math
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from ratesight.codecs.whole_file import whole_file
from ratesight.metrics.learned import to_tensor
from ratesight.metrics.similarity_network import Regions, SimilarityNetwork
from ratesight.metrics.views import view_scale
from safetensors.torch import save_file
from scipy.stats import spearmanr
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from .machine import describe_machine
from .similarity_examples import (
    GENERAL,
    WITHHELD,
    Example,
    Pictures,
    Scale,
    own_size,
    pictures_of,
    read_ahead,
    seen_at,
    withheld,
)
from .similarity_heads import DECAY, TOGETHER, loss_of

_SEED = 0
_RATE_HEADS, _RATE_FEATURES = 2e-4, 1e-4
# Originals of a step.
_EXAMPLES = 4
# Originals of a task seen in an epoch, drawn anew for each; and over how many steps weights are
# averaged.
_VISITS, _AVERAGED_STEPS = 1300, 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a visit sees of an original.

    Attributes:
        scales: At one of which it sees the pictures; the last is judged.
        versions, regions: At most so many.
        is_varied: What a camera sees that moves over the photos is among the originals, and faces
            and plates at every size.
    """

    scales: tuple[Scale, ...]
    versions: int
    regions: int
    is_varied: bool


# On a CPU time goes with pixels: two hours are enough for photos and clips at their own size. On
# CUDA it goes with visits, and what a visit sees costs nothing.
ON_CPU = Look(scales=(own_size,), versions=4, regions=12, is_varied=False)
ON_CUDA = Look(scales=(own_size, view_scale), versions=8, regions=24, is_varied=True)

Log = list[dict[str, float | str]]
WEIGHTS_FILE, LOG_FILE = "similarity.safetensors", "training.json"


def train_all(
    network: SimilarityNetwork,
    examples: dict[str, list[Example]],
    cache: Path,
    look: Look,
    num_epochs: int,
    state: Path,
    out: Path,
    log: Log,
) -> None:
    """Trains all layers on pictures, and writes the weights of the epoch that ranks best.

    What is judged and written is a moving average of the weights.

    Args:
        look: That each visit takes.
        state: What the last whole epoch left, and where to go on from; gone in the end.
        out: Folder for the weights.
        log: Of the training so far; what this one reaches is added.
    """
    examples = {
        split: [one for one in some if look.is_varied or one.pairs.kind in ("photo", "clip")]
        for split, some in examples.items()
    }
    visits = visits_of(examples["train"], look)
    num_steps = sum(min(_VISITS, len(some)) for some in visits) // _EXAMPLES
    training = Training(network, num_epochs * num_steps, log)
    validation = partial(
        validate, examples=examples["validation"], cache=cache, scale=look.scales[-1]
    )
    if state.exists():
        training.load(state)
    else:
        training.note("start", network, validation, out)
    while training.num_epochs < num_epochs:
        drawn = [training.random.permutation(some)[:_VISITS] for some in visits]
        order = training.random.permutation(np.concatenate(drawn))
        training.run_epoch([examples["train"][index] for index in order], cache, look)
        name = f"epoch {training.num_epochs}"
        training.note(name, training.averaged, validation, out)
        training.save(state)
    state.unlink()


def visits_of(examples: Sequence[Example], look: Look) -> list[list[int]]:
    """Returns for each task which examples to draw from; more versions make more visits."""
    visits: defaultdict[str, list[int]] = defaultdict(list)
    for index, example in enumerate(examples):
        count = math.ceil(len(example.targets) / (2 * look.versions))
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

    def run_epoch(self, examples: Sequence[Example], cache: Path, look: Look) -> None:
        """Makes the steps of one epoch, with a line for every fiftieth."""
        started = time.perf_counter()
        num_steps = len(examples) // _EXAMPLES
        self.network.train()
        losses: list[Tensor] = []
        visits = [draw(one, look, self.random) for one in examples[: num_steps * _EXAMPLES]]
        seen = read_ahead(partial(read_visit, cache=cache), visits)
        for step in range(num_steps):
            self.optimizer.zero_grad()
            for example, pictures in islice(seen, _EXAMPLES):
                loss = loss_on(self.network, example, pictures)
                (loss / _EXAMPLES).backward()  # type: ignore[no-untyped-call]  # it has no type
                losses.append(loss.detach())
            nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
            self.optimizer.step()
            self.schedule.step()
            self.averaging.update_parameters(self.network)
            if step % 50 == 0:
                left = (time.perf_counter() - started) / (step + 1) * (num_steps - step - 1)
                recent = float(torch.stack(losses[-50 * _EXAMPLES :]).mean())
                print(
                    f"epoch {self.num_epochs + 1} loss {recent:.4f}, {left / 60:.1f} min left",
                    flush=True,
                )
        self.num_epochs += 1

    def note(
        self,
        stage: str,
        network: SimilarityNetwork,
        validation: Callable[[SimilarityNetwork], dict[str, float]],
        out: Path,
    ) -> None:
        """Judges a network on the validation part, and writes it where it is the best so far."""
        found = validation(network)
        for task, srcc in found.items():
            self.log.append({"stage": stage, "task": task, "validation_srcc": srcc})
        print(stage, " ".join(f"{task} {srcc:.4f}" for task, srcc in found.items()), flush=True)
        mean = float(np.mean(list(found.values())))
        if math.isnan(mean):
            raise SystemExit(
                "each task must have regions to validate on that keep more and less, got rank "
                f"correlations {found}; build more pairs"
            )
        if mean > self.best:
            self.best = mean
            write(network, out, self.log)

    def save(self, file: Path) -> None:
        """Writes what a run needs that goes on from here."""
        state = {
            **{name: part.state_dict() for name, part in self._parts().items()},
            "log": self.log,
            "num_epochs": self.num_epochs,
            "best": self.best,
            "random": self.random.bit_generator.state,
            "torch_random": torch.get_rng_state(),
            "cuda_random": torch.cuda.get_rng_state_all(),
        }
        with whole_file(file) as part:
            torch.save(state, part)

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """What one step sees of an example.

    Attributes:
        versions, regions: Their numbers.
        scale: That the pictures are seen at.
    """

    example: Example
    versions: npt.NDArray[np.intp]
    regions: npt.NDArray[np.intp]
    scale: Scale
    is_mirrored: bool


def draw(example: Example, look: Look, random: np.random.Generator) -> Visit:
    """Returns some versions and regions, at one of the scales, perhaps mirrored."""
    num_versions, num_regions = example.targets.shape
    return Visit(
        example=example,
        versions=random.permutation(num_versions)[: look.versions],
        regions=random.permutation(num_regions)[: look.regions],
        scale=look.scales[random.integers(len(look.scales))],
        is_mirrored=bool(random.random() < 0.5),
    )


def read_visit(visit: Visit, cache: Path) -> tuple[Example, Pictures]:
    """Returns what is left of the example, and the pictures of it, the original first."""
    stored = pictures_of(visit.example, cache)
    known = visit.example.regions
    some = torch.from_numpy(visit.regions)
    example = replace(
        visit.example,
        targets=visit.example.targets[visit.versions][:, some],
        regions=Regions(
            boxes=known.boxes[some], scores=known.scores[some], classes=known.classes[some]
        ),
    )
    factor = visit.scale(*stored.shape[1:3], example.pairs.task)
    example, pictures = seen_at(factor, example, stored[[0, *(visit.versions + 1)]])
    if not visit.is_mirrored:
        return example, pictures
    x0, y0, x1, y1 = example.regions.boxes.unbind(1)
    width = pictures.shape[2]
    boxes = torch.stack([width - x1, y0, width - x0, y1], 1)
    mirrored = replace(example, regions=replace(example.regions, boxes=boxes))
    return mirrored, np.ascontiguousarray(pictures[:, :, ::-1])


def loss_on(network: SimilarityNetwork, example: Example, pictures: Pictures) -> Tensor:
    """Returns the loss of all versions and regions of one frame, by its task's head and general."""
    device = next(network.parameters()).device
    seen = to_tensor(pictures, device)
    reference = network.reference(seen[:1], example.regions.boxes.to(device))
    statistics = network.statistics(reference, seen[1:])
    targets = example.targets.to(device)
    region = torch.arange(targets.shape[1], device=device).expand(len(targets), -1)
    total = torch.zeros((), device=device)
    for task in (example.pairs.task, GENERAL):
        known = withheld(example.regions, 1.0 if task == GENERAL else WITHHELD)
        logits = network.head(task)(statistics, known.to(device))
        total = total + loss_of(logits.flatten(0, 1), targets.flatten(), region.flatten())
    return total


def validate(
    network: SimilarityNetwork, examples: Sequence[Example], cache: Path, scale: Scale
) -> dict[str, float]:
    """Returns the rank correlation of each task's head on all regions."""

    def read(example: Example) -> tuple[Example, Pictures]:
        stored = pictures_of(example, cache)
        return seen_at(scale(*stored.shape[1:3], example.pairs.task), example, stored)

    device = next(network.parameters()).device
    network.eval()
    found: defaultdict[str, list[float]] = defaultdict(list)
    wanted: defaultdict[str, list[float]] = defaultdict(list)
    with torch.inference_mode():
        for example, stored in read_ahead(read, examples):
            pictures = to_tensor(stored, device)
            regions = example.regions.to(device)
            reference = network.reference(pictures[:1], regions.boxes)
            for task in (example.pairs.task, GENERAL):
                known = example.regions if task != GENERAL else withheld(example.regions, 1.0)
                parts = [
                    network.quality(task, reference, part, known.to(device))
                    for part in torch.split(pictures[1:], TOGETHER)
                ]
                found[task] += torch.cat(parts).flatten().tolist()
                wanted[task] += example.targets.flatten().tolist()
    return {task: float(spearmanr(found[task], wanted[task])[0]) for task in found}


def write(network: SimilarityNetwork, out: Path, log: Log) -> None:
    """Writes weights and the course of the training, each under its final name when complete."""
    out.mkdir(parents=True, exist_ok=True)
    with whole_file(out / WEIGHTS_FILE) as part:
        save_file({name: value.contiguous() for name, value in network.state_dict().items()}, part)
    with whole_file(out / LOG_FILE) as part:
        part.write_text(json.dumps({"log": log, "machine": describe_machine()}, indent=1))

"""Heads that are trained on statistics, made once of pictures as the network sees them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from ratesight.metrics.learned import WEIGHTS
from ratesight.metrics.similarity_network import SimilarityNetwork
from ratesight.metrics.views import view_scale
from safetensors.torch import load_file

Benchmark = Callable[[str], ModuleType]
Trained = Callable[[], SimilarityNetwork]
SeenBy = Callable[[str, Sequence[Any]], tuple[list[Any], list[torch.Tensor]]]


def train(
    benchmark: Benchmark, network: SimilarityNetwork, examples: dict[str, list[Any]], cache: Path
) -> list[dict[str, float | str]]:
    log: list[dict[str, float | str]] = []
    heads = benchmark("similarity_heads")
    heads.train_heads(network, ["objects"], examples, cache, WEIGHTS, heads.LAST["objects"], log)
    return log


@pytest.fixture
def seen_by(
    benchmark: Benchmark,
    trained: Trained,
    examples: dict[str, list[Any]],
    blurred_photos: Path,
) -> SeenBy:
    """Returns what the original that trains is to a task, at some scales."""
    seen_by = benchmark("similarity_heads").seen_by
    return lambda task, scales: seen_by(
        task, trained(), examples["train"], blurred_photos, WEIGHTS, scales
    )


def test_objects_are_seen_enlarged_and_all_else_at_its_own_size(seen_by: SeenBy) -> None:
    boxes = {}
    for task in ("objects", "general"):
        (seen,), (statistics,) = seen_by(task, [view_scale])
        boxes[task] = seen.regions.boxes.tolist()
        assert statistics.shape[0] == 4
    assert boxes == {"objects": [[80.0, 80.0, 560.0, 400.0]], "general": [[8.0, 8.0, 56.0, 40.0]]}


def test_what_is_of_one_size_at_two_scales_is_there_once(
    seen_by: SeenBy, benchmark: Benchmark
) -> None:
    courses = benchmark("similarity_heads").LAST
    sides = {}
    for task in ("objects", "general"):
        seen, statistics = seen_by(task, courses[task].scales)
        assert len(seen) == len(statistics)
        sides[task] = [float(one.regions.boxes[0, 2] - one.regions.boxes[0, 0]) for one in seen]
    assert sides == {"objects": [48, 480], "general": [48]}


def test_statistics_are_made_once(seen_by: SeenBy, blurred_photos: Path) -> None:
    _, (first,) = seen_by("objects", [view_scale])
    (file,) = blurred_photos.glob("statistics_*/*.npy")
    np.save(file, np.load(file) + 1)
    _, (again,) = seen_by("objects", [view_scale])
    assert torch.equal(again, first + 1)


def test_a_head_that_goes_on_ranks_no_worse_and_features_stay(
    benchmark: Benchmark,
    trained: Trained,
    examples: dict[str, list[Any]],
    blurred_photos: Path,
) -> None:
    examples["train"] *= 130  # two batches of versions, at two scales
    network = trained()
    log = train(benchmark, network, examples, blurred_photos)
    before, after = (one["validation_srcc"] for one in log)
    assert after >= before
    moved = {
        name.partition(".")[0] if not name.startswith("heads") else name.split(".")[1]
        for name, value in load_file(WEIGHTS).items()
        if not torch.equal(value, network.state_dict()[name])
    }
    assert moved == {"objects"}


def test_a_head_that_learnt_the_wrong_order_stays_as_it_was(
    benchmark: Benchmark,
    trained: Trained,
    examples: dict[str, list[Any]],
    blurred_photos: Path,
) -> None:
    (example,) = examples["train"]
    example.targets.copy_(example.targets.flip(0))
    examples["train"] *= 260  # four steps an epoch, enough to turn it
    network = trained()
    log = train(benchmark, network, examples, blurred_photos)
    before, after = (one["validation_srcc"] for one in log)
    assert after < before
    for name, value in load_file(WEIGHTS).items():
        assert torch.equal(value, network.state_dict()[name]), name

"""Training of the learned metrics that goes on where it was stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from ratesight.metrics.similarity_network import SimilarityNetwork
from ratesight.metrics.views import view_scale
from safetensors.torch import load_file

Benchmark = Callable[[str], ModuleType]
Trained = Callable[[], SimilarityNetwork]


def weights_of(training: Any) -> dict[str, torch.Tensor]:
    """Returns the averaged weights and the last ones."""
    return {
        f"{name} {which}": value
        for which, network in (("last", training.network), ("averaged", training.averaged))
        for name, value in network.state_dict().items()
    }


def test_what_goes_on_is_what_was_never_stopped(
    benchmark: Benchmark, blurred_photos: Path, examples: dict[str, list[Any]], trained: Trained
) -> None:
    layers = benchmark("similarity_layers")
    look = layers.ON_CUDA
    epoch = examples["train"] * 4

    def begun() -> Any:
        return layers.Training(trained(), 4, [])

    whole = begun()
    whole.run_epoch(epoch, blurred_photos, look)
    whole.run_epoch(epoch, blurred_photos, look)

    first = begun()
    start = weights_of(first)
    first.run_epoch(epoch, blurred_photos, look)
    first.save(blurred_photos / "state.pt")
    second = begun()
    second.load(blurred_photos / "state.pt")
    second.run_epoch(epoch, blurred_photos, look)

    assert second.num_epochs == 2
    moved = [name for name, value in weights_of(second).items() if not value.equal(start[name])]
    assert any(name.startswith("stem") for name in moved)
    for name, value in weights_of(whole).items():
        assert torch.equal(value, weights_of(second)[name]), name


def test_a_visit_sees_the_same_region_mirrored_and_enlarged(
    benchmark: Benchmark, blurred_photos: Path, examples: dict[str, list[Any]]
) -> None:
    layers = benchmark("similarity_layers")
    (example,) = examples["train"]
    example.regions.boxes[0, 2] = 40  # off the middle
    visit = layers.Visit(
        example=example,
        versions=np.array([2, 0]),
        regions=np.array([0]),
        scale=view_scale,
        is_mirrored=False,
    )
    cut, boxes = [], []
    for is_mirrored in (False, True):
        seen, pictures = layers.read_visit(replace(visit, is_mirrored=is_mirrored), blurred_photos)
        assert pictures.shape == (3, 480, 640, 3)
        assert seen.targets.tolist() == example.targets[[2, 0]].tolist()
        x0, y0, x1, y1 = map(int, seen.regions.boxes[0].tolist())
        boxes.append([x0, y0, x1, y1])
        cut.append(pictures[:, y0:y1, x0:x1])
    assert boxes == [[80, 80, 400, 400], [240, 80, 560, 400]]
    np.testing.assert_array_equal(cut[0], cut[1][:, :, ::-1])


def test_training_writes_its_best_weights_and_leaves_no_state(
    benchmark: Benchmark, blurred_photos: Path, examples: dict[str, list[Any]], trained: Trained
) -> None:
    log: list[dict[str, float | str]] = []
    state, out = blurred_photos / "state.pt", blurred_photos / "weights"
    examples["train"] *= 4
    layers = benchmark("similarity_layers")
    layers.train_all(trained(), examples, blurred_photos, layers.ON_CPU, 2, state, out, log)
    assert not state.exists()
    assert [one["stage"] for one in log if one["task"] == "objects"] == [
        "start",
        "epoch 1",
        "epoch 2",
    ]
    assert set(load_file(out / "similarity.safetensors")) == set(trained().state_dict())


@pytest.mark.filterwarnings("ignore::scipy.stats.ConstantInputWarning")
def test_a_validation_part_that_keeps_all_alike_ends_training_in_one_line(
    benchmark: Benchmark, blurred_photos: Path, examples: dict[str, list[Any]], trained: Trained
) -> None:
    examples["train"] *= 4
    (alike,) = examples["validation"]
    examples["validation"] = [replace(alike, targets=torch.ones_like(alike.targets))]
    layers = benchmark("similarity_layers")
    with pytest.raises(SystemExit, match="keep more and less, got rank correlations"):
        layers.train_all(
            trained(), examples, blurred_photos, layers.ON_CPU, 1,
            blurred_photos / "state.pt", blurred_photos / "weights", [],
        )  # fmt: skip

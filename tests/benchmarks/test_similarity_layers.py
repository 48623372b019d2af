"""Training of the learned metrics that goes on where it was stopped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from ratesight.metrics.similarity_network import SimilarityNetwork
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

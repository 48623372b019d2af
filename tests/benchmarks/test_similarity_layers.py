"""Training of the learned metrics that goes on where it was stopped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from ratesight.metrics.learned import WEIGHTS
from ratesight.metrics.similarity_network import SimilarityNetwork
from safetensors.torch import load_file
from scipy.ndimage import gaussian_filter

Benchmark = Callable[[str], ModuleType]


def write_blurred_photos(benchmark: Benchmark, cache: Path) -> None:
    """Writes two originals whose versions are blurred more and more, and so keep less."""
    pairs, distortions = benchmark("pairs"), benchmark("distortions")
    random = np.random.default_rng(0)
    blurs = (0.5, 1.0, 2.0, 4.0)
    region = pairs.Region(
        box=(8.0, 8.0, 56.0, 40.0),
        class_name="car",
        machines={"yolov8n": pairs.View(box=(8.0, 8.0, 56.0, 40.0), score=0.8)},
    )
    version = distortions.Version(
        codec="jpeg", preset="", crf=30.0, options={}, scale=1.0, bits_per_pixel=1.0
    )
    for name, split in (("a", "train"), ("b", "validation")):
        noise = random.integers(0, 256, (48, 64, 3))
        original = gaussian_filter(noise, (1, 1, 0)).astype(np.uint8)
        distorted = [gaussian_filter(original, (blur, blur, 0)) for blur in blurs]
        group = pairs.Pairs(
            name=name,
            split=split,
            kind="photo",
            task="objects",
            versions=(version,) * len(blurs),
            regions=((region,),),
            labels=tuple((({"yolov8n": (1 / blur / 2, 1 / blur / 2)},),) for blur in blurs),
        )
        pairs.write_pairs(cache, group, [original], [[one] for one in distorted])


def trained_network() -> SimilarityNetwork:
    """Returns what ships, to be trained further."""
    torch.manual_seed(0)
    network = SimilarityNetwork(("objects", "faces", "plates", "general"))
    network.load_state_dict(load_file(WEIGHTS))
    return network.eval()


def weights_of(training: Any) -> dict[str, torch.Tensor]:
    """Returns the averaged weights and the last ones."""
    return {
        f"{name} {which}": value
        for which, network in (("last", training.network), ("averaged", training.averaged))
        for name, value in network.state_dict().items()
    }


@pytest.fixture
def cache(benchmark: Benchmark, tmp_path: Path) -> Path:
    write_blurred_photos(benchmark, tmp_path)
    return tmp_path


@pytest.fixture
def examples(benchmark: Benchmark, cache: Path) -> dict[str, list[Any]]:
    read = benchmark("similarity_examples").read_examples
    return {split: list(read(cache, split)) for split in ("train", "validation")}


def test_what_goes_on_is_what_was_never_stopped(
    benchmark: Benchmark, cache: Path, examples: dict[str, list[Any]]
) -> None:
    layers = benchmark("similarity_layers")
    epoch = examples["train"] * 4

    def begun() -> Any:
        return layers.Training(trained_network(), 4, [])

    whole = begun()
    whole.run_epoch(epoch, cache)
    whole.run_epoch(epoch, cache)

    first = begun()
    start = weights_of(first)
    first.run_epoch(epoch, cache)
    first.save(cache / "state.pt")
    second = begun()
    second.load(cache / "state.pt")
    second.run_epoch(epoch, cache)

    assert second.num_epochs == 2
    moved = [name for name, value in weights_of(second).items() if not value.equal(start[name])]
    assert any(name.startswith("stem") for name in moved)
    for name, value in weights_of(whole).items():
        assert torch.equal(value, weights_of(second)[name]), name


def test_training_writes_its_best_weights_and_leaves_no_state(
    benchmark: Benchmark, cache: Path, examples: dict[str, list[Any]], tmp_path: Path
) -> None:
    log: list[dict[str, float | str]] = []
    state, out = cache / "state.pt", tmp_path / "weights"
    examples["train"] *= 4
    benchmark("similarity_layers").train_all(trained_network(), examples, cache, 2, state, out, log)
    assert not state.exists()
    assert [one["stage"] for one in log if one["task"] == "objects"] == [
        "start",
        "epoch 1",
        "epoch 2",
    ]
    assert set(load_file(out / "similarity.safetensors")) == set(trained_network().state_dict())

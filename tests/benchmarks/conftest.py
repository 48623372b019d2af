"""Benchmarks are not installed: they are imported from the checkout."""

from __future__ import annotations

import importlib
import importlib.util
import sys
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


@pytest.fixture(scope="session")
def benchmark() -> Benchmark:
    """Imports a benchmark by its name."""
    folder = Path(__file__).resolve().parents[2] / "benchmarks"
    spec = importlib.util.spec_from_file_location(
        "benchmarks", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules["benchmarks"] = package
    spec.loader.exec_module(package)
    return lambda name: importlib.import_module(f"benchmarks.{name}")


@pytest.fixture
def blurred_photos(benchmark: Benchmark, tmp_path: Path) -> Path:
    """Returns a cache of two originals whose versions are blurred more and more, and keep less."""
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
        pairs.write_pairs(tmp_path, group, [original], [[one] for one in distorted])
    return tmp_path


@pytest.fixture
def examples(benchmark: Benchmark, blurred_photos: Path) -> dict[str, list[Any]]:
    """Returns one example of each split."""
    read = benchmark("similarity_examples").read_examples
    return {split: list(read(blurred_photos, split)) for split in ("train", "validation")}


@pytest.fixture
def trained() -> Callable[[], SimilarityNetwork]:
    """Returns what makes the network that ships, to be trained further."""

    def load() -> SimilarityNetwork:
        torch.manual_seed(0)
        network = SimilarityNetwork(("objects", "faces", "plates", "general"))
        network.load_state_dict(load_file(WEIGHTS))
        return network.eval()

    return load

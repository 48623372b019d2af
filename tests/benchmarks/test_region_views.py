"""Ways to look at regions: the same statistics of the same regions, whatever the network sees."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
import torch
from ratesight.metrics.learned import load_network

Benchmark = Callable[[str], ModuleType]

BOXES = torch.tensor([[10.0, 20.0, 110.0, 90.0], [150.0, 30.0, 319.0, 199.0]])


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    original = np.kron(random.integers(0, 256, (25, 40, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    noise = random.integers(-60, 60, original.shape)
    return [original, original, np.clip(original + noise, 0, 255).astype(np.uint8)]


@pytest.mark.parametrize("name", ["whole", "whole_at_640", "crops"])
def test_each_way_tells_the_original_from_a_version(
    benchmark: Benchmark, pictures: list[np.ndarray], name: str
) -> None:
    network, _ = load_network()
    with torch.inference_mode():
        found, _ = getattr(benchmark("region_views"), name)(network, pictures, BOXES)
    assert found.shape[:3] == (2, 2, len(BOXES))
    means, structure = found[..., 0], found[..., 1]
    assert torch.allclose(means[0], torch.ones(()), atol=1e-3)
    assert torch.allclose(structure[0], torch.ones(()), atol=2e-2)
    assert structure[1].mean() < 0.9


def test_boxes_grow_with_a_picture_that_is_enlarged(
    benchmark: Benchmark, pictures: list[np.ndarray]
) -> None:
    network, _ = load_network()
    with torch.inference_mode():
        _, boxes = benchmark("region_views").whole_at_640(network, pictures, BOXES)
        _, of_crops = benchmark("region_views").crops(network, pictures, BOXES)
    assert torch.allclose(boxes, BOXES * 2)
    assert torch.equal(of_crops, BOXES)

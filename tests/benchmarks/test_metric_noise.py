"""How much a score depends on which frames are looked at, told with an interval."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest


@pytest.fixture(scope="module")
def benchmark_noise(benchmark: Callable[[str], ModuleType]) -> ModuleType:
    return benchmark("metric_noise")


@pytest.fixture(scope="module")
def rows(benchmark_noise: ModuleType) -> list[dict[str, Any]]:
    """Six clips, two encoders: the detectors' scores are normal, the metric's half as far off.

    Of a detector's deviation of 0.04 what all of them see makes 0.024.
    """
    random, rates, found = np.random.default_rng(1), [200.0, 100.0], []
    for number in range(12):
        level, seen = np.array([[0.9], [0.8]]), random.normal(0, 0.024, (2, 8))
        off = seen + random.normal(0, 0.032, (3, 2, 8))
        row = {
            "yolov8n": level + off[0],
            "yolov5n": level + off[1],
            "yolox_nano": level + off[2],
            "objects": level - 0.1 + off[0] / 2,
        }
        noise = {name: benchmark_noise.noise(samples, rates) for name, samples in row.items()}
        found.append({"clip": str(number // 2), "rate_kbps": rates, **noise})
    return found


def test_deviation_is_over_samples_and_in_shares_of_the_rate(benchmark_noise: ModuleType) -> None:
    samples = np.array([[0.9, 0.92] * 4, [0.8, 0.82] * 4])
    found = benchmark_noise.noise(samples, [200.0, 100.0])
    assert found["deviation"] == pytest.approx(0.01 * np.sqrt(8 / 7))
    # A tenth of quality for a doubled rate.
    assert found["deviation_in_log_rate"] == pytest.approx(found["deviation"] / 0.1 * np.log(2))


def test_a_metric_half_as_noisy_says_half_of_every_draw(
    benchmark_noise: ModuleType, rows: list[dict[str, Any]]
) -> None:
    value, low, high = benchmark_noise.median_ratios(rows)["deviation"]
    assert [value, low, high] == pytest.approx([0.5, 0.5, 0.5])


def test_what_detectors_share_is_the_root_of_their_covariance(
    benchmark_noise: ModuleType, rows: list[dict[str, Any]]
) -> None:
    value, low, high = benchmark_noise.median_ratios(rows)["shared"]
    assert value == pytest.approx(0.6, abs=0.15)
    assert low < value < high


def test_interval_widens_with_what_is_not_shared(
    benchmark_noise: ModuleType, rows: list[dict[str, Any]]
) -> None:
    random = np.random.default_rng(2)
    other = [
        row
        | {
            "objects": benchmark_noise.noise(
                np.array([[0.9], [0.8]]) + random.normal(0, 0.02, (2, 8)), row["rate_kbps"]
            )
        }
        for row in rows
    ]
    value, low, high = benchmark_noise.median_ratios(other)["deviation"]
    assert low < value < high
    assert high - low > 0.1

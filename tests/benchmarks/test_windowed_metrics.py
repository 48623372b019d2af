from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import piq
import pytest
import torch


@pytest.fixture(scope="module")
def windowed_metrics(benchmark: Callable[[str], ModuleType]) -> ModuleType:
    return benchmark("windowed_metrics")


ORACLES = {
    "psnr": piq.psnr,
    "ssim": piq.ssim,
    "ms_ssim": piq.multi_scale_ssim,
    "vif": piq.vif_p,
}


@pytest.mark.parametrize("name", sorted(ORACLES))
@pytest.mark.parametrize("size", [(176, 208), (272, 336), (400, 528)])
def test_agrees_with_piq(
    windowed_metrics: ModuleType, data: Path, name: str, size: tuple[int, int]
) -> None:
    photo = sorted((data / "photos").glob("*.jpg"))[0]
    picture = cv2.imread(str(photo), cv2.IMREAD_GRAYSCALE)
    assert picture is not None
    reference = cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA)
    for quality in (5, 40):
        coded = cv2.imencode(".jpg", reference, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        distorted = cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE)
        assert distorted is not None
        first, second = (one.astype(np.float32) for one in (reference, distorted))
        tensors = (torch.from_numpy(one)[None, None] for one in (second, first))
        expected = ORACLES[name](*tensors, data_range=255.0).item()
        found = getattr(windowed_metrics, name)(first, second)
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("name", ["ssim", "ms_ssim", "vif"])
def test_small_and_flat_pictures(windowed_metrics: ModuleType, name: str) -> None:
    metric = getattr(windowed_metrics, name)
    texture = np.random.default_rng(0).uniform(0, 255, (24, 30)).astype(np.float32)
    flat = np.full((24, 30), 90, dtype=np.float32)
    assert metric(texture, texture) == pytest.approx(1.0, abs=1e-5)
    assert metric(flat, flat) == pytest.approx(1.0, abs=1e-5)
    assert 0 <= metric(texture, flat) < 0.3

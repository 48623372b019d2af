"""What the objects metric is trained on beside photos and clips: a camera over a photo."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import numpy.typing as npt
import pytest

Benchmark = Callable[[str], ModuleType]
Picture = npt.NDArray[np.uint8]
Panned = Callable[[str], list[Picture]]


@pytest.fixture
def panned(benchmark: Benchmark, data: Path) -> Panned:
    """Returns what a camera sees of a photo of 640x478 pixels, by the material's name."""
    pairs = benchmark("object_pairs")
    photo = data / "detection/images/coco128_train2017/000000000042.jpg"

    def frames(name: str) -> list[Picture]:
        material = pairs.Material(name=name, split="train", kind="pan", path=photo)
        pictures, wanted = pairs.originals(material)
        assert set(wanted) < set(range(len(pictures)))
        return list(pictures)

    return frames


def moved(first: Picture, last: Picture) -> npt.NDArray[np.float64]:
    """Returns by how many pixels the view has moved."""
    grey = [cv2.cvtColor(one, cv2.COLOR_BGR2GRAY).astype(np.float64) for one in (first, last)]
    height, width = grey[0].shape
    window = cv2.createHanningWindow((width, height), cv2.CV_64F)
    return np.array(cv2.phaseCorrelate(grey[0], grey[1], window)[0])


def test_a_camera_moves_evenly_over_a_photo(panned: Panned) -> None:
    frames = panned("c")

    (shape,) = {one.shape for one in frames}
    assert shape[0] % 2 == shape[1] % 2 == 0
    assert shape[0] < 478
    assert shape[1] < 640
    whole = moved(frames[0], frames[-1])
    assert np.abs(whole).max() > 10
    np.testing.assert_allclose(moved(frames[0], frames[5]), whole / 3, atol=0.5)


def test_a_camera_that_stands_still_has_noise(panned: Panned) -> None:
    frames = panned("f")

    np.testing.assert_allclose(moved(frames[0], frames[-1]), 0, atol=0.1)
    assert 1 < np.abs(frames[0].astype(int) - frames[1]).mean() < 6


def test_the_name_alone_says_how_it_moves(panned: Panned) -> None:
    np.testing.assert_array_equal(panned("c"), panned("c"))
    assert panned("a")[0].shape != panned("c")[0].shape


def test_no_camera_moves_over_a_photo_that_tests(benchmark: Benchmark, data: Path) -> None:
    pairs = benchmark("object_pairs")
    split = {one.path: one.split for one in pairs.materials(data) if one.kind == "photo"}
    pans = pairs.pans(data)
    assert len(pans) > 800
    assert {split[one.path] for one in pans} == {"train", "validation"}
    assert all(split[one.path] == one.split for one in pans)

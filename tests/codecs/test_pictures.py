"""Pictures in memory, as a folder of them would be read."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from ratesight.codecs.errors import ClipError
from ratesight.codecs.fidelity import frame_errors
from ratesight.codecs.pictures import Pictures
from ratesight.codecs.source import load_source


def noise(height: int, width: int) -> Pictures:
    drawn = np.random.default_rng(0).integers(0, 256, (2, height, width, 3), np.uint8)
    return Pictures(pictures=drawn, frame_rate=Fraction(25))


@pytest.mark.parametrize("size", [(72, 96), (71, 93), (64, 64), (359, 641)])
def test_planes_are_those_of_a_folder(size: tuple[int, int], tmp_path: Path) -> None:
    pictures = noise(*size)
    for number, picture in enumerate(pictures.pictures):
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture)
    with load_source(tmp_path) as source:
        for name in ("width", "height", "num_frames", "frame_rate", "pix_fmt", "color_space"):
            assert getattr(pictures, name) == getattr(source, name)
        for index in range(2):
            np.testing.assert_array_equal(pictures.planes(index), source.planes(index))
            np.testing.assert_array_equal(pictures.bgr(index), source.bgr(index))


@pytest.mark.parametrize("size", [(44, 46), (14, 1000), (1000, 14), (2, 2)])
def test_frames_on_which_filters_break_are_refused(size: tuple[int, int]) -> None:
    pictures = noise(*size)
    pairs = [(pictures.planes(0), pictures.planes(1))]
    with pytest.raises(ClipError, match=f"at least 2025 pixels, got {size[1]}x{size[0]}"):
        next(frame_errors(pictures, pairs))


@pytest.mark.parametrize("size", [(46, 46), (16, 128), (128, 16)])
def test_the_smallest_frames_have_values(size: tuple[int, int]) -> None:
    pictures = noise(*size)
    found = next(frame_errors(pictures, [(pictures.planes(0), pictures.planes(1))]))
    assert np.isfinite([found.squared_error, found.ssim, *found.weighted_errors]).all()

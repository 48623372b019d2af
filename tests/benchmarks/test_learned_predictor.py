"""Our metrics as predictors say what the product says."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from ratesight.codecs.pictures import Pictures

import ratesight

Benchmark = Callable[[str], ModuleType]


def test_built_in_regions_are_those_of_a_score_without_a_detector(
    benchmark: Benchmark, data: Path
) -> None:
    photo = cv2.imread(
        str(data / "detection" / "images" / "coco128_val2017" / "000000000139.jpg")
    ).astype(np.uint8)
    versions = [cv2.GaussianBlur(photo, None, sigma) for sigma in (1.5, 4.0)]
    empty = np.full_like(photo, 90)
    # As a machine sees them, from 4:2:0: so are those of the pairs.
    seen = Pictures(pictures=np.stack([photo, *versions]), frame_rate=Fraction(1))
    pictures = np.stack([np.stack([seen.bgr(at), empty]) for at in range(seen.num_frames)])

    found = benchmark("learned_predictor").learned_predictor().predict(group(benchmark), pictures)

    said = [
        ratesight.score(photo[None], one[None], metrics=("objects",))["objects"].value
        for one in versions
    ]
    frames = found["ours, built-in regions"].frames
    assert frames[:, 0].tolist() == pytest.approx(said, abs=1e-6)
    assert frames[0, 0] > frames[1, 0] + 0.05
    # Nothing is found on an even grey, and so nothing can be lost.
    assert frames[:, 1].tolist() == [1.0, 1.0]


def group(benchmark: Benchmark) -> object:
    """Returns two frames, of which the first has one known region."""
    pairs, distortions = benchmark("pairs"), benchmark("distortions")
    box = (10.0, 10.0, 200.0, 200.0)
    region = pairs.Region(
        box=box, class_name="tv", machines={"yolov8n": pairs.View(box=box, score=0.8)}
    )
    version = distortions.Version(
        codec="jpeg", preset="", crf=30.0, options={}, scale=1.0, bits_per_pixel=1.0
    )
    return benchmark("labelled_groups").Group(
        name="a",
        task="objects",
        kind="photo",
        origin="a",
        is_chosen=np.array([True, True]),
        versions=(version,) * 2,
        num_frames=2,
        regions=(region,),
        frame_of_region=np.array([0]),
        kept={"yolov8n": np.ones((2, 1))},
        seen={"yolov8n": np.array([True])},
        cache=Path(),
    )

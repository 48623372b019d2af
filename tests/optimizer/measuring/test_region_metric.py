"""Metrics that look at regions: several of them share who finds these."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from ratesight.metrics.detector import load_detector
from ratesight.optimizer.measuring.region_metric import (
    Finders,
    FoundRegions,
    SharedFinder,
    load_region_metrics,
)

Picture = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def pictures(data: Path) -> list[Picture]:
    photos = sorted((data / "plates" / "openalpr_eu").glob("*.jpg"))[:2]
    return [np.asarray(cv2.imread(str(photo)), np.uint8) for photo in photos]


def test_it_looks_once_at_what_several_ask_about(pictures: list[Picture], weights: Path) -> None:
    finder = load_detector(str(weights), image_size=192)
    shared = SharedFinder(finder=finder)

    first, again = shared.detect(pictures, 0.4), shared.detect(list(pictures), 0.4)
    lower, one = shared.detect(pictures, 0.2), shared.detect(pictures[1:], 0.2)

    assert all(seen is known for seen, known in zip(again, first, strict=True))
    for found, asked, score in (
        (first, pictures, 0.4), (lower, pictures, 0.2), (one, pictures[1:], 0.2),
    ):  # fmt: skip
        for seen, expected in zip(found, finder.detect(asked, score), strict=True):
            np.testing.assert_allclose(seen.boxes, expected.boxes)
            assert seen.class_names == expected.class_names
    assert sum(len(seen.class_names) for seen in lower) > sum(len(s.class_names) for s in first)
    assert shared.version == finder.version


def test_objects_and_all_else_look_at_what_a_detector_sees(weights: Path) -> None:
    metrics = load_region_metrics(
        ["objects", "plates", "general"], Finders(detector=str(weights), image_size=192), None
    )

    machines = [one.machine for one in metrics if isinstance(one, FoundRegions)]

    assert [one.name for one in metrics] == ["objects", "plates", "general"]
    assert machines[0].finder is machines[2].finder
    assert machines[0].finder is not machines[1].finder
    own = load_region_metrics(["objects", "general"], Finders(), None)
    versions = [one.machine.finder.version for one in own if isinstance(one, FoundRegions)]
    assert len(set(versions)) == 2

"""Versions that lose hardly anything: drawn after the others, and judged apart from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

Benchmark = Callable[[str], ModuleType]


@pytest.fixture
def stored(benchmark: Benchmark, data: Path, tmp_path: Path) -> Path:
    """Returns a cache of one test photo, with all its versions."""
    pairs = benchmark("object_pairs")
    material = next(
        one for one in pairs.materials(data) if (one.split, one.kind) == ("test", "photo")
    )
    pairs.make((material, data, tmp_path))
    return tmp_path


def test_light_versions_come_after_the_others_and_lose_less(
    benchmark: Benchmark, stored: Path
) -> None:
    (pairs,) = benchmark("pairs").all_pairs(stored, ["objects"])
    light = [version.is_light for version in pairs.versions]
    assert light == sorted(light)
    assert {True, False} == set(light)
    crfs = {
        at: [one.crf for one in pairs.versions if one.codec == "x264" and one.is_light == at]
        for at in (True, False)
    }
    assert 8 <= min(crfs[True]) <= max(crfs[True]) < 22 <= min(crfs[False])
    kept = np.array([[one["yolov8n"][0] for (one, *_) in version] for version in pairs.labels])
    assert kept[light].mean() > kept[np.invert(light)].mean()


def test_a_group_has_pictures_and_labels_of_its_own_versions(
    benchmark: Benchmark, stored: Path
) -> None:
    (pairs,) = benchmark("pairs").all_pairs(stored, ["objects"])
    pictures = benchmark("pairs").read_pictures(stored, pairs.name)
    read = benchmark("labelled_groups").read_groups
    groups = [
        *read(stored, ["objects"], "test"),
        *read(stored, ["objects"], "test", is_light=True),
    ]
    assert [one.versions[0].is_light for one in groups] == [False, True]
    assert sum((one.versions for one in groups), ()) == pairs.versions
    for name in ("yolov5n", "yolov8n", "yolox_nano"):
        labels = [[one.get(name, (0.0,))[0] for one in version[0]] for version in pairs.labels]
        np.testing.assert_array_equal(np.concatenate([one.kept[name] for one in groups]), labels)
    for group in groups:
        np.testing.assert_array_equal(group.pictures()[0], pictures[0])
    versions = np.concatenate([one.pictures()[1:] for one in groups])
    np.testing.assert_array_equal(versions, pictures[1:])

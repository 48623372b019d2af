"""What the metrics of faces and plates are trained on: photos, and the same at every size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

Benchmark = Callable[[str], ModuleType]


@pytest.mark.parametrize(
    ("task", "sizes"), [("face", [0.5, 0.75, 1.0]), ("plate", [64, 96, 128, 192])]
)
def test_each_photo_that_trains_is_there_at_every_size(
    benchmark: Benchmark, data: Path, task: str, sizes: list[float]
) -> None:
    pairs = benchmark("face_plate_pairs")
    photos = {one.photo.path: one for one in pairs.materials(data) if one.name.startswith(task)}
    found: dict[Path, list[float]] = {}
    for one in pairs.resized_materials(data):
        if one.name.startswith(task):
            assert (one.split, one.kind) == ("train", "resized")
            found.setdefault(one.photo.path, []).append(one.size)
    assert set(found) == {path for path, one in photos.items() if one.split == "train"}
    assert all(sorted(one) == sizes for one in found.values())


def test_faces_and_plates_have_the_size_that_is_told(
    benchmark: Benchmark, data: Path, tmp_path: Path
) -> None:
    pairs = benchmark("face_plate_pairs")
    widths: dict[str, list[int]] = {"faces": [], "plates": []}
    for first in ("face", "plate_openalpr_us"):
        some = [one for one in pairs.resized_materials(data) if one.name.startswith(first)]
        for material in (one for one in some if one.photo is some[0].photo):
            pairs.make((material, data, tmp_path))
            made = benchmark("pairs").read_pairs(tmp_path, material.name)
            assert len(made.versions) == 16
            assert {version.codec for version in made.versions} == {"x264", "x265", "jpeg"}
            assert not any(version.is_light for version in made.versions)
            ((region,),) = made.regions
            widths[made.task].append(round(region.box[2] - region.box[0]))
    assert widths["faces"][1:] == [round(widths["faces"][0] * size) for size in (0.75, 0.5)]
    own = widths["plates"][-1]
    assert 96 < own < 128
    assert widths["plates"] == [64, 96, own, own]

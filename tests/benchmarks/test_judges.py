"""Machines that only judge: they do what they are known for, and are no part of the mean."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from ratesight.metrics.faces import align
from ratesight.metrics.plate_reader import normalized
from ratesight.metrics.plates import jaro

Benchmark = Callable[[str], ModuleType]


def test_dlib_tells_persons_apart(benchmark: Benchmark, data: Path) -> None:
    material = benchmark("material_faces_plates")
    pairs = material.read_face_pairs(data / "faces")
    chosen = [one for one in pairs if one.is_same][:8] + [one for one in pairs if not one.is_same][
        :8
    ]
    photos = {one.path: one for one in material.read_face_photos(data / "faces")}
    embedder = benchmark("dlib_embedder").load_dlib_embedder()

    def embedding(file: Path) -> np.ndarray:
        picture = np.asarray(cv2.imread(str(file)), np.uint8)
        return np.asarray(embedder.embed(align(picture, photos[file].landmarks[None]))[0])

    cosines = [embedding(one.first) @ embedding(one.second) for one in chosen]

    assert all(cosine <= 1 + 1e-9 for cosine in cosines)
    assert sum(cosine > 0.9 for cosine in cosines[:8]) >= 7
    assert sum(cosine < 0.9 for cosine in cosines[8:]) >= 7


def test_no_face_has_no_embedding(benchmark: Benchmark) -> None:
    embedder = benchmark("dlib_embedder").load_dlib_embedder()
    assert embedder.embed(np.zeros((0, 112, 112, 3), np.uint8)).shape == (0, 128)


def test_lprnet_reads_chinese_plates(benchmark: Benchmark, data: Path) -> None:
    plates = benchmark("material_faces_plates").read_plate_pictures(data / "plates")
    chinese = [one for one in plates if one.source == "cn_crops"][:24]
    reader = benchmark("lprnet").load_lprnet(data / "weights" / "lprnet.pth")

    readings = reader.read([np.asarray(cv2.imread(str(one.path)), np.uint8) for one in chinese])

    texts = [normalized(one.text) for one in chinese]
    similar = [jaro(text, read.text) for text, read in zip(texts, readings, strict=True)]
    assert sum(text == read.text for text, read in zip(texts, readings, strict=True)) >= 20
    assert np.mean(similar) > 0.95
    assert all(0 < reading.score <= 1 for reading in readings)
    assert reader.read([np.zeros((0, 4, 3), np.uint8)])[0].text == ""


@pytest.mark.parametrize(
    ("machines", "mean", "names"),
    [
        (["rapidocr"], ("rapidocr",), ["mean"]),
        (["lprnet", "rapidocr"], ("rapidocr",), ["mean", "lprnet", "lprnet, common"]),
        (
            ["arcface_mobilefacenet_int8", "dlib", "mobilefacenet"],
            ("arcface_mobilefacenet_int8", "mobilefacenet"),
            None,
        ),
    ],
)
def test_judges_are_no_part_of_the_mean(
    benchmark: Benchmark, machines: list[str], mean: tuple[str, ...], names: list[str] | None
) -> None:
    targets = benchmark("correlation").targets(machines)

    by_name = {one.name: one for one in targets}
    assert len(by_name) == len(targets)
    assert by_name["mean"].machines == by_name["mean"].scope == mean
    assert names is None or list(by_name) == names
    for judge in set(machines) - set(mean):
        assert by_name[f"{judge}, common"].scope == (*mean, judge)
        assert by_name[judge].scope == (judge,)

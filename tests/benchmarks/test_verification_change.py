"""Faces after compression, each photo as a clip by itself, and the table of what that changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

Benchmark = Callable[[str], ModuleType]


def test_what_is_kept_falls_with_the_crf(benchmark: Benchmark, data: Path) -> None:
    module = benchmark("verification_change")
    pairs = module.read_face_pairs(data / "faces")[::60]

    with module.open_album(data, pairs) as album:
        light, strong = (module.measure(album, "x264", crf) for crf in (24, 50))
        again = module.measure(album, "x264", 50)
        key = module.row_key(album, "x264", 24)

    assert 0 < len(album.held_out) < len(album.photos)
    assert light["original"] == strong["original"] >= 0.9
    assert light["distorted"] >= 0.9
    for name in ("bits_per_pixel", "cosine_kept", "held_out_cosine_kept", "held_out_predicted"):
        assert 0 < strong[name] < light[name]
    assert strong["change"] == strong["distorted"] - strong["original"] < 0
    assert strong["low"] <= strong["change"] <= strong["high"]
    assert {**again, "seconds": 0} == {**strong, "seconds": 0}
    assert key["crf"] == 24
    assert album.embedder.version in key.values()


@pytest.mark.parametrize("order", [1, -1])
def test_rows_are_told_by_encoder_and_crf(benchmark: Benchmark, order: int) -> None:
    numbers: dict[str, Any] = {
        "bits_per_pixel": 0.125,
        "original": 0.99,
        "distorted": 0.85,
        "refitted": 0.9,
        "change": -0.14,
        "low": -0.17,
        "high": -0.112,
        "cosine_kept": 0.5,
        "held_out_cosine_kept": 0.48,
        "held_out_predicted": 0.52,
    }
    rows = [
        {"codec": codec, "crf": crf, **numbers}
        for codec, crf in (("x264", 9), ("x264", 34), ("svtav1", 38))
    ]
    results = {"rows": rows[::order], "num_pairs": 600, "num_photos": 807}

    said = benchmark("verification_table").table({**results, "num_held_out_photos": 161})

    lines = said.splitlines()
    assert lines[2] == (
        "| x264 | 9 | 0.12 | 85.0 % | -14.0 (-17.0 to -11.2) | 90.0 % | 0.50 | 0.48 | 0.52 |"
    )
    assert [line.split(" | ")[1] for line in lines[2:5]] == ["9", "34", "38"]
    assert lines[-1].startswith("Originals: 99.0 % of 600 pairs of 807 photos are told right; 161")

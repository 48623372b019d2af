"""Plates whose boxes, and some of whose texts, a person gives."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ratesight.codecs.source import Source, load_source
from ratesight.metrics.annotations import load_annotations
from ratesight.metrics.detector import load_detector
from ratesight.metrics.errors import NoObjectsError
from ratesight.metrics.plate_reader import load_rapidocr
from ratesight.metrics.plates import PlateMachine
from ratesight.optimizer.commands.app import app
from ratesight.optimizer.measuring.bench import Bench
from ratesight.optimizer.measuring.measure import Measurer, open_measurer
from ratesight.optimizer.measuring.set_up import set_up_bench
from ratesight.optimizer.measuring.store import open_store
from typer.testing import CliRunner

# Of the clip of a parked car.
NUM_FRAMES = 6
# Of the photo's plate on the first frame of the clip; the camera moves on by four pixels a frame.
CUT_X, CUT_Y = 60, 200


@pytest.fixture(scope="module")
def plate(data: Path) -> tuple[list[float], str]:
    """The box, x y width height on the photo, and the text."""
    rows = (data / "plates" / "labels.csv").read_text(encoding="utf-8").splitlines()
    names = rows[0].split(",")
    row = next(dict(zip(names, one.split(","), strict=True)) for one in rows if "eu10.jpg" in one)
    return [float(value) for value in row["box_xywh"].split()], row["text"]


@pytest.fixture(scope="module")
def source(parked_car: Path) -> Iterator[Source]:
    with load_source(parked_car, frame_rate=Fraction(10)) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def machine(data: Path) -> PlateMachine:
    detector = load_detector(str(data / "weights" / "plate_yolov8n.pt"))
    return PlateMachine(detector=detector, reader=load_rapidocr())


@pytest.fixture
def measurer(tmp_path: Path) -> Iterator[Measurer]:
    with open_store(tmp_path / "s.sqlite") as store, open_measurer(store, 1) as opened:
        yield opened


def write(path: Path, box: list[float], *, move: float = 0, **fields: object) -> Path:
    """Writes a plate on every frame, moved to the right; the odd frames get the other fields."""
    x, y, width, height = box
    annotations: list[dict[str, Any]] = [
        {
            "image_id": number,
            "category_id": 1,
            "bbox": [x - CUT_X - 4 * number + move, y - CUT_Y, width, height],
            **(fields if number % 2 else {}),
        }
        for number in range(NUM_FRAMES)
    ]
    images = [{"id": number, "frame_index": number} for number in range(NUM_FRAMES)]
    categories = [{"id": 1, "name": "licence plate"}]
    coco = {"images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(coco))
    return path


def set_up(source: Source, machine: PlateMachine, file: Path, measurer: Measurer) -> Bench:
    return set_up_bench(
        source,
        machine,
        segments=source.whole,
        sample=[(2, 2), (3, 3)],
        annotations=load_annotations(file, source.num_frames),
        regions=None,
        measurer=measurer,
    )


def test_annotated_boxes_are_read_as_they_are(
    source: Source,
    machine: PlateMachine,
    plate: tuple[list[float], str],
    measurer: Measurer,
    tmp_path: Path,
) -> None:
    box, text = plate
    file = write(tmp_path / "plates.json", box, text=f"{text}X")

    bench = set_up(source, machine, file, measurer)

    by_reader, told = bench.references
    for number, reference in ((2, by_reader), (3, told)):
        assert isinstance(reference.objects.boxes, np.ndarray)
        x, y = box[0] - CUT_X - 4 * number, box[1] - CUT_Y
        expected = [[x, y, x + box[2], y + box[3]]]
        np.testing.assert_allclose(reference.objects.boxes, expected)
        assert reference.objects.class_names == ("licence plate",)
    (told_json, read_json) = machine.to_json(told), machine.to_json(by_reader)
    assert isinstance(told_json, dict)
    assert isinstance(read_json, dict)
    assert told_json["texts"] == [f"{text}X"]
    assert 0.8 < told_json["similarities"][0] < 1
    assert read_json["similarities"] == [1]


def test_annotated_plates_are_read_once(
    source: Source,
    machine: PlateMachine,
    plate: tuple[list[float], str],
    measurer: Measurer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = write(tmp_path / "plates.json", plate[0], text=plate[1])
    other = write(tmp_path / "other.json", plate[0], text="HH 4711")
    first, second = (set_up(source, machine, one, measurer) for one in (file, other))
    monkeypatch.delattr(PlateMachine, "look_at")

    again = set_up(source, machine, file, measurer)

    texts = [[machine.to_json(one) for one in some.references] for some in (first, second, again)]
    assert texts[0] == texts[2] != texts[1]


def test_boxes_beside_the_plates_are_refused(
    source: Source,
    machine: PlateMachine,
    plate: tuple[list[float], str],
    measurer: Measurer,
    tmp_path: Path,
) -> None:
    file = write(tmp_path / "plates.json", plate[0], move=5000, text=plate[1])

    with pytest.raises(NoObjectsError, match=r"must read at least one .* none of 2 on 2 frames;"):
        set_up(source, machine, file, measurer)


def test_a_search_goes_by_annotated_plates(
    parked_car: Path, plate: tuple[list[float], str], tmp_path: Path
) -> None:
    file = write(tmp_path / "plates.json", plate[0], text=plate[1])
    words = [
        "tune", parked_car, "--metric", "plate-reader", "--annotations", file, "--frame-rate", 10,
        "--preset", "veryfast", "--trials", 2, "--target-quality", 0.8, "--jobs", 1,
        "--frames-per-second", 5, "--store", tmp_path / "store.sqlite", "--out", tmp_path / "out",
    ]  # fmt: skip

    result = CliRunner().invoke(app, [str(word) for word in words])

    assert result.exit_code in (0, 3), result.output
    found = json.loads((tmp_path / "out" / "recommendation.json").read_text())
    assert found["machines"]["metric"] == "plate-reader"
    assert found["provenance"]["annotations"] == str(file)
    assert found["anchor_curve"][0]["quality"] > 0.8

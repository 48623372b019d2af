"""Real plates, read before and after compression."""

from __future__ import annotations

import importlib.util
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ratesight.metrics.boxes import Detections
from ratesight.metrics.detector import load_detector
from ratesight.metrics.learned import load_learned_metric
from ratesight.metrics.plate_reader import RapidOcrReader, load_rapidocr, normalized
from ratesight.metrics.plates import PlateMachine, crop, jaro, shrunk
from ratesight.optimizer.measuring.machine_table import load_finder

Picture = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def reader() -> RapidOcrReader:
    return load_rapidocr()


@pytest.fixture(scope="module")
def machine(data: Path, reader: RapidOcrReader) -> PlateMachine:
    return PlateMachine(
        detector=load_detector(str(data / "weights/plate_yolov8n.pt")), reader=reader
    )


@pytest.fixture(scope="module")
def material() -> ModuleType:
    """The benchmarks' reader; benchmarks are not installed."""
    file = Path(__file__).resolve().parents[2] / "benchmarks" / "material_faces_plates.py"
    spec = importlib.util.spec_from_file_location("material_faces_plates", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def read(photo: Path) -> Picture:
    return np.asarray(cv2.imread(str(photo)), dtype=np.uint8)


def jpeg(picture: Picture, quality: int) -> Picture:
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)


def plates_at(*boxes: tuple[float, float, float, float]) -> Detections:
    return Detections(
        boxes=np.array(boxes, dtype=np.float64).reshape(-1, 4),
        scores=np.ones(len(boxes)),
        class_names=("plate",) * len(boxes),
    )


def first_of(material: ModuleType, data: Path, source: str, number: int) -> list[Any]:
    pictures = material.read_plate_pictures(data / "plates")
    return [picture for picture in pictures if picture.source == source][:number]


# Published on all pictures of a source, sixty and fewer of them here.
@pytest.mark.parametrize(
    ("source", "exact", "similarity"),
    [
        ("cn_crops", 0.603, 0.965),
        ("openalpr_eu", 0.815, 0.981),
        ("openalpr_us", 0.769, 0.965),
        ("ccpd_full", 0.688, 0.976),
    ],
)
def test_plates_are_read_as_published(
    data: Path,
    material: ModuleType,
    reader: RapidOcrReader,
    source: str,
    exact: float,
    similarity: float,
) -> None:
    known = first_of(material, data, source, 60)
    pictures = [read(one.path) for one in known]
    crops = [
        picture if one.box is None else crop(picture, one.box)
        for picture, one in zip(pictures, known, strict=True)
    ]

    texts = [reading.text for reading in reader.read(crops)]

    pairs = list(zip(texts, (normalized(one.text) for one in known), strict=True))
    assert np.mean([one == other for one, other in pairs]) == pytest.approx(exact, abs=0.08)
    assert np.mean([jaro(*pair) for pair in pairs]) == pytest.approx(similarity, abs=0.012)


def test_plates_are_found_and_read_as_published(
    data: Path, material: ModuleType, machine: PlateMachine
) -> None:
    """Shrunk boxes give more texts than the detector's own: 0.843 against 0.685 on 108 photos."""
    known = first_of(material, data, "openalpr_eu", 30)
    pictures = [read(one.path) for one in known]
    as_found = PlateMachine(detector=machine.detector, reader=machine.reader, loose=(1, 1))

    shares = [
        np.mean(
            [
                normalized(one.text) in reference.texts
                for one, reference in zip(known, some.look(pictures), strict=True)
            ]
        )
        for some in (machine, as_found)
    ]

    assert shares[0] == pytest.approx(0.843, abs=0.12)
    assert shares[1] < shares[0]


def test_compression_makes_plates_unreadable(
    data: Path, material: ModuleType, machine: PlateMachine
) -> None:
    known = first_of(material, data, "openalpr_us", 20)
    pictures = [read(one.path) for one in known]
    boxes = [plates_at(tuple(one.box)) for one in known]
    truth = [[one.text] for one in known]

    for references in (
        machine.look_at(pictures, boxes),
        machine.look_at(pictures, boxes, truth),
    ):
        qualities = []
        for quality in (80, 25, 10, 3):
            distorted = [jpeg(picture, quality) for picture in pictures]
            lost = np.concatenate(machine.losses(references, distorted))
            assert lost.min() >= 0
            assert lost.max() <= 1
            qualities.append(1 - lost.mean())
        assert qualities == sorted(qualities, reverse=True)
        assert qualities[0] > 0.95
        assert qualities[-1] < 0.75


def test_a_true_text_loses_only_what_could_be_read(
    data: Path, material: ModuleType, machine: PlateMachine
) -> None:
    known = first_of(material, data, "us_crops", 5)
    pictures = [read(one.path) for one in known]
    boxes = [plates_at((0, 0, one.shape[1], one.shape[0])) for one in pictures]

    wrong = machine.look_at(pictures, boxes, [["0000-0000"]] * 5)
    right = machine.look_at(pictures, boxes, [[one.text] for one in known])

    for reference in wrong:
        # One of which nothing was read is left out.
        assert set(reference.texts) <= {"00000000"}
        assert (reference.similarities > 0).all()
        assert (reference.similarities < 0.7).all()
    assert any(reference.texts for reference in wrong)
    assert np.mean([reference.similarities[0] for reference in right]) > 0.9
    grey = [np.full_like(picture, 128) for picture in pictures]
    for reference, lost in zip(right, machine.losses(right, grey), strict=True):
        np.testing.assert_array_equal(lost, reference.similarities)


def test_a_plate_whose_text_nobody_knows_is_read_beside_the_others(
    data: Path, material: ModuleType, machine: PlateMachine
) -> None:
    (known,) = first_of(material, data, "openalpr_us", 1)
    picture = read(known.path)
    beyond = (9000.0, 9000.0, 9100.0, 9030.0)  # nothing to be read there
    plates = plates_at(tuple(known.box), tuple(known.box), beyond, beyond)

    (reference,) = machine.look_at([picture], [plates], [[known.text, None, "AB 12", None]])
    (alone,) = machine.look_at([picture], [plates_at(tuple(known.box))])

    # What cannot be read has nothing to lose, whether its text is told or not.
    assert reference.texts == (normalized(known.text), *alone.texts)
    assert reference.similarities[1] == 1
    assert reference.similarities[0] > 0.9
    assert reference.objects.scores.tolist() == [1, *alone.objects.scores]
    np.testing.assert_array_equal(reference.objects.boxes, plates.boxes[:2])


@pytest.mark.parametrize("texts", [[[]], [["A", "B"]], [["·"]], [[""]]])
def test_true_texts_must_fit_their_plates(machine: PlateMachine, texts: list[list[str]]) -> None:
    picture = np.zeros((20, 60, 3), np.uint8)

    with pytest.raises(ValueError, match="texts must be one for each plate"):
        machine.look_at([picture], [plates_at((0, 0, 60, 20))], texts)


def test_what_cannot_be_read_has_nothing_to_lose(machine: PlateMachine) -> None:
    picture = np.full((40, 120, 3), 90, np.uint8)

    (reference,) = machine.look_at([picture], [plates_at((0, 0, 120, 40))])

    assert reference.texts == ()
    assert reference.objects.class_names == ()
    assert machine.losses([reference], [picture])[0].shape == (0,)


@pytest.mark.parametrize(
    "box",
    [(500, 500, 560, 520), (-90, 5, -10, 25), (10, -40, 60, -20), (30, 10, 30, 10), (0, 7, 99, 7)],
)
def test_a_plate_beyond_the_frame_is_not_read(
    machine: PlateMachine, box: tuple[float, float, float, float]
) -> None:
    picture = np.full((40, 120, 3), 90, np.uint8)

    (reference,) = machine.look_at([picture], [plates_at(box)], [["AB12"]])

    assert machine.reader.read([crop(picture, np.array(box, dtype=np.float64))])[0].text == ""
    assert reference.texts == ()
    assert machine.losses([reference], [picture])[0].shape == (0,)


def test_a_box_partly_beyond_the_frame_is_cut() -> None:
    picture = np.arange(40 * 120 * 3, dtype=np.uint64).astype(np.uint8).reshape(40, 120, 3)

    inside = crop(picture, np.array([-5.5, 10.2, 20.3, 60]))

    np.testing.assert_array_equal(inside, picture[10:40, 0:21])


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (300, 2), (3, 2500), (24, 94), (0, 5), (31, 7)])
def test_any_size_is_read(reader: RapidOcrReader, size: tuple[int, int]) -> None:
    (reading,) = reader.read([np.zeros((*size, 3), np.uint8)])

    assert reading.text == ""
    assert reading.score == 0


def test_a_text_does_not_depend_on_the_others(
    data: Path, material: ModuleType, reader: RapidOcrReader
) -> None:
    pictures = [read(one.path) for one in first_of(material, data, "us_crops", 12)]
    singly = [reader.read([picture])[0] for picture in pictures]

    with ThreadPoolExecutor(2) as pool:
        at_once = list(pool.map(reader.read, [pictures] * 4))

    assert all(readings == singly for readings in at_once)
    assert all(0 < reading.score <= 1 for reading in singly if reading.text)


def test_boxes_shrink_about_their_centre() -> None:
    plates = shrunk(plates_at((100, 50, 210, 185)), (1.1, 1.35))

    np.testing.assert_allclose(plates.boxes, [[105, 67.5, 205, 167.5]])


@given(st.text(max_size=12), st.text(max_size=12))
def test_jaro_is_a_share_and_the_same_both_ways(first: str, second: str) -> None:
    assert jaro(first, first) == 1
    assert 0 <= jaro(first, second) <= 1
    assert jaro(first, second) == pytest.approx(jaro(second, first))


@pytest.mark.parametrize(
    ("first", "second", "similarity"),
    # Winkler's own examples (Statistical Research Division, US Census Bureau, RR99-04, table 1).
    [("MARTHA", "MARHTA", 0.944), ("DIXON", "DICKSONX", 0.767), ("JELLYFISH", "SMELLYFISH", 0.896)],
)
def test_jaro_is_the_published_one(first: str, second: str, similarity: float) -> None:
    assert jaro(first, second) == pytest.approx(similarity, abs=0.0005)


@pytest.mark.parametrize(
    ("text", "normal"), [("京P·l3n67", "京PL3N67"), (" ab-12.c ", "AB12C"), ("·- ", ""), ("", "")]
)
def test_texts_are_letters_and_digits(text: str, normal: str) -> None:
    assert normalized(text) == normal
    assert normalized(normal) == normal


def test_versions_name_all_that_answers_depend_on(machine: PlateMachine) -> None:
    others = [
        PlateMachine(detector=machine.detector, reader=machine.reader, min_score=0.3),
        PlateMachine(detector=machine.detector, reader=machine.reader, min_reading_score=0.6),
        PlateMachine(detector=machine.detector, reader=machine.reader, loose=(1, 1)),
    ]

    assert machine.detector.version in machine.version
    assert machine.reader.version in machine.version
    assert load_rapidocr().version == machine.reader.version
    assert len({machine.version, *(other.version for other in others)}) == 4


def test_what_no_plate_is_like_is_refused(machine: PlateMachine) -> None:
    for name in ("min_score", "min_reading_score"):
        with pytest.raises(ValueError, match=f"{name} must be between 0 and 1, got 1"):
            PlateMachine(detector=machine.detector, reader=machine.reader, **{name: 1})
    with pytest.raises(ValueError, match="loose must be above 0"):
        PlateMachine(detector=machine.detector, reader=machine.reader, loose=(0, 1))


def test_nothing_is_printed(reader: RapidOcrReader, capfd: pytest.CaptureFixture[str]) -> None:
    load_rapidocr().read([np.zeros((24, 94, 3), np.uint8)])

    assert capfd.readouterr() == ("", "")


def test_the_metric_looks_at_the_boxes_that_are_read(
    data: Path, material: ModuleType, machine: PlateMachine
) -> None:
    (known,) = first_of(material, data, "openalpr_eu", 1)
    picture = read(known.path)
    finder = load_finder("plates", str(data / "weights/plate_yolov8n.pt"))

    (seen,) = load_learned_metric("plates", finder).look([picture])
    (as_read,) = machine.look([picture])

    assert finder.version.endswith("loose 1.1x1.35")
    np.testing.assert_allclose(seen.objects.boxes, as_read.objects.boxes)

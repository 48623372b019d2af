"""What every machine with a task keeps to."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest
from ratesight.metrics.boxes import Detections
from ratesight.metrics.detector import load_detector
from ratesight.metrics.errors import NoObjectsError
from ratesight.metrics.face_detector import load_yunet
from ratesight.metrics.face_embedder import load_face_embedder
from ratesight.metrics.faces import FaceMachine
from ratesight.metrics.object_iou import ReferenceObjects, object_losses
from ratesight.metrics.objects import ObjectMachine
from ratesight.metrics.plate_reader import load_rapidocr
from ratesight.metrics.plates import PlateMachine
from ratesight.metrics.task import TaskMachine, object_scores
from scipy.stats import spearmanr

Picture = npt.NDArray[np.uint8]

NOTHING = np.zeros((72, 96, 3), np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A machine and real pictures that show what it looks for."""

    machine: TaskMachine[Any]
    pictures: list[Picture]


def load_objects(data: Path) -> Case:
    photos = sorted((data / "detection/images/coco128_val2017").glob("*.jpg"))[:8]
    detector = load_detector(str(data / "weights/yolov8n.pt"), image_size=320)
    return Case(machine=ObjectMachine(detector=detector), pictures=read(photos))


def load_faces(data: Path) -> Case:
    machine = FaceMachine(
        detector=load_yunet(data / "weights/face_detection_yunet.onnx"),
        embedder=load_face_embedder(data / "weights/mobilefacenet.onnx"),
    )
    return Case(machine=machine, pictures=read(sorted((data / "faces/lfw").glob("A*/*1.jpg"))[:8]))


def load_plates(data: Path) -> Case:
    machine = PlateMachine(
        detector=load_detector(str(data / "weights/plate_yolov8n.pt"), image_size=640),
        reader=load_rapidocr(),
    )
    return Case(machine=machine, pictures=read(sorted((data / "plates/openalpr_eu").iterdir())[:8]))


@pytest.fixture(scope="module", params=[load_objects, load_faces, load_plates])
def case(request: pytest.FixtureRequest, data: Path) -> Case:
    load: Callable[[Path], Case] = request.param
    return load(data)


@pytest.fixture(scope="module")
def references(case: Case) -> list[Any]:
    return case.machine.look(case.pictures)


def read(photos: Sequence[Path]) -> list[Picture]:
    return [np.asarray(cv2.imread(str(photo)), dtype=np.uint8) for photo in photos]


def jpeg(picture: Picture, quality: int) -> Picture:
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)


def x264(picture: Picture, crf: int) -> Picture:
    """An intra frame; 4:4:4, so that odd sides are no matter."""
    height, width, _ = picture.shape
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": str(crf)})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv444p"
        frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
        container.mux([*stream.encode(frame), *stream.encode(None)])
    file.seek(0)
    with av.open(file) as container:
        return next(container.decode(video=0)).to_ndarray(format="bgr24").astype(np.uint8)


def quality(case: Case, references: list[Any], pictures: list[Picture]) -> float:
    return object_scores(references, case.machine.losses(references, pictures)).quality


def test_it_sees_what_it_looks_for(case: Case, references: list[Any]) -> None:
    assert len(references) == len(case.pictures)
    assert sum(bool(reference.objects.class_names) for reference in references) >= 5
    for reference in references:
        assert (reference.objects.scores > 0).all()
        assert (reference.objects.scores <= 1).all()


def test_nothing_is_lost_on_the_original(case: Case, references: list[Any]) -> None:
    for lost, reference in zip(
        case.machine.losses(references, case.pictures), references, strict=True
    ):
        assert lost.shape == reference.objects.scores.shape
        # Networks add in another order in another batch.
        np.testing.assert_allclose(lost, 0, atol=2e-3)


def test_losses_are_shares(case: Case, references: list[Any]) -> None:
    noise = np.random.default_rng(0)
    pictures = [noise.integers(0, 256, picture.shape, dtype=np.uint8) for picture in case.pictures]

    lost = np.concatenate(case.machine.losses(references, pictures))

    assert lost.min() >= 0
    assert lost.max() <= 1
    assert lost.mean() > 0.3


@pytest.mark.parametrize(
    ("distort", "strengths"), [(jpeg, [90, 50, 25, 14, 7, 2]), (x264, [14, 24, 32, 38, 44, 51])]
)
def test_more_compression_loses_more(
    case: Case,
    references: list[Any],
    distort: Callable[[Picture, int], Picture],
    strengths: list[int],
) -> None:
    qualities = [
        quality(case, references, [distort(picture, strength) for picture in case.pictures])
        for strength in strengths
    ]

    assert spearmanr(qualities, range(len(strengths))).statistic < -0.9
    assert qualities[0] > 0.9
    assert qualities[-1] < 0.8


def test_a_stored_reference_is_the_same(case: Case, references: list[Any]) -> None:
    blurred = [np.asarray(cv2.blur(picture, (5, 5)), np.uint8) for picture in case.pictures]

    stored = [
        case.machine.from_json(json.loads(json.dumps(case.machine.to_json(reference))))
        for reference in references
    ]
    stored = case.machine.prepare(stored, case.pictures)

    for one, other in zip(
        case.machine.losses(references, blurred),
        case.machine.losses(stored, blurred),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)
    for before, after in zip(references, stored, strict=True):
        assert before.objects.class_names == after.objects.class_names
        np.testing.assert_array_equal(before.objects.boxes, after.objects.boxes)
        np.testing.assert_array_equal(before.objects.scores, after.objects.scores)


def test_a_stored_reference_of_nothing_is_nothing(case: Case) -> None:
    (reference,) = case.machine.look([NOTHING])

    stored = case.machine.from_json(json.loads(json.dumps(case.machine.to_json(reference))))

    assert stored.objects.class_names == ()
    assert case.machine.losses([stored], [NOTHING])[0].shape == (0,)


def test_two_threads_at_once_see_the_same(case: Case, references: list[Any]) -> None:
    pictures = [jpeg(picture, 15) for picture in case.pictures]
    work = [(references[start : start + 4], pictures[start : start + 4]) for start in (0, 4)] * 2
    alone = [case.machine.losses(*some) for some in work]

    with ThreadPoolExecutor(2) as pool:
        at_once = list(pool.map(lambda some: case.machine.losses(*some), work))
        seen_at_once = list(pool.map(case.machine.look, [case.pictures] * 2))

    for one, other in zip(alone, at_once, strict=True):
        for before, after in zip(one, other, strict=True):
            np.testing.assert_allclose(before, after, atol=2e-3)
    for seen in seen_at_once:
        for before, after in zip(references, seen, strict=True):
            np.testing.assert_allclose(before.objects.boxes, after.objects.boxes, atol=0.01)


@pytest.mark.parametrize("size", [(1, 1), (33, 47), (201, 333), (7, 400)])
def test_odd_sizes_are_seen(case: Case, size: tuple[int, int]) -> None:
    height, width = size
    picture = np.ascontiguousarray(cv2.resize(case.pictures[0], (width, height)), np.uint8)

    references = case.machine.look([picture])

    np.testing.assert_allclose(case.machine.losses(references, [picture])[0], 0, atol=2e-3)


def test_views_are_pictures_too(case: Case) -> None:
    flipped = case.pictures[0][:, ::-1]
    assert not flipped.flags.c_contiguous

    (reference,) = case.machine.look([flipped])

    lost = case.machine.losses([reference], [flipped.copy()])[0]
    assert len(lost) > 0
    np.testing.assert_allclose(lost, 0, atol=2e-3)


def test_no_picture_no_answer(case: Case) -> None:
    assert case.machine.look([]) == []
    assert case.machine.losses([], []) == []


def test_it_leaves_pictures_alone(case: Case, references: list[Any]) -> None:
    before = case.pictures[0].copy()

    case.machine.look(case.pictures[:1])
    case.machine.losses(references[:1], case.pictures[:1])

    np.testing.assert_array_equal(case.pictures[0], before)


def test_references_and_pictures_must_pair(case: Case, references: list[Any]) -> None:
    with pytest.raises(ValueError, match="zip"):
        case.machine.losses(references[:2], case.pictures[:1])


def test_nothing_on_the_original_is_an_error(case: Case) -> None:
    references = case.machine.look([NOTHING, NOTHING])

    with pytest.raises(NoObjectsError, match="it sees none on 2 frames"):
        object_scores(references, case.machine.losses(references, [NOTHING, NOTHING]))


def test_losses_must_fit_their_objects() -> None:
    car = Detections(boxes=np.array([[0.0, 0, 9, 9]]), scores=np.ones(1), class_names=("car",))
    reference = ReferenceObjects(objects=car, object_ious=np.ones(1), seen=car)

    with pytest.raises(ValueError, match=r"one for each object, got \(2,\) for 1 objects"):
        object_scores([reference], [np.zeros(2)])


def test_weights_are_the_scores_of_the_original(case: Case, references: list[Any]) -> None:
    scores = object_scores(references, case.machine.losses(references, case.pictures))

    for weights, reference in zip(scores.weights, references, strict=True):
        np.testing.assert_array_equal(weights, reference.objects.scores)


def test_objects_are_those_of_delta_object_iou(data: Path) -> None:
    case = load_objects(data)
    assert isinstance(case.machine, ObjectMachine)
    pictures = [jpeg(picture, 10) for picture in case.pictures]
    references = case.machine.look(case.pictures)

    ours = object_scores(references, case.machine.losses(references, pictures))

    seen = case.machine.detector.detect(pictures, 0.25)
    direct = object_scores(references, list(map(object_losses, references, seen)))
    assert ours.quality == pytest.approx(direct.quality, abs=1e-9)
    assert 0.1 < ours.quality < 0.95


@pytest.mark.parametrize("name", ["reference_score", "match_score"])
@pytest.mark.parametrize("value", [0, 1, -0.5])
def test_a_score_that_no_object_has_is_refused(weights: Path, name: str, value: float) -> None:
    detector = load_detector(str(weights), image_size=320)

    with pytest.raises(ValueError, match=f"{name} must be between 0 and 1, got {value:g}"):
        ObjectMachine(detector=detector, **{name: value})

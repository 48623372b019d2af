"""Real faces, found, aligned and recognised."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest
from ratesight.metrics.boxes import Detections, Floats, iou_matrix
from ratesight.metrics.errors import WeightsError
from ratesight.metrics.face_detector import Faces, YuNet, load_yunet
from ratesight.metrics.face_embedder import (
    LiteRtFaceEmbedder,
    OnnxFaceEmbedder,
    load_face_embedder,
)
from ratesight.metrics.faces import TEMPLATE, FaceMachine, align, cosines
from ratesight.metrics.learned import load_learned_metric
from ratesight.metrics.objects import ObjectMachine
from ratesight.metrics.task import object_scores
from ratesight.metrics.verification_accuracy import verification_accuracy, verification_change

Picture = npt.NDArray[np.uint8]
Embedder = OnnxFaceEmbedder | LiteRtFaceEmbedder

YUNET = "face_detection_yunet.onnx"
EMBEDDERS = ["mobilefacenet.onnx", "arcface_mobilefacenet_int8.tflite"]


@pytest.fixture(scope="module")
def yunet(data: Path) -> YuNet:
    return load_yunet(data / "weights" / YUNET)


@pytest.fixture(scope="module", params=EMBEDDERS)
def embedder(request: pytest.FixtureRequest, data: Path) -> Embedder:
    return load_face_embedder(data / "weights" / request.param)


@pytest.fixture(scope="module")
def machine(data: Path, yunet: YuNet) -> FaceMachine:
    embedder = load_face_embedder(data / "weights" / EMBEDDERS[0])
    return FaceMachine(detector=yunet, embedder=embedder)


@pytest.fixture(scope="module")
def crowd(clips: Path) -> Picture:
    """Faces from 13 to 31 pixels wide."""
    with av.open(str(clips / "plaza_crowd_720p.mp4")) as container:
        frame = next(container.decode(video=0))
        return frame.to_ndarray(format="bgr24").astype(np.uint8, copy=False)


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


def test_faces_are_found_where_they_are_known_to_be(
    data: Path, yunet: YuNet, material: ModuleType
) -> None:
    photos = material.read_face_photos(data / "faces")[::80]

    for photo, found in zip(photos, yunet.find([read(p.path) for p in photos], 0.5), strict=True):
        overlap = iou_matrix(photo.box[None], found.objects.boxes)[0]
        assert overlap.max() > 0.95
        np.testing.assert_allclose(found.landmarks[overlap.argmax()], photo.landmarks, atol=0.5)
        assert found.objects.scores[overlap.argmax()] == pytest.approx(photo.score, abs=0.01)
        assert set(found.objects.class_names) == {"face"}


def test_a_detector_s_boxes_are_those_of_its_faces(yunet: YuNet, crowd: Picture) -> None:
    (objects,) = yunet.detect([crowd], 0.5)
    (faces,) = yunet.find([crowd], 0.5)

    assert len(objects.class_names) >= 8
    assert objects.scores.min() >= 0.5
    np.testing.assert_array_equal(objects.boxes, faces.objects.boxes)


def test_detection_of_faces_is_delta_object_iou(yunet: YuNet, crowd: Picture) -> None:
    machine = ObjectMachine(detector=yunet)
    references = machine.look([crowd])

    qualities = [
        object_scores(references, machine.losses(references, [picture])).quality
        for picture in (crowd, jpeg(crowd, 20), jpeg(crowd, 3))
    ]

    assert qualities[0] == 1
    assert qualities[0] > qualities[1] > qualities[2]


def test_a_turned_face_is_aligned_as_the_upright_one(machine: FaceMachine, data: Path) -> None:
    picture = read(data / "faces/lfw/Abel_Pacheco/Abel_Pacheco_0001.jpg")
    (faces,) = machine.detector.find([picture], 0.5)
    turn = cv2.getRotationMatrix2D((75, 75), 25, 0.9)
    turned = np.asarray(cv2.warpAffine(picture, turn, (150, 150)), np.uint8)
    landmarks = faces.landmarks @ turn[:, :2].T + turn[:, 2]

    upright, righted = align(picture, faces.landmarks), align(turned, landmarks)

    assert upright.shape == (1, 112, 112, 3)
    middle = (slice(None), slice(30, 100), slice(25, 87))
    correlation = np.corrcoef(upright[middle].ravel(), righted[middle].ravel())[0, 1]
    assert correlation > 0.98
    assert cosines(machine.embedder.embed(upright), machine.embedder.embed(righted))[0] > 0.9


def test_alignment_of_a_face_in_place_changes_nothing() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)

    np.testing.assert_array_equal(align(picture, TEMPLATE[None])[0], picture)


def test_what_is_beyond_the_picture_is_black(machine: FaceMachine) -> None:
    picture = np.full((40, 50, 3), 200, np.uint8)
    landmarks = np.array([[(30.0, 10), (40, 10), (35, 16), (31, 22), (39, 22)]])

    partly, beyond = align(picture, np.concatenate([landmarks + 8, landmarks + 500]))

    assert partly[0, 0].tolist() == [200] * 3
    assert partly[-1, -1].tolist() == [0] * 3
    assert not beyond.any()
    assert np.isfinite(machine.embedder.embed(beyond[None])).all()


def test_a_face_beyond_the_frame_loses_nothing(machine: FaceMachine) -> None:
    picture = np.full((40, 50, 3), 200, np.uint8)
    landmarks = np.array([[(30.0, 10), (40, 10), (35, 16), (31, 22), (39, 22)]]) + 500
    faces = Faces(
        objects=Detections(
            boxes=np.array([[520.0, 500, 545, 530]]), scores=np.ones(1), class_names=("face",)
        ),
        landmarks=landmarks,
    )

    references = machine.look_at([picture], [faces])

    np.testing.assert_allclose(machine.losses(references, [jpeg(picture, 2)])[0], 0, atol=1e-9)


def test_embeddings_are_directions(embedder: Embedder, data: Path, machine: FaceMachine) -> None:
    picture = read(data / "faces/lfw/Abel_Pacheco/Abel_Pacheco_0001.jpg")
    (faces,) = machine.detector.find([picture], 0.5)
    face = align(picture, faces.landmarks)[0]

    alone, both = embedder.embed(face[None]), embedder.embed(np.stack([face, face[:, ::-1]]))

    np.testing.assert_allclose(np.linalg.norm(both, axis=1), 1)
    np.testing.assert_array_equal(alone[0], both[0])
    np.testing.assert_allclose(both[0], both[1], atol=1e-3)  # its mirror image is the same face
    assert embedder.embed(np.zeros((0, 112, 112, 3), np.uint8)).shape == (0, alone.shape[1])


def pair_cosines(
    embedder: Embedder,
    photos: list[Any],
    pairs: list[Any],
    change: Callable[[Picture], Picture] = lambda picture: picture,
) -> npt.NDArray[np.float64]:
    used = {path for pair in pairs for path in (pair.first, pair.second)}
    embeddings = {
        photo.path: embedder.embed(align(change(read(photo.path)), photo.landmarks[None]))[0]
        for photo in photos
        if photo.path in used
    }
    return np.array([embeddings[pair.first] @ embeddings[pair.second] for pair in pairs])


def labels(pairs: list[Any]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    return np.array([pair.is_same for pair in pairs]), np.array([pair.fold for pair in pairs])


def test_persons_are_told_apart_as_published(
    data: Path, material: ModuleType, machine: FaceMachine
) -> None:
    photos = material.read_face_photos(data / "faces")
    pairs = material.read_face_pairs(data / "faces")
    assert isinstance(machine.embedder, OnnxFaceEmbedder)

    accuracy = verification_accuracy(pair_cosines(machine.embedder, photos, pairs), *labels(pairs))

    # 99.17 to 99.42 % on 1,200 pairs of LFW; on 600 of them a pair is 0.17 points.
    assert 0.988 <= accuracy <= 0.998


def test_compression_confuses_persons(data: Path, material: ModuleType, embedder: Embedder) -> None:
    photos = material.read_face_photos(data / "faces")
    pairs = material.read_face_pairs(data / "faces")[::10]

    original = pair_cosines(embedder, photos, pairs)
    light, strong = (
        verification_change(
            original,
            pair_cosines(embedder, photos, pairs, change),
            *labels(pairs),
            np.random.default_rng(0),
        )
        for change in (lambda p: jpeg(p, 30), lambda p: jpeg(p, 4))
    )

    assert light.original == strong.original >= light.refitted >= 0.95
    assert light.low <= light.change <= light.high
    assert strong.refitted < 0.85
    assert strong.high < 0 > strong.change
    assert strong.low < light.low


def test_pairs_are_those_of_the_list(data: Path, material: ModuleType) -> None:
    pairs = material.read_face_pairs(data / "faces")
    persons = {photo.path: photo.person for photo in material.read_face_photos(data / "faces")}

    assert len(pairs) == 600
    for pair in pairs:
        assert (persons[pair.first] == persons[pair.second]) == pair.is_same
        assert pair.first != pair.second
    for fold in (0, 1):
        assert [pair.is_same for pair in pairs if pair.fold == fold].count(True) == 150


def test_two_embedders_agree_on_what_compression_costs(data: Path, yunet: YuNet) -> None:
    pictures = [read(path) for path in sorted((data / "faces/lfw").glob("B*/*1.jpg"))[:6]]
    machines = [
        FaceMachine(detector=yunet, embedder=load_face_embedder(data / "weights" / name))
        for name in EMBEDDERS
    ]

    for quality, (low, high) in {50: (0, 0.15), 5: (0.35, 1)}.items():
        for machine in machines:
            references = machine.look(pictures)
            distorted = [jpeg(picture, quality) for picture in pictures]
            lost = np.concatenate(machine.losses(references, distorted))
            assert low <= lost.mean() <= high


def test_small_faces_are_left_out(machine: FaceMachine, crowd: Picture) -> None:
    (all_faces,) = machine.detector.find([crowd], machine.min_score)
    (reference,) = machine.look([crowd])

    boxes = reference.objects.boxes
    assert 3 <= len(boxes) < len(all_faces.objects.boxes)
    assert (boxes[:, 2:] - boxes[:, :2]).min() >= machine.min_side_pixels

    metric = load_learned_metric("faces", machine.detector, min_score=machine.min_score)
    (predicted,) = metric.look([crowd])
    np.testing.assert_array_equal(predicted.objects.boxes, boxes)


def test_versions_name_all_that_answers_depend_on(
    data: Path, yunet: YuNet, embedder: Embedder
) -> None:
    machine = FaceMachine(detector=yunet, embedder=embedder)
    digest = hashlib.sha256((data / "weights" / YUNET).read_bytes()).hexdigest()[:16]

    assert digest in machine.version
    assert cv2.__version__ in machine.version
    assert embedder.weights_sha256 in machine.version
    others = [
        FaceMachine(detector=yunet, embedder=embedder, min_score=0.6),
        FaceMachine(detector=yunet, embedder=embedder, min_side_pixels=30),
    ]
    assert len({machine.version, *(other.version for other in others)}) == 3


def test_levels_change_the_embedding_and_its_version(data: Path) -> None:
    file = data / "weights" / EMBEDDERS[0]
    face = np.random.default_rng(0).integers(0, 256, (1, 112, 112, 3), dtype=np.uint8)

    usual, other = load_face_embedder(file), load_face_embedder(file, "symmetric")

    assert load_face_embedder(file, "imagenet").version == usual.version != other.version
    assert float((usual.embed(face) * other.embed(face)).sum()) < 0.999


def write_random(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(5000))


def write_text(path: Path) -> None:
    path.write_text("these are no weights\n")


def write_nothing(path: Path) -> None:
    path.touch()


def write_litert_s_beginning(path: Path) -> None:
    path.write_bytes(b"\0\0\0\0TFL3" + bytes(100))


@pytest.mark.parametrize(
    ("load", "rule"),
    [(load_yunet, "must be YuNet, .* is not"), (load_face_embedder, "embeds no aligned faces")],
)
@pytest.mark.parametrize(
    "write", [write_random, write_text, write_nothing, write_litert_s_beginning]
)
def test_a_file_that_is_no_model_is_refused_in_one_line(
    tmp_path: Path,
    load: Callable[[Path], object],
    rule: str,
    write: Callable[[Path], None],
    capfd: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "model.onnx"
    write(file)

    with pytest.raises(WeightsError, match=rf"{rule}.*; .*path") as raised:
        load(file)

    assert "\n" not in str(raised.value)
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("load", [load_yunet, load_face_embedder])
@pytest.mark.parametrize("name", ["missing.onnx", "."])
def test_a_missing_model_comes_with_a_remedy(
    tmp_path: Path, load: Callable[[Path], object], name: str
) -> None:
    with pytest.raises(WeightsError, match=r"must be a readable file, .* path"):
        load(tmp_path / name)


@pytest.mark.parametrize("name", [*EMBEDDERS, YUNET])
def test_weights_cut_short_are_refused(data: Path, tmp_path: Path, name: str) -> None:
    file = tmp_path / "cut"
    file.write_bytes((data / "weights" / name).read_bytes()[:100_000])

    with pytest.raises(WeightsError, match="cut"):
        (load_yunet if name == YUNET else load_face_embedder)(file)


def test_one_machine_s_weights_are_not_another_s(data: Path) -> None:
    with pytest.raises(WeightsError, match=r"must be YuNet, .*mobilefacenet\.onnx is not"):
        load_yunet(data / "weights" / EMBEDDERS[0])
    with pytest.raises(WeightsError, match=r"face_detection_yunet\.onnx embeds no aligned faces"):
        load_face_embedder(data / "weights" / YUNET)


@pytest.mark.parametrize("score", [0, 1, 2])
def test_a_score_that_no_face_has_is_refused(machine: FaceMachine, score: float) -> None:
    with pytest.raises(ValueError, match=f"min_score must be between 0 and 1, got {score}"):
        FaceMachine(detector=machine.detector, embedder=machine.embedder, min_score=score)


def test_landmarks_must_fit_their_boxes() -> None:
    nothing = Detections(boxes=np.zeros((0, 4)), scores=np.zeros(0), class_names=())

    with pytest.raises(ValueError, match=r"landmarks must be \(n, 5, 2\)"):
        Faces(objects=nothing, landmarks=np.zeros((1, 5, 2)))


def test_a_face_keeps_what_it_keeps_alone(machine: FaceMachine, data: Path) -> None:
    photo = sorted((data / "faces").rglob("*.jpg"))[0]
    face = cv2.imread(str(photo)).astype(np.uint8)
    height, width = face.shape[:2]
    metric = load_learned_metric("faces", machine.detector)

    def lost(*corners: tuple[int, int]) -> Floats:
        original = np.full((1080, 1920, 3), 110, np.uint8)
        for x, y in corners:
            original[y : y + height, x : x + width] = face
        (seen,) = metric.look([original])
        distorted = original.copy()
        for x, y in corners:
            distorted[y : y + height, x : x + width] = jpeg(face, 20)
        losses = metric.losses([seen], [distorted])[0]
        order = np.argsort(seen.objects.boxes[:, 0])
        return losses[order]

    alone, beside = lost((48, 48)), lost((48, 48), (1600, 800))
    assert len(alone) == 1
    assert len(beside) == 2
    np.testing.assert_allclose(beside[0], alone[0], atol=1e-6)

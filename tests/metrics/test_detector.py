"""Real detectors on real pictures."""

from __future__ import annotations

import hashlib
import json
import logging
import pickle
import warnings
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
from ratesight.metrics.boxes import Detections, iou_matrix
from ratesight.metrics.detector import UltralyticsDetector, load_detector
from ratesight.metrics.errors import WeightsError

Picture = npt.NDArray[np.uint8]

SIZE = 320


@pytest.fixture(scope="module")
def detector(weights: Path) -> UltralyticsDetector:
    return load_detector(str(weights), image_size=SIZE)


@pytest.fixture(scope="module")
def street_frames(street: Path) -> list[Picture]:
    """Eleven frames of a street, all of one size."""
    return [picture for n, picture in enumerate(pictures(street)) if n % 20 == 5][:11]


def pictures(path: Path) -> list[Picture]:
    with av.open(str(path)) as container:
        return [
            frame.to_ndarray(format="bgr24").astype(np.uint8, copy=False)
            for frame in container.decode(video=0)
        ]


def assert_same(first: Sequence[Detections], second: Sequence[Detections]) -> None:
    """Batches and threads may add in another order: a hundredth of a pixel is nothing."""
    assert [frame.class_names for frame in first] == [frame.class_names for frame in second]
    for one, other in zip(first, second, strict=True):
        np.testing.assert_allclose(one.boxes, other.boxes, atol=0.01)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-4)


@pytest.mark.parametrize("photo", ["000000000785", "000000000872", "000000003553"])
def test_it_finds_the_people_on_a_photo(
    data: Path, detector: UltralyticsDetector, photo: str
) -> None:
    coco = json.loads((data / "detection/annotations/coco128_val2017.json").read_text())
    person = next(row["id"] for row in coco["categories"] if row["name"] == "person")
    labelled = [
        [x, y, x + width, y + height]
        for row in coco["annotations"]
        for x, y, width, height in [row["bbox"]]
        if row["image_id"] == int(photo) and row["category_id"] == person
    ]
    (picture,) = pictures(data / f"detection/images/coco128_val2017/{photo}.jpg")

    (found,) = detector.detect([picture], 0.4)

    people = found.boxes[[name == "person" for name in found.class_names]]
    assert iou_matrix(np.array(labelled), people).max(axis=1).min() > 0.6


def test_boxes_are_pixels_of_the_picture_and_scores_reach_the_minimum(
    detector: UltralyticsDetector, street_frames: list[Picture]
) -> None:
    height, width, _ = street_frames[0].shape

    low, high = (detector.detect(street_frames, score) for score in (0.05, 0.5))

    assert all((frame.scores >= 0.05).all() for frame in low)
    assert all((frame.scores >= 0.5).all() and (frame.scores <= 1).all() for frame in high)
    assert_same([frame.at_least(0.5) for frame in low], high)
    boxes = np.concatenate([frame.boxes for frame in low])
    assert boxes.dtype == np.float64
    assert boxes.min() >= 0
    assert boxes[:, 2].max() > SIZE  # not in pixels of what the network saw
    assert (boxes <= [width, height, width, height]).all()
    assert (boxes[:, :2] < boxes[:, 2:]).all()
    assert {"person", "car"} & {name for frame in high for name in frame.class_names}


def test_a_batch_sees_what_single_pictures_show(
    detector: UltralyticsDetector, street_frames: list[Picture]
) -> None:
    assert len(street_frames) > detector.batch_size  # on a processor; more than one batch

    together = detector.detect(street_frames, 0.25)

    singly = [found for picture in street_frames for found in detector.detect([picture], 0.25)]
    assert sum(len(frame.class_names) for frame in together) > 0
    assert_same(together, singly)


def test_two_threads_at_once_see_the_same(
    detector: UltralyticsDetector, street_frames: list[Picture]
) -> None:
    halves = [street_frames[:5], street_frames[5:10]] * 2
    alone = [detector.detect(half, 0.25) for half in halves]

    with ThreadPoolExecutor(2) as pool:
        at_once = list(pool.map(lambda half: detector.detect(half, 0.25), halves))

    for one, other in zip(alone, at_once, strict=True):
        assert_same(one, other)


def test_no_picture_no_answer(detector: UltralyticsDetector) -> None:
    assert detector.detect([], 0.25) == []


def test_it_leaves_pictures_alone(
    detector: UltralyticsDetector, street_frames: list[Picture]
) -> None:
    before = street_frames[0].copy()

    detector.detect(street_frames[:1], 0.25)

    np.testing.assert_array_equal(street_frames[0], before)


def test_the_version_names_all_that_answers_depend_on(
    detector: UltralyticsDetector, weights: Path
) -> None:
    import ultralytics

    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()

    assert sha256[:16] in detector.version
    assert f"size {SIZE}" in detector.version
    assert ultralytics.__version__ in detector.version
    assert load_detector(str(weights), image_size=SIZE).version == detector.version
    assert load_detector(str(weights), image_size=SIZE + 32).version != detector.version


def test_nothing_is_printed(
    weights: Path, street_frames: list[Picture], capfd: pytest.CaptureFixture[str]
) -> None:
    load_detector(str(weights), image_size=SIZE).detect(street_frames[:1], 0.25)

    assert capfd.readouterr().out == ""


def write_random(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(5000))


def write_text(path: Path) -> None:
    path.write_text("these are no weights\n")


def write_nothing(path: Path) -> None:
    path.touch()


def write_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps({"model": None}))


def write_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", "no pickle")


def write_checkpoint(path: Path) -> None:
    import torch

    torch.save({"epoch": 1}, path)


@pytest.mark.parametrize("suffix", ["pt", "onnx", "txt", "yaml", "pth", "zip"])
@pytest.mark.parametrize(
    "write",
    [write_random, write_text, write_nothing, write_pickle, write_zip, write_checkpoint],
)
def test_a_file_that_is_no_model_is_refused_in_one_line(
    tmp_path: Path,
    write: Callable[[Path], None],
    suffix: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / f"model.{suffix}"
    write(file)

    with pytest.raises(
        WeightsError, match=r"detector .*model\.\w+ (is not|does not run)"
    ) as raised:
        load_detector(str(file))

    assert "\n" not in str(raised.value)
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("name", ["mobilefacenet.onnx", "face_detection_yunet.onnx"])
def test_another_network_is_refused(weights: Path, name: str) -> None:
    with pytest.raises(WeightsError, match=rf"detector .*{name} does not run: "):
        load_detector(str(weights.with_name(name)))


def test_weights_cut_short_are_refused(tmp_path: Path, weights: Path) -> None:
    file = tmp_path / "cut.pt"
    file.write_bytes(weights.read_bytes()[:100_000])

    with pytest.raises(WeightsError, match=r"model that ultralytics loads, .*cut\.pt is not"):
        load_detector(str(file))


@pytest.mark.parametrize("name", ["missing.pt", "missing", "yolo11n.pt", "folder/yolo11n.pt"])
def test_a_missing_model_comes_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(WeightsError, match=rf"{name} is neither here nor reachable; .*as detector"):
        load_detector(name)


@pytest.mark.parametrize("name", ["", "folder", "yolov8n.yaml"])
def test_what_is_no_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()

    with pytest.raises(WeightsError, match=f"must be a weights file, {name} is none"):
        load_detector(name)


def test_a_model_that_draws_no_boxes_is_refused(tmp_path: Path) -> None:
    from ultralytics import YOLO

    file = tmp_path / "classifier.pt"
    YOLO("yolov8n-cls.yaml").save(file)

    with pytest.raises(WeightsError, match=r"must draw boxes, .*classifier\.pt is .* 'classify'"):
        load_detector(str(file))


def exported(folder: Path, network: str) -> Path:
    import torch
    from ultralytics import YOLO

    torch.manual_seed(0)  # of what an untrained network sees
    model = YOLO(f"{network}.yaml")
    model.save(folder / f"{network}.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of what ultralytics exports by
        file = YOLO(folder / f"{network}.pt").export(format="torchscript", imgsz=64)
    return Path(file)


@pytest.mark.parametrize("task", ["seg", "pose"])
def test_an_export_is_run_for_what_it_says_it_is_for(task: str, tmp_path: Path) -> None:
    file = exported(tmp_path, f"yolov8n-{task}")
    picture = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)

    export, own = (
        load_detector(str(one), image_size=64) for one in (file, file.with_suffix(".pt"))
    )

    assert export.task == {"seg": "segment", "pose": "pose"}[task]
    (seen,), (wanted,) = export.detect([picture], 1e-6), own.detect([picture], 1e-6)
    assert len(wanted.class_names) > 0
    assert set(seen.class_names) == set(wanted.class_names) <= set(own.models.model.names.values())
    # Untrained, it is as unsure of one as of the next: a rounding decides about the last of them.
    best = iou_matrix(wanted.boxes, seen.boxes).max(axis=1)
    assert np.mean(best > 0.95) > 0.9


def test_an_export_that_draws_turned_boxes_is_refused(tmp_path: Path) -> None:
    file = exported(tmp_path, "yolov8n-obb")
    with pytest.raises(WeightsError, match=r"must draw boxes, .*\.torchscript is .* 'obb'"):
        load_detector(str(file), image_size=64)


def test_a_machine_that_was_stopped_has_seen_what_there_is(
    detector: UltralyticsDetector, street_frames: list[Picture], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = detector.detect(street_frames[:4], 0.25)
    clock = iter(range(0, 10**9, 60))
    # The first picture of the batch took a minute, as the clock has it.
    monkeypatch.setattr("ultralytics.utils.nms.time.time", lambda: next(clock))

    assert_same(detector.detect(street_frames[:4], 0.25), wanted)


@pytest.mark.parametrize(("size", "near"), [(500, 512), (31, 32), (0, 32), (-640, 32)])
def test_a_size_that_the_network_would_not_see_is_refused(
    weights: Path, size: int, near: int
) -> None:
    message = f"image_size must be a multiple of 32, got {size}; take {near}"
    with pytest.raises(WeightsError, match=message):
        load_detector(str(weights), image_size=size)


def test_the_program_that_calls_it_is_left_alone(
    weights: Path, street_frames: list[Picture], caplog: pytest.LogCaptureFixture
) -> None:
    import torch
    from ultralytics.nn import tasks

    before = tasks.SAFE_LOAD, torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        load_detector(str(weights), image_size=320).detect(street_frames[:1], 0.25)
        assert before[0] == tasks.SAFE_LOAD
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before[1])
    log = logging.getLogger("ultralytics")
    assert log.isEnabledFor(logging.WARNING)
    log.addHandler(caplog.handler)
    log.warning("of its own")
    log.removeHandler(caplog.handler)
    assert [one.message.endswith("of its own") for one in caplog.records] == [True]

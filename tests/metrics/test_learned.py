"""The learned metrics with the weights that ship, on real pictures and encodes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import cv2
import numpy as np
import pytest
import timm
import torch
import torchvision
import ultralytics
from ratesight.codecs.encode import decode_bgr, encode
from ratesight.codecs.settings import Crf, EncodeSettings
from ratesight.codecs.source import load_source
from ratesight.metrics.boxes import Detections
from ratesight.metrics.detector import load_detector
from ratesight.metrics.errors import NoObjectsError, WeightsError
from ratesight.metrics.feature_file import open_feature_file
from ratesight.metrics.learned import WEIGHTS, LearnedReference, load_learned_metric, load_network
from ratesight.metrics.task import object_scores
from scipy.stats import spearmanr

TASKS = ["objects", "faces", "plates", "general"]
# None of them was trained on. The street of bicycles begins in the dark.
LADDER_CLIPS = {
    "BasketballPass_416x240_50_png": 0.5,
    "bikes_street_272p.mp4": 2.0,
    "carphone_qcif.mp4": 0.5,
    "face_d0_512.mp4": 0.5,
    "highway_cam_240p.avi": 0.5,
    "street_people_720p.mp4": 0.5,
}


@pytest.fixture(scope="module")
def detector(weights):
    return load_detector(str(weights))


@pytest.fixture(scope="module")
def metric(detector):
    return load_learned_metric("objects", detector)


@pytest.fixture(scope="module")
def photo(data):
    return cv2.imread(
        str(data / "detection" / "images" / "coco128_val2017" / "000000000139.jpg")
    ).astype(np.uint8)


@pytest.fixture(scope="module")
def reference(metric, photo):
    (found,) = metric.look([photo])
    assert len(found.objects.class_names) > 1
    return found


def jpeg(picture, quality):
    coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(coded, cv2.IMREAD_COLOR).astype(np.uint8)


def boxes(*corners):
    return LearnedReference(
        objects=Detections(
            boxes=np.array(corners, dtype=np.float64).reshape(-1, 4),
            scores=np.full(len(corners), 0.8),
            class_names=("person",) * len(corners),
        )
    )


@pytest.mark.parametrize("task", TASKS)
class TestEveryTask:
    def test_identity_loses_nothing(self, task, detector, photo):
        metric = load_learned_metric(task, detector)
        (lost,) = metric.losses(metric.look([photo]), [photo])
        assert lost.tolist() == [0.0] * len(lost)
        assert len(lost) > 0

    def test_less_is_left_from_jpeg_to_jpeg(self, task, detector, photo):
        metric = load_learned_metric(task, detector)
        seen = metric.look([photo])
        qualities = [70, 40, 20, 10, 5]
        lost = [metric.losses(seen, [jpeg(photo, quality)])[0].mean() for quality in qualities]
        assert lost == sorted(lost)
        assert lost[-1] > lost[0] + 0.1

    def test_any_size(self, task, detector, photo):
        metric = load_learned_metric(task, detector)
        odd = np.ascontiguousarray(photo[:201, :333])
        (prepared,) = metric.prepare([boxes((10, 10, 120.5, 90))], [odd])
        (lost,) = metric.losses([prepared], [jpeg(odd, 10)])
        assert 0 < lost[0] <= 1

    def test_mirrored_pictures_lose_the_same(self, task, detector, photo):
        metric = load_learned_metric(task, detector)
        width, distorted = photo.shape[1], jpeg(photo, 15)
        left, right = boxes((60, 40, 260, 200)), boxes((width - 260, 40, width - 60, 200))
        mirrored = [np.ascontiguousarray(one[:, ::-1]) for one in (photo, distorted)]
        (plain,) = metric.losses(metric.prepare([left], [photo]), [distorted])
        (other,) = metric.losses(metric.prepare([right], mirrored[:1]), mirrored[1:])
        assert other == pytest.approx(plain, abs=0.1)


@pytest.fixture(scope="module")
def several(photo):
    """Returns originals of two sizes, and how many regions each has."""
    wide = np.ascontiguousarray(photo[:300])
    corners = [(60, 40, 260, 200), (300, 80, 420, 280), (20, 20, 60, 90)]
    originals = [photo, wide, photo[:, ::-1].copy(), wide[::-1].copy(), photo, photo[::-1].copy()]
    counts = [3, 1, 0, 2, 1, 2]
    return originals, [boxes(*corners[:count]) for count in counts]


class TestSeveralPicturesAtOnce:
    @pytest.mark.parametrize("task", ["objects", "general"])
    @pytest.mark.parametrize("is_kept", [False, True])
    def test_they_lose_what_each_loses_alone(self, task, is_kept, detector, several):
        originals, regions = several
        distorted = [jpeg(one, 12) for one in originals]
        with open_feature_file() as file:
            metric = load_learned_metric(task, detector, feature_file=file if is_kept else None)
            found = {}
            for count in (1, 3):
                together = replace(metric, num_together=count)
                found[count] = together.losses(together.prepare(regions, originals), distorted)
        assert [len(one) for one in found[3]] == [3, 1, 0, 2, 1, 2]
        for alone, beside in zip(found[1], found[3], strict=True):
            np.testing.assert_allclose(beside, alone, atol=1e-5)
        assert np.concatenate(found[1]).min() > 0.01

    def test_the_best_is_no_change_at_all(self, metric, several):
        originals, regions = several
        together = replace(metric, num_together=4)
        lost = together.losses(together.prepare(regions, originals), originals)
        np.testing.assert_allclose(np.concatenate(lost), 0, atol=1e-5)


def test_threads_give_the_same(metric, reference, photo):
    pictures = [jpeg(photo, quality) for quality in (40, 20, 10, 5)] * 2
    alone = [metric.losses([reference], [one])[0] for one in pictures]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda one: metric.losses([reference], [one])[0], pictures))
    np.testing.assert_array_equal(alone, together)


def test_region_outside_is_refused(metric, photo):
    with pytest.raises(ValueError, match="region must be inside the picture of 640x426 pixels"):
        metric.prepare([boxes((700, 10, 750, 90))], [photo])


def test_finder_s_box_on_the_very_edge_is_left_out(metric, photo):
    @dataclass(frozen=True)
    class Finder:
        version: str = "two boxes"
        batch_size: int = 1

        def detect(self, pictures, min_score):
            return [boxes((10, 10, 90, 90), (640, 10, 640, 90)).objects for _ in pictures]

    (found,) = replace(metric, finder=Finder()).look([photo])
    assert found.objects.boxes.tolist() == [[10, 10, 90, 90]]


def test_region_half_outside_is_cut(metric, photo):
    inside, across = boxes((600, 10, 640, 90)), boxes((600, 10, 700, 90))
    cut, whole = (
        metric.losses(metric.prepare([one], [photo]), [jpeg(photo, 10)])[0]
        for one in (inside, across)
    )
    assert cut == pytest.approx(whole)


@pytest.mark.parametrize(
    ("width", "height", "corners"),
    [
        (1920, 802, (100, 801, 200, 802)),  # the last row: 802 lines are seen as 267
        (6400, 14, (100, 11, 200, 14)),  # seen as a single line
        (640, 272, (639.99999, 100, 640, 200)),  # thinner than single precision tells
    ],
)
def test_thin_region_at_the_edge_has_a_score(width, height, corners, metric, photo):
    original = cv2.resize(photo, (width, height)).astype(np.uint8)
    (prepared,) = metric.prepare([boxes(corners)], [original])
    assert metric.losses([prepared], [original])[0].tolist() == [0.0]
    (lost,) = metric.losses([prepared], [jpeg(original, 5)])
    assert 0 <= lost[0] <= 1


def test_version_names_the_libraries_that_answers_depend_on(metric):
    for library in (cv2, timm, torch, torchvision, ultralytics):
        assert library.__version__ in metric.version


def test_no_region_is_an_error_and_no_score(metric, photo):
    empty = metric.prepare([boxes()], [photo])
    losses = metric.losses(empty, [photo])
    assert [len(lost) for lost in losses] == [0]
    with pytest.raises(NoObjectsError, match="at least one object"):
        object_scores(empty, losses)


def test_other_size_is_refused(metric, reference, photo):
    with pytest.raises(ValueError, match="must have the same size"):
        metric.losses([reference], [np.ascontiguousarray(photo[:-20])])


def test_other_numbers_are_refused(metric, reference, photo):
    with pytest.raises(ValueError, match="pictures must be uint8, got float32"):
        metric.losses([reference], [photo.astype(np.float32)])


@pytest.mark.parametrize("task", ["faces", "plates"])
def test_only_the_part_with_the_regions_is_looked_at(task, detector, photo):
    metric = load_learned_metric(task, detector)
    (prepared,) = metric.prepare([boxes((200, 100, 260, 160))], [photo])
    elsewhere = photo.copy()
    elsewhere[:, 400:] = 0
    assert metric.losses([prepared], [elsewhere])[0].tolist() == [0.0]


def test_reference_from_a_store_wants_its_original(metric, reference, photo):
    stored = metric.from_json(metric.to_json(reference))
    distorted = jpeg(photo, 20)
    with pytest.raises(ValueError, match="prepared with its original"):
        metric.losses([stored], [distorted])
    (prepared,) = metric.prepare([stored], [photo])
    np.testing.assert_allclose(
        metric.losses([prepared], [distorted])[0], metric.losses([reference], [distorted])[0]
    )


def test_heat_map_is_hot_where_it_was_spoilt(metric, photo):
    spoilt = photo.copy()
    spoilt[:, :320] = cv2.GaussianBlur(spoilt[:, :320], (0, 0), 6)
    heat = metric.heat_map(photo, spoilt)
    columns = heat.shape[1]
    assert heat[:, : columns // 2 - 1].mean() > heat[:, columns // 2 + 1 :].mean() + 0.2
    assert 0 <= heat.min() <= heat.max() <= 1


@pytest.mark.parametrize("clip", LADDER_CLIPS)
def test_more_compression_never_scores_better(clip, metric, clips):
    crfs = range(18, 51, 4)
    with load_source(clips / clip, max_seconds=LADDER_CLIPS[clip]) as source:
        wanted = sorted({0, source.num_frames // 2, source.num_frames - 1})
        seen = metric.look([source.bgr(index) for index in wanted])
        qualities = []
        for crf in crfs:
            settings = EncodeSettings(codec="x264", preset="veryfast", rate_control=Crf(value=crf))
            pictures = list(
                decode_bgr(encode(source, settings), frozenset(wanted), source.color_space)
            )
            qualities.append(object_scores(seen, metric.losses(seen, pictures)).quality)
    assert spearmanr(crfs, qualities)[0] <= -0.98


def test_missing_weights_are_one_line(tmp_path):
    with pytest.raises(WeightsError, match="must be a safetensors file"):
        load_network(tmp_path / "none.safetensors")


def test_garbage_is_one_line(tmp_path):
    garbage = tmp_path / "garbage.safetensors"
    garbage.write_bytes(b"no weights" * 100)
    with pytest.raises(WeightsError, match="must be a safetensors file"):
        load_network(garbage)


def test_what_ships_is_small():
    assert sum(file.stat().st_size for file in WEIGHTS.parent.glob("*.safetensors")) < 12e6


def test_objects_of_a_small_picture_are_seen_as_detectors_see_them(metric, photo):
    small = cv2.resize(photo, (320, 214), interpolation=cv2.INTER_AREA).astype(np.uint8)
    # As ultralytics enlarges it before it looks.
    large = cv2.resize(small, (640, 428), interpolation=cv2.INTER_LINEAR).astype(np.uint8)
    distorted = jpeg(small, 20)
    enlarged = cv2.resize(distorted, (640, 428), interpolation=cv2.INTER_LINEAR).astype(np.uint8)
    (of_small,) = metric.prepare([boxes((50, 40, 150, 200))], [small])
    (of_large,) = metric.prepare([boxes((100, 80, 300, 400))], [large])
    assert metric.losses([of_small], [distorted])[0] == pytest.approx(
        metric.losses([of_large], [enlarged])[0], abs=1e-6
    )


def test_a_plate_is_seen_with_two_heights_around_it(detector, photo):
    metric = load_learned_metric("plates", detector)
    (prepared,) = metric.prepare([boxes((300, 200, 400, 220))], [photo])
    beside, near, far = photo.copy(), photo.copy(), photo.copy()
    beside[:, 405:420] = 0
    near[:, 405:435] = 0  # two heights are 40 pixels
    far[:, 445:] = 0
    of_beside, of_near, of_far = metric.losses([prepared] * 3, [beside, near, far])
    assert of_far.tolist() == [0.0]
    assert of_near[0] > 0
    assert of_near[0] != of_beside[0]

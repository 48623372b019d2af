"""Regions without a detector, on real clips."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from ratesight.codecs.source import load_source
from ratesight.metrics.boxes import Detections, Picture, iou_matrix
from ratesight.metrics.detector import Detector, load_detector
from ratesight.metrics.errors import WeightsError
from ratesight.metrics.learned import WEIGHTS as NETWORK_WEIGHTS
from ratesight.metrics.region_proposals import (
    PROPOSED,
    WEIGHTS,
    ProposalDetector,
    ProposalNetwork,
    decode,
    load_proposal_detector,
)
from safetensors.torch import save_file

SCORE = 0.4  # that regions count from
MEGABYTE = 1e6


@pytest.fixture(scope="module")
def proposals() -> ProposalDetector:
    return load_proposal_detector()


@pytest.fixture(scope="module")
def crowd(clips: Path) -> list[Picture]:
    """Six frames of a street that no weights were trained on, 1280x720."""
    return frames(clips / "street_people_720p.mp4", 6)


def frames(clip: Path, count: int) -> list[Picture]:
    with load_source(clip, max_seconds=4) as source:
        return [source.bgr(int(index)) for index in np.linspace(0, source.num_frames - 1, count)]


def only(detections: Detections, *names: str) -> Detections:
    keep = np.array([name in names for name in detections.class_names], dtype=bool)
    return Detections(
        boxes=detections.boxes[keep],
        scores=detections.scores[keep],
        class_names=tuple(np.array(detections.class_names, dtype=object)[keep]),
    )


def recall(there: list[Detections], found: list[Detections]) -> float:
    """Share of the boxes with an IoU of at least 0.5."""
    hits = [
        iou_matrix(one.boxes, other.boxes).max(axis=1, initial=0) >= 0.5
        for one, other in zip(there, found, strict=True)
    ]
    return float(np.concatenate(hits).mean())


def test_it_finds_the_people_that_a_detector_sees(
    proposals: ProposalDetector, crowd: list[Picture], weights: Path
) -> None:
    people = [only(one, "person") for one in load_detector(str(weights)).detect(crowd, 0.5)]
    assert sum(len(one.class_names) for one in people) > 20

    found = [only(one, "object") for one in proposals.detect(crowd, SCORE)]

    assert recall(people, found) >= 0.3


def test_boxes_are_in_pixels_of_the_picture_whatever_its_size(
    proposals: ProposalDetector, crowd: list[Picture]
) -> None:
    picture = crowd[0]
    height, width, _ = picture.shape
    size = (width // 2, height // 2)
    half = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)

    (large,), (small,) = (proposals.detect([one], SCORE) for one in (picture, half))

    # Half the size is what the network sees of the whole: the same boxes, halved.
    assert large.class_names == small.class_names
    assert len(large.class_names) > 0
    np.testing.assert_allclose(large.boxes, small.boxes * 2, atol=0.01)


@pytest.mark.parametrize(
    "size", [(1, 1), (1, 700), (7, 9), (8, 8), (33, 17), (239, 321), (641, 97), (640, 639)]
)
def test_any_size_gives_boxes_within_the_picture(
    proposals: ProposalDetector, crowd: list[Picture], size: tuple[int, int]
) -> None:
    height, width = size
    picture = np.asarray(cv2.resize(crowd[0], (width, height)), np.uint8)

    (found,) = proposals.detect([picture], 0.001)

    boxes = found.boxes
    assert boxes.dtype == np.float64
    assert (boxes >= 0).all()
    assert (boxes <= [width, height, width, height]).all()
    assert (boxes[:, :2] < boxes[:, 2:]).all()
    assert (found.scores >= 0.001).all()
    assert (found.scores <= 1).all()
    assert set(found.class_names) <= set(PROPOSED)


def test_scores_reach_the_minimum_and_fall(
    proposals: ProposalDetector, crowd: list[Picture]
) -> None:
    low, high = (proposals.detect(crowd, score) for score in (0.1, SCORE))

    for faint, sure in zip(low, high, strict=True):
        assert (faint.scores >= 0.1).all()
        assert (np.diff(faint.scores) <= 0).all()
        # Non-maximum suppression never removes a surer one for a fainter one.
        kept = faint.at_least(SCORE)
        assert kept.class_names == sure.class_names
        np.testing.assert_array_equal(kept.boxes, sure.boxes)


def test_a_picture_is_not_written_to(proposals: ProposalDetector, crowd: list[Picture]) -> None:
    before = crowd[0].copy()

    proposals.detect([crowd[0], crowd[0][:300, ::-1]], SCORE)

    np.testing.assert_array_equal(crowd[0], before)


def test_threads_at_once_see_the_same(proposals: ProposalDetector, crowd: list[Picture]) -> None:
    alone = [proposals.detect([picture], 0.1)[0] for picture in crowd]

    with ThreadPoolExecutor(4) as pool:
        at_once = [
            one[0] for one in pool.map(lambda picture: proposals.detect([picture], 0.1), crowd * 2)
        ]

    for one, other in zip(alone * 2, at_once, strict=True):
        assert one.class_names == other.class_names
        np.testing.assert_array_equal(one.boxes, other.boxes)
        np.testing.assert_array_equal(one.scores, other.scores)


def test_other_kinds_are_left_out(proposals: ProposalDetector, crowd: list[Picture]) -> None:
    faces = load_proposal_detector(["face"])

    (every,), (some,) = (one.detect(crowd[:1], 0.05) for one in (proposals, faces))

    assert set(some.class_names) <= {"face"}
    np.testing.assert_array_equal(some.boxes, only(every, "face").boxes)
    assert faces.version != proposals.version


@pytest.mark.parametrize("kinds", [(), ("person",)])
def test_unknown_kinds_are_refused(kinds: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="kinds must be some of object, face, plate, got"):
        load_proposal_detector(kinds)  # type: ignore[arg-type]  # what is tested


@pytest.mark.parametrize("level", [0, 127, 255])
def test_nothing_is_found_where_nothing_is(proposals: ProposalDetector, level: int) -> None:
    (found,) = proposals.detect([np.full((288, 352, 3), level, np.uint8)], SCORE)

    assert found.class_names == ()


def test_no_picture_no_answer(proposals: ProposalDetector) -> None:
    assert proposals.detect([], SCORE) == []


@pytest.mark.parametrize("shape", [(0, 0, 3), (0, 8, 3), (8, 8), (8, 8, 1)])
def test_a_picture_without_colour_pixels_is_refused(
    proposals: ProposalDetector, shape: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match=r"picture must be \(height, width, 3\) with pixels, got"):
        proposals.detect([np.zeros(shape, np.uint8)], SCORE)


def test_a_peak_and_its_distances_are_a_box() -> None:
    centres = torch.full((3, 10, 20), -10.0)
    distances = torch.ones(3, 4, 10, 20)
    centres[1, 4, 6] = 2.0
    centres[1, 4, 7] = 1.0  # beside the peak
    centres[2, 0, 19] = 1.0  # of another class, half beyond the picture
    distances[1, :, 4, 6] = torch.tensor([1.5, 0.5, 2.5, 3.5])

    boxes, scores, classes = decode(centres, distances, (156, 80), 0.5)

    assert boxes.tolist() == [[40.0, 32.0, 72.0, 64.0], [148.0, 0.0, 156.0, 12.0]]
    assert classes.tolist() == [1, 2]
    torch.testing.assert_close(scores, torch.sigmoid(torch.tensor([2.0, 1.0])))


def test_boxes_of_one_class_that_overlap_are_one() -> None:
    centres = torch.full((3, 10, 20), -10.0)
    distances = torch.full((3, 4, 10, 20), 4.0)
    centres[0, 5, 8] = 2.0
    centres[0, 5, 10] = 1.0
    centres[1, 5, 10] = 1.0

    _, _, classes = decode(centres, distances, (160, 80), 0.5)

    assert sorted(classes.tolist()) == [0, 1]


def test_a_missing_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"must be a safetensors file.*install ratesight again"):
        load_proposal_detector(weights=tmp_path / "none.safetensors")


@pytest.mark.parametrize("content", [b"", b"text", b"\x08" + bytes(40)])
def test_a_damaged_file_is_one_clear_line(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "damaged.safetensors"
    file.write_bytes(content)

    with pytest.raises(WeightsError, match="must be a safetensors file") as caught:
        load_proposal_detector(weights=file)

    assert "\n" not in str(caught.value)


def test_a_cut_file_is_one_clear_line(tmp_path: Path) -> None:
    file = tmp_path / "cut.safetensors"
    file.write_bytes(WEIGHTS.read_bytes()[:-100])

    with pytest.raises(WeightsError, match="must be a safetensors file"):
        load_proposal_detector(weights=file)


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(WeightsError, match="must be those of this version") as caught:
        load_proposal_detector(weights=NETWORK_WEIGHTS)

    assert "\n" not in str(caught.value)


def test_other_weights_are_another_version(tmp_path: Path, proposals: ProposalDetector) -> None:
    file = tmp_path / "other.safetensors"
    save_file(ProposalNetwork().state_dict(), file)

    assert load_proposal_detector(weights=file).version != proposals.version


def test_all_weights_are_small_enough_to_ship() -> None:
    assert sum(file.stat().st_size for file in (WEIGHTS, NETWORK_WEIGHTS)) < 12 * MEGABYTE


def test_it_is_a_detector(proposals: ProposalDetector) -> None:
    detector: Detector = proposals
    assert detector.batch_size > 0
    assert detector.version

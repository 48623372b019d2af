"""mAP, against figures that can be had by hand."""

from __future__ import annotations

import numpy as np
import pytest
from ratesight.metrics.boxes import Detections
from ratesight.metrics.coco_map import MeanAveragePrecision, mean_average_precision
from ratesight.metrics.errors import NoObjectsError

Object = tuple[str, float, tuple[float, float, float, float]]

LEFT: Object = ("car", 1.0, (0, 0, 100, 100))
RIGHT: Object = ("car", 1.0, (200, 0, 300, 100))
DOG: Object = ("dog", 1.0, (0, 200, 50, 280))
PERFECT = MeanAveragePrecision(map50_95=1.0, map50=1.0)


def seen(*objects: Object) -> Detections:
    return Detections(
        boxes=np.array([box for _, _, box in objects], dtype=np.float64).reshape(-1, 4),
        scores=np.array([score for _, score, _ in objects], dtype=np.float64),
        class_names=tuple(name for name, _, _ in objects),
    )


def scored(target: Object, score: float) -> Object:
    return (target[0], score, target[2])


def test_identity_is_1() -> None:
    targets = [seen(LEFT, DOG), seen(), seen(RIGHT)]

    assert mean_average_precision(targets, targets) == pytest.approx(PERFECT)


def test_one_of_two_found() -> None:
    found = mean_average_precision([seen(LEFT, RIGHT)], [seen(scored(LEFT, 0.9))])

    # Precision is 1 up to recall 0.5: 51 of the 101 points of recall that COCO averages over.
    assert found.map50 == pytest.approx(51 / 101)
    assert found.map50_95 == pytest.approx(51 / 101)


def test_a_surer_false_alarm_halves_the_precision() -> None:
    found = mean_average_precision([seen(LEFT)], [seen(scored(RIGHT, 0.9), scored(LEFT, 0.8))])

    assert found.map50 == pytest.approx(1 / 2)


def test_a_fainter_false_alarm_costs_nothing() -> None:
    found = mean_average_precision([seen(LEFT)], [seen(scored(RIGHT, 0.7), scored(LEFT, 0.8))])

    assert found == PERFECT


def test_a_loose_box_meets_the_lower_thresholds_only() -> None:
    target = ("car", 1.0, (200.0, 50.0, 300.0, 150.0))
    loose = ("car", 0.9, (200.0, 50.0, 300.0, 122.0))  # IoU 0.72

    found = mean_average_precision([seen(target)], [seen(loose)])

    assert found.map50 == 1
    assert found.map50_95 == pytest.approx(5 / 10)  # 0.50, 0.55, 0.60, 0.65, 0.70


def test_classes_count_alike() -> None:
    targets = [seen(LEFT, RIGHT, DOG)]

    assert mean_average_precision(targets, [seen(LEFT, RIGHT)]).map50 == pytest.approx(1 / 2)


def test_another_class_is_ignored() -> None:
    cat = ("cat", 0.99, LEFT[2])

    assert mean_average_precision([seen(LEFT)], [seen(scored(LEFT, 0.5), cat)]) == PERFECT


def test_a_find_on_an_empty_frame_is_a_false_alarm() -> None:
    targets = [seen(LEFT), seen()]

    found = mean_average_precision(targets, [seen(scored(LEFT, 0.5)), seen(scored(LEFT, 0.9))])

    assert found.map50 == pytest.approx(1 / 2)


@pytest.mark.parametrize("found", [seen(), seen(("cat", 0.9, LEFT[2]))])
def test_nothing_found_is_0(found: Detections) -> None:
    assert mean_average_precision([seen(LEFT)], [found]) == MeanAveragePrecision(
        map50_95=0, map50=0
    )


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    mean_average_precision([seen(LEFT, DOG)], [seen(LEFT, DOG)])

    assert capfd.readouterr() == ("", "")


def test_without_a_target_there_is_no_figure() -> None:
    with pytest.raises(NoObjectsError, match="mAP needs at least one target object"):
        mean_average_precision([seen(), seen()], [seen(LEFT), seen()])

"""mAP the COCO way, by a maintained evaluation library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from faster_coco_eval import COCO, COCOeval_faster

from .boxes import Detections
from .errors import NoObjectsError


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanAveragePrecision:
    """mAP averaged over IoU 0.50 to 0.95, and at IoU 0.50; both in [0, 1], higher is better."""

    map50_95: float
    map50: float


def mean_average_precision(
    targets: Sequence[Detections], predictions: Sequence[Detections]
) -> MeanAveragePrecision:
    """Returns mAP of predictions against targets, frame by frame.

    Args:
        targets: What is there: the original's detections, or annotations.
        predictions: What was found; give all scores, down to 0.001, for the usual figure.

    Raises:
        NoObjectsError: There are no targets.
    """
    class_names = sorted({name for frame in targets for name in frame.class_names})
    if not class_names:
        raise NoObjectsError("mAP needs at least one target object, there is none")
    ids = {name: index for index, name in enumerate(class_names, start=1)}
    annotations = [
        {
            "id": 0,
            "image_id": image,
            "category_id": ids[name],
            "bbox": _xywh(box),
            "area": float((box[2] - box[0]) * (box[3] - box[1])),
            "iscrowd": 0,
        }
        for image, frame in enumerate(targets)
        for box, name in zip(frame.boxes, frame.class_names, strict=True)
    ]
    for number, annotation in enumerate(annotations, start=1):
        annotation["id"] = number
    results = [
        {"image_id": image, "category_id": ids[name], "bbox": _xywh(box), "score": float(score)}
        for image, frame in enumerate(predictions)
        for box, score, name in zip(frame.boxes, frame.scores, frame.class_names, strict=True)
        if name in ids
    ]
    if not results:
        return MeanAveragePrecision(map50_95=0.0, map50=0.0)
    truth = COCO(
        {
            "images": [{"id": image} for image in range(len(targets))],
            "categories": [{"id": number, "name": name} for name, number in ids.items()],
            "annotations": annotations,
        }
    )
    evaluation = COCOeval_faster(truth, truth.loadRes(results), "bbox", print_function=_discard)
    evaluation.run()
    return MeanAveragePrecision(
        map50_95=float(evaluation.stats_as_dict["AP_all"]),
        map50=float(evaluation.stats_as_dict["AP_50"]),
    )


def _xywh(box: Sequence[float]) -> list[float]:
    x0, y0, x1, y1 = (float(value) for value in box)
    return [x0, y0, x1 - x0, y1 - y0]


def _discard(*_: object) -> None:
    """Takes the tables that the library would print."""

"""The learned metrics: what compression costs a machine, without running the machine."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

TASKS = ("objects", "faces", "plates")


def to_tensor(pictures: npt.NDArray[np.uint8]) -> Tensor:
    """Returns (batch, height, width, 3) BGR in [0, 255] as RGB in [-1, 1], channels second."""
    planes = np.ascontiguousarray(pictures[..., ::-1])
    return torch.from_numpy(planes).permute(0, 3, 1, 2).float() / 127.5 - 1


def class_number(name: str) -> int:
    """Returns COCO's number of a class, 80 for every other."""
    return _NUMBERS.get(name, len(_NUMBERS))


# fmt: off
_COCO = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat",
    "traffic light", "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog",
    "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella",
    "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard", "sports ball", "kite",
    "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich",
    "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch",
    "potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote",
    "keyboard", "cell phone", "microwave", "oven", "toaster", "sink", "refrigerator", "book",
    "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)
# fmt: on
_NUMBERS = {name: number for number, name in enumerate(_COCO)}

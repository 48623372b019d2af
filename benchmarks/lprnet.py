"""LPRNet, a reader of Chinese plates that no metric was trained on.

Source: Zherzdev and Gruzdev, "LPRNet: License Plate Recognition via Deep Neural Networks", arXiv
1806.10447, in the form that sirius-ai/LPRNet_Pytorch trained: pools that also skip channels, and
features of four depths, each divided by its mean square, before the last layer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from ratesight.metrics.libraries import library_versions
from ratesight.metrics.plate_reader import PlateReader, Reading, normalized
from torch import Tensor, nn

from .distortions import Picture

_SIGNS = (
    "京沪津渝冀晋蒙辽吉黑苏浙皖闽赣鲁豫鄂湘粤桂琼川贵云藏陕甘青宁新"
    "0123456789ABCDEFGHJKLMNPQRSTUVWXYZIO"
)
_NUM_CLASSES = len(_SIGNS) + 1  # the last one is the blank between signs
_WIDTH, _HEIGHT = 94, 24
# Layers of the backbone after which features are kept, and how each is brought to 4 rows.
_KEPT = {
    2: nn.AvgPool2d(5, 5),
    6: nn.AvgPool2d(5, 5),
    13: nn.AvgPool2d((4, 10), (4, 2)),
    22: nn.Identity(),
}


class _Block(nn.Module):
    def __init__(self, num_in: int, num_out: int) -> None:
        super().__init__()
        width = num_out // 4
        self.block = nn.Sequential(
            nn.Conv2d(num_in, width, 1),
            nn.ReLU(),
            nn.Conv2d(width, width, (3, 1), padding=(1, 0)),
            nn.ReLU(),
            nn.Conv2d(width, width, (1, 3), padding=(0, 1)),
            nn.ReLU(),
            nn.Conv2d(width, num_out, 1),
        )

    def forward(self, features: Tensor) -> Tensor:
        found: Tensor = self.block(features)
        return found


class LprNet(nn.Module):
    """From (batch, 3, 24, 94) BGR in about [-1, 1] to (batch, classes, 18) logits."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(3, 64, 3),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.MaxPool3d((1, 3, 3), (1, 1, 1)),
            _Block(64, 128),
            nn.BatchNorm2d(128),
            nn.ReLU(),
            nn.MaxPool3d((1, 3, 3), (2, 1, 2)),
            _Block(64, 256),
            nn.BatchNorm2d(256),
            nn.ReLU(),
            _Block(256, 256),
            nn.BatchNorm2d(256),
            nn.ReLU(),
            nn.MaxPool3d((1, 3, 3), (4, 1, 2)),
            nn.Dropout(),
            nn.Conv2d(64, 256, (1, 4)),
            nn.BatchNorm2d(256),
            nn.ReLU(),
            nn.Dropout(),
            nn.Conv2d(256, _NUM_CLASSES, (13, 1)),
            nn.BatchNorm2d(_NUM_CLASSES),
            nn.ReLU(),
        )
        self.container = nn.Sequential(nn.Conv2d(448 + _NUM_CLASSES, _NUM_CLASSES, 1))

    def forward(self, plates: Tensor) -> Tensor:
        kept, features = [], plates
        for index, layer in enumerate(self.backbone):
            features = layer(features)
            if index in _KEPT:
                pooled = _KEPT[index](features)
                kept.append(pooled / pooled.square().mean())
        logits: Tensor = self.container(torch.cat(kept, dim=1)).mean(dim=2)
        return logits


@dataclass(frozen=True, slots=True, kw_only=True)
class LprNetReader:
    """Reads Chinese plates, one at a time."""

    weights_sha256: str
    network: LprNet = field(repr=False, compare=False)

    @property
    def version(self) -> str:
        return f"lprnet 1 {library_versions('torch', 'cv2')} {self.weights_sha256}"

    def read(self, plates: Sequence[Picture]) -> list[Reading]:
        """Returns the text of each plate, (height, width, 3) BGR."""
        return [self._read(plate) for plate in plates]

    def _read(self, plate: Picture) -> Reading:
        if not plate.size:
            return Reading(text="", score=0)
        small = cv2.resize(plate, (_WIDTH, _HEIGHT)).astype(np.float32)
        seen = torch.from_numpy((small - 127.5) / 128).permute(2, 0, 1)
        with torch.inference_mode():
            probabilities = self.network(seen[None])[0].softmax(dim=0)
        scores, numbers = probabilities.max(dim=0)
        places = [
            next(run) for _, run in groupby(range(len(numbers)), key=lambda at: int(numbers[at]))
        ]
        signs = [at for at in places if numbers[at] < len(_SIGNS)]
        if not signs:
            return Reading(text="", score=0)
        text = "".join(_SIGNS[int(numbers[at])] for at in signs)
        return Reading(text=normalized(text), score=float(scores[signs].mean()))


def load_lprnet(weights: Path) -> LprNetReader:
    """Loads the reader from a state dict."""
    network = LprNet()
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()[:16]
    return LprNetReader(weights_sha256=digest, network=network.eval())


if TYPE_CHECKING:

    def _is_a_reader(reader: LprNetReader) -> PlateReader:
        return reader

"""Regions without a detector: a network like that of the learned metrics proposes them.

A small head on its features, taught by detectors, says where an object, a face or a plate is. Its
boxes are rougher than a detector's, and an object has no class; it needs no weights but those that
ship. The features are its own, so that those of the metrics can be trained without it.

Source: centres as peaks of a heat map for each class, and distances to the four sides at each cell,
Liu et al., "Training-Time-Friendly Network for Real-Time Object Detection", arXiv 1909.00700.
Deviations: strides of 8, 16 and 32 are fused at 8, not 4; each class has distances of its own,
since a face lies in the middle of a person; boxes that overlap go by non-maximum suppression too,
since the peaks of a large object can be several.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.ops import batched_nms  # type: ignore[import-untyped]  # it ships no types

from .boxes import Detections, Picture
from .detector import Detector
from .learned import to_tensor
from .libraries import library_versions
from .one_thread import one_torch_thread
from .similarity_network import LEVEL_CHANNELS, SimilarityNetwork
from .trained_weights import load_trained
from .views import resized

Proposed = Literal["object", "face", "plate"]
PROPOSED: tuple[Proposed, ...] = get_args(Proposed)
VERSION = "proposals 3"
WEIGHTS = Path(__file__).parent / "weights" / "proposals.safetensors"
# Longest side in pixels of what the network sees: what the detectors that taught it look at.
MAX_SIDE = 640
# The levels used, of SimilarityNetwork.levels(), by stride.
LEVELS = {8: (3,), 16: (4, 5), 32: (6,)}
_STRIDE = 8
_WIDTH = 64
_GROUPS = 8
# Boxes of one class that overlap by more are one region, and how many peaks are looked at.
_NMS_IOU, _MAX_PEAKS = 0.6, 500
# A distance is at most e^5 cells: more than any picture has.
_MAX_LOG_DISTANCE = 5.0


class ProposalNetwork(nn.Module):
    """Features, and the head that finds regions in them."""

    def __init__(self) -> None:
        super().__init__()
        self.features = SimilarityNetwork(())
        self.head = ProposalHead()

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Returns what the head makes of (batch, 3, height, width) RGB in [-1, 1]."""
        found: tuple[Tensor, Tensor] = self.head(used_levels(self.features.levels(pictures)))
        return found


class ProposalHead(nn.Module):
    """From the features of a picture to heat maps of centres, and distances to the sides."""

    def __init__(self) -> None:
        super().__init__()
        self.entries = nn.ModuleList(
            Entry(sum(LEVEL_CHANNELS[index] for index in levels)) for levels in LEVELS.values()
        )
        self.blocks = nn.ModuleList(
            nn.Sequential(_Block(dilation), _Block(1)) for dilation in (1, 1, 2)
        )
        self.centres = nn.Conv2d(_WIDTH, len(PROPOSED), 1)
        self.distances = nn.Conv2d(_WIDTH, 4 * len(PROPOSED), 1)
        # Nearly every cell is no centre; a box is some cells wide.
        nn.init.constant_(_bias(self.centres), -4.0)
        nn.init.normal_(self.distances.weight, std=0.01)
        nn.init.constant_(_bias(self.distances), 1.0)

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Returns logits of centres and distances in cells of 8 pixels.

        Args:
            features: What ``used_levels`` returns, of (batch, ...).

        Returns:
            (batch, classes, height, width) and (batch, classes, 4, height, width): left, top,
            right, bottom of the cell's centre.
        """
        fused: Tensor | None = None
        entries = zip(features, self.entries, self.blocks, strict=True)
        for level, entry, block in reversed(list(entries)):
            found = entry(level)
            if fused is not None:
                found = found + nn.functional.interpolate(
                    fused, found.shape[2:], mode="bilinear", align_corners=False
                )
            fused = block(found)
        assert fused is not None
        distances = self.distances(fused).clamp(max=_MAX_LOG_DISTANCE).exp()
        return self.centres(fused), distances.unflatten(1, (len(PROPOSED), 4))


class Entry(nn.Module):
    """Brings the features of one stride to a common width and size of numbers."""

    mean: Tensor
    spread: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("spread", torch.ones(channels, 1, 1))
        self.layer = nn.Conv2d(channels, _WIDTH, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Returns (batch, width, ...) of (batch, channels, ...)."""
        found: Tensor = self.layer((features - self.mean) / self.spread)
        return found


class _Block(nn.Module):
    """Adds what the neighbours say."""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.GroupNorm(_GROUPS, _WIDTH),
            nn.SiLU(),
            nn.Conv2d(_WIDTH, _WIDTH, 3, padding=dilation, dilation=dilation),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Returns features of the same shape."""
        found: Tensor = features + self.layers(features)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalDetector:
    """Proposes regions; safe to call from several threads at once.

    Attributes:
        kinds: What it proposes; each is the class name of its regions.
        weights_sha256: Of the file.
        device: ``cpu`` or ``cuda:0``.
    """

    network: ProposalNetwork
    kinds: tuple[Proposed, ...]
    weights_sha256: str
    device: str

    def __post_init__(self) -> None:
        if not self.kinds or not set(self.kinds) <= set(PROPOSED):
            raise ValueError(f"kinds must be some of {', '.join(PROPOSED)}, got {self.kinds!r}")

    @property
    def version(self) -> str:
        return (
            f"{VERSION} {'+'.join(self.kinds)} {self.weights_sha256} "
            f"{library_versions('torch', 'torchvision', 'timm', 'cv2')} "
            f"on {self.device.partition(':')[0]}"
        )

    @property
    def batch_size(self) -> int:
        return 4  # It sees one picture at a time: more would only hold memory.

    def detect(self, pictures: Sequence[Picture], min_score: float) -> list[Detections]:
        """Returns the regions with at least that score on each (height, width, 3) BGR picture.

        Raises:
            ValueError: A picture has no pixels, or is not colour.
        """
        with one_torch_thread():
            return [self._detect(picture, min_score) for picture in pictures]

    def _detect(self, picture: Picture, min_score: float) -> Detections:
        seen = reduced(picture)
        with torch.inference_mode():
            centres, distances = self.network(to_tensor(seen[None], self.device))
            size = (seen.shape[1], seen.shape[0])
            boxes, scores, classes = decode(centres[0], distances[0], size, min_score)
        kinds = [PROPOSED[index] for index in classes.tolist()]
        wanted = [index for index, kind in enumerate(kinds) if kind in self.kinds]
        height, width = picture.shape[:2]
        ratio = np.tile([width / seen.shape[1], height / seen.shape[0]], 2)
        found = boxes[wanted].cpu().numpy().astype(np.float64) * ratio
        return Detections(
            boxes=np.clip(found, 0, np.array([width, height, width, height])),
            scores=scores[wanted].cpu().numpy().astype(np.float64),
            class_names=tuple(kinds[index] for index in wanted),
        )


def used_levels(levels: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Returns the features that the head looks at, finest first."""
    return tuple(torch.cat([levels[index] for index in some], 1) for some in LEVELS.values())


def reduced(picture: Picture) -> Picture:
    """Returns the picture as the network sees it, its longer side at most ``MAX_SIDE``.

    Raises:
        ValueError: It has no pixels, or is not colour.
    """
    if picture.ndim != 3 or picture.shape[2] != 3 or 0 in picture.shape:
        raise ValueError(f"picture must be (height, width, 3) with pixels, got {picture.shape}")
    return resized(picture, min(1.0, MAX_SIDE / max(picture.shape[:2])))


def decode(
    centres: Tensor, distances: Tensor, size: tuple[int, int], min_score: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns boxes, scores and classes of one picture, by falling score.

    Args:
        centres: (classes, height, width) logits.
        distances: (classes, 4, height, width) in cells.
        size: Width and height in pixels of what the network saw.

    Returns:
        (n, 4) within it, (n,) in [0, 1] and (n,).
    """
    scores = torch.sigmoid(centres)
    is_peak = scores == nn.functional.max_pool2d(scores[None], 3, stride=1, padding=1)[0]
    classes, rows, columns = torch.nonzero(is_peak & (scores >= min_score), as_tuple=True)
    found = scores[classes, rows, columns]
    order = torch.argsort(found, descending=True, stable=True)[:_MAX_PEAKS]
    classes, rows, columns, found = (one[order] for one in (classes, rows, columns, found))
    left, top, right, bottom = distances[classes, :, rows, columns].unbind(1)
    x, y = columns + 0.5, rows + 0.5
    boxes = torch.stack([x - left, y - top, x + right, y + bottom], 1) * _STRIDE
    boxes = torch.minimum(boxes.clamp_min(0), torch.tensor(size * 2, device=boxes.device))
    is_inside = (boxes[:, 2:] > boxes[:, :2]).all(1)  # the last cells may be beyond the picture
    boxes, found, classes = boxes[is_inside], found[is_inside], classes[is_inside]
    kept = batched_nms(boxes, found, classes, _NMS_IOU)
    return boxes[kept], found[kept], classes[kept]


def load_proposal_detector(
    kinds: Sequence[Proposed] = PROPOSED, *, weights: Path = WEIGHTS
) -> ProposalDetector:
    """Returns what proposes regions, on CUDA where there is one.

    Args:
        kinds: Of regions; all others are left out.

    Raises:
        WeightsError: The file is missing or damaged, or holds other weights.
        ValueError: A kind is unknown, or there is none.
    """
    device = "cuda:0" if torch.cuda.is_available() else "cpu"
    network, digest = _load_network(weights, device)
    return ProposalDetector(
        network=network, kinds=tuple(kinds), weights_sha256=digest, device=device
    )


@cache
def _load_network(weights: Path, device: str) -> tuple[ProposalNetwork, str]:
    """Returns the network, ready to use, and the SHA-256 of its file."""
    network = ProposalNetwork()
    digest = load_trained(
        network, weights, device, what="region proposals", training="train_proposals"
    )
    return network, digest


def _bias(layer: nn.Conv2d) -> Tensor:
    assert layer.bias is not None
    return layer.bias


if TYPE_CHECKING:

    def _is_a_detector(detector: ProposalDetector) -> Detector:
        return detector

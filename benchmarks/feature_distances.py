"""Distances of a network's features: LPIPS and DISTS, on MobileNetV3-small instead of VGG.

The network is frozen as it came from ImageNet, and nothing was fitted to people's or machines'
judgement: channels and levels weigh the same. Hence "like".
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import timm
import torch
from safetensors.torch import load_file
from torch import Tensor

from .labelled_groups import Floats, Pictures
from .predictors import Picture, PicturePredictor

# Pictures at once, which bounds the memory.
_BATCH = 12
# DISTS, Ding et al. 2020: section III-B of arXiv 2004.07728, its published code.
_DISTS_FLOOR = 1e-6
# Norm of a pixel's features below which they have no direction: LPIPS's published code.
_LPIPS_FLOOR = 1e-10


def feature_predictor(weights: Path) -> PicturePredictor:
    """Returns the predictor with the rows ``lpips_like`` and ``dists_like``.

    Args:
        weights: Of timm's ``tf_mobilenetv3_small_100``, as safetensors.
    """
    network = timm.create_model("tf_mobilenetv3_small_100", pretrained=False, features_only=True)
    left_out = network.load_state_dict(load_file(weights), strict=False)
    if left_out.missing_keys:
        raise ValueError(
            f"{weights} must have all features' weights, lacks {left_out.missing_keys}"
        )
    network.eval()

    def levels(pictures: Pictures) -> list[Tensor]:
        rgb = np.stack([cv2.cvtColor(one, cv2.COLOR_BGR2RGB) for one in pictures])
        # The network's own scale, -1 to 1.
        batch = torch.from_numpy(rgb).permute(0, 3, 1, 2).float() / 127.5 - 1
        return [batch, *network(batch)]

    def measure(reference: Picture, distorted: Pictures) -> dict[str, Floats]:
        lpips, dists = [], []
        with torch.inference_mode():
            first = levels(np.ascontiguousarray(reference)[None])
            for start in range(0, len(distorted), _BATCH):
                second = levels(np.ascontiguousarray(distorted[start : start + _BATCH]))
                # LPIPS has no level for the picture itself.
                lpips.append(_lpips(first[1:], second[1:]))
                dists.append(_dists(first, second))
        # Distances: lower is better.
        return {
            "lpips_like": -torch.cat(lpips).numpy().astype(np.float64),
            "dists_like": -torch.cat(dists).numpy().astype(np.float64),
        }

    digest = hashlib.sha256(weights.read_bytes()).hexdigest()[:12]
    return PicturePredictor(
        name="features", version=f"1, timm {timm.__version__}, {digest}", measure=measure
    )


def _lpips(reference: Sequence[Tensor], distorted: Sequence[Tensor]) -> Tensor:
    """Returns LPIPS of (n, channels, height, width) a level: Zhang et al. 2018, equation 1."""
    total = torch.zeros(len(distorted[0]))
    for first, second in zip(reference, distorted, strict=True):
        difference = _directions(first) - _directions(second)
        total += difference.square().sum(dim=1).mean(dim=(1, 2))
    return total


def _directions(features: Tensor) -> Tensor:
    norms: Tensor = torch.linalg.vector_norm(features, dim=1, keepdim=True)
    return features / (norms + _LPIPS_FLOOR)


def _dists(reference: Sequence[Tensor], distorted: Sequence[Tensor]) -> Tensor:
    """Returns DISTS of (n, channels, height, width) a level: Ding et al. 2020, equations 3 to 5."""
    alike = torch.zeros(len(distorted[0]))
    for first, second in zip(reference, distorted, strict=True):
        mean_1, mean_2 = first.mean(dim=(2, 3)), second.mean(dim=(2, 3))
        variance_1 = first.var(dim=(2, 3), correction=0)
        variance_2 = second.var(dim=(2, 3), correction=0)
        covariance = (first * second).mean(dim=(2, 3)) - mean_1 * mean_2
        texture = (2 * mean_1 * mean_2 + _DISTS_FLOOR) / (
            mean_1.square() + mean_2.square() + _DISTS_FLOOR
        )
        structure = (2 * covariance + _DISTS_FLOOR) / (variance_1 + variance_2 + _DISTS_FLOOR)
        alike += (texture + structure).mean(dim=1) / 2
    return 1 - alike / len(reference)

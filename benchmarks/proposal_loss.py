"""The loss of what proposes regions: where its centres are, and how well its boxes fit.

Source: Liu et al., "Training-Time-Friendly Network for Real-Time Object Detection", arXiv
1909.00700.
"""

from __future__ import annotations

import torch
from ratesight.metrics.learned import to_tensor
from ratesight.metrics.region_proposals import PROPOSED, ProposalNetwork
from torch import Tensor, nn
from torchvision.ops import generalized_box_iou_loss  # type: ignore[import-untyped]  # no types

from .proposal_examples import Example

# How much of a box its Gaussian covers, and the weight of the boxes in the loss.
_COVER, _BOX_WEIGHT = 0.54, 5.0


def loss_of(network: ProposalNetwork, example: Example, device: str) -> Tensor:
    """Returns the loss of one picture, summed over its regions."""
    centres, distances = network(to_tensor(example.picture[None], device))
    height, width = centres.shape[2:]
    total = torch.zeros((), device=device)
    for kind in range(len(PROPOSED)):
        boxes = example.boxes[example.classes == kind].to(device)
        ignored = example.ignored[example.ignored_classes == kind].to(device)
        heat = gaussians(boxes, height, width)
        target = heat.amax(0) if len(boxes) else heat.new_zeros(height, width)
        cut = gaussians(ignored, height, width)
        weight = 1 - (cut.amax(0) > 0).float() if len(ignored) else torch.ones_like(target)
        total = total + focal(centres[0, kind], target, weight)
        if len(boxes):
            total = total + _BOX_WEIGHT * box_loss(distances[0, kind], boxes, heat)
    return total


def gaussians(boxes: Tensor, height: int, width: int) -> Tensor:
    """Returns (n, height, width): 1 at the cell of each centre, 0 beyond the box's middle."""
    rows = torch.arange(height, device=boxes.device) + 0.5
    columns = torch.arange(width, device=boxes.device) + 0.5
    shares = []
    for axis, cells in ((1, rows), (0, columns)):
        low, high = boxes[:, axis, None] / 8, boxes[:, axis + 2, None] / 8
        centre = ((low + high) / 2).floor().clamp(max=len(cells) - 1) + 0.5
        reach = (_COVER * (high - low) / 2).clamp_min(0.5)
        away = (cells - centre).abs()
        # Three spreads reach to the edge of what is covered.
        share = torch.exp(-((away / (reach / 3).clamp_min(1 / 3)) ** 2) / 2)
        shares.append(share * (away <= reach))
    return shares[0][:, :, None] * shares[1][:, None, :]


def focal(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Returns CenterNet's focal loss (Zhou et al., arXiv 1904.07850, equation 1), summed."""
    score = torch.sigmoid(logits)
    hit = -nn.functional.logsigmoid(logits) * (1 - score) ** 2
    miss = -nn.functional.logsigmoid(-logits) * score**2 * (1 - target) ** 4
    return torch.where(target == 1, hit, miss * weight).sum()


def box_loss(distances: Tensor, boxes: Tensor, heat: Tensor) -> Tensor:
    """Returns 1 - GIoU of the cells about each centre, each box counting once.

    Args:
        distances: (4, height, width) in cells.
        boxes: (n, 4) in pixels.
        heat: (n, height, width) of ``gaussians``.
    """
    # A cell that several boxes cover is the smallest one's.
    order = torch.argsort((boxes[:, 2:] - boxes[:, :2]).prod(1), stable=True)
    covered = heat[order] > 0
    owned = heat[order] * (covered & (covered.cumsum(0) == 1))
    box, row, column = torch.nonzero(owned, as_tuple=True)
    left, top, right, bottom = distances[:, row, column].unbind(0)
    x, y = column + 0.5, row + 0.5
    found = torch.stack([x - left, y - top, x + right, y + bottom], 1)
    shares = owned[box, row, column] / owned.sum((1, 2))[box]
    losses: Tensor = generalized_box_iou_loss(found, boxes[order][box] / 8)
    return (losses * shares).sum()

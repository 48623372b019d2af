"""The network of the learned metrics: how alike two pictures of a region are to a machine.

A MobileNetV3-small makes features of the reference and of the distorted picture. How alike they are
inside a region, per level and channel, goes into a small head for each task, which gives the
region's quality.

Sources: MobileNetV3 on both pictures and a head for each task, Dremin et al., arXiv 2411.06776;
means and structure of features per channel, Ding et al., "DISTS", arXiv 2004.07728, equations 3 to
5. Deviations: features are made once for a whole picture and averaged over exactly each region, so
that the cost does not grow with their number and those of the reference serve every encode;
variances, the error, and how much detail the reference has enter beside means and structure; a head
is given the statistics around the region too, its size, and the score and class that a detector
gave it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.nn.utils.rnn import pad_sequence

# Similarity of means, of structure, log ratio of variances, log error in shares of the variance,
# log variance of the reference.
NUM_STATISTICS = 5
# Channels of the levels: picture and its gradients, stem, and the stages up to a stride of 32.
LEVEL_CHANNELS = (5, 16, 16, 24, 40, 48, 96)
NUM_CHANNELS = sum(LEVEL_CHANNELS)
BACKBONE = "tf_mobilenetv3_small_100"  # "tf": padding as the ImageNet weights want it
# A region, and the same with its surroundings: detectors look at both.
NUM_VIEWS = 2
_SURROUNDINGS = 1.4
# Added to squares of features, whose usual size is 1: below it a channel is flat and what differs
# is rounding. The error's is that of one grey level in 255, squared.
_FLAT, _ROUNDING = 1e-3, 1e-4
# What a region's score is taken for where no detector gave one.
_USUAL_SCORE = 0.5
_NUM_CLASSES = 81  # COCO's, and one for every other
NUM_SIDE_INPUTS = 4
_CLASS_FEATURES, _MIXED, _HIDDEN = 4, 8, 64
_NUM_MEMBERS = 3  # of a head, whose answers are averaged


@dataclass(frozen=True, slots=True, kw_only=True)
class Regions:
    """Regions of one picture, or of each of a batch, which is then the first axis of everything.

    Attributes:
        boxes: (n, 4) x0 y0 x1 y1 in pixels of the picture that the network sees.
        scores: (n,) of the detector that found them; 0 where there was none.
        classes: (n,) COCO's number of the class; 80 for every other.
    """

    boxes: Tensor
    scores: Tensor
    classes: Tensor

    def to(self, device: str | torch.device) -> Regions:
        """Returns the same on a device."""
        return Regions(
            boxes=self.boxes.to(device),
            scores=self.scores.to(device),
            classes=self.classes.to(device),
        )


@dataclass(frozen=True, slots=True)
class Moments:
    """Of one picture: the features, and their mean and mean square in each region and view.

    Of a batch, it is the first axis of everything.

    Attributes:
        levels: (1, height, width, channels) of each level.
        masks: Of each level, (views * n, height) and (views * n, width): shares of the cells.
        means, squares: (views, n, all channels).
    """

    levels: tuple[Tensor, ...]
    masks: tuple[tuple[Tensor, Tensor], ...]
    means: Tensor
    squares: Tensor


class SimilarityNetwork(nn.Module):
    """Features, and heads that turn their similarity into qualities."""

    def __init__(self, tasks: Sequence[str]) -> None:
        """Makes an untrained network.

        Args:
            tasks: A head each.
        """
        super().__init__()
        self.stem, self.stages = backbone(timm.create_model(BACKBONE, pretrained=False).eval())
        self.heads = nn.ModuleDict({task: Head() for task in tasks})

    def head(self, task: str) -> Head:
        """Returns the head of a task."""
        head = self.heads[task]
        assert isinstance(head, Head)
        return head

    def levels(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """Returns the features of (batch, 3, height, width) RGB in [-1, 1], finest level first.

        Fastest where the memory holds the channels last, which the features then do too.
        """
        levels = [*self.fine_levels(pictures)]
        for stage in self.stages:
            levels.append(stage(levels[-1]))
        return tuple(levels)

    def fine_levels(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the first two levels: four fifths of the numbers, a seventh of the work."""
        pixels = channels_last(pictures)
        red, green, blue = pixels.unbind(3)
        grey = (red + green + blue) / 3
        finest = torch.zeros((*grey.shape, LEVEL_CHANNELS[0]), device=grey.device)
        finest[..., :3] = pixels
        torch.sub(grey[:, :, 1:], grey[:, :, :-1], out=finest[:, :, :-1, 3])
        torch.sub(grey[:, 1:], grey[:, :-1], out=finest[:, :-1, :, 4])
        return finest.permute(0, 3, 1, 2), self.stem(pictures)

    def reference(self, picture: Tensor, boxes: Tensor) -> Moments:
        """Returns what is needed of a (1, 3, height, width) reference and (n, 4) boxes in it."""
        levels = tuple(map(channels_last, self.levels(picture)))
        return self.moments(levels, boxes, picture.shape[-1], picture.shape[-2])

    def moments(
        self, levels: tuple[Tensor, ...], boxes: Tensor, width: int, height: int
    ) -> Moments:
        """Returns the same of the features of a picture of that many pixels, channels last."""
        views = torch.cat([boxes, surroundings(boxes, width, height)])
        masks = tuple(_masks(views, width, height, level) for level in levels)
        means = [_average(level, mask) for level, mask in zip(levels, masks, strict=True)]
        squares = [_average(level**2, mask) for level, mask in zip(levels, masks, strict=True)]
        shape = (NUM_VIEWS, len(boxes), NUM_CHANNELS)
        return Moments(
            levels, masks, torch.cat(means, 2).view(shape), torch.cat(squares, 2).view(shape)
        )

    def statistics(self, reference: Moments, distorted: Tensor) -> Tensor:
        """Returns how alike the features are: (batch, views, n, channels, NUM_STATISTICS).

        Args:
            distorted: (batch, 3, height, width) versions of the reference, or of a batch of them
                one each.
        """
        means, squares, products = [], [], []
        levels = map(channels_last, self.levels(distorted))
        for level, original, mask in zip(levels, reference.levels, reference.masks, strict=True):
            means.append(_average(level, mask))
            squares.append(_average(level**2, mask))
            products.append(_average(level * original, mask))
        shape = (len(distorted), *reference.means.shape[-3:])
        return similarity(
            reference.means,
            reference.squares,
            *(torch.cat(values, 2).view(shape) for values in (means, squares, products)),
        )

    def quality(
        self,
        task: str,
        reference: Moments,
        distorted: Tensor,
        regions: Regions,
        best: Tensor | None = None,
    ) -> Tensor:
        """Returns (batch, n) qualities in [0, 1]: 1 where nothing is lost.

        They are relative to what the head gives the reference itself, so that the best value is
        that of no change at all.

        Args:
            best: What ``best`` returns, where it is known.
        """
        statistics = self.statistics(reference, distorted)
        return self.judge(task, reference, statistics, regions, best)

    def judge(
        self,
        task: str,
        reference: Moments,
        statistics: Tensor,
        regions: Regions,
        best: Tensor | None = None,
    ) -> Tensor:
        """Returns the same from statistics of the distorted pictures."""
        if best is None:
            best = self.best(task, reference, regions)
        return (self._answer(task, statistics, regions) / best).clamp(max=1)

    def best(self, task: str, reference: Moments, regions: Regions) -> Tensor:
        """Returns (1, n), or (batch, n): what the head gives the reference itself."""
        return self._answer(task, identity(reference), regions)

    def _answer(self, task: str, statistics: Tensor, regions: Regions) -> Tensor:
        answers: Tensor = torch.sigmoid(self.head(task)(statistics, regions))
        return answers.mean(-1)


def backbone(model: Any) -> tuple[nn.Sequential, nn.ModuleList]:
    """Returns stem and stages, up to a stride of 32, of a MobileNetV3-small of timm's.

    Each batch normalisation, as it is in use, becomes part of the convolution before it: the same
    features in three quarters of the time.
    """
    stages = nn.ModuleList(list(model.blocks.children())[: len(LEVEL_CHANNELS) - 2])
    stem = nn.Sequential(model.conv_stem, model.bn1)
    for part in [*stem.modules(), *stages.modules()]:
        _fold(part)
    return stem, stages


def _fold(part: nn.Module) -> None:
    """Makes one of each convolution of a module and the normalisation behind it."""
    children = list(part.named_children())
    for (name, layer), (next_name, norm) in pairwise(children):
        if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            setattr(part, name, fuse_conv_bn_eval(layer, norm))
            setattr(part, next_name, norm.get_submodule("act"))


class Head(nn.Module):
    """Several small networks from statistics to the logit of a quality."""

    mean: Tensor
    spread: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.members = nn.ModuleList(_Member() for _ in range(_NUM_MEMBERS))
        shape = (NUM_VIEWS, 1, NUM_CHANNELS, NUM_STATISTICS)
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("spread", torch.ones(shape))

    def forward(self, statistics: Tensor, regions: Regions) -> Tensor:
        """Returns (batch, n, members) logits of (batch, views, n, channels, NUM_STATISTICS)."""
        # Beyond that lies what training saw too seldom to be believed.
        normal = ((statistics - self.mean) / self.spread).clamp(-6, 6)
        normal = normal.transpose(1, 2)  # region by region
        sides = side_inputs(regions).expand(len(statistics), -1, -1)
        classes = regions.classes.expand(len(statistics), -1)
        return torch.stack([member(normal, sides, classes) for member in self.members], -1)


class _Member(nn.Module):
    """Mixes the channels of each level, next to their plain average, then two hidden layers."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.1)
        self.mixes = nn.ModuleList(
            nn.Linear(channels * NUM_STATISTICS, _MIXED) for channels in LEVEL_CHANNELS
        )
        self.classes = nn.Embedding(_NUM_CLASSES, _CLASS_FEATURES)
        width = len(LEVEL_CHANNELS) * NUM_VIEWS * (_MIXED + NUM_STATISTICS)
        self.layers = nn.Sequential(
            nn.Linear(width + NUM_SIDE_INPUTS + _CLASS_FEATURES, _HIDDEN),
            nn.GELU(),
            nn.Dropout(0.2),
            nn.Linear(_HIDDEN, _HIDDEN // 2),
            nn.GELU(),
            nn.Linear(_HIDDEN // 2, 1),
        )

    def forward(self, normal: Tensor, sides: Tensor, classes: Tensor) -> Tensor:
        """Returns (batch, n) logits of (batch, n, views, channels, NUM_STATISTICS)."""
        inputs = [sides, self.classes(classes)]
        levels = zip(torch.split(normal, list(LEVEL_CHANNELS), 3), self.mixes, strict=True)
        for level, mix in levels:
            inputs.append(mix(self.drop(level).flatten(3)).flatten(2))
            inputs.append(level.mean(3).flatten(2))
        logits: Tensor = self.layers(torch.cat(inputs, 2)).squeeze(2)
        return logits


def side_inputs(regions: Regions) -> Tensor:
    """Returns (n, NUM_SIDE_INPUTS): log of width, height and their ratio, and the score."""
    sides = (regions.boxes[..., 2:] - regions.boxes[..., :2]).clamp_min(1).log()
    # About 60 pixels, give or take a factor of e: what makes these inputs numbers around 0.
    width, height = (sides - 4).unbind(-1)
    scores = torch.where(regions.scores > 0, regions.scores, _USUAL_SCORE)
    return torch.stack([width, height, width - height, (scores - 0.6) * 5], -1)


def similarity(
    reference_mean: Tensor, reference_square: Tensor, mean: Tensor, square: Tensor, product: Tensor
) -> Tensor:
    """Returns the statistics of two sets of features from their moments, in a new last axis."""
    reference_variance = (reference_square - reference_mean**2).clamp_min(0)
    variance = (square - mean**2).clamp_min(0)
    covariance = product - reference_mean * mean
    error = (reference_square + square - 2 * product).clamp_min(0)
    means = (2 * reference_mean * mean + _FLAT) / (reference_mean**2 + mean**2 + _FLAT)
    structure = (2 * covariance + _FLAT) / (reference_variance + variance + _FLAT)
    variances = torch.log((variance + _FLAT) / (reference_variance + _FLAT))
    errors = torch.log((error + _ROUNDING) / (reference_variance + _FLAT))
    detail = torch.log(reference_variance + _FLAT).expand_as(errors)
    return torch.stack([means, structure, variances, errors, detail], -1)


def identity(reference: Moments) -> Tensor:
    """Returns the statistics of a reference and itself, (1 or batch, views, n, channels, ...)."""
    mean, square = (one.view(-1, *one.shape[-3:]) for one in (reference.means, reference.squares))
    return similarity(mean, square, mean, square, square)


def joined(some: Sequence[Moments]) -> Moments:
    """Returns the moments of pictures of one size as those of a batch.

    Each has as many regions as the one with most; those added cover nothing.
    """
    if len(some) == 1:
        return some[0]

    def padded(values: Iterable[Tensor]) -> Tensor:
        """Returns (batch, views, n, ...) of tensors of (views, n, ...)."""
        return pad_sequence([one.transpose(0, 1) for one in values], True).transpose(1, 2)

    def by_view(masks: Iterable[Tensor]) -> Iterator[Tensor]:
        return (one.view(NUM_VIEWS, -1, one.shape[1]) for one in masks)

    return Moments(
        levels=tuple(map(torch.cat, zip(*(one.levels for one in some), strict=True))),
        masks=tuple(
            (
                padded(by_view(down for down, _ in level)).flatten(1, 2),
                padded(by_view(across for _, across in level)).flatten(1, 2),
            )
            for level in zip(*(one.masks for one in some), strict=True)
        ),
        means=padded(one.means for one in some),
        squares=padded(one.squares for one in some),
    )


def joined_regions(some: Sequence[Regions]) -> Regions:
    """Returns the regions of pictures as those of a batch, as ``joined`` does with moments."""
    return Regions(
        boxes=pad_sequence([one.boxes for one in some], True),
        scores=pad_sequence([one.scores for one in some], True),
        classes=pad_sequence([one.classes for one in some], True),
    )


def channels_last(features: Tensor) -> Tensor:
    """Returns (batch, height, width, channels) of (batch, channels, height, width)."""
    return features.permute(0, 2, 3, 1)


def surroundings(boxes: Tensor, width: int, height: int) -> Tensor:
    """Returns (n, 4) boxes enlarged about their centres, within the picture."""
    centres, halves = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    limits = torch.tensor([width, height], dtype=boxes.dtype, device=boxes.device)
    low = (centres - halves * _SURROUNDINGS).clamp_min(0)
    high = torch.minimum(centres + halves * _SURROUNDINGS, limits)
    return torch.cat([low, high], 1)


def _masks(boxes: Tensor, width: int, height: int, level: Tensor) -> tuple[Tensor, Tensor]:
    """Returns (n, level height) and (n, level width): each cell's share of a box, in sum 1."""
    down, across = (
        _shares(boxes[:, axis], boxes[:, axis + 2], level.shape[2 - axis], num_pixels)
        for axis, num_pixels in ((1, height), (0, width))
    )
    return down, across


def _shares(low: Tensor, high: Tensor, num_cells: int, num_pixels: int) -> Tensor:
    cells = torch.arange(num_cells, dtype=low.dtype, device=low.device)
    scale = num_cells / num_pixels
    inside = torch.minimum(high[:, None] * scale, cells + 1) - torch.maximum(
        low[:, None] * scale, cells
    )
    shares = inside.clamp_min(0)
    total = shares.sum(1, keepdim=True)
    # A box thinner than rounding covers no part of any cell: the cell that it lies in counts.
    middle = ((low + high) / 2 * scale).long().clamp(0, num_cells - 1)
    return torch.where(total > 0, shares / total, nn.functional.one_hot(middle, num_cells))


def _average(features: Tensor, mask: tuple[Tensor, Tensor]) -> Tensor:
    """Returns (batch, n, channels): the mean over each region of (batch, ..., channels)."""
    down, across = mask
    batch, height, width, channels = features.shape
    rows = torch.matmul(down, features.reshape(batch, height, width * channels))
    means = across[..., None, :] @ rows.view(batch, down.shape[-2], width, channels)
    return means.squeeze(2)

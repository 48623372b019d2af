"""The learned metrics: what compression costs a machine, without running the machine."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from .boxes import Detections, Floats, Picture, clipped, objects_inside
from .coco_classes import class_number
from .detector import Detector
from .feature_file import FeatureFile, Kept
from .libraries import library_versions
from .one_thread import one_torch_thread
from .similarity_network import (
    LEVEL_CHANNELS,
    Moments,
    Regions,
    SimilarityNetwork,
    channels_last,
    joined,
    joined_regions,
)
from .task import Json, TaskMachine, detections_from_json, detections_to_json
from .trained_weights import load_trained
from .views import (
    LEARNED_TASKS,
    VIEWS,
    LearnedTask,
    View,
    cut_out,
    heat_squares,
    resized,
    view_scale,
)

VERSION = "similarity 4"
WEIGHTS = Path(__file__).parent / "weights" / "similarity.safetensors"

# On CUDA starting a kernel costs more than its work on one picture: 32 at once take a thirteenth of
# the time. The first of a new size takes up to 2.7 s there, until cuDNN has its plans: what is cut
# out around faces and plates, of another size in each frame, is looked at on the CPU. There one at
# a time is as fast, in less memory.
_TOGETHER_ON_CUDA = 32
# Levels that ``SimilarityNetwork.fine_levels`` makes.
_NUM_FINE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownPart:
    """Regions of an original that are seen at once, and what the network makes of them.

    Attributes:
        places: Of the regions, among all of the original's.
        moments: Or where they lie on disk.
        best: (regions,) qualities that the network gives the original itself.
    """

    places: tuple[int, ...]
    moments: Moments | Kept
    best: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedReference:
    """Regions of one original, and what the network makes of it.

    Attributes:
        objects: The regions, in pixels of the original; scores are their weights.
        size: Height and width of the original, where its parts are known.
        parts: That hold all regions; none where the reference comes from a store.
    """

    objects: Detections
    size: tuple[int, int] | None = None
    parts: tuple[KnownPart, ...] = ()


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the network sees of a part of one of several pictures, and the regions in its pixels.

    Attributes:
        index: Of the picture.
        number: Of the part, among those of the picture.
        places: Of the regions, among all of the picture's.
    """

    index: int
    number: int
    places: tuple[int, ...]
    seen: Picture
    regions: Regions


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedMetric:
    """Predicts what a machine loses, in regions that a detector finds on the original.

    Attributes:
        task: The machine that is predicted; ``general`` is one answer for all.
        finder: Finds the regions.
        min_score: A region counts from this score on.
        weights_sha256: Of the file.
        device: ``cpu`` or ``cuda:0``.
        feature_file: Holds the features of originals; they stay in memory where None.
        num_together: Pictures of one size that the network sees at once.
    """

    task: LearnedTask
    network: SimilarityNetwork
    finder: Detector
    min_score: float
    weights_sha256: str
    device: str
    feature_file: FeatureFile | None = None
    num_together: int = 1

    def __post_init__(self) -> None:
        if self.task not in VIEWS:
            raise ValueError(f"task must be one of {', '.join(VIEWS)}, got {self.task!r}")
        if not 0 < self.min_score < 1:
            raise ValueError(f"min_score must be between 0 and 1, got {self.min_score:g}")

    @property
    def view(self) -> View:
        """How the network sees pictures."""
        return VIEWS[self.task]

    @property
    def version(self) -> str:
        least = self.view.min_side_pixels
        return (
            f"{VERSION} {self.task} {self.weights_sha256} "
            f"{library_versions('torch', 'timm', 'cv2')} "
            f"on {self.device.partition(':')[0]} in {self.finder.version} score {self.min_score:g}"
            + (f" side {least}" if least else "")
        )

    @property
    def batch_size(self) -> int:
        return max(self.num_together, self.finder.batch_size)

    def look(self, pictures: Sequence[Picture]) -> list[LearnedReference]:
        """Returns the regions of each original, (height, width, 3) BGR, and their features."""
        found = self.finder.detect(pictures, self.min_score)
        inside = [
            LearnedReference(objects=objects_inside(objects, picture, self.view.min_side_pixels))
            for objects, picture in zip(found, pictures, strict=True)
        ]
        return self.prepare(inside, pictures)

    def prepare(
        self, references: Sequence[LearnedReference], pictures: Sequence[Picture]
    ) -> list[LearnedReference]:
        """Returns references with the features of their originals."""
        return self._prepare(references, pictures, is_whole=self.view.is_whole)

    def losses(
        self, references: Sequence[LearnedReference], pictures: Sequence[Picture]
    ) -> list[Floats]:
        """Returns 1 - quality of each region, in [0, 1]; 0 is nothing lost.

        Raises:
            ValueError: A picture has another size than its original.
        """
        return self._losses(references, pictures, is_whole=self.view.is_whole)

    def heat_map(self, original: Picture, distorted: Picture) -> Floats:
        """Returns where the machine loses sight: (rows, columns) losses in [0, 1].

        The rows and columns divide the picture evenly; each is a square of 64 pixels of what the
        network sees, half over its neighbours, whose score nobody knows.
        """
        height, width = original.shape[:2]
        squares, shape = heat_squares(height, width, self.task)
        reference = LearnedReference(
            objects=Detections(
                boxes=squares,
                scores=np.zeros(len(squares)),
                class_names=("",) * len(squares),
            )
        )
        # They cover all of the picture: at once, or it would be seen a thousand times.
        prepared = self._prepare([reference], [original], is_whole=True)
        return self._losses(prepared, [distorted], is_whole=True)[0].reshape(shape)

    def _prepare(
        self,
        references: Sequence[LearnedReference],
        pictures: Sequence[Picture],
        *,
        is_whole: bool,
    ) -> list[LearnedReference]:
        found = [
            replace(one, size=picture.shape[:2], parts=())
            for one, picture in zip(references, pictures, strict=True)
        ]
        parts: list[dict[int, KnownPart]] = [{} for _ in found]
        for some in self._together(found, pictures, is_whole=is_whole):
            seen = np.stack([one.seen for one in some])
            height, width = seen.shape[1:3]
            regions = [one.regions.to(self.device) for one in some]
            with one_torch_thread(), torch.inference_mode():
                levels = [*map(channels_last, self.network.levels(to_tensor(seen, self.device)))]
                moments = [
                    self.network.moments(
                        tuple(level[at : at + 1] for level in levels), one.boxes, width, height
                    )
                    for at, one in enumerate(regions)
                ]
                best = self.network.best(self.task, joined(moments), joined_regions(regions))
            for one, its_moments, its_best in zip(some, moments, best, strict=True):
                parts[one.index][one.number] = KnownPart(
                    places=one.places,
                    moments=self._kept(one.seen, its_moments),
                    best=its_best[: len(one.places)],
                )
        return [
            replace(one, parts=tuple(known for _, known in sorted(its_parts.items())))
            for one, its_parts in zip(found, parts, strict=True)
        ]

    def _losses(
        self,
        references: Sequence[LearnedReference],
        pictures: Sequence[Picture],
        *,
        is_whole: bool,
    ) -> list[Floats]:
        found: list[Floats] = [np.zeros(len(one.objects.class_names)) for one in references]
        for some in self._together(references, pictures, is_whole=is_whole):
            known = [_known(references[one.index], one.number) for one in some]
            best = [one.best for one in known]
            with one_torch_thread(), torch.inference_mode():
                quality = self.network.quality(
                    self.task,
                    joined([self._moments(one.moments) for one in known]),
                    to_tensor(np.stack([one.seen for one in some]), self.device),
                    joined_regions([one.regions for one in some]).to(self.device),
                    pad_sequence(best, True, 1.0),
                )
            for one, row in zip(some, quality.cpu().numpy(), strict=True):
                found[one.index][list(one.places)] = 1 - row[: len(one.places)].astype(np.float64)
        return found

    def to_json(self, reference: LearnedReference) -> Json:
        return detections_to_json(reference.objects)

    def from_json(self, value: Json) -> LearnedReference:
        return LearnedReference(objects=detections_from_json(value))

    def _together(
        self,
        references: Sequence[LearnedReference],
        pictures: Sequence[Picture],
        *,
        is_whole: bool,
    ) -> Iterator[list[_Seen]]:
        """Yields what the network sees at once, of pictures that have a region.

        Args:
            is_whole: All regions are seen in the whole picture; else each is cut out by itself.

        Raises:
            ValueError: A picture has another size than its original.
        """
        waiting: defaultdict[tuple[int, ...], list[_Seen]] = defaultdict(list)
        for index, (reference, picture) in enumerate(zip(references, pictures, strict=True)):
            height, width = picture.shape[:2]
            if reference.size not in (None, (height, width)):
                raise ValueError(
                    f"original and distorted picture must have the same size, got {reference.size} "
                    f"and {height, width} lines and columns"
                )
            every = range(len(reference.objects.class_names))
            groups: list[tuple[int, ...]] = [(place,) for place in every]
            if is_whole:
                groups = [tuple(every)] if every else []
            for number, places in enumerate(groups):
                seen, regions = self._see(reference.objects, places, picture, is_whole=is_whole)
                some = waiting[seen.shape]
                some.append(_Seen(index, number, places, seen, regions))
                if len(some) == self.num_together:
                    yield waiting.pop(seen.shape)
        yield from waiting.values()

    def _kept(self, seen: Picture, moments: Moments) -> Moments | Kept:
        """Returns moments, or where they lie on disk where there is a file for them."""
        if self.feature_file is None:
            return moments
        # The first two levels are most of the numbers and little of the work: made again.
        masks = [one for mask in moments.masks for one in mask]
        tensors = [*moments.levels[_NUM_FINE:], *masks, moments.means, moments.squares]
        return self.feature_file.keep([seen, *(one.cpu().numpy() for one in tensors)])

    def _read(self, kept: Kept) -> Moments:
        """Returns moments from the disk, the same to the last bit."""
        assert self.feature_file is not None, "kept by a metric that has a file"
        seen, *arrays = self.feature_file.read(kept)
        *rest, means, squares = (torch.from_numpy(one).to(self.device) for one in arrays)
        num_coarse = len(LEVEL_CHANNELS) - _NUM_FINE
        masks = rest[num_coarse:]
        return Moments(
            (
                *map(channels_last, self.network.fine_levels(to_tensor(seen[None], self.device))),
                *rest[:num_coarse],
            ),
            tuple(zip(masks[::2], masks[1::2], strict=True)),
            means,
            squares,
        )

    def _moments(self, moments: Moments | Kept) -> Moments:
        return self._read(moments) if isinstance(moments, Kept) else moments

    def _see(
        self, objects: Detections, places: Sequence[int], picture: Picture, *, is_whole: bool
    ) -> tuple[Picture, Regions]:
        """Returns what the network sees of a picture, and some regions in pixels of that.

        Raises:
            ValueError: A region is outside the picture, or the picture has other numbers.
        """
        if picture.dtype != np.uint8:
            raise ValueError(f"pictures must be uint8, got {picture.dtype}")
        objects = objects.where(np.isin(np.arange(len(objects.class_names)), places))
        boxes = clipped(objects.boxes, picture)
        sides = boxes[:, 2:] - boxes[:, :2]
        if not (sides > 0).all():
            height, width = picture.shape[:2]
            outside = objects.boxes[int(np.flatnonzero((sides <= 0).any(axis=1))[0])]
            raise ValueError(
                f"region must be inside the picture of {width}x{height} pixels, got "
                f"{', '.join(f'{value:g}' for value in outside)}"
            )
        if not is_whole:
            picture, corner = cut_out(picture, boxes[0], self.view)
            boxes = boxes - np.tile(corner, 2)
        height, width = picture.shape[:2]
        seen = resized(picture, view_scale(height, width, self.task))
        # Sides are rounded to whole pixels, each by itself.
        ratio = np.tile([seen.shape[1] / width, seen.shape[0] / height], 2)
        is_told = self.view.is_told
        return seen, Regions(
            boxes=torch.tensor(boxes * ratio, dtype=torch.float32),
            scores=torch.tensor(
                objects.scores if is_told else np.zeros(len(boxes)), dtype=torch.float32
            ),
            classes=torch.tensor(
                [class_number(name if is_told else "") for name in objects.class_names]
            ),
        )


@cache
def load_network(weights: Path = WEIGHTS, device: str = "cpu") -> tuple[SimilarityNetwork, str]:
    """Returns the trained network, ready to use, and the SHA-256 of its weights.

    Raises:
        WeightsError: There is no such file, or it holds other weights.
    """
    network = SimilarityNetwork(LEARNED_TASKS)
    digest = load_trained(
        network, weights, device, what="learned metrics", training="train_metrics"
    )
    return network, digest


def load_learned_metric(
    task: LearnedTask,
    finder: Detector,
    *,
    min_score: float = 0.4,
    feature_file: FeatureFile | None = None,
) -> LearnedMetric:
    """Returns a learned metric; what looks at whole pictures is on CUDA where there is one.

    Args:
        task: The machine that is predicted.
        finder: Finds the regions on originals.
        min_score: A region counts from this score of the finder on.
        feature_file: Holds the features of originals; they stay in memory where None.

    Raises:
        WeightsError: The weights are missing or of another version.
    """
    is_on_cuda = VIEWS[task].is_whole and torch.cuda.is_available()
    device = "cuda:0" if is_on_cuda else "cpu"
    network, digest = load_network(device=device)
    return LearnedMetric(
        task=task,
        network=network,
        finder=finder,
        min_score=min_score,
        weights_sha256=digest,
        device=device,
        feature_file=feature_file,
        num_together=_TOGETHER_ON_CUDA if is_on_cuda else 1,
    )


def to_tensor(pictures: npt.NDArray[np.uint8], device: str | torch.device = "cpu") -> Tensor:
    """Returns (batch, height, width, 3) BGR in [0, 255] as RGB in [-1, 1], channels second.

    The memory holds the channels last, as before. A device is given bytes, not floats.
    """
    import cv2

    # Many times as fast as reversing the last axis; it takes one picture, of any height.
    rows = cv2.cvtColor(pictures.reshape(-1, *pictures.shape[2:]), cv2.COLOR_BGR2RGB)
    seen = torch.from_numpy(rows.reshape(pictures.shape)).to(device).float()
    return seen.div_(127.5).sub_(1).permute(0, 3, 1, 2)


def _known(reference: LearnedReference, number: int) -> KnownPart:
    if not reference.parts:
        raise ValueError("a reference from a store must be prepared with its original")
    return reference.parts[number]


if TYPE_CHECKING:

    def _is_a_task_machine(metric: LearnedMetric) -> TaskMachine[LearnedReference]:
        return metric

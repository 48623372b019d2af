"""The learned metrics: what compression costs a machine, without running the machine."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from .boxes import Detections, Floats
from .detector import Detector
from .face_detector import MIN_SIDE_PIXELS
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
from .task import Json, Picture, TaskMachine, detections_from_json, detections_to_json
from .trained_weights import load_trained

LearnedTask = Literal["objects", "faces", "plates", "general"]
VERSION = "similarity 4"
WEIGHTS = Path(__file__).parent / "weights" / "similarity.safetensors"

# Longest side in pixels of what the network sees. Detectors look at the whole picture at 640 and
# enlarge a smaller one; faces and plates are read at their own size, each cut out by itself: seen
# together, one's score would depend on where the others are.
_MAX_SIDES: dict[LearnedTask, int] = {
    "objects": 640,
    "general": 640,
    "faces": 1280,
    "plates": 1280,
}
_WHOLE_PICTURE: tuple[LearnedTask, ...] = ("objects", "general")
# Seen as the detectors see them, objects of validation photos are ranked better: SRCC 0.752 instead
# of 0.732 by heads trained for it (benchmarks.region_views).
_ENLARGED: tuple[LearnedTask, ...] = ("objects",)
# What is kept around a region, as training showed it: in a face's sides, in a plate's heights.
_FACE_MARGIN, PLATE_MARGIN = 0.5, 2.0
# On CUDA starting a kernel costs more than its work on one picture: 32 at once take a thirteenth of
# the time. The first of a new size takes up to 2.7 s there, until cuDNN has its plans: what is cut
# out around faces and plates, of another size in each frame, is looked at on the CPU. There one at
# a time is as fast, in less memory.
_TOGETHER_ON_CUDA = 32
# Levels that ``SimilarityNetwork.fine_levels`` makes.
_NUM_FINE = 2
# Side of the squares of a heat map, and their distance, in pixels of what the network sees.
_HEAT_SIDE, _HEAT_STEP = 64, 32


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
        if self.task not in get_args(LearnedTask):
            known = ", ".join(get_args(LearnedTask))
            raise ValueError(f"task must be one of {known}, got {self.task!r}")
        if not 0 < self.min_score < 1:
            raise ValueError(f"min_score must be between 0 and 1, got {self.min_score:g}")

    @property
    def version(self) -> str:
        return (
            f"{VERSION} {self.task} {self.weights_sha256} "
            f"{library_versions('torch', 'timm', 'cv2')} "
            f"on {self.device.partition(':')[0]} in {self.finder.version} score {self.min_score:g}"
            + (f" side {MIN_SIDE_PIXELS}" if self.task == "faces" else "")
        )

    @property
    def batch_size(self) -> int:
        return max(self.num_together, self.finder.batch_size)

    def look(self, pictures: Sequence[Picture]) -> list[LearnedReference]:
        """Returns the regions of each original, (height, width, 3) BGR, and their features."""
        found = self.finder.detect(pictures, self.min_score)
        least = MIN_SIDE_PIXELS if self.task == "faces" else 0
        inside = [
            LearnedReference(objects=_inside(objects, picture, least))
            for objects, picture in zip(found, pictures, strict=True)
        ]
        return self.prepare(inside, pictures)

    def prepare(
        self, references: Sequence[LearnedReference], pictures: Sequence[Picture]
    ) -> list[LearnedReference]:
        """Returns references with the features of their originals."""
        return self._prepare(references, pictures, is_apart=self.task not in _WHOLE_PICTURE)

    def losses(
        self, references: Sequence[LearnedReference], pictures: Sequence[Picture]
    ) -> list[Floats]:
        """Returns 1 - quality of each region, in [0, 1]; 0 is nothing lost.

        Raises:
            ValueError: A picture has another size than its original.
        """
        return self._losses(references, pictures, is_apart=self.task not in _WHOLE_PICTURE)

    def heat_map(self, original: Picture, distorted: Picture) -> Floats:
        """Returns where the machine loses sight: (rows, columns) losses in [0, 1].

        The rows and columns divide the picture evenly; each is a square of 64 pixels of what the
        network sees, half over its neighbours, whose score nobody knows.
        """
        height, width = original.shape[:2]
        squares, shape = _squares(width, height, view_scale(height, width, self.task))
        reference = LearnedReference(
            objects=Detections(
                boxes=squares,
                scores=np.zeros(len(squares)),
                class_names=("",) * len(squares),
            )
        )
        # They cover all of the picture: at once, or it would be seen a thousand times.
        prepared = self._prepare([reference], [original], is_apart=False)
        return self._losses(prepared, [distorted], is_apart=False)[0].reshape(shape)

    def _prepare(
        self,
        references: Sequence[LearnedReference],
        pictures: Sequence[Picture],
        *,
        is_apart: bool,
    ) -> list[LearnedReference]:
        found = [
            replace(one, size=picture.shape[:2], parts=())
            for one, picture in zip(references, pictures, strict=True)
        ]
        parts: list[dict[int, KnownPart]] = [{} for _ in found]
        for some in self._together(found, pictures, is_apart=is_apart):
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
        is_apart: bool,
    ) -> list[Floats]:
        found: list[Floats] = [np.zeros(len(one.objects.class_names)) for one in references]
        for some in self._together(references, pictures, is_apart=is_apart):
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
        is_apart: bool,
    ) -> Iterator[list[_Seen]]:
        """Yields what the network sees at once, of pictures that have a region.

        Args:
            is_apart: Each region is cut out by itself.

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
            groups = [(place,) for place in every] if is_apart else [tuple(every)] if every else []
            for number, places in enumerate(groups):
                seen, regions = self._see(reference.objects, places, picture, is_apart=is_apart)
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
        self, objects: Detections, places: Sequence[int], picture: Picture, *, is_apart: bool
    ) -> tuple[Picture, Regions]:
        """Returns what the network sees of a picture, and some regions in pixels of that.

        Raises:
            ValueError: A region is outside the picture, or the picture has other numbers.
        """
        if picture.dtype != np.uint8:
            raise ValueError(f"pictures must be uint8, got {picture.dtype}")
        objects = objects.where(np.isin(np.arange(len(objects.class_names)), places))
        boxes = _clipped(objects.boxes, picture)
        sides = boxes[:, 2:] - boxes[:, :2]
        if not (sides > 0).all():
            height, width = picture.shape[:2]
            outside = objects.boxes[int(np.flatnonzero((sides <= 0).any(axis=1))[0])]
            raise ValueError(
                f"region must be inside the picture of {width}x{height} pixels, got "
                f"{', '.join(f'{value:g}' for value in outside)}"
            )
        if is_apart:
            is_plate = self.task == "plates"
            margins = sides[:, 1:] * PLATE_MARGIN if is_plate else sides * _FACE_MARGIN
            x0, y0 = np.floor((boxes[:, :2] - margins).min(axis=0).clip(0)).astype(int)
            x1, y1 = np.ceil((boxes[:, 2:] + margins).max(axis=0)).astype(int)
            picture = picture[y0:y1, x0:x1]
            boxes = boxes - np.array([x0, y0, x0, y0])
        height, width = picture.shape[:2]
        seen = resized(picture, view_scale(height, width, self.task))
        # Sides are rounded to whole pixels, each by itself.
        ratio = np.tile([seen.shape[1] / width, seen.shape[0] / height], 2)
        is_general = self.task == "general"
        return seen, Regions(
            boxes=torch.tensor(boxes * ratio, dtype=torch.float32),
            scores=torch.tensor(
                np.zeros(len(boxes)) if is_general else objects.scores, dtype=torch.float32
            ),
            classes=torch.tensor(
                [class_number("" if is_general else name) for name in objects.class_names]
            ),
        )


@cache
def load_network(weights: Path = WEIGHTS, device: str = "cpu") -> tuple[SimilarityNetwork, str]:
    """Returns the trained network, ready to use, and the SHA-256 of its weights.

    Raises:
        WeightsError: There is no such file, or it holds other weights.
    """
    network = SimilarityNetwork(get_args(LearnedTask))
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
    is_on_cuda = task in _WHOLE_PICTURE and torch.cuda.is_available()
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


def _inside(objects: Detections, picture: Picture, least: float) -> Detections:
    """Returns objects that are in the picture in part: detectors draw boxes on its very edge.

    Args:
        least: Shorter side in pixels of an object that counts.
    """
    boxes = _clipped(objects.boxes, picture)
    is_inside: npt.NDArray[np.bool_] = np.all(boxes[:, 2:] > boxes[:, :2], axis=1)
    is_large = (objects.boxes[:, 2:] - objects.boxes[:, :2]).min(axis=1) >= least
    return objects.where(is_inside & is_large)


def _clipped(boxes: Floats, picture: Picture) -> Floats:
    height, width = picture.shape[:2]
    clipped: Floats = np.clip(boxes, 0, np.array([width, height, width, height]))
    return clipped


def resized(picture: Picture, scale: float) -> Picture:
    """Returns the picture at a scale, of at least a pixel; enlarged as detectors do it."""
    import cv2

    if scale == 1:
        return picture
    height, width = (max(1, round(side * scale)) for side in picture.shape[:2])
    filter_ = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (width, height), interpolation=filter_), np.uint8)


def view_scale(height: int, width: int, task: LearnedTask) -> float:
    """Returns by how much a picture of that many pixels is reduced or enlarged for the network."""
    scale = _MAX_SIDES[task] / max(height, width)
    return scale if task in _ENLARGED else min(1.0, scale)


def _squares(width: int, height: int, scale: float) -> tuple[Floats, tuple[int, int]]:
    """Returns (rows * columns, 4) squares about the centres of an even grid, and its shape."""
    step, half = _HEAT_STEP / scale, _HEAT_SIDE / scale / 2
    rows, columns = math.ceil(height / step), math.ceil(width / step)
    y, x = np.meshgrid(
        (np.arange(rows) + 0.5) * height / rows,
        (np.arange(columns) + 0.5) * width / columns,
        indexing="ij",
    )
    squares = np.stack([x - half, y - half, x + half, y + half], axis=-1)
    return squares.reshape(-1, 4), (rows, columns)


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


if TYPE_CHECKING:

    def _is_a_task_machine(metric: LearnedMetric) -> TaskMachine[LearnedReference]:
        return metric

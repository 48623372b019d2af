"""Ways to look at regions: the whole picture, the whole picture at 640, or a crop of each.

``python -m benchmarks.region_views --data ../shared/data`` trains heads on features of ImageNet's
network as they are, on COCO's training photos, and ranks the objects of the validation photos. It
needs the labelled pairs of these photos alone, and makes those that are missing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from ratesight.metrics.learned import to_tensor
from ratesight.metrics.similarity_network import SimilarityNetwork, surroundings
from ratesight.metrics.views import resized, view_scale
from torch import Tensor

from . import object_pairs
from .distortions import Picture
from .machine import describe_machine
from .pairs import make_missing
from .result_file import write_results
from .similarity_examples import Example, boxes_in, pictures_of, read_examples
from .similarity_heads import Rows, rows_of, srcc_of, train_head
from .train_metrics import load_backbone

RESULTS = Path(__file__).parent / "results" / "region_views.json"
_TASK = "objects"
# A crop holds a region and its surroundings, and is seen at this longest side.
_CROP_SIDE = 224
_SEEDS = (0, 1, 2)

# Of a network, pictures with the original first, and (n, 4) boxes in them: the statistics,
# (versions, views, n, channels, statistics), and the boxes in pixels of what the network sees.
View = Callable[[SimilarityNetwork, Sequence[Picture], Tensor], tuple[Tensor, Tensor]]


def whole(
    network: SimilarityNetwork, pictures: Sequence[Picture], boxes: Tensor
) -> tuple[Tensor, Tensor]:
    """Looks at the whole picture once, at its own size."""
    seen = to_tensor(np.stack(pictures))
    reference = network.reference(seen[:1], boxes)
    parts = [network.statistics(reference, one[None]) for one in seen[1:]]
    return torch.cat(parts), boxes


def whole_at_640(
    network: SimilarityNetwork, pictures: Sequence[Picture], boxes: Tensor
) -> tuple[Tensor, Tensor]:
    """Looks at the whole picture once, enlarged as detectors do it."""
    height, width = pictures[0].shape[:2]
    seen = [resized(one, view_scale(height, width, _TASK)) for one in pictures]
    return whole(network, seen, boxes_in(seen[0], pictures[0], boxes))


def crops(
    network: SimilarityNetwork, pictures: Sequence[Picture], boxes: Tensor
) -> tuple[Tensor, Tensor]:
    """Looks at each region by itself, all at one size; its own size is what the head is told."""
    height, width = pictures[0].shape[:2]
    found = []
    for box in boxes:
        around = surroundings(box[None], width, height)[0]
        x0, y0 = around[:2].floor().int().tolist()
        x1, y1 = around[2:].ceil().int().tolist()
        cut = [one[y0:y1, x0:x1] for one in pictures]
        sides = cut[0].shape[1::-1]
        size = [max(1, round(side * _CROP_SIDE / max(sides))) for side in sides]
        seen = [np.asarray(cv2.resize(one, size), np.uint8) for one in cut]
        inside = boxes_in(seen[0], cut[0], (box - torch.tensor([x0, y0, x0, y0]))[None])
        found.append(whole(network, seen, inside)[0])
    return torch.cat(found, 2), boxes


VIEWS: dict[str, View] = {
    "whole picture": whole,
    "whole picture at 640": whole_at_640,
    "a crop of each region": crops,
}


def main() -> None:
    """Writes rank correlation and time of each way to look."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path("pairs"), help="of labelled pairs")
    parser.add_argument("--jobs", type=int, default=2, help="processes that build pairs")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    photos = [one for one in object_pairs.materials(arguments.data) if _is_used(one)]
    make_missing(object_pairs.make, photos, arguments.data, arguments.cache, arguments.jobs)
    wanted = {one.name for one in photos}
    examples = {
        split: [one for one in read_examples(arguments.cache, split) if one.pairs.name in wanted]
        for split in ("train", "validation")
    }
    start = arguments.data / "weights" / "mobilenetv3_small_timm.safetensors"
    rows = []
    for name, view in VIEWS.items():
        rows.append({"view": name, **judge(view, examples, start, arguments.cache)})
        print(json.dumps(rows[-1]), flush=True)
    results = {
        "machine": describe_machine(),
        "seeds": _SEEDS,
        "crop_side": _CROP_SIDE,
        "material": {split: _material(some) for split, some in examples.items()},
        "rows": rows,
    }
    write_results(results, RESULTS)


def judge(
    view: View, examples: dict[str, list[Example]], start: Path, cache: Path
) -> dict[str, object]:
    """Returns SRCC on the validation part of each seed, and the time."""
    network = SimilarityNetwork((_TASK,))
    load_backbone(network, start)
    network.eval().to(memory_format=torch.channels_last)
    known, taken = {}, 0.0
    for split, some in examples.items():
        known[split], taken = _rows(network, view, some, cache)
    found = []
    for seed in _SEEDS:
        torch.manual_seed(seed)
        fresh = SimilarityNetwork((_TASK,))
        train_head(fresh, _TASK, known["train"], torch.device("cpu"))
        found.append(srcc_of(fresh, _TASK, known["validation"]))
    return {
        "srcc": [round(one, 4) for one in found],
        "median_srcc": round(statistics.median(found), 4),
        "milliseconds_a_version": round(taken, 1),
    }


def _is_used(one: object_pairs.Material) -> bool:
    is_coco = one.path.parent.name == "coco128_train2017" and one.scale == 1
    return one.subject == "anything" and (
        one.split == "validation" or (one.split == "train" and is_coco)
    )


def _rows(
    network: SimilarityNetwork, view: View, examples: Sequence[Example], cache: Path
) -> tuple[Rows, float]:
    """Returns what the head learns from, and milliseconds of processor time a version."""
    seen, known, spent, count = [], [], 0.0, 0
    for example in examples:
        pictures = list(np.asarray(pictures_of(example, cache)))
        started = time.thread_time()
        with torch.inference_mode():
            found, boxes = view(network, pictures, example.regions.boxes)
        spent, count = spent + time.thread_time() - started, count + len(pictures)
        known.append(found.clone())
        seen.append(replace(example, regions=replace(example.regions, boxes=boxes)))
    return rows_of(_TASK, seen, known), spent / count * 1000


def _material(examples: Sequence[Example]) -> dict[str, int]:
    return {
        "photos": len({one.pairs.name for one in examples}),
        "objects": sum(one.targets.shape[1] for one in examples),
        "pairs": sum(one.targets.numel() for one in examples),
    }


if __name__ == "__main__":
    main()

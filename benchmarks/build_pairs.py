"""Builds all labelled pairs that the learned metrics are trained and judged on.

``python -m benchmarks.build_pairs --data ../shared/data`` takes two and a half hours on two cores
and 16 GB, twenty minutes with ``--splits test``, and goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from . import face_plate_pairs, object_pairs
from .pairs import SPLITS, Split, make_missing


def main() -> None:
    """Makes what is missing in the cache."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path("pairs"), help="of labelled pairs")
    parser.add_argument("--jobs", type=int, default=2, help="processes side by side")
    parser.add_argument("--splits", nargs="+", choices=SPLITS, default=SPLITS)
    arguments = parser.parse_args()
    build_pairs(arguments.data, arguments.cache, arguments.jobs, arguments.splits)


def build_pairs(data: Path, cache: Path, jobs: int, splits: Sequence[Split] = SPLITS) -> None:
    """Makes what is missing of some splits in the cache."""
    os.environ.setdefault("YOLO_OFFLINE", "true")
    objects = [
        one
        for one in (*object_pairs.materials(data), *object_pairs.pans(data))
        if one.split in splits
    ]
    others = [
        one
        for one in (*face_plate_pairs.materials(data), *face_plate_pairs.resized_materials(data))
        if one.split in splits
    ]
    make_missing(object_pairs.make, objects, data, cache, jobs)
    make_missing(face_plate_pairs.make, others, data, cache, jobs)


if __name__ == "__main__":
    main()

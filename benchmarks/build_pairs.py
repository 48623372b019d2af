"""Builds all labelled pairs that the learned metrics are trained and judged on.

``python -m benchmarks.build_pairs --data ../shared/data`` takes about two hours on two cores and
13 GB, and goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from . import face_plate_pairs, object_pairs
from .pairs import make_missing


def main() -> None:
    """Makes what is missing in the cache."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path("pairs"), help="of labelled pairs")
    parser.add_argument("--jobs", type=int, default=2, help="processes side by side")
    arguments = parser.parse_args()
    build_pairs(arguments.data, arguments.cache, arguments.jobs)


def build_pairs(data: Path, cache: Path, jobs: int) -> None:
    """Makes what is missing in the cache."""
    os.environ.setdefault("YOLO_OFFLINE", "true")
    objects = [*object_pairs.materials(data), *object_pairs.pans(data)]
    make_missing(object_pairs.make, objects, data, cache, jobs)
    make_missing(face_plate_pairs.make, face_plate_pairs.materials(data), data, cache, jobs)


if __name__ == "__main__":
    main()

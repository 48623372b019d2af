"""Labelled pairs in a cache: an original, its compressed versions, what machines lose on each.

One ``NAME.json`` and ``NAME.npy`` for each photo or piece of a clip. The array is (1 + versions,
frames, height, width, 3) BGR, the original first.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, get_args

import numpy as np
import numpy.typing as npt
from ratesight.codecs.whole_file import whole_file

from .distortions import Picture, Version

_parsing = threading.Lock()

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
# Machines whose verdicts are trained on; the others only judge.
TRAINING_MACHINES = {
    "objects": ("yolov8n", "yolov5n"),
    "faces": ("mobilefacenet",),
    "plates": ("rapidocr",),
}
# Machines of other families, which judge test material besides; no part of the mean machine.
JUDGES = ("dlib", "lprnet")
# What one machine thinks of a region: its share kept in [0, 1], and a softer one.
Kept = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """How one machine sees a region of the original: x0 y0 x1 y1 in pixels, score in (0, 1]."""

    box: tuple[float, ...]
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A region of an original, and the machines that see it."""

    box: tuple[float, ...]
    class_name: str
    machines: dict[str, View]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """One original with its compressed versions.

    Attributes:
        kind: ``photo``, ``pan``, ``clip`` or ``resized``, as the materials have it.
        task: ``objects``, ``faces`` or ``plates``.
        regions: Of each frame.
        labels: Of each version, frame and region, by machine; 1 is nothing lost.
    """

    name: str
    split: Split
    kind: str
    task: str
    versions: tuple[Version, ...]
    regions: tuple[tuple[Region, ...], ...]
    labels: tuple[tuple[tuple[dict[str, Kept], ...], ...], ...]


def split_of(name: str) -> Split:
    """Returns the part of the data that a photo, person or plate belongs to, by its name alone."""
    part = int(hashlib.sha256(name.encode()).hexdigest(), 16) % 10
    return "test" if part < 2 else "validation" if part == 2 else "train"


def machine_files(weights: Path, files: Sequence[str], task: str, split: Split) -> dict[str, Path]:
    """Returns the machines to ask by name; those that only judge see the test material alone."""
    named = {file.partition(".")[0]: weights / file for file in files}
    wanted = named if split == "test" else TRAINING_MACHINES[task]
    return {name: named[name] for name in wanted}


def random_of(name: str) -> np.random.Generator:
    """Returns random numbers that belong to a name, so that order and jobs change nothing."""
    return np.random.default_rng(int(hashlib.sha256(name.encode()).hexdigest()[:8], 16))


def write_pairs(
    cache: Path, pairs: Pairs, originals: Sequence[Picture], distorted: Sequence[Sequence[Picture]]
) -> None:
    """Writes one group; one without versions is remembered as done."""
    if distorted:
        np.save(cache / f"{pairs.name}.npy", np.array([originals, *distorted], dtype=np.uint8))
    content = {
        "name": pairs.name,
        "split": pairs.split,
        "kind": pairs.kind,
        "task": pairs.task,
        "versions": [version.to_json() for version in pairs.versions],
        "regions": [
            [
                {
                    "box": one.box,
                    "class": one.class_name,
                    "machines": {name: asdict(view) for name, view in one.machines.items()},
                }
                for one in frame
            ]
            for frame in pairs.regions
        ],
        "labels": pairs.labels,
    }
    with whole_file(cache / f"{pairs.name}.json") as part:
        part.write_text(json.dumps(content, allow_nan=False))


def read_pairs(cache: Path, name: str) -> Pairs:
    """Returns one group."""
    content = json.loads((cache / f"{name}.json").read_text())
    return Pairs(
        name=content["name"],
        split=content["split"],
        kind=content["kind"],
        task=content["task"],
        versions=tuple(Version(**version) for version in content["versions"]),
        regions=tuple(
            tuple(
                Region(
                    box=tuple(one["box"]),
                    class_name=one["class"],
                    machines={
                        name: View(box=tuple(view["box"]), score=view["score"])
                        for name, view in one["machines"].items()
                    },
                )
                for one in frame
            )
            for frame in content["regions"]
        ),
        labels=tuple(
            tuple(
                tuple({name: (kept[0], kept[1]) for name, kept in one.items()} for one in frame)
                for frame in version
            )
            for version in content["labels"]
        ),
    )


def read_pictures(cache: Path, name: str) -> npt.NDArray[np.uint8]:
    """Returns (1 + versions, frames, height, width, 3) BGR, left on the disk until looked at."""
    return load_array(cache / f"{name}.npy")


def load_array(file: Path) -> npt.NDArray[Any]:
    """Returns an array, left on the disk until looked at; safe from several threads at once.

    Python 3.11's parser, which reads NumPy's header, counts its depth for all threads together and
    fails where two of them are in it (CPython issue 106905).
    """
    with _parsing:
        array: npt.NDArray[Any] = np.load(file, mmap_mode="r")
    return array


def all_pairs(cache: Path, tasks: Sequence[str]) -> Iterator[Pairs]:
    """Yields the groups that have versions, in order of their names."""
    for file in sorted(cache.glob("*.json")):
        pairs = read_pairs(cache, file.stem)
        if pairs.versions and pairs.task in tasks:
            yield pairs


class Named(Protocol):
    """Material with a name of its own."""

    @property
    def name(self) -> str: ...


Material = TypeVar("Material", bound=Named)


def make_missing(
    make: Callable[[tuple[Material, Path, Path]], str],
    materials: Sequence[Material],
    data: Path,
    cache: Path,
    jobs: int,
) -> None:
    """Makes in processes of their own what the cache does not have, with a line for each."""
    cache.mkdir(parents=True, exist_ok=True)
    todo = [(one, data, cache) for one in materials if not (cache / f"{one.name}.json").exists()]
    started = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        for count, line in enumerate(pool.imap_unordered(make, todo), 1):
            left = (time.perf_counter() - started) / count * (len(todo) - count)
            print(f"{count}/{len(todo)} {line}, {left / 60:.0f} min left", flush=True)

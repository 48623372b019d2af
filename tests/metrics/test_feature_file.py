"""Features of originals on disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import numpy as np
import pytest
import torch
from ratesight.codecs.source import load_source
from ratesight.metrics.boxes import Detections, Picture
from ratesight.metrics.errors import FeatureFileError
from ratesight.metrics.feature_file import FeatureFile, open_feature_file
from ratesight.metrics.learned import LearnedMetric
from ratesight.metrics.similarity_network import SimilarityNetwork
from ratesight.metrics.views import LEARNED_TASKS


@pytest.fixture
def file() -> Iterator[FeatureFile]:
    with open_feature_file() as opened:
        yield opened


@dataclass(frozen=True)
class Half:
    """Finds the left half of every picture, and a corner."""

    version: str = "half"
    batch_size: int = 2

    def detect(self, pictures: Sequence[Picture], min_score: float) -> list[Detections]:
        found = []
        for picture in pictures:
            height, width = picture.shape[:2]
            boxes = np.array([[0, 0, width / 2, height], [width - 20, 10, width, 40]])
            found.append(
                Detections(boxes=boxes, scores=np.array([0.9, 0.5]), class_names=("person", "x"))
            )
        return found


def metric(file: FeatureFile | None) -> LearnedMetric:
    torch.manual_seed(0)
    network = SimilarityNetwork(LEARNED_TASKS).eval()
    return LearnedMetric(
        task="objects",
        network=network,
        finder=Half(),
        min_score=0.4,
        weights_sha256="untrained",
        device="cpu",
        feature_file=file,
    )


def test_what_is_kept_comes_back(file: FeatureFile) -> None:
    rng = np.random.default_rng(0)
    pictures = [
        [rng.integers(0, 256, (5, 7, 3), dtype=np.uint8), rng.random((n, 4), dtype=np.float32)]
        for n in range(1, 30)
    ]

    with ThreadPoolExecutor(4) as pool:
        kept = list(pool.map(file.keep, pictures))
        found = list(pool.map(file.read, kept))

    for before, after in zip(pictures, found, strict=True):
        for one, other in zip(before, after, strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)


def test_a_cleared_file_is_empty_and_takes_more(file: FeatureFile) -> None:
    file.keep([np.ones(100)])
    file.clear()
    kept = file.keep([np.zeros(3)])

    assert kept.offset == 0
    np.testing.assert_array_equal(file.read(kept)[0], 0)


def test_a_full_disk_says_what_to_do() -> None:
    with (
        FileIO("/dev/full", "r+") as full,
        pytest.raises(FeatureFileError, match="set TMPDIR to a larger disk"),
    ):
        FeatureFile(file=full).keep([np.ones(100)])


def test_a_metric_says_the_same_of_features_in_memory_and_on_disk(
    street: Path, file: FeatureFile
) -> None:
    with load_source(street, max_seconds=0.1) as source:
        originals = [source.bgr(index) for index in range(2)]
    changed = [np.ascontiguousarray(picture // 2 * 2) for picture in originals]
    in_memory, on_disk = metric(None), metric(file)

    expected = in_memory.losses(in_memory.look(originals), changed)
    references = on_disk.look(originals)
    stored = [on_disk.from_json(on_disk.to_json(one)) for one in references]
    again = on_disk.prepare(stored, originals)

    assert file.num_bytes > 0
    for found in (on_disk.losses(references, changed), on_disk.losses(again, changed)):
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)

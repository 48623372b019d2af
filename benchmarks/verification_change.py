"""Measures what compression changes in face verification, beside what the metric ``faces`` says.

``python -m benchmarks.verification_change --data ../shared/data`` takes five minutes on a quick
core, half an hour on a busy one, writes after every setting, and goes on where it was stopped. All
photos of LFW's pairs are encoded, each as a clip of one frame by itself, so that no photo's bits
depend on another's; both photos of a pair are compressed. The original is the photo as encoders get
it: 4:2:0, 8 bit.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ratesight.codecs.encode import decode_bgr, encode
from ratesight.codecs.encoder import encoder_version
from ratesight.codecs.settings import Crf, EncodeSettings
from ratesight.codecs.source import Segment, Source
from ratesight.codecs.table import ENCODERS, Codec
from ratesight.metrics.boxes import Detections, Floats
from ratesight.metrics.face_detector import load_yunet
from ratesight.metrics.face_embedder import FaceEmbedder, load_face_embedder
from ratesight.metrics.faces import align, cosines
from ratesight.metrics.learned import LearnedMetric, LearnedReference, load_learned_metric
from ratesight.metrics.verification_accuracy import verification_change

from .distortions import Picture, read_picture, source_of
from .machine import describe_machine
from .material_faces_plates import FacePair, FacePhoto, read_face_pairs, read_face_photos
from .pairs import split_of
from .result_file import write_results

RESULTS = Path(__file__).parent / "results" / "verification_change.json"
# From what hardly changes anything to nearly chance.
CRFS: dict[Codec, tuple[int, ...]] = {
    "x264": (18, 26, 34, 42),
    "x265": (18, 26, 34, 42),
    "svtav1": (25, 38, 50, 60),
}
_SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Album:
    """Photos as encoders get them, and what machines make of them.

    Attributes:
        source: A frame is a photo.
        pairs: (n, 2) frames.
        is_same, folds: (n,) of the pairs.
        embeddings: (frames, d) of the originals.
        held_out: Frames with persons on whom ``metric`` was not trained.
        references: Of those, for ``metric``.
    """

    photos: Sequence[FacePhoto]
    source: Source
    pairs: npt.NDArray[np.int64]
    is_same: npt.NDArray[np.bool_]
    folds: npt.NDArray[np.int64]
    embedder: FaceEmbedder
    embeddings: Floats
    metric: LearnedMetric
    held_out: Sequence[int]
    references: Sequence[LearnedReference]


def main() -> None:
    """Measures the settings that the results do not have."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with faces/ and weights/")
    arguments = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"rows": []}
    with open_album(arguments.data, read_face_pairs(arguments.data / "faces")) as album:
        settings = [(codec, crf) for codec, crfs in CRFS.items() for crf in crfs]
        keys = [row_key(album, codec, crf) for codec, crf in settings]
        # What encoders, machines and weights of another day gave is not what these give.
        results["rows"] = [row for row in results["rows"] if any(_is_of(row, key) for key in keys)]
        for key, (codec, crf) in zip(keys, settings, strict=True):
            if any(_is_of(row, key) for row in results["rows"]):
                continue
            row = key | measure(album, codec, crf)
            results["rows"].append(row)
            results |= {
                "machine": describe_machine(),
                "seed": _SEED,
                "num_photos": len(album.photos),
                "num_held_out_photos": len(album.held_out),
                "num_pairs": len(album.pairs),
            }
            write_results(results, RESULTS)
            print(json.dumps(row), flush=True)


def _is_of(row: dict[str, Any], key: dict[str, Any]) -> bool:
    return key.items() <= row.items()


@contextmanager
def open_album(data: Path, pairs: Sequence[FacePair]) -> Iterator[Album]:
    """Gives the photos of some pairs, and looks at the originals once."""
    used = {path for pair in pairs for path in (pair.first, pair.second)}
    photos = [photo for photo in read_face_photos(data / "faces") if photo.path in used]
    frame_of = {photo.path: index for index, photo in enumerate(photos)}
    weights = data / "weights"
    metric = load_learned_metric("faces", load_yunet(weights / "face_detection_yunet.onnx"))
    held_out = [index for index, photo in enumerate(photos) if split_of(photo.person) == "test"]
    embedder = load_face_embedder(weights / "mobilefacenet.onnx")
    with source_of([read_picture(photo.path) for photo in photos]) as source:
        originals = [source.bgr(index) for index in range(len(photos))]
        yield Album(
            photos=photos,
            source=source,
            pairs=np.array([(frame_of[pair.first], frame_of[pair.second]) for pair in pairs]),
            is_same=np.array([pair.is_same for pair in pairs]),
            folds=np.array([pair.fold for pair in pairs]),
            embedder=embedder,
            embeddings=embed(embedder, photos, originals),
            metric=metric,
            held_out=held_out,
            references=metric.prepare(
                [LearnedReference(objects=_face(photos[index])) for index in held_out],
                [originals[index] for index in held_out],
            ),
        )


def embed(
    embedder: FaceEmbedder, photos: Sequence[FacePhoto], pictures: Sequence[Picture]
) -> Floats:
    """Returns (photos, d) embeddings of pictures, aligned by the landmarks of the photos."""
    faces = [
        align(picture, photo.landmarks[None])
        for picture, photo in zip(pictures, photos, strict=True)
    ]
    return embedder.embed(np.concatenate(faces))


def row_key(album: Album, codec: Codec, crf: float) -> dict[str, Any]:
    """Returns all that a row of the results depends on."""
    return {
        "codec": codec,
        "preset": ENCODERS[codec].default_preset,
        "crf": crf,
        "encoder": encoder_version(codec),
        "embedder": album.embedder.version,
        "metric": album.metric.version,
    }


def measure(album: Album, codec: Codec, crf: float) -> dict[str, Any]:
    """Returns accuracy before and after one setting, cosines kept, and what the metric says."""
    started = time.perf_counter()
    num_photos = len(album.photos)
    settings = EncodeSettings(
        codec=codec, preset=ENCODERS[codec].default_preset, rate_control=Crf(value=crf)
    )
    clips = [Segment(start_frame=index, num_frames=1) for index in range(num_photos)]
    encoding = encode(album.source, settings, clips)
    wanted = frozenset(range(num_photos))
    pictures = list(decode_bgr(encoding, wanted, album.source.color_space))
    embeddings = embed(album.embedder, album.photos, pictures)
    change = verification_change(
        _pair_cosines(album, album.embeddings),
        _pair_cosines(album, embeddings),
        album.is_same,
        album.folds,
        np.random.default_rng(_SEED),
    )
    kept = cosines(album.embeddings, embeddings)
    seen = [pictures[index] for index in album.held_out]
    losses = album.metric.losses(album.references, seen)
    num_pixels = num_photos * album.source.width * album.source.height
    return {
        "bits_per_pixel": encoding.size_bytes * 8 / num_pixels,
        **asdict(change),
        "change": change.change,
        "cosine_kept": float(kept.mean()),
        "held_out_cosine_kept": float(kept[album.held_out].mean()),
        "held_out_predicted": float(1 - np.concatenate(losses).mean()),
        "seconds": time.perf_counter() - started,
    }


def _pair_cosines(album: Album, embeddings: Floats) -> Floats:
    first, second = embeddings[album.pairs[:, 0]], embeddings[album.pairs[:, 1]]
    products: Floats = (first * second).sum(axis=1)
    return products


def _face(photo: FacePhoto) -> Detections:
    return Detections(boxes=photo.box[None], scores=np.array([photo.score]), class_names=("face",))


if __name__ == "__main__":
    main()

"""Recognising faces: aligned faces to embeddings, through ONNX Runtime or LiteRT."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from .boxes import Floats
from .errors import WeightsError
from .libraries import onnx_errors

# (n, 112, 112, 3) BGR.
AlignedFaces = npt.NDArray[np.uint8]
# What goes into a network, (1, 3, 112, 112), and comes out, (1, d).
Batch = npt.NDArray[np.float32]

SIDE_PIXELS = 112
_REMEDY = (
    "give the path of a model with input (n, 3, 112, 112) and output (n, d), such as MobileFaceNet "
    "or ArcFace in ONNX (w600k_mbf.onnx in buffalo_s of InsightFace on GitHub)"
)

# How a network wants its RGB levels; (mean, deviation) of levels in [0, 255], for each channel.
Levels = Literal["imagenet", "symmetric", "unit"]
_LEVELS: dict[Levels, tuple[tuple[float, ...], tuple[float, ...]]] = {
    # torchvision's, as foamliu/MobileFaceNet was trained.
    "imagenet": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    "symmetric": ((127.5,) * 3, (127.5,) * 3),  # [-1, 1], InsightFace's own ONNX models
    "unit": ((0.0,) * 3, (255.0,) * 3),  # [0, 1]
}


class FaceEmbedder(Protocol):
    """Anything that turns aligned faces into directions that are alike for one person."""

    @property
    def version(self) -> str:
        """Name, weights hash and everything else that its answers depend on."""

    def embed(self, faces: AlignedFaces) -> Floats:
        """Returns (n, d) embeddings of length 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxFaceEmbedder:
    """An embedder that ONNX Runtime runs on one thread; safe to call from several at once.

    Attributes:
        weights_sha256: Of the file.
        levels: How it wants its pictures.
    """

    weights_sha256: str
    levels: Levels
    onnxruntime_version: str
    session: Any = field(repr=False, compare=False)

    @property
    def version(self) -> str:
        return (
            f"onnxruntime {self.onnxruntime_version} {self.weights_sha256} {self.levels} mirrored"
        )

    def embed(self, faces: AlignedFaces) -> Floats:
        """Returns (n, d) embeddings of length 1, each of a face and its mirror image together."""
        (entry,) = self.session.get_inputs()
        (output,) = self.session.get_outputs()

        def run(face: Batch) -> Batch:
            embedding: Batch = self.session.run(None, {entry.name: face})[0]
            return embedding

        return _embed(faces, self.levels, run, num_dimensions=output.shape[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class LiteRtFaceEmbedder:
    """An embedder in TensorFlow Lite's format, run on one thread; safe to call from several.

    Attributes:
        weights_sha256: Of the file.
        levels: How it wants its pictures.
        model: The file's bytes.
    """

    weights_sha256: str
    levels: Levels
    litert_version: str
    model: bytes = field(repr=False, compare=False)
    interpreters: threading.local = field(default_factory=threading.local, compare=False)

    @property
    def version(self) -> str:
        return f"litert {self.litert_version} {self.weights_sha256} {self.levels} mirrored"

    def embed(self, faces: AlignedFaces) -> Floats:
        """Returns (n, d) embeddings of length 1, each of a face and its mirror image together."""
        interpreter = self._interpreter()
        (entry,) = interpreter.get_input_details()
        (output,) = interpreter.get_output_details()

        def run(face: Batch) -> Batch:
            interpreter.set_tensor(entry["index"], face)
            interpreter.invoke()
            embedding: Batch = interpreter.get_tensor(output["index"])
            return embedding

        return _embed(faces, self.levels, run, num_dimensions=int(output["shape"][-1]))

    def _interpreter(self) -> Any:
        """Returns this thread's own interpreter, which holds one input and one output."""
        if not hasattr(self.interpreters, "interpreter"):
            from ai_edge_litert.interpreter import Interpreter

            interpreter = Interpreter(model_content=self.model, num_threads=1)
            interpreter.allocate_tensors()
            self.interpreters.interpreter = interpreter
        return self.interpreters.interpreter


def load_face_embedder(
    weights: Path, levels: Levels | None = None
) -> OnnxFaceEmbedder | LiteRtFaceEmbedder:
    """Loads an embedder from its ONNX or TensorFlow Lite file.

    Args:
        levels: How it wants its pictures; ``imagenet`` for ONNX and ``unit`` for TensorFlow Lite
            where None, since no file says so.

    Raises:
        WeightsError: There is no such file, it embeds no aligned faces, or LiteRT is missing.
    """
    try:
        content = weights.read_bytes()
    except OSError as error:
        raise WeightsError(
            f"face embedder must be a readable file, {weights}: {error.strerror}; {_REMEDY}"
        ) from error
    # TensorFlow Lite's files carry their format's name from the fifth byte on.
    is_litert = content[4:8] == b"TFL3"
    errors: tuple[type[Exception], ...] = (
        IndexError, RuntimeError, TypeError, ValueError, *onnx_errors(),
    )  # fmt: skip
    load = _load_litert if is_litert else _load_onnx
    try:
        embedder = load(content, levels)
        embedder.embed(np.full((1, SIDE_PIXELS, SIDE_PIXELS, 3), 128, np.uint8))
    except WeightsError:
        raise
    except errors as error:
        raise WeightsError(f"face embedder {weights} embeds no aligned faces; {_REMEDY}") from error
    return embedder


def _load_onnx(content: bytes, levels: Levels | None) -> OnnxFaceEmbedder:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # fatal: what matters is raised anyway
    return OnnxFaceEmbedder(
        weights_sha256=_sha256(content),
        levels=levels or "imagenet",
        onnxruntime_version=onnxruntime.__version__,
        session=onnxruntime.InferenceSession(
            content, sess_options=options, providers=["CPUExecutionProvider"]
        ),
    )


def _load_litert(content: bytes, levels: Levels | None) -> LiteRtFaceEmbedder:
    try:
        import ai_edge_litert
    except ImportError as error:
        raise WeightsError(
            "face embedder in TensorFlow Lite's format needs LiteRT: pip install ai-edge-litert"
        ) from error
    return LiteRtFaceEmbedder(
        weights_sha256=_sha256(content),
        levels=levels or "unit",
        litert_version=ai_edge_litert.__version__,
        model=content,
    )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _embed(
    faces: AlignedFaces, levels: Levels, run: Callable[[Batch], Batch], *, num_dimensions: int
) -> Floats:
    """Returns embeddings of length 1; one that is 0, which points nowhere, stays.

    One picture at a time: on one thread a batch is no faster, some models take no other, and an
    embedding does not depend on the faces beside it.
    """
    mean, deviation = (np.array(values, np.float32) for values in _LEVELS[levels])
    sums = np.zeros((len(faces), num_dimensions))
    for total, face in zip(sums, faces, strict=True):
        rgb = (face[..., ::-1] - mean) / deviation
        for picture in (rgb, rgb[:, ::-1]):
            total += run(np.ascontiguousarray(picture.transpose(2, 0, 1)[None]))[0]
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    embeddings: Floats = np.divide(sums, lengths, out=np.zeros_like(sums), where=lengths > 0)
    return embeddings


if TYPE_CHECKING:

    def _are_embedders(
        onnx: OnnxFaceEmbedder, litert: LiteRtFaceEmbedder
    ) -> tuple[FaceEmbedder, FaceEmbedder]:
        return onnx, litert

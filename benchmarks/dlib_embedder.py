"""dlib's recogniser of faces, an embedder of another family that no metric was trained on.

A ResNet that was taught distances, where the other embedders are MobileFaceNets that were taught
angles; 98 % of 600 pairs of LFW are told right in the way it is used here. Its weights come from
PyPI (``face_recognition_models``).
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from ratesight.metrics.boxes import Floats
from ratesight.metrics.face_embedder import AlignedFaces, FaceEmbedder
from ratesight.metrics.faces import TEMPLATE

# Side in pixels of the faces that it takes, and where their eyes are: the middles of the corners
# of each eye in dlib's mean face, with its margin of a quarter (get_face_chip_details in
# image_transforms/interpolation.h).
_SIDE = 150
_EYES = 25 + 100 * np.array([(0.2273, 0.2214), (0.7528, 0.2212)])


@dataclass(frozen=True, slots=True, kw_only=True)
class DlibEmbedder:
    """Embeds faces that are aligned as ArcFace wants them: enlarged, the chin's edge repeated."""

    weights_sha256: str
    network: Any = field(repr=False, compare=False)

    @property
    def version(self) -> str:
        return f"dlib {importlib.metadata.version('dlib-bin')} {self.weights_sha256}"

    def embed(self, faces: AlignedFaces) -> Floats:
        """Returns (n, 128) embeddings of length 1."""
        if not len(faces):
            return np.zeros((0, 128))
        chips = [np.ascontiguousarray(_chip(face)[:, :, ::-1]) for face in faces]
        found = np.array(self.network.compute_face_descriptor(chips), dtype=np.float64)
        lengths: Floats = np.linalg.norm(found, axis=1, keepdims=True)
        return found / lengths


def load_dlib_embedder() -> DlibEmbedder:
    """Loads the network from where pip put its weights."""
    import dlib

    files = importlib.metadata.files("face_recognition_models") or []
    (weights,) = (Path(str(one.locate())) for one in files if "resnet_model_v1" in one.name)
    return DlibEmbedder(
        weights_sha256=hashlib.sha256(weights.read_bytes()).hexdigest()[:16],
        network=dlib.face_recognition_model_v1(str(weights)),
    )


def _chip(face: AlignedFaces) -> AlignedFaces:
    eyes = TEMPLATE[:2]
    scale = (_EYES[1, 0] - _EYES[0, 0]) / (eyes[1, 0] - eyes[0, 0])
    shift = _EYES.mean(axis=0) - scale * eyes.mean(axis=0)
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    chip = cv2.warpAffine(face, matrix, (_SIDE, _SIDE), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(chip, np.uint8)


if TYPE_CHECKING:

    def _is_an_embedder(embedder: DlibEmbedder) -> FaceEmbedder:
        return embedder

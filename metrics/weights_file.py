"""Weights are untrusted: what is not only weights is refused before it is loaded.

Pickles (``.pt``) are loaded with ``weights_only`` (``detector.py``), ONNX holds no code but its
graph, and TorchScript is looked at here: its code is interpreted by torch and cannot reach Python
or a shell, but has operators that read and write any file (``aten::save``, ``aten::from_file``,
``image::read_file``, ``image::write_file``, ``debugprims::load_tensor``) or talk to other hosts
(``c10d``, ``symm_mem``). Seen in the schemas of torch 2.15 and torchvision 0.29.
"""

from __future__ import annotations

import re
from pathlib import Path

from .errors import WeightsError

_SUFFIXES = (".pt", ".torchscript", ".onnx")

# Operators of other name spaces than ATen's are written ``ops.NAMESPACE.NAME`` in an archive.
_NAMESPACES = ("prim", "torchvision", "quantized")
_OPERATOR = re.compile(r"\bops\.(?:" + "|".join(_NAMESPACES) + r")\.\w")
_ANY_OPERATOR = re.compile(r"\bops\b")
_FILE_OPERATORS = re.compile(r"\b(save|from_file|read_file|write_file|load_tensor)\b")


def check_weights(weights: str) -> None:
    """Refuses what may be more than weights; a name that is to be downloaded is none yet.

    Raises:
        WeightsError: It is an address, of a format that may run code, or TorchScript that does
            more than compute.
    """
    file = Path(weights)
    if "://" in weights:
        raise WeightsError(
            f"detector must be a weights file or a model's name, got {weights}; download it first"
        )
    if not weights or file.is_dir() or (file.suffix in (".yaml", ".yml") and not file.exists()):
        raise WeightsError(f"detector must be a weights file, {weights} is none")
    if not file.exists():
        return
    if file.suffix.lower() not in _SUFFIXES:
        raise WeightsError(
            f"detector must be a model that ultralytics loads, as {', '.join(_SUFFIXES)}, "
            f"{weights} is not; export it: yolo export model=MODEL.pt format=onnx"
        )
    if file.suffix.lower() == ".torchscript":
        _check_script(file)


def _check_script(file: Path) -> None:
    """Refuses a TorchScript archive with operators that reach files or hosts."""
    import torch

    try:
        # The reader that torch.jit.load has: another one might see other entries.
        archive = torch._C.PyTorchFileReader(str(file))
        names = [name for name in archive.get_all_records() if name.startswith("code/")]
        texts = [archive.get_record(name) for name in names if not name.endswith(".debug_pkl")]
    except RuntimeError as error:
        raise WeightsError(
            f"detector must be a model that ultralytics loads, {file} is not: it is no archive of "
            f"TorchScript"
        ) from error
    for text in texts:
        found = _forbidden(text.decode("utf-8", "replace"))
        if found is not None:
            raise WeightsError(
                f"detector must only compute, {file} holds TorchScript with {found!r}, which may "
                f"reach files or hosts; export it again: yolo export model=MODEL.pt format=onnx"
            )


def _forbidden(code: str) -> str | None:
    """Returns an operator that does more than compute, and also what looks like one."""
    if (found := _FILE_OPERATORS.search(code)) is not None:
        return found[0]
    for found in _ANY_OPERATOR.finditer(code):
        if _OPERATOR.match(code, found.start()) is None:
            return code[found.start() : found.start() + 40].split("(")[0]
    return None

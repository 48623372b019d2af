"""Libraries: their versions, on which answers depend, and what they raise."""

from __future__ import annotations

import importlib


def library_versions(*modules: str) -> str:
    """Returns names and versions of modules that are installed, as ``torch 2.15.0 timm 1.0.31``."""
    return " ".join(f"{name} {importlib.import_module(name).__version__}" for name in modules)


def onnx_errors() -> tuple[type[Exception], ...]:
    """Returns what ONNX Runtime raises on a foreign file: its errors have no root but Exception."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return (
        state.EPFail, state.Fail, state.InvalidArgument, state.InvalidGraph, state.InvalidProtobuf,
        state.NoModel, state.NotImplemented, state.RuntimeException,
    )  # fmt: skip

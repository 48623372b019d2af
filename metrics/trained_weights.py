"""Gives the networks of this project the weights that ship with it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn

from .errors import WeightsError


def load_trained(
    network: nn.Module, weights: Path, device: str, *, what: str, training: str
) -> str:
    """Makes a network ready to use; returns the first 16 digits of the SHA-256 of its weights.

    Args:
        weights: A safetensors file.
        what: What the weights are of, and ``training`` the script that makes them: for messages.

    Raises:
        WeightsError: There is no such file, or it holds other weights.
    """
    try:
        content = weights.read_bytes()
        state = load(content)
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            f"weights of the {what} must be a safetensors file, {weights}: {error}; install "
            f"ratesight again, or train them (benchmarks/{training}.py)"
        ) from error
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise WeightsError(
            f"weights of the {what} must be those of this version, {weights} holds others: "
            f"{str(error).splitlines()[0]}"
        ) from error
    network.eval().to(device).to(memory_format=torch.channels_last)
    return hashlib.sha256(content).hexdigest()[:16]

"""What commands print and write in the same way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def make_folder(out: Path) -> None:
    """Makes a folder for results, before the work and not after it."""
    from ..errors import OutputError

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out} cannot be written: {error.strerror}") from error


def event_type(event: object) -> str:
    """Returns ``trial_finished`` for TrialFinished."""
    name = type(event).__name__
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in name).lstrip("_")


def print_json(kind: str, fields: dict[str, Any]) -> None:
    """Prints one object of one line."""
    print(json.dumps({"type": kind, **fields}, allow_nan=False), flush=True)

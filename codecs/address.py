"""Addresses of clips on a network."""

from __future__ import annotations

import re
from pathlib import Path

_ADDRESS = re.compile(r"(https?|rtsp):/+(.+)", re.IGNORECASE | re.DOTALL)


def network_address(path: Path) -> str | None:
    """Returns the address that a path was made of; None where it is a path.

    Clips are paths everywhere, and a path writes two slashes as one.

    Examples:
        >>> network_address(Path("http://host/clip.mp4?hour=3"))
        'http://host/clip.mp4?hour=3'
        >>> network_address(Path("clips/http.mp4"))
    """
    found = _ADDRESS.fullmatch(str(path))
    return None if found is None else f"{found[1].lower()}://{found[2]}"


def clip_text(path: Path) -> str:
    """Returns a clip's path or address as a user writes it."""
    return network_address(path) or str(path)

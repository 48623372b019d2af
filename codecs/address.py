"""Addresses of clips on a network."""

from __future__ import annotations

import re
from pathlib import Path

_HIDDEN = "USER:PASSWORD@"
_ADDRESS = re.compile(r"(https?|rtsp):/+(.+)", re.IGNORECASE | re.DOTALL)
# Up to the last @ before the path, as FFmpeg reads it; in a text, up to white space.
_USER = re.compile(r"((?:https?|rtsp):/+)[^/?#]*@", re.IGNORECASE)
_USER_IN_TEXT = re.compile(r"((?:https?|rtsp):/+)[^/?#\s]*@", re.IGNORECASE)


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


def shown_clip(path: Path) -> str:
    """Returns a clip's path or address as it is written into files and commands."""
    return _USER.sub(rf"\1{_HIDDEN}", clip_text(path))


def clip_name(path: Path) -> str:
    """Returns the name of a clip in tables and folders: without folder, suffix and password."""
    return Path(_USER.sub(r"\1", str(path))).stem


def without_password(text: str) -> str:
    """Returns a text with a placeholder for user and password of each address in it.

    Examples:
        >>> without_password("rtsp://admin:secret@cam/stream does not answer")
        'rtsp://USER:PASSWORD@cam/stream does not answer'
    """
    return _USER_IN_TEXT.sub(rf"\1{_HIDDEN}", text)

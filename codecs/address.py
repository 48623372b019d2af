"""Addresses of clips on a network."""

from __future__ import annotations

import re
from pathlib import Path

_HIDDEN, _HIDDEN_VALUE = "USER:PASSWORD@", "HIDDEN"
_ADDRESS = re.compile(r"(https?|rtsp):/+(.+)", re.IGNORECASE | re.DOTALL)
# Up to the last @ before the path, as FFmpeg reads it; in a text, up to white space.
_USER = re.compile(r"((?:https?|rtsp):/+)[^/?#]*@", re.IGNORECASE)
_USER_IN_TEXT = re.compile(r"((?:https?|rtsp):/+)[^/?#\s]*@", re.IGNORECASE)
_ADDRESS_IN_TEXT = re.compile(r"(?:https?|rtsp):/+\S+", re.IGNORECASE)
# What signs an address (of S3, Azure, CloudFront, Akamai) or logs in to a camera, by its name.
_SECRET = re.compile(
    r"([?&;/][^?&;/=#]*(?:sig|token|key|secret|pass|pwd|auth|cred|hmac|hdn|user)[^?&;/=#]*=)"
    r"[^&;#'\"\s]+",
    re.IGNORECASE,
)


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
    address = network_address(path)
    return str(path) if address is None else _without_secrets(_USER.sub(rf"\1{_HIDDEN}", address))


def clip_name(path: Path) -> str:
    """Returns the name of a clip in tables and folders: without folder, suffix and password.

    Examples:
        >>> clip_name(Path("https://host/cam.1.mp4?sig=a.b"))
        'cam.1'
    """
    address = network_address(path)
    if address is None:
        return path.stem
    return Path(re.split("[?#]", _without_secrets(_USER.sub(r"\1", address)))[0]).stem


def without_password(text: str) -> str:
    """Returns a text with placeholders for what is secret in each address in it.

    Examples:
        >>> without_password("rtsp://admin:secret@cam/stream does not answer")
        'rtsp://USER:PASSWORD@cam/stream does not answer'
        >>> without_password("https://host/a.mp4?part=2&X-Amz-Signature=0a1b is gone")
        'https://host/a.mp4?part=2&X-Amz-Signature=HIDDEN is gone'
    """
    hidden = _USER_IN_TEXT.sub(rf"\1{_HIDDEN}", text)
    return _ADDRESS_IN_TEXT.sub(lambda found: _without_secrets(found[0]), hidden)


def _without_secrets(address: str) -> str:
    return _SECRET.sub(rf"\1{_HIDDEN_VALUE}", address)

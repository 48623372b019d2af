"""Files of results, written whole or not at all."""

from __future__ import annotations

import contextlib
from pathlib import Path

from .errors import OutputError


def write_whole(text: str, path: Path) -> None:
    """Writes a file under a temporary name and renames it.

    Raises:
        OutputError: The folder cannot be written.
    """
    temporary = path.with_name(path.name + ".part")
    try:
        temporary.write_text(text, newline="")
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error

"""Files of results, written whole or not at all."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from ..errors import OutputError


def write_whole(content: str | bytes, path: Path) -> None:
    """Writes a file under a temporary name, of this process, and renames it.

    Raises:
        OutputError: The folder cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error

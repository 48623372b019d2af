"""Files of results, written whole or not at all."""

from __future__ import annotations

from pathlib import Path

from ...codecs.whole_file import whole_file
from ..errors import OutputError


def write_whole(content: str | bytes, path: Path) -> None:
    """Writes a file.

    Raises:
        OutputError: The folder cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    try:
        with whole_file(path) as part:
            part.write_bytes(data)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error

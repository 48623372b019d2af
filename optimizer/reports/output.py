"""Files of results, written whole or not at all."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
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


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Returns a table as CSV; None is an empty field."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return table.getvalue()


def make_empty(folder: Path) -> None:
    """Makes a folder for JSON files, without those of an earlier run.

    Raises:
        OutputError: The folder cannot be written.
    """
    try:
        folder.mkdir(exist_ok=True)
        for earlier in folder.glob("*.json"):
            earlier.unlink()
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror}") from error


def remove_earlier(folder: Path, *names: str) -> None:
    """Removes what only some runs write, so that an earlier run's is not taken for this one's.

    Args:
        names: Of files, or patterns of them.

    Raises:
        OutputError: A file cannot be removed.
    """
    for path in (path for name in names for path in folder.glob(name)):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{path} cannot be removed: {error.strerror}") from error


def safe_names(titles: Sequence[str]) -> list[str]:
    """Returns a name of a file or folder for each title, all different; never a path."""
    names: list[str] = []
    for title in titles:
        plain = re.sub(r"[^\w.-]+", "_", title).strip("._") or "report"
        name, number = plain, 1
        while name in names:
            number += 1
            name = f"{plain}-{number}"
        names.append(name)
    return names

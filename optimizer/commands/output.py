"""What commands print and write in the same way."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..reports.plain_text import printable

if TYPE_CHECKING:
    from rich.console import Console

# Columns of what is no terminal: wider than any line.
_UNWRAPPED = 10_000


def make_folder(out: Path) -> None:
    """Makes a folder for results, before the work and not after it."""
    from ..errors import OutputError

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out} cannot be written: {error.strerror}") from error


def open_console(*, stderr: bool = False) -> Console:
    """Returns a console that shows every text as it is: no markup, no emoji, no terminal codes.

    Where no terminal is, nothing is wrapped, so that each line of a log says all of it.
    """
    from rich.console import Console
    from rich.text import Text

    class PlainConsole(Console):
        def render_str(self, text: str, **options: Any) -> Text:
            return super().render_str(printable(text), **options)

    console = PlainConsole(stderr=stderr, highlight=False, emoji=False, markup=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _UNWRAPPED
    return console


def say(text: object = "") -> None:
    """Prints a text on stdout as it is, without breaking its lines."""
    print(printable(str(text)))


def event_type(event: object) -> str:
    """Returns ``trial_finished`` for TrialFinished."""
    name = type(event).__name__
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in name).lstrip("_")


def print_json(kind: str, fields: dict[str, Any]) -> None:
    """Prints one object of one line."""
    print(json.dumps({"type": kind, **fields}, allow_nan=False), flush=True)

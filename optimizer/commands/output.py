"""What commands print and write in the same way."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..reports.plain_text import printable

if TYPE_CHECKING:
    from rich.console import Console

NOT_VERIFIED_LINE = "ratesight: the winner failed verification, see the gap above"
# Columns of what is no terminal: wider than any line.
_UNWRAPPED = 10_000


def make_folder(out: Path) -> None:
    """Makes a folder for results, before the work and not after it."""
    from ..errors import OutputError

    try:
        out.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise OutputError(f"{out} is a file; give a folder for the results") from error
    except OSError as error:
        raise OutputError(f"{out} cannot be written: {error.strerror}") from error


def own_folder(name: str, file: str, clips: Sequence[Path]) -> Path:
    """Returns where results of clips go by themselves: not where those of others are.

    Args:
        name: Of the folder; a number is added where results of other clips are in it.
        file: JSON of a run, whose provenance says of which clips it is.
    """
    from ...codecs.address import shown_clip

    asked = [Path(shown_clip(clip)).absolute() for clip in clips]
    for number in itertools.count(1):
        folder = Path("ratesight-out") / (name if number == 1 else f"{name}-{number}")
        try:
            told = json.loads((folder / file).read_text())["provenance"]
            there = told["clips"] if "clips" in told else [told["clip"]]
            is_own = [Path(clip).absolute() for clip in there] == asked
        except OSError:
            return folder
        except (ValueError, KeyError, TypeError):
            continue  # whose results they are is not known
        if is_own:
            return folder
    raise AssertionError("there is always another number")


def rate_words(frame_rate: object) -> list[str]:
    """Returns what a printed command needs where the frame rate of clips was given."""
    return [] if frame_rate is None else ["--frame-rate", str(frame_rate)]


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


def print_table(
    console: Console,
    columns: Iterable[str],
    rows: Iterable[Sequence[str]],
    *,
    texts: Collection[str] = ("",),
    title: str | None = None,
    caption: str | None = None,
) -> None:
    """Prints a table, numbers to the right.

    Args:
        texts: Columns of words, which are to the left.
    """
    from rich.table import Table

    table = Table(title=title, caption=caption)
    for column in columns:
        table.add_column(column, justify="left" if column in texts else "right")
    for row in rows:
        table.add_row(*row)
    console.print(table)


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

"""Shows what a CRF for each shot saves, and how to encode that."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .output import print_table

if TYPE_CHECKING:
    from rich.console import Console

    from ..recommendation import PerShot


def print_shots(found: PerShot, console: Console) -> None:
    """Prints a row a shot, and what the plan saves against one CRF for all of them."""
    from ..reports.sentences import SHOT_COLUMNS, shot_lines, shot_rows

    print_table(console, SHOT_COLUMNS, shot_rows(found))
    for line in shot_lines(found):
        console.print(line)


def write_commands(found: PerShot, folder: Path) -> Path | None:
    """Writes the ffmpeg commands of the shots as a shell script; None where there are none."""
    from ..reports.output import write_whole

    if found.ffmpeg_commands is None:
        return None
    path = folder / "shots.sh"
    write_whole("\n".join(["set -e", *found.ffmpeg_commands]) + "\n", path)
    return path

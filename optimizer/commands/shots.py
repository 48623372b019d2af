"""Shows what a CRF for each shot saves, and how to encode that."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from ..recommendation import PerShot


def print_shots(found: PerShot, console: Console) -> None:
    """Prints a row a shot, and what the plan saves against one CRF for all of them."""
    from rich.table import Table

    from ..reports.pictures import shot_lines

    table = Table()
    for column in ("shot", "first frame", "frames", "objects", "CRF", "kbit/s"):
        table.add_column(column, justify="right")
    for number, shot in enumerate(found.shots, 1):
        table.add_row(
            str(number),
            str(shot.start_frame),
            str(shot.num_frames),
            str(shot.num_objects),
            f"{shot.crf:g}",
            f"{shot.rate_kbps:.1f}",
        )
    console.print(table)
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

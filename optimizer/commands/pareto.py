"""Runs a search for a Pareto front in a terminal."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from .output import make_folder, open_console, print_json, say

if TYPE_CHECKING:
    from ..pareto.front import FrontMember, ParetoFront
    from ..request import TuneRequest


def show_front(request: TuneRequest, out: Path, *, json_lines: bool, verbose: bool) -> None:
    """Runs the search, shows its progress, writes its results."""
    from ...codecs.shell import shell_join
    from ..events import ClipLoaded
    from ..measuring.bench import settings_json
    from ..measuring.store import open_store
    from ..pareto.files import write_front
    from ..pareto.front import ParetoFront, ParetoTrial, pareto_events
    from ..pareto.picture import draw_front
    from ..reports.files import read_picture, write_report
    from ..reports.record import keep
    from ..reports.summaries import front_record

    make_folder(out)
    console = open_console(stderr=True)
    front: ParetoFront | None = None
    with console.status("loading") as status:
        for event in pareto_events(request):
            match event:
                case ParetoFront():
                    front = event
                    break
                case ClipLoaded():
                    console.print(
                        f"{request.clip.name}: {event.num_frames} frames, looking for "
                        f"{event.num_objects} objects on {event.num_frames_looked_at} frames"
                    )
                    for note in event.notes:
                        console.print(f"note: {note}")
                    if json_lines:
                        print_json("clip_loaded", dataclasses.asdict(event))
                case ParetoTrial():
                    status.update(f"trial {event.number + 1} of {event.num_trials}")
                    if event.failure:
                        console.print(f"trial {event.number} failed: {event.failure}")
                    elif verbose and event.point is not None:
                        console.print(
                            f"trial {event.number}: {event.point.rate_kbps:.1f} kbit/s, quality "
                            f"{event.point.quality:.4f}, {event.point.encode_fps:.1f} fps"
                        )
                    if json_lines:
                        fields = {
                            **dataclasses.asdict(event),
                            "settings": settings_json(event.settings),
                        }
                        print_json("pareto_trial", fields)
    assert front is not None
    written = write_front(front, out)
    draw_front(front, out / "pareto.png")
    command = shell_join(
        ["ratesight", "encode", str(out / "front" / "01.json"), "CLIP", "OUTPUT.mkv"]
    )
    picture = read_picture(
        out / "pareto.png",
        title="Rate, quality and speed",
        read="up is “the machine still sees what it saw on the original”, left is cheaper, colour "
        "is speed; grey is what else was tried.",
    )
    record = front_record(
        front,
        name=out.name,
        title=f"{request.clip.name}, {front.codec}",
        encode_command=command,
        pictures=[picture],
    )
    with open_store(request.store) as store:
        keep(record, request.asked, store)
    page = write_report(record, out)
    if json_lines:
        print_json("pareto_front", front.to_json())
        return
    _print(front)
    for path in (*written, page):
        say(path)
    say(f"\n{command}")


def _print(front: ParetoFront) -> None:
    from rich.table import Table

    from ..pareto.files import member_row

    table = Table(
        title="nothing that was tried beats these in rate, quality and speed together; verified"
    )
    for column in ("", "kbit/s", "quality", "fps", "preset", "CRF", "options"):
        table.add_column(column, justify="left" if column in ("", "preset", "options") else "right")

    def add(name: str, member: FrontMember) -> None:
        row = member_row(member)
        mark = "" if member.is_on_front else "*"
        num_options = len(row["options"].split())
        table.add_row(
            name + mark, row["rate_kbps"], row["quality"], row["encode_fps"], row["preset"],
            row["crf"], f"{num_options} set" if num_options else "the preset's",
        )  # fmt: skip

    for number, member in enumerate(front.front, 1):
        add(f"{number:02d}", member)
    for member in front.defaults:
        if member not in front.front:
            add("defaults", member)
    console = open_console()
    console.print(table)
    if not all(member.is_on_front for member in (*front.front, *front.defaults)):
        console.print(
            "* on the frames of the verification beaten by another one, or not of use: below the "
            "least quality or speed"
        )
    console.print("fps: frames a second of one encode on one thread, beside the others of this run")

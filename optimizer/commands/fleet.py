"""``ratesight fleet``: what clips save together that were each tuned by themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .errors import one_line_errors
from .options import DebugOption, JsonOption
from .output import make_folder, open_console, print_json, print_table, say


def fleet(
    recommendations: Annotated[
        list[Path],
        typer.Argument(
            help="Results of 'ratesight tune', of one clip each: folders, or recommendation.json."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of results; by default ratesight-out/CODEC-fleet."),
    ] = None,
    json_lines: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Add up what clips save that were each tuned by themselves; nothing is measured."""
    with one_line_errors(debug):
        from ..fleet import fleet as add_up
        from ..reports.files import read_picture, write_report
        from ..reports.fleet_report import (
            fleet_columns,
            fleet_headline,
            fleet_lines,
            fleet_record,
            fleet_rows,
        )
        from ..reports.output import write_whole
        from ..reports.pictures import draw_fleet

        found = add_up(recommendations)
        encoders = dict.fromkeys(one.encoder.split()[0] for one in found.clips)
        out = out or Path("ratesight-out") / f"{'-'.join(encoders)}-fleet"
        make_folder(out)
        write_whole(json.dumps(found.to_json(), indent=2) + "\n", out / "fleet.json")
        draw_fleet(found, out / "fleet.png")
        picture = read_picture(
            out / "fleet.png",
            title="Savings",
            read="a line a clip, the most saved on top: what the best of its search does to the "
            "rate at equal quality, and the 95 % interval over frames; gray where the defaults are "
            "kept. Below, what to expect of all of them together, with the interval over clips. "
            "Left of the line is saved. A line that leaves the picture ends beyond it, or beyond "
            "what was measured.",
        )
        page = write_report(fleet_record(found, name=out.name, picture=picture), out)
        if json_lines:
            print_json("fleet", found.to_json())
            return
        console = open_console()
        texts = ("clip", "encoder")
        print_table(console, fleet_columns(found), fleet_rows(found), texts=texts)
        console.print(fleet_headline(found), style="bold")
        for line in (*fleet_lines(found), *(f"note: {note}" for note in found.notes)):
            console.print(line)
        say(f"\n{out / 'fleet.json'}\n{page}")

"""Runs a search for a Pareto front in a terminal."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from .output import (
    make_folder,
    open_console,
    print_json,
    print_table,
    rate_words,
    say,
)

if TYPE_CHECKING:
    from ..pareto.front import FrontMember, ParetoFront
    from ..request import TuneRequest


def show_front(request: TuneRequest, out: Path, *, json_lines: bool, verbose: bool) -> None:
    """Runs the search, shows its progress, writes its results."""
    from ...codecs.address import shown_clip
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
    name = Path(shown_clip(request.clip)).name
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
                        f"{name}: {event.num_frames} frames, looking for "
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
    numbered = enumerate(front.front, 1)
    first = next((number for number, one in numbered if one.is_on_front), 1)
    words = ["ratesight", "encode", str(out / "front" / f"{first:02d}.json"), "CLIP", "OUTPUT.mkv"]
    command = shell_join([*words, *rate_words(request.frame_rate)])
    picture = read_picture(
        out / "pareto.png",
        title="Rate, quality and speed",
        read="up is “the machine still sees what it saw on the original”, left is cheaper, colour "
        "is speed; grey is what else was tried.",
    )
    record = front_record(
        front,
        name=out.name,
        title=f"{name}, {front.codec}",
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
    from ..pareto.files import member_row
    from ..reports.summaries import front_headline

    def row_of(name: str, member: FrontMember) -> tuple[str, ...]:
        row = member_row(member)
        mark = "" if member.is_on_front else "*"
        num_options = len(row["options"].split())
        quality = (row["quality"], row["real_quality"]) if has_real else (row["quality"],)
        return (
            name + mark, row["rate_kbps"], *quality, row["encode_fps"], row["preset"],
            row["crf"], f"{num_options} set" if num_options else "the preset's",
        )  # fmt: skip

    has_real = any(one.real_quality is not None for one in (*front.front, *front.defaults))
    rows = [row_of(f"{number:02d}", member) for number, member in enumerate(front.front, 1)]
    rows += [row_of("defaults", one) for one in front.defaults if one not in front.front]
    console = open_console()
    qualities = ("quality", "real machine's") if has_real else ("quality",)
    columns = ("", "kbit/s", *qualities, "fps", "preset", "CRF", "options")
    texts = ("", "preset", "options")
    print_table(console, columns, rows, texts=texts, title=front_headline(front))
    if not all(member.is_on_front for member in (*front.front, *front.defaults)):
        console.print(
            "* on the frames of the verification beaten by another one, or not of use: below the "
            "least quality or speed" + (", as the real machine sees it" if has_real else "")
        )
    console.print("fps: frames a second of one encode on one thread, beside the others of this run")

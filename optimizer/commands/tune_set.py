"""Runs a search over several clips in a terminal."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .output import (
    NOT_VERIFIED_LINE,
    event_type,
    make_folder,
    open_console,
    print_json,
    print_table,
    rate_words,
    say,
)

if TYPE_CHECKING:
    from ..request import TuneRequest
    from ..set_recommendation import SetRecommendation


def show_set(
    request: TuneRequest, clips: Sequence[Path], out: Path, *, json_lines: bool, verbose: bool
) -> SetRecommendation:
    """Runs the search, shows its progress, writes its results and returns them."""
    from ...codecs.shell import shell_join
    from ..contestants import ClipSkipped
    from ..events import PointMeasured, TrialFinished
    from ..measuring.store import open_store
    from ..reports.files import write_report
    from ..reports.output import write_whole
    from ..reports.record import keep
    from ..reports.summaries import set_record
    from ..tune_set import ClipReady, SetRecommended, tune_set_events

    make_folder(out)
    console = open_console(stderr=True)
    found: SetRecommendation | None = None
    with console.status(f"tuning {request.codec} on {len(clips)} clips") as status:
        for event in tune_set_events(request, clips):
            match event:
                case SetRecommended(recommendation=found):
                    break
                case ClipReady():
                    console.print(
                        f"{event.clip}: {event.num_frames} frames, {event.num_objects} objects"
                    )
                case ClipSkipped():
                    console.print(f"{event.clip} skipped: {event.reason}")
                case TrialFinished():
                    best = f"best {event.best_cost_percent:+.1f} %"
                    status.update(f"trial {event.trial + 1} of {event.num_trials}, {best}")
                    if event.failure:
                        console.print(f"trial {event.trial} failed: {event.failure}")
                    elif verbose:
                        console.print(
                            f"trial {event.trial}: {event.cost_percent:+.1f} %, "
                            f"{event.num_points} encodes, {event.options}"
                        )
                case PointMeasured() if event.role != "search":
                    status.update("verifying")
            if json_lines:
                print_json(event_type(event), dataclasses.asdict(event))
    assert found is not None
    path = out / "recommendation.json"
    write_whole(json.dumps(found.to_json(), indent=2) + "\n", path)
    words = ["ratesight", "encode", str(path), "CLIP", "OUTPUT.mkv"]
    command = shell_join([*words, *rate_words(request.frame_rate)])
    record = set_record(found, name=out.name, encode_command=command)
    with open_store(request.store) as store:
        keep(record, (tuple(clips), request.asked), store)
    page = write_report(record, out)
    if json_lines:
        print_json("set_recommendation", found.to_json())
    else:
        _print(found)
        say(f"\n{path}\n{page}\n\n{command}")
        if found.is_verified is False:
            print(NOT_VERIFIED_LINE, file=sys.stderr)
    return found


def _print(found: SetRecommendation) -> None:
    from ..curves.bd_rate import saving_text
    from ..reports.sentences import machine_text
    from ..reports.summaries import counted_clips, gap_text, set_columns, set_rows

    console = open_console()
    if found.clips:
        title = "what was found, against the defaults (95 % interval over frames)"
        print_table(console, set_columns(found), set_rows(found), texts=("clip",), title=title)
    has_real = found.real_comparison is not None
    for name, style, comparison, num_not_saving in (
        ("by the real machine: ", "bold", found.real_comparison, found.real_num_not_saving),
        ("the metric itself: " if has_real else "", None if has_real else "bold",
         found.comparison, found.num_not_saving),
    ):  # fmt: skip
        if comparison is not None and num_not_saving is not None:
            median = saving_text(comparison.bd_rate_percent, comparison.interval_percent)
            console.print(
                f"{name}median BD-rate {median} on {counted_clips(comparison)}, "
                f"saved on {len(found.clips) - num_not_saving} of {len(found.clips)}",
                style=style,
            )
    if found.quality_gap is not None:
        console.print(gap_text(found))
    for note in found.notes:
        console.print(f"note: {note}")
    options = found.settings["options"]
    assert isinstance(options, dict)
    text = " ".join(f"{name}={value}" for name, value in options.items()) or "its defaults"
    console.print(f"{found.codec} {found.preset}: {text}, CRF {found.crf_text}")
    console.print(machine_text(found.machines))

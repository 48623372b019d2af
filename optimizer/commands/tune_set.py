"""Runs a search over several clips in a terminal."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .output import event_type, make_folder, open_console, print_json, say

if TYPE_CHECKING:
    from ..request import TuneRequest
    from ..set_recommendation import SetRecommendation


def show_set(
    request: TuneRequest, clips: Sequence[Path], out: Path, *, json_lines: bool, verbose: bool
) -> None:
    """Runs the search, shows its progress, writes its results."""
    from ..compare import ClipSkipped
    from ..events import PointMeasured, TrialFinished
    from ..output import write_whole
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
    if json_lines:
        print_json("set_recommendation", found.to_json())
    else:
        _print(found, path)


def _print(found: SetRecommendation, path: Path) -> None:
    from rich.table import Table

    from ...codecs.shell import shell_join
    from ..bd_rate import percent_text

    console = open_console()
    if found.clips:
        table = Table(title="what was found, against the defaults (95 % interval over frames)")
        columns = ["clip", "CRF: defaults, tuned", "rate at target", "BD-rate"]
        if found.real_comparison is not None:
            columns.append("real machine's BD-rate")
        for column in columns:
            table.add_column(column, justify="left" if column == "clip" else "right")
        for one in found.clips:
            changes = (one.change, one.real_change)
            table.add_row(
                one.clip,
                f"{one.anchor_crf:g}, {one.crf:g}",
                percent_text(one.change.percent, (one.change.low_percent, one.change.high_percent)),
                *(
                    "-"
                    if change is None or change.bd_rate is None
                    else percent_text(change.bd_rate.percent, change.bd_rate_interval_percent)
                    for change in changes[: len(columns) - 3]
                ),
            )
        console.print(table)
    for name, comparison in (("", found.comparison), ("real machine: ", found.real_comparison)):
        if comparison is not None:
            median = percent_text(comparison.bd_rate_percent, comparison.interval_percent)
            console.print(
                f"{name}median BD-rate {median} on {len(found.clips)} clips, "
                f"{found.num_not_saving} of them not saving",
                style="bold",
            )
    for note in found.notes:
        console.print(f"note: {note}")
    options = found.settings["options"]
    assert isinstance(options, dict)
    text = " ".join(f"{name}={value}" for name, value in options.items()) or "its defaults"
    console.print(f"{found.codec} {found.preset}: {text}")
    command = shell_join(["ratesight", "encode", str(path), "CLIP", "OUTPUT.mkv"])
    say(f"\n{path}\n\n{command}")

"""Shows a search over one clip while it runs, and what it found."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..reports.plain_text import counted
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
    from ...codecs.region import ClipRegions
    from ..events import TuneEvent
    from ..recommendation import Recommendation
    from ..request import TuneRequest

# So many trials tell nothing yet of how long the others take: the defaults are known before.
_TRIALS_BEFORE_A_GUESS = 2


def show_one(request: TuneRequest, out: Path, *, json_lines: bool, verbose: bool) -> Recommendation:
    """Runs a search, shows its progress, writes its results."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from ...codecs.address import shown_clip
    from ...codecs.region import write_regions
    from ..events import (
        ClipLoaded,
        PointMeasured,
        Recommended,
        RegionsSkipped,
        ShotsFound,
        TargetMoved,
        TrialFinished,
        VerificationStarted,
    )
    from ..measuring.store import open_store
    from ..recommendation import write_json
    from ..reports.files import tune_record, write_report
    from ..reports.output import remove_earlier
    from ..reports.record import keep
    from ..reports.sentences import moved_target_text
    from ..tune import tune_events
    from .shots import write_commands

    make_folder(out)
    best = ""
    console = open_console(stderr=True)
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TextColumn("{task.completed:.0f}/{task.total:.0f} {task.fields[unit]}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[best]}"),
        console=console,
        transient=True,
    )
    recommendation: Recommendation | None = None
    events: list[TuneEvent] = []
    clip_regions: ClipRegions | None = None
    with progress:
        task = progress.add_task("loading", total=request.num_all_trials, unit="trials", best="")
        for event in tune_events(request):
            events.append(event)
            match event:
                case Recommended(recommendation=recommendation, regions=clip_regions):
                    break
                case ClipLoaded():
                    console.print(
                        f"{Path(shown_clip(request.clip)).name}: {event.width}x{event.height}, "
                        f"{event.num_frames} frames at {event.frame_rate:.3f} fps; looking for "
                        f"{event.num_objects} objects on {event.num_frames_looked_at} frames"
                    )
                    for note in event.notes:
                        console.print(f"note: {note}")
                    progress.update(task, description="measuring the defaults")
                case RegionsSkipped():
                    progress.update(task, total=request.num_trials)
                    console.print(
                        f"regions would cover {event.region_share * 100:.0f} % of the picture: "
                        f"only options are searched"
                    )
                case TargetMoved(quality=quality, metric_quality=metric_quality):
                    if quality != event.asked_quality:
                        console.print(
                            f"quality {event.asked_quality:g} is out of reach here: searching at "
                            f"{quality:g}"
                        )
                    if metric_quality is not None:
                        console.print(moved_target_text(quality, metric_quality))
                case PointMeasured():
                    if event.role in ("anchor", "options", "regions"):
                        progress.advance(task)
                    if verbose:
                        console.print(
                            f"  {event.role} {'' if event.trial is None else event.trial} "
                            f"crf {event.crf:g}: {event.rate_kbps:.1f} kbit/s, quality "
                            f"{event.quality:.4f}{' (stored)' if event.is_from_store else ''}"
                        )
                case TrialFinished():
                    done = event.trial + 1
                    best = told = f"best {event.best_cost_percent:+.1f} %"
                    if done > _TRIALS_BEFORE_A_GUESS:
                        left = event.elapsed_seconds / done * (event.num_trials - done)
                        told += f", about {left:.0f} s of search left"
                    description = f"tuning {request.codec}"
                    progress.update(task, description=description, completed=done, best=told)
                    if event.failure:
                        console.print(f"trial {event.trial} failed: {event.failure}")
                    elif verbose:
                        console.print(
                            f"trial {event.trial}: {event.cost_percent:+.1f} %, "
                            f"{event.num_points} encodes, {event.options}"
                        )
                    elif not console.is_terminal:
                        console.print(f"trial {done} of {event.num_trials}, {best}")
                case VerificationStarted():
                    progress.reset(
                        task,
                        description="verifying",
                        total=event.num_encodes,
                        unit="encodes",
                        best=best,
                    )
                    if not console.is_terminal:
                        console.print("verifying")
                case ShotsFound():
                    progress.update(task, description=f"sharing bits over {event.num_shots} shots")
            if json_lines:
                print_json(event_type(event), dataclasses.asdict(event))
    assert recommendation is not None
    with console.status("writing the report"):
        write_json(recommendation, out / "recommendation.json")
        command = _encode_command(recommendation, out)
        record = tune_record(events, name=out.name, encode_command=command)
        with open_store(request.store) as store:
            keep(record, request.asked, store)
        write_report(record, out)
    remove_earlier(out, "shots.sh", "regions.json")
    if recommendation.shots is not None and recommendation.per_shot is not None:
        write_commands(recommendation.per_shot, out)
    if clip_regions is not None:
        write_regions(clip_regions, out / "regions.json")
    if json_lines:
        print_json("recommendation", recommendation.to_json())
    else:
        _print_recommendation(recommendation, out)
    return recommendation


def _print_recommendation(recommendation: Recommendation, out: Path) -> None:
    from ..reports.sentences import (
        ONE_THREAD,
        bd_rate_text,
        contender_lines,
        examined_rows,
        headline,
        machine_text,
        real_lines,
    )
    from .shots import print_shots

    console = open_console()
    columns = ("", "defaults", "tuned")[: 2 if recommendation.keeps_defaults else 3]
    rows = (row[: len(columns)] for row in examined_rows(recommendation))
    print_table(console, columns, rows)
    console.print(machine_text(recommendation.machines))
    console.print(headline(recommendation), style="bold")
    if (text := bd_rate_text(recommendation)) is not None:
        console.print(text)
    for line in contender_lines(recommendation):
        console.print(line)
    frames = recommendation.provenance["verified_frames"]
    assert isinstance(frames, list)
    console.print(
        f"quality {recommendation.verified_quality:.4f} verified on {counted(len(frames), 'frame')}"
        f", {recommendation.quality:.4f} expected by the search "
        f"(gap {recommendation.quality_gap:+.4f}, tolerance {recommendation.tolerance:g})"
    )
    for line in real_lines(recommendation):
        console.print(line)
    if recommendation.per_shot is not None:
        print_shots(recommendation.per_shot, console)
    for note in recommendation.notes:
        console.print(f"note: {note}")
    console.print(
        f"{recommendation.num_encodes} encodes, {recommendation.num_from_store} more found in the "
        f"store, {recommendation.seconds['wall']:.0f} s"
    )
    # Not through rich, which wraps lines and turns ":v:" into a picture.
    say(f"\n{out / 'recommendation.json'}\n{out / 'report.html'}\n")
    say(recommendation.ffmpeg_command or _encode_command(recommendation, out))
    if recommendation.ffmpeg_command is not None:
        console.print(f"({ONE_THREAD})")
    if not recommendation.is_verified:
        print(NOT_VERIFIED_LINE, file=sys.stderr)


def _encode_command(recommendation: Recommendation, out: Path) -> str:
    """Returns our own command that makes the same encode, quoted for a shell."""
    from ...codecs.shell import shell_join

    clip, frame_rate = (recommendation.provenance[name] for name in ("clip", "frame_rate"))
    # A name that begins with a dash would be taken for an option.
    name = f"./{clip}" if str(clip).startswith("-") else str(clip)
    words = ["ratesight", "encode", str(out / "recommendation.json"), name, "OUTPUT.mkv"]
    if recommendation.shots is not None and recommendation.provenance.get("is_shortened"):
        # Its shots are those of the cut.
        words.append("--one-crf")
    return shell_join([*words, *rate_words(frame_rate)])

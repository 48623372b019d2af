"""Shows a search over one clip while it runs, and what it found."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
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
    from rich.console import Console
    from rich.progress import Progress

    from ..events import ClipLoaded, Recommended, TargetMoved, TrialFinished, TuneEvent
    from ..recommendation import Recommendation
    from ..request import TuneRequest

# So many trials tell nothing yet of how long the others take: the defaults are known before.
_TRIALS_BEFORE_A_GUESS = 2


def show_one(request: TuneRequest, out: Path, *, json_lines: bool, verbose: bool) -> Recommendation:
    """Runs a search, shows its progress, writes its results."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from ..events import Recommended
    from ..tune import tune_events

    make_folder(out)
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
    events: list[TuneEvent] = []
    with progress:
        printer = _Printer(request=request, verbose=verbose, console=console, progress=progress)
        for event in tune_events(request):
            events.append(event)
            if isinstance(event, Recommended):
                break
            printer.show(event)
            if json_lines:
                print_json(event_type(event), dataclasses.asdict(event))
    assert isinstance(event, Recommended)
    with console.status("writing the report"):
        _write(request, events, event, out)
    if json_lines:
        print_json("recommendation", event.recommendation.to_json())
    else:
        _print_recommendation(event.recommendation, out)
    return event.recommendation


class _Printer:
    """Shows what happens: on a bar, and in lines."""

    def __init__(
        self, *, request: TuneRequest, verbose: bool, console: Console, progress: Progress
    ) -> None:
        self.request = request
        self.verbose = verbose
        self.console = console
        self.progress = progress
        self.best = ""
        self.task = progress.add_task(
            "loading", total=request.num_all_trials, unit="trials", best=""
        )

    def show(self, event: TuneEvent) -> None:
        """Shows one event."""
        from ..events import (
            ClipLoaded,
            PointMeasured,
            RegionsSkipped,
            ShotsFound,
            TargetMoved,
            TrialFinished,
            VerificationStarted,
        )

        match event:
            case ClipLoaded():
                self._clip(event)
            case RegionsSkipped():
                self.progress.update(self.task, total=self.request.num_trials)
                self.console.print(
                    f"regions would cover {event.region_share * 100:.0f} % of the picture: "
                    f"only options are searched"
                )
            case TargetMoved():
                self._target(event)
            case PointMeasured():
                if event.role in ("anchor", "options", "regions"):
                    self.progress.advance(self.task)
                if self.verbose:
                    self.console.print(
                        f"  {event.role} {'' if event.trial is None else event.trial} "
                        f"crf {event.crf:g}: {event.rate_kbps:.1f} kbit/s, quality "
                        f"{event.quality:.4f}{' (stored)' if event.is_from_store else ''}"
                    )
            case TrialFinished():
                self._trial(event)
            case VerificationStarted():
                self.progress.reset(
                    self.task,
                    description="verifying",
                    total=event.num_encodes,
                    unit="encodes",
                    best=self.best,
                )
                if not self.console.is_terminal:
                    self.console.print("verifying")
            case ShotsFound():
                description = f"sharing bits over {event.num_shots} shots"
                self.progress.update(self.task, description=description)

    def _clip(self, event: ClipLoaded) -> None:
        from ...codecs.address import shown_clip

        self.console.print(
            f"{Path(shown_clip(self.request.clip)).name}: {event.width}x{event.height}, "
            f"{event.num_frames} frames at {event.frame_rate:.3f} fps; looking for "
            f"{event.num_objects} objects on {event.num_frames_looked_at} frames"
        )
        for note in event.notes:
            self.console.print(f"note: {note}")
        self.progress.update(self.task, description="measuring the defaults")

    def _target(self, event: TargetMoved) -> None:
        from ..reports.sentences import moved_target_text

        if event.quality != event.asked_quality:
            self.console.print(
                f"quality {event.asked_quality:g} is out of reach here: searching at "
                f"{event.quality:g}"
            )
        if event.metric_quality is not None:
            self.console.print(moved_target_text(event.quality, event.metric_quality))

    def _trial(self, event: TrialFinished) -> None:
        done = event.trial + 1
        self.best = told = f"best {event.best_cost_percent:+.1f} %"
        if done > _TRIALS_BEFORE_A_GUESS:
            left = event.elapsed_seconds / done * (event.num_trials - done)
            told += f", about {left:.0f} s of search left"
        description = f"tuning {self.request.codec}"
        self.progress.update(self.task, description=description, completed=done, best=told)
        if event.failure:
            self.console.print(f"trial {event.trial} failed: {event.failure}")
        elif self.verbose:
            self.console.print(
                f"trial {event.trial}: {event.cost_percent:+.1f} %, "
                f"{event.num_points} encodes, {event.options}"
            )
        elif not self.console.is_terminal:
            self.console.print(f"trial {done} of {event.num_trials}, {self.best}")


def _write(request: TuneRequest, events: Sequence[TuneEvent], last: Recommended, out: Path) -> None:
    """Writes all results into a folder, and the record into the store."""
    from ...codecs.region import write_regions
    from ..measuring.store import open_store
    from ..recommendation_file import write_json
    from ..reports.files import tune_record, write_report
    from ..reports.output import remove_earlier
    from ..reports.record import keep
    from .shots import write_commands

    recommendation = last.recommendation
    write_json(recommendation, out / "recommendation.json")
    command = _encode_command(recommendation, out)
    record = tune_record(events, name=out.name, encode_command=command)
    with open_store(request.store) as store:
        keep(record, request.asked, store)
    write_report(record, out)
    remove_earlier(out, "shots.sh", "regions.json")
    if recommendation.shots is not None and recommendation.per_shot is not None:
        write_commands(recommendation.per_shot, out)
    if last.regions is not None:
        write_regions(last.regions, out / "regions.json")


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
    real = recommendation.real
    # The real machine's gap decides where there is one, and is told with the tolerance.
    decides = real is None or real.quality_gap is None
    console.print(
        f"quality {recommendation.verified_quality:.4f} verified on {counted(len(frames), 'frame')}"
        f", {recommendation.quality:.4f} expected by the search (gap "
        f"{recommendation.quality_gap:+.4f}"
        f"{f', tolerance {recommendation.tolerance:g}' if decides else ''})"
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

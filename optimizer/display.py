"""Runs a search or a comparison in a terminal: progress on stderr, results on stdout."""

from __future__ import annotations

import dataclasses
import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..codecs.region import ClipRegions
    from ..codecs.table import Encoder, Values
    from .clip_score import Score
    from .compare import CompareRequest
    from .recommendation import Recommendation
    from .request import TuneRequest
    from .score import Progress

# Columns of a terminal from which a sentence an option fits.
_WIDE = 120


def show_comparison(request: CompareRequest, out: Path, *, json_lines: bool) -> None:
    """Runs a comparison, shows its progress, writes its results."""
    from rich.console import Console
    from rich.table import Table

    from .compare import Compared, CurveMeasured, compare_events
    from .comparison_files import clip_rows, matrix_rows, write_comparison
    from .errors import CurveError
    from .report import draw_comparison

    _make_folder(out)
    console = Console(stderr=True, highlight=False, emoji=False)
    compared: Compared | None = None
    with console.status("measuring"):
        for event in compare_events(request):
            if isinstance(event, Compared):
                compared = event
                break
            if isinstance(event, CurveMeasured):
                points = [f"{one.quality:.3f} at {one.rate_kbps:.0f}" for one in event.points]
                console.print(f"{event.clip} {event.contestant}: {', '.join(points)} kbit/s")
            else:
                console.print(f"{event.clip} skipped: {event.reason}")
            if json_lines:
                print_json(_event_type(event), dataclasses.asdict(event))
    assert compared is not None
    if not compared.curves:
        raise CurveError(f"no clip could be measured; {compared.skipped[0].reason}")
    write_comparison(compared, out)
    draw_comparison(compared, out / "curves.png")
    if json_lines:
        print_json("compared", dataclasses.asdict(compared))
        return
    names = [one.name for one in request.contestants]
    console = Console(highlight=False, emoji=False)
    table = Table(title="BD-rate of column against row: median over clips (95 % interval)")
    for column in ("", *names):
        table.add_column(column, justify="left" if not column else "right")
    for row in matrix_rows(compared, names):
        table.add_row(*row)
    console.print(table)
    table = Table(title=f"BD-rate against {names[0]}, clip by clip (95 % interval)")
    for column in ("clip", *names[1:]):
        table.add_column(column, justify="left" if column == "clip" else "right")
    for row in clip_rows(compared, names):
        table.add_row(*row)
    console.print(table)
    print(f"\n{out / 'comparison.json'}\n{out / 'curves.csv'}\n{out / 'curves.png'}")


def show_score(
    run: Callable[[Progress], Score],
    clips: tuple[Path, Path],
    *,
    csv: Path | None,
    heat_map: Path | None,
    json_lines: bool,
) -> None:
    """Scores two clips, shows the progress, writes the files that were asked for."""
    from rich.console import Console
    from rich.table import Table

    from .report import draw_heat_map
    from .score_files import score_json, score_rows, write_frames

    for written in (csv, heat_map):
        if written is not None:
            _make_folder(written.parent)
    console = Console(stderr=True, highlight=False, emoji=False)
    with console.status("opening") as status:
        found = run(lambda what, count: status.update(f"{what}, {count} frames"))
    for note in found.notes:
        console.print(f"note: {note}")
    if csv is not None:
        write_frames(found, csv)
    if heat_map is not None and found.heat_map is not None:
        draw_heat_map(found.heat_map, heat_map)
    if json_lines:
        names = {"reference": str(clips[0]), "distorted": str(clips[1])}
        print_json("score", {**names, **score_json(found)})
        return
    table = Table(caption="5th percentile and worst are of frames")
    for column in ("metric", "value", "5th percentile", "worst", "frames", "regions"):
        table.add_column(column, justify="left" if column == "metric" else "right")
    for row in score_rows(found):
        table.add_row(*row)
    Console(highlight=False, emoji=False).print(table)
    for written in (csv, heat_map):
        if written is not None:
            print(written)


def _make_folder(out: Path) -> None:
    """Makes a folder for results, before the work and not after it."""
    from .errors import OutputError

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out} cannot be written: {error.strerror}") from error


def print_encoder(encoder: Encoder, version: str) -> None:
    """Prints a row of the encoder table."""
    from rich.console import Console
    from rich.table import Table

    low, high, step = encoder.crf_range
    console = Console(highlight=False, emoji=False)
    console.print(f"[bold]{encoder.codec}[/bold]  {version}")
    console.print(f"presets {' '.join(encoder.presets)} (usual: {encoder.default_preset})")
    console.print(
        f"crf {low:g} to {high:g} in steps of {step:g}; "
        f"qp {encoder.qp_range[0]} to {encoder.qp_range[1]}"
    )
    table = Table(box=None, pad_edge=False)
    columns = ["option", "default", "takes", "searched", "needs"]
    if console.width >= _WIDE:
        columns.append("what it does")
    for column in columns:
        table.add_column(column, no_wrap=column in columns[:4])
    for option in encoder.options:
        needs = [str(requirement) for requirement in option.requires]
        if option.not_presets:
            ignoring = [preset for preset in encoder.presets if preset in option.not_presets]
            needs.append(f"preset not {' '.join(ignoring)}")
        table.add_row(
            option.name,
            str(option.default),
            _brief(option.values),
            "-" if option.search is None else _brief(option.search),
            ", ".join(needs) or "-",
            *([option.doc] if console.width >= _WIDE else []),
        )
    console.print(table)
    console.print()


def _brief(values: Values) -> str:
    """Returns ``0..3``, ``0..2 by 0.1`` or ``flat|jvt``."""
    from ..codecs.table import Choice, Floats

    if isinstance(values, Choice):
        return "|".join(str(value) for value in values.values)
    text = f"{values.low:g}..{values.high:g}"
    return f"{text} by {values.step:g}" if isinstance(values, Floats) else text


def show_tuning(
    request: TuneRequest, out: Path, *, json_lines: bool, verbose: bool
) -> Recommendation:
    """Runs a search, shows its progress, writes its results."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from ..codecs.region import write_regions
    from .events import (
        ClipLoaded,
        PointMeasured,
        Recommended,
        RegionsSkipped,
        TrialFinished,
        VerificationStarted,
    )
    from .recommendation import write_json
    from .report import draw_curves
    from .tune import tune_events

    _make_folder(out)
    console = Console(stderr=True, highlight=False, emoji=False)
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TextColumn("{task.completed:.0f}/{task.total:.0f} trials"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[best]}"),
        console=console,
        transient=True,
    )
    recommendation: Recommendation | None = None
    clip_regions: ClipRegions | None = None
    with progress:
        task = progress.add_task(f"tuning {request.codec}", total=request.num_all_trials, best="")
        for event in tune_events(request):
            match event:
                case Recommended(recommendation=recommendation, regions=clip_regions):
                    break
                case ClipLoaded():
                    console.print(
                        f"{request.clip.name}: {event.width}x{event.height}, "
                        f"{event.num_frames} frames at {event.frame_rate:.3f} fps; looking for "
                        f"{event.num_objects} objects on {event.num_frames_looked_at} frames"
                    )
                    for note in event.notes:
                        console.print(f"note: {note}")
                case RegionsSkipped():
                    progress.update(task, total=request.num_trials)
                    console.print(
                        f"regions would cover {event.region_share * 100:.0f} % of the picture: "
                        f"only options are searched"
                    )
                case PointMeasured() if verbose:
                    console.print(
                        f"  {event.role} {'' if event.trial is None else event.trial} "
                        f"crf {event.crf:g}: {event.rate_kbps:.1f} kbit/s, "
                        f"quality {event.quality:.4f}{' (stored)' if event.is_from_store else ''}"
                    )
                case TrialFinished():
                    left = event.elapsed_seconds / (event.trial + 1)
                    left *= event.num_trials - event.trial - 1
                    best = f"best {event.best_cost_percent:+.1f} %, about {left:.0f} s left"
                    progress.update(task, completed=event.trial + 1, best=best)
                    if event.failure:
                        console.print(f"trial {event.trial} failed: {event.failure}")
                    elif verbose:
                        console.print(
                            f"trial {event.trial}: {event.cost_percent:+.1f} %, "
                            f"{event.num_points} encodes, {event.options}"
                        )
                case VerificationStarted():
                    progress.update(task, description="verifying")
            if json_lines:
                print_json(_event_type(event), dataclasses.asdict(event))
    assert recommendation is not None
    write_json(recommendation, out / "recommendation.json")
    draw_curves(recommendation, out / "curves.png")
    if clip_regions is not None:
        write_regions(clip_regions, out / "regions.json")
    if json_lines:
        print_json("recommendation", recommendation.to_json())
    else:
        _print_recommendation(recommendation, out)
    return recommendation


def _print_recommendation(recommendation: Recommendation, out: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    from .report import bd_rate_text, contender_lines, headline, machine_text, real_lines

    console = Console(highlight=False, emoji=False)
    table = Table()
    for column in ("", "defaults", "tuned"):
        table.add_column(column, justify="left" if not column else "right")
    anchor, winner = recommendation.anchor, recommendation.winner
    rows = [
        (
            "rate at target, kbit/s",
            recommendation.anchor_rate_kbps,
            recommendation.rate_kbps,
            ".1f",
        ),
        ("CRF", anchor.crf, winner.crf, "g"),
        ("measured there: kbit/s", anchor.rate_kbps, winner.rate_kbps, ".1f"),
        ("task quality", anchor.quality, winner.quality, ".4f"),
        ("task quality, 5th percentile of frames", anchor.quality_p5, winner.quality_p5, ".4f"),
        ("the real machine's quality", anchor.real_quality, winner.real_quality, ".4f"),
        ("mAP 50-95", anchor.map50_95, winner.map50_95, ".4f"),
        ("mAP 50", anchor.map50, winner.map50, ".4f"),
        ("precision", anchor.precision, winner.precision, ".4f"),
        ("recall", anchor.recall, winner.recall, ".4f"),
        ("PSNR, dB", anchor.psnr_db, winner.psnr_db, ".2f"),
        ("SSIM", anchor.ssim, winner.ssim, ".4f"),
        ("XPSNR, dB", anchor.xpsnr_db, winner.xpsnr_db, ".2f"),
        ("encode speed, fps", anchor.encode_fps, winner.encode_fps, ".1f"),
    ]
    for name, of_anchor, of_winner, form in rows:
        if of_anchor is not None and of_winner is not None:
            table.add_row(name, format(of_anchor, form), format(of_winner, form))
    console.print(table)
    console.print(machine_text(recommendation.machines))
    console.print(f"[bold]{headline(recommendation)}[/bold]")
    if (text := bd_rate_text(recommendation)) is not None:
        console.print(text)
    for line in contender_lines(recommendation):
        console.print(line)
    console.print(
        f"quality {recommendation.verified_quality:.4f} verified, {recommendation.quality:.4f} "
        f"expected by the search (gap {recommendation.quality_gap:+.4f}, tolerance "
        f"{recommendation.tolerance:g})"
    )
    for line in real_lines(recommendation):
        console.print(line)
    for note in recommendation.notes:
        console.print(f"note: {note}")
    # Not through rich, which wraps lines and turns ":v:" into a picture.
    print(f"\n{out / 'recommendation.json'}\n{out / 'curves.png'}\n")
    print(recommendation.ffmpeg_command or _encode_command(recommendation, out))
    if not recommendation.is_verified:
        print("ratesight: the winner failed verification, see the gap above", file=sys.stderr)


def _encode_command(recommendation: Recommendation, out: Path) -> str:
    """Returns our own command that makes the same encode, quoted for a shell."""
    clip, frame_rate = (recommendation.provenance[name] for name in ("clip", "frame_rate"))
    words = ["ratesight", "encode", str(out / "recommendation.json"), str(clip), "OUTPUT.mkv"]
    if frame_rate is not None:
        words += ["--frame-rate", str(frame_rate)]
    return shlex.join(words)


def _event_type(event: object) -> str:
    """Returns ``trial_finished`` for TrialFinished."""
    name = type(event).__name__
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in name).lstrip("_")


def print_json(kind: str, fields: dict[str, Any]) -> None:
    """Prints one object of one line."""
    print(json.dumps({"type": kind, **fields}, allow_nan=False), flush=True)

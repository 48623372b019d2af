"""``ratesight tune``: searches, verifies, recommends."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..reports.plain_text import counted
from .errors import NOT_VERIFIED, one_line_errors
from .options import (
    CLIP_PANEL,
    ENCODER_PANEL,
    GOAL_PANEL,
    MACHINE_PANEL,
    RUN_PANEL,
    SEARCH_PANEL,
    AimName,
    AllowNetworkOption,
    CodecName,
    DebugOption,
    DetectorOption,
    FaceDetectorOption,
    FaceEmbedderOption,
    FaceLevelsOption,
    FrameRateOption,
    FramesPerSecondOption,
    ImageSizeOption,
    JobsOption,
    JsonOption,
    LimitOption,
    MaxSecondsOption,
    MetricOption,
    PlateDetectorOption,
    SamplerName,
    StoreOption,
    machine_choice,
    parse_aim,
    parse_frame_rate,
    parse_regions,
    parse_segments,
    parse_worker_paths,
    refuse_unused,
)
from .output import (
    NOT_VERIFIED_LINE,
    event_type,
    make_folder,
    open_console,
    own_folder,
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


def tune(
    ctx: typer.Context,
    clips: Annotated[
        list[Path],
        typer.Argument(
            help="A video file, a y4m, or a folder of numbered pictures. Of several, one set of "
            "settings is found that suits them all."
        ),
    ],
    codec: Annotated[
        CodecName, typer.Option(help="Encoder.", rich_help_panel=ENCODER_PANEL)
    ] = CodecName.X264,
    preset: Annotated[
        str | None,
        typer.Option(
            help="By default medium (x264, x265) or 8 (svtav1).", rich_help_panel=ENCODER_PANEL
        ),
    ] = None,
    set_option: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Fix an encoder option; repeatable.",
            rich_help_panel=ENCODER_PANEL,
        ),
    ] = None,
    metric: MetricOption = None,
    detector: DetectorOption = None,
    face_detector: FaceDetectorOption = None,
    face_embedder: FaceEmbedderOption = None,
    face_levels: FaceLevelsOption = None,
    plate_detector: PlateDetectorOption = None,
    image_size: ImageSizeOption = 640,
    reference_score: Annotated[
        float,
        typer.Option(
            help="Lowest score of a detection on the original that counts as an object.",
            rich_help_panel=MACHINE_PANEL,
        ),
    ] = 0.4,
    match_score: Annotated[
        float | None,
        typer.Option(
            help="Lowest score of a detection on the encode that may match. By default 0.25, or "
            "the reference score if that is lower.",
            rich_help_panel=MACHINE_PANEL,
        ),
    ] = None,
    annotations: Annotated[
        Path | None,
        typer.Option(
            help="COCO JSON of what is there, used instead of detections on the original; for a "
            "plate also its text.",
            rich_help_panel=MACHINE_PANEL,
        ),
    ] = None,
    target_quality: Annotated[
        float | None,
        typer.Option(
            help="Find the lowest rate that keeps this quality; 0.95 if no goal is given.",
            rich_help_panel=GOAL_PANEL,
        ),
    ] = None,
    target_rate: Annotated[
        float | None,
        typer.Option(
            metavar="KBPS",
            help="Find the best quality within this rate.",
            rich_help_panel=GOAL_PANEL,
        ),
    ] = None,
    quality_range: Annotated[
        tuple[float, float] | None,
        typer.Option(
            metavar="LOW HIGH",
            help="Find the lowest BD-rate over this range of quality.",
            rich_help_panel=GOAL_PANEL,
        ),
    ] = None,
    aim: Annotated[
        AimName | None,
        typer.Option(
            help="What to search for; by default what the options above imply.",
            rich_help_panel=GOAL_PANEL,
        ),
    ] = None,
    min_fps: Annotated[
        float | None,
        typer.Option(
            help="Slowest encode to recommend, in frames a second on one thread.",
            rich_help_panel=GOAL_PANEL,
        ),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(
            help="Settings to try, including the defaults; 25, or 80 for --aim pareto.",
            rich_help_panel=SEARCH_PANEL,
        ),
    ] = None,
    warm_starts: Annotated[
        int,
        typer.Option(
            help="How many trials begin with what won on similar clips in the store.",
            rich_help_panel=SEARCH_PANEL,
        ),
    ] = 2,
    regions: Annotated[
        str | None,
        typer.Option(
            metavar="detector|FILE",
            help="Also try regions of interest: around what the detector finds, or from a JSON "
            "file.",
            rich_help_panel=SEARCH_PANEL,
        ),
    ] = None,
    region_trials: Annotated[
        int,
        typer.Option(
            help="Settings of regions to try, on top of the best options without regions.",
            rich_help_panel=SEARCH_PANEL,
        ),
    ] = 12,
    per_shot: Annotated[
        bool,
        typer.Option(
            "--per-shot",
            help="Also try a CRF for each shot of the clip.",
            rich_help_panel=SEARCH_PANEL,
        ),
    ] = False,
    second_detector: Annotated[
        str | None,
        typer.Option(
            help="Weights of another detector that also judges what is verified.",
            rich_help_panel=MACHINE_PANEL,
        ),
    ] = None,
    sampler: Annotated[
        SamplerName | None,
        typer.Option(
            help="What proposes settings; by default additive, or tpe for --aim pareto.",
            show_default=False,
            rich_help_panel=SEARCH_PANEL,
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Same seed, same result.", rich_help_panel=SEARCH_PANEL)
    ] = 0,
    max_seconds: MaxSecondsOption = None,
    segments: Annotated[
        str | None,
        typer.Option(
            metavar="N[xS]",
            help="Search on N pieces of S (by default 2) seconds spread over the clip; verify on "
            "all of it.",
            rich_help_panel=CLIP_PANEL,
        ),
    ] = None,
    frames_per_second: FramesPerSecondOption = 5.0,
    frame_rate: FrameRateOption = None,
    limit: LimitOption = None,
    allow_network: AllowNetworkOption = False,
    jobs: JobsOption = 0,
    under_way: Annotated[
        int,
        typer.Option(
            help="Most settings measured at once; the result depends on it.",
            rich_help_panel=RUN_PANEL,
        ),
    ] = 4,
    tolerance: Annotated[
        float,
        typer.Option(
            help="How far verified quality may fall below what was expected before the exit code "
            "is 3.",
            rich_help_panel=GOAL_PANEL,
        ),
    ] = 0.03,
    store: StoreOption = Path("ratesight.sqlite"),
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Measure on the workers of a Dask scheduler, such as tcp://host:8786.",
            rich_help_panel=RUN_PANEL,
        ),
    ] = None,
    worker_path: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HERE=THERE",
            help="Where workers find clips or weights if not under the same path: a path or an "
            "address; repeatable.",
            rich_help_panel=RUN_PANEL,
        ),
    ] = None,
    study_storage: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Database of Optuna's studies; by default a journal beside the store.",
            rich_help_panel=RUN_PANEL,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of results; by default ratesight-out/CLIP-CODEC.",
            rich_help_panel=RUN_PANEL,
        ),
    ] = None,
    json_lines: JsonOption = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Print a line for each encode.")
    ] = False,
    debug: DebugOption = False,
) -> None:
    """Search encoder settings that keep what a machine sees at the lowest rate."""
    with one_line_errors(debug, goes_on=True):
        from ...codecs.container import check_is_there
        from ...codecs.limits import parse_limits
        from ...codecs.settings import parse_options
        from ...codecs.table import ENCODERS
        from ..errors import RequestError
        from ..measuring.bench import Thresholds
        from ..request import TuneRequest

        is_pareto = aim is AimName.PARETO
        sees = detector is not None or second_detector is not None
        refuse_unused(
            ctx,
            ("warm_starts", not is_pareto, "does not go with aim pareto"),
            ("tolerance", not is_pareto, "does not go with aim pareto"),
            ("region_trials", regions is not None, "goes with --regions only"),
            ("image_size", sees or plate_detector is not None, "is what a detector sees"),
            ("match_score", sees, "is a detector's"),
        )
        num_segments, segment_seconds = parse_segments(segments)
        request = TuneRequest(
            clip=clips[0],
            codec=codec.value,
            preset=preset,
            fixed_options=parse_options(ENCODERS[codec.value], set_option or []),
            aim=parse_aim(aim, target_quality, target_rate, quality_range),
            min_fps=min_fps,
            machine=machine_choice(
                metric=metric,
                detector=detector,
                face_detector=face_detector,
                face_embedder=face_embedder,
                face_levels=face_levels,
                plate_detector=plate_detector,
                image_size=image_size,
                thresholds=Thresholds.of_objects(reference_score, match_score),
            ),
            annotations=annotations,
            num_trials=trials if trials is not None else 80 if aim is AimName.PARETO else 25,
            num_warm_starts=warm_starts,
            regions=parse_regions(regions),
            num_region_trials=region_trials,
            per_shot=per_shot,
            second_detector=second_detector,
            sampler=None if sampler is None else sampler.value,
            seed=seed,
            frame_rate=parse_frame_rate(frame_rate),
            limits=parse_limits(limit or [], allow_network=allow_network),
            max_seconds=max_seconds,
            num_segments=num_segments,
            segment_seconds=segment_seconds,
            frames_per_second=frames_per_second,
            num_jobs=jobs,
            num_under_way=under_way,
            tolerance=tolerance,
            store=store,
            scheduler=scheduler,
            worker_paths=parse_worker_paths(worker_path or []),
            study_storage=study_storage,
        )
        if len(clips) == 1:
            check_is_there(clips[0], request.limits)  # before libraries, which take seconds
        if aim is AimName.PARETO:
            from .pareto import show_front

            if len(clips) > 1:
                raise RequestError(f"aim pareto takes one clip, got {len(clips)}")
            name = f"{clips[0].stem}-{codec.value}-pareto"
            folder = out or own_folder(name, "pareto.json", clips[0])
            show_front(request, folder, json_lines=json_lines, verbose=verbose)
            return
        if len(clips) > 1:
            from .tune_set import show_set

            folder = out or Path("ratesight-out") / f"{len(clips)}-clips-{codec.value}"
            is_verified = show_set(
                request, clips, folder, json_lines=json_lines, verbose=verbose
            ).is_verified
        else:
            name = f"{clips[0].stem}-{codec.value}"
            folder = out or own_folder(name, "recommendation.json", clips[0])
            is_verified = _show(request, folder, json_lines=json_lines, verbose=verbose).is_verified
    if not is_verified:
        raise typer.Exit(NOT_VERIFIED)


def _show(request: TuneRequest, out: Path, *, json_lines: bool, verbose: bool) -> Recommendation:
    """Runs a search, shows its progress, writes its results."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

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
                        f"{request.clip.name}: {event.width}x{event.height}, "
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

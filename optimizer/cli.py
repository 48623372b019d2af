"""The command line: the only place that prints, reads the environment, or exits."""

from __future__ import annotations

import dataclasses
import json
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer

if TYPE_CHECKING:
    from ..codecs.region import ClipRegions
    from ..codecs.table import Encoder, Values
    from .compare import CompareRequest
    from .recommendation import Recommendation
    from .request import TuneRequest

FAILED, MISUSED, NOT_VERIFIED, INTERRUPTED = 1, 2, 3, 130
# Columns of a terminal from which a sentence an option fits.
_WIDE = 120

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Tunes x264, x265 and SVT-AV1 for what a machine must still see.",
)


class CodecName(StrEnum):
    """Rows of the encoder table; written out so that --help needs no PyAV."""

    X264 = "x264"
    X265 = "x265"
    SVTAV1 = "svtav1"


class SamplerName(StrEnum):
    """Optuna's samplers that make sense for a few dozen trials."""

    TPE = "tpe"
    RANDOM = "random"
    GP = "gp"


class MethodName(StrEnum):
    """Fits of log rate over quality."""

    PCHIP = "pchip"
    AKIMA = "akima"
    CUBIC = "cubic"


class PolicyName(StrEnum):
    """What to do with a curve that falls."""

    STRICT = "strict"
    PARETO = "pareto"
    MONOTONE = "monotone"


ClipArgument = Annotated[
    Path, typer.Argument(help="A video file, a y4m, or a folder of numbered pictures.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
FrameRateOption = Annotated[
    str | None, typer.Option(help="Frames a second, such as 25 or 30000/1001; overrides the clip.")
]


def main() -> None:
    """Runs the command line."""
    app()


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        from ratesight import __version__

        print(f"ratesight {__version__}")
        raise typer.Exit


@app.command()
def tune(
    clip: ClipArgument,
    codec: Annotated[CodecName, typer.Option(help="Encoder.")] = CodecName.X264,
    preset: Annotated[str | None, typer.Option(help="Preset; the encoder's usual one.")] = None,
    set_option: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Fix an encoder option; repeatable."),
    ] = None,
    detector: Annotated[
        str, typer.Option(help="Weights file, or a model name that ultralytics downloads.")
    ] = "yolo11n.pt",
    image_size: Annotated[int, typer.Option(help="Longest side the detector sees.")] = 640,
    reference_score: Annotated[
        float, typer.Option(help="Score that makes an object of a detection on the original.")
    ] = 0.4,
    match_score: Annotated[
        float, typer.Option(help="Score from which a detection on the encode may match.")
    ] = 0.25,
    annotations: Annotated[
        Path | None, typer.Option(help="COCO JSON of what is there, instead of detections.")
    ] = None,
    target_quality: Annotated[
        float | None, typer.Option(help="Lowest rate that keeps this; 0.95 if nothing is given.")
    ] = None,
    target_rate: Annotated[
        float | None, typer.Option(metavar="KBPS", help="Best quality within this rate.")
    ] = None,
    trials: Annotated[int, typer.Option(help="Settings to try, the defaults among them.")] = 25,
    regions: Annotated[
        str | None,
        typer.Option(
            metavar="detector|FILE",
            help="Also try regions of interest, around what the detector sees or from a JSON file.",
        ),
    ] = None,
    region_trials: Annotated[
        int, typer.Option(help="Regions to try, on top of the best options without.")
    ] = 12,
    second_detector: Annotated[
        str | None, typer.Option(help="Weights of another detector, to judge what is recommended.")
    ] = None,
    sampler: Annotated[SamplerName, typer.Option(help="Who proposes settings.")] = SamplerName.TPE,
    seed: Annotated[int, typer.Option(help="Same seed, same result.")] = 0,
    max_seconds: Annotated[
        float | None, typer.Option(help="Cut the clip; what comes later is not looked at.")
    ] = None,
    segments: Annotated[
        str | None,
        typer.Option(
            metavar="N[xS]",
            help="Search on N pieces of S (2) seconds spread over the clip, verify on all of it.",
        ),
    ] = None,
    frames_per_second: Annotated[
        float, typer.Option(help="Frames a second that the detector looks at.")
    ] = 5.0,
    frame_rate: FrameRateOption = None,
    jobs: Annotated[int, typer.Option(help="Encodes side by side; 0 is one a core.")] = 0,
    under_way: Annotated[
        int,
        typer.Option(help="Settings under way at once, at most; the result depends on it."),
    ] = 4,
    tolerance: Annotated[
        float, typer.Option(help="Fall of verified below expected quality before exit code 3.")
    ] = 0.03,
    store: Annotated[
        Path, typer.Option(help="Measurements; nothing in it is measured again.")
    ] = Path("ratesight.sqlite"),
    out: Annotated[
        Path | None, typer.Option(help="Folder of the results; ratesight-out/CLIP-CODEC.")
    ] = None,
    json_lines: JsonOption = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="A line an encode.")] = False,
    debug: DebugOption = False,
) -> None:
    """Search encoder settings that keep what the detector sees at the lowest rate."""
    with _one_line_errors(debug):
        from ..codecs.settings import parse_options
        from ..codecs.table import ENCODERS
        from .api import aim_of
        from .bench import Thresholds
        from .request import TuneRequest

        num_segments, segment_seconds = _segments(segments)
        request = TuneRequest(
            clip=clip,
            codec=codec.value,
            preset=preset,
            fixed_options=parse_options(ENCODERS[codec.value], set_option or []),
            aim=aim_of(target_quality, target_rate),
            detector=detector,
            image_size=image_size,
            thresholds=Thresholds(reference=reference_score, match=match_score),
            annotations=annotations,
            num_trials=trials,
            regions=_regions(regions),
            num_region_trials=region_trials,
            second_detector=second_detector,
            sampler=sampler.value,
            seed=seed,
            frame_rate=_frame_rate(frame_rate),
            max_seconds=max_seconds,
            num_segments=num_segments,
            segment_seconds=segment_seconds,
            frames_per_second=frames_per_second,
            num_jobs=jobs,
            num_under_way=under_way,
            tolerance=tolerance,
            store=store,
        )
        folder = out or Path("ratesight-out") / f"{clip.stem}-{codec.value}"
        recommendation = _run(request, folder, json_lines=json_lines, verbose=verbose)
    if not recommendation.is_verified:
        raise typer.Exit(NOT_VERIFIED)


@app.command()
def encode(
    recommendation: Annotated[Path, typer.Argument(help="recommendation.json of a tune.")],
    clip: ClipArgument,
    target: Annotated[Path, typer.Argument(metavar="OUT", help="Video to write, .mp4 or .mkv.")],
    detector: Annotated[
        str | None, typer.Option(help="Finds the regions; that of the recommendation if not given.")
    ] = None,
    regions: Annotated[
        str | None, typer.Option(metavar="FILE", help="Regions of this clip, as JSON.")
    ] = None,
    frame_rate: FrameRateOption = None,
    json_lines: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Apply a recommendation to a whole file."""
    with _one_line_errors(debug):
        from rich.console import Console

        from .apply import apply_settings
        from .errors import RequestError
        from .recommendation import read_settings

        settings, used = read_settings(recommendation)
        if used is not None:
            own_file = used.file if detector is None else None
            used = dataclasses.replace(
                used, detector=detector or used.detector, file=regions or own_file
            )
        elif detector or regions:
            raise RequestError(
                f"--detector and --regions are for settings with regions, {recommendation} has "
                f"none; leave them out"
            )
        console = Console(stderr=True)
        with console.status("encoding") as status:
            done = apply_settings(
                settings,
                used,
                clip,
                target,
                frame_rate=_frame_rate(frame_rate),
                progress=lambda what, count: status.update(f"{what}, {count} frames"),
            )
        if json_lines:
            _print_json("encoded", dataclasses.asdict(done))
        else:
            print(
                f"{target}: {done.num_frames} frames, {done.size_bytes} bytes, "
                f"{done.rate_kbps:.1f} kbit/s"
            )


@app.command()
def compare(
    clips: Annotated[list[Path], typer.Argument(help="Video files or folders of pictures.")],
    codec: Annotated[
        list[CodecName] | None,
        typer.Option(help="Encoder at its usual preset, with its defaults; repeatable."),
    ] = None,
    settings: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="recommendation.json of a tune; repeatable."),
    ] = None,
    quality_range: Annotated[
        tuple[float, float], typer.Option(metavar="LOW HIGH", help="Task quality of interest.")
    ] = (0.8, 0.97),
    detector: Annotated[
        str, typer.Option(help="Weights file, or a model name that ultralytics downloads.")
    ] = "yolo11n.pt",
    image_size: Annotated[int, typer.Option(help="Longest side the detector sees.")] = 640,
    max_seconds: Annotated[float | None, typer.Option(help="Cut each clip.")] = None,
    frames_per_second: Annotated[
        float, typer.Option(help="Frames a second that the detector looks at.")
    ] = 5.0,
    frame_rate: FrameRateOption = None,
    jobs: Annotated[int, typer.Option(help="Encodes side by side; 0 is one a core.")] = 0,
    store: Annotated[
        Path, typer.Option(help="Measurements; nothing in it is measured again.")
    ] = Path("ratesight.sqlite"),
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path(
        "ratesight-out/compare"
    ),
    json_lines: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Compare encoders and settings on clips: curves and BD-rate of each pair."""
    with _one_line_errors(debug):
        from .compare import CompareRequest, contestants_of

        request = CompareRequest(
            clips=tuple(clips),
            contestants=contestants_of([one.value for one in codec or []], settings or []),
            low_quality=quality_range[0],
            high_quality=quality_range[1],
            detector=detector,
            image_size=image_size,
            frame_rate=_frame_rate(frame_rate),
            max_seconds=max_seconds,
            frames_per_second=frames_per_second,
            num_jobs=jobs,
            store=store,
        )
        _compare(request, out, json_lines=json_lines)


def _compare(request: CompareRequest, out: Path, *, json_lines: bool) -> None:
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
                _print_json(_event_type(event), dataclasses.asdict(event))
    assert compared is not None
    if not compared.curves:
        raise CurveError(f"no clip could be measured; {compared.skipped[0].reason}")
    write_comparison(compared, out)
    draw_comparison(compared, out / "curves.png")
    if json_lines:
        _print_json("compared", dataclasses.asdict(compared))
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


def _make_folder(out: Path) -> None:
    """Makes a folder for results, before the work and not after it."""
    from .errors import OutputError

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out} cannot be written: {error.strerror}") from error


@app.command()
def bdrate(
    anchor: Annotated[Path, typer.Argument(help="CSV with columns rate and quality.")],
    test: Annotated[Path, typer.Argument(help="The same of what is compared with it.")],
    method: Annotated[MethodName, typer.Option(help="Fit.")] = MethodName.PCHIP,
    policy: Annotated[
        PolicyName, typer.Option(help="Where quality does not rise with rate: refuse, or mend.")
    ] = PolicyName.STRICT,
    min_overlap: Annotated[
        float, typer.Option(help="Least share of the anchor's quality range that both cover.")
    ] = 0.25,
    block_frames: Annotated[
        int, typer.Option(help="Frames in a row that show the same, for intervals over frames.")
    ] = 1,
    saturation: Annotated[
        float, typer.Option(help="Share of the range below which a gain at the top is cut off.")
    ] = 0.005,
    json_lines: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """BD-rate of curves measured anywhere; columns clip and frame give medians and intervals."""
    with _one_line_errors(debug):
        from .bd_comparison import Rules, compare, comparison_lines, read_curves

        rules = Rules(
            method=method.value,
            policy=policy.value,
            saturation=saturation,
            min_overlap=min_overlap,
            block_frames=block_frames,
        )
        found = compare(read_curves(anchor), read_curves(test), rules)
        if json_lines:
            _print_json("bd_rate", dataclasses.asdict(found))
            return
        for line in comparison_lines(found):
            print(line)


@app.command()
def probe(
    clip: ClipArgument,
    frame_rate: FrameRateOption = None,
    json_lines: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Show what a clip is, by decoding it."""
    with _one_line_errors(debug):
        from ..codecs.clip import probe as probe_clip

        facts = dataclasses.asdict(probe_clip(clip, _frame_rate(frame_rate)))
        facts = {
            name: str(value) if isinstance(value, (Path, Fraction)) else value
            for name, value in facts.items()
        }
        if json_lines:
            _print_json("clip", facts)
            return
        width = max(map(len, facts))
        for name, value in facts.items():
            print(f"{name:<{width}}  {'-' if value is None else value}")


@app.command()
def encoders(json_lines: JsonOption = False, debug: DebugOption = False) -> None:
    """List the encoders here: version, presets, options, ranges, conditions."""
    with _one_line_errors(debug):
        from ..codecs.encoder import encoder_version
        from ..codecs.table import ENCODERS

        for encoder in ENCODERS.values():
            version = encoder_version(encoder.codec)
            if json_lines:
                _print_json("encoder", {**dataclasses.asdict(encoder), "version": version})
            else:
                _print_encoder(encoder, version)


def _print_encoder(encoder: Encoder, version: str) -> None:
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


def _run(request: TuneRequest, out: Path, *, json_lines: bool, verbose: bool) -> Recommendation:
    """Runs a search, shows its progress, writes its results."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from ..codecs.region import write_regions
    from .events import ClipLoaded, PointMeasured, Recommended, TrialFinished, VerificationStarted
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
                _print_json(_event_type(event), dataclasses.asdict(event))
    assert recommendation is not None
    write_json(recommendation, out / "recommendation.json")
    draw_curves(recommendation, out / "curves.png")
    if clip_regions is not None:
        write_regions(clip_regions, out / "regions.json")
    if json_lines:
        _print_json("recommendation", recommendation.to_json())
    else:
        _print_recommendation(recommendation, out)
    return recommendation


def _print_recommendation(recommendation: Recommendation, out: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    from .report import bd_rate_text, contender_lines, headline

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
        table.add_row(name, format(of_anchor, form), format(of_winner, form))
    console.print(table)
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


def _print_json(kind: str, fields: dict[str, Any]) -> None:
    print(json.dumps({"type": kind, **fields}, allow_nan=False), flush=True)


def _frame_rate(text: str | None) -> Fraction | None:
    from .errors import RequestError

    if text is None:
        return None
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise RequestError(f"frame_rate must be like 25 or 30000/1001, got {text!r}") from None
    if rate <= 0:
        raise RequestError(f"frame_rate must be above 0, got {text}")
    return rate


def _regions(text: str | None) -> Path | Literal["detector"] | None:
    if text is None:
        return None
    return "detector" if text == "detector" else Path(text)


def _segments(text: str | None) -> tuple[int, float]:
    from .errors import RequestError

    if text is None:
        return 0, 2.0
    number, _, seconds = text.partition("x")
    try:
        return int(number), float(seconds or 2)
    except ValueError:
        raise RequestError(f"segments must be like 4 or 4x2.5, got {text!r}") from None


@contextmanager
def _one_line_errors(debug: bool) -> Iterator[None]:
    """Turns every error into one line and an exit code."""
    from ..codecs.errors import CodecError, SettingsError
    from ..metrics.errors import MetricError
    from .errors import OptimizerError, RecommendationError, RequestError

    try:
        yield
    except (typer.Exit, SystemExit, BrokenPipeError):
        raise
    except KeyboardInterrupt:
        _fail(
            "stopped; what was measured is kept, the same command goes on from there", INTERRUPTED
        )
    except (SettingsError, RequestError, RecommendationError) as error:
        if debug:
            raise
        _fail(str(error), MISUSED)
    except (CodecError, MetricError, OptimizerError) as error:
        if debug:
            raise
        _fail(str(error), FAILED)
    except Exception as error:
        # The last resort: a fault of ours still ends in one line.
        if debug:
            raise
        _fail(f"unexpected {type(error).__name__}: {error}; --debug shows where", FAILED)


def _fail(message: str, code: int) -> NoReturn:
    print(f"ratesight: {' '.join(message.split())}", file=sys.stderr)
    raise typer.Exit(code)

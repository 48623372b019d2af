"""The command line: with the display, the only place that prints; the only one that exits."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer

from .display import print_encoder, print_json, show_comparison, show_score, show_tuning

FAILED, MISUSED, NOT_VERIFIED, INTERRUPTED = 1, 2, 3, 130

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


class MachineName(StrEnum):
    """What must still see: a real detector, or a learned metric of a kind of machines."""

    DETECTOR = "detector"
    OBJECTS = "objects"
    FACES = "faces"
    PLATES = "plates"
    GENERAL = "general"


class LevelsName(StrEnum):
    """How an embedder of faces wants its pictures."""

    IMAGENET = "imagenet"
    SYMMETRIC = "symmetric"
    UNIT = "unit"


ClipArgument = Annotated[
    Path, typer.Argument(help="A video file, a y4m, or a folder of numbered pictures.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
FrameRateOption = Annotated[
    str | None, typer.Option(help="Frames a second, such as 25 or 30000/1001; overrides the clip.")
]
MetricOption = Annotated[
    MachineName | None,
    typer.Option(help="What must still see; detector where one is given, else objects."),
]
DetectorOption = Annotated[
    str | None,
    typer.Option(
        help="Weights file, or a model name that ultralytics downloads; with --metric objects or "
        "general it finds their regions. Else built-in proposals do."
    ),
]
FaceDetectorOption = Annotated[
    str | None, typer.Option(metavar="FILE", help="Finds faces: YuNet, ONNX. Else proposals.")
]
PlateDetectorOption = Annotated[str | None, typer.Option(help="Finds plates. Else proposals.")]


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
    metric: MetricOption = None,
    detector: DetectorOption = None,
    face_detector: FaceDetectorOption = None,
    face_embedder: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="With --face-detector: verifies with real recognition."),
    ] = None,
    face_levels: Annotated[
        LevelsName | None, typer.Option(help="How the embedder wants its pictures.")
    ] = None,
    plate_detector: PlateDetectorOption = None,
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
            help="Also try regions of interest, around what is found there or from a JSON file.",
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
        float, typer.Option(help="Frames a second that the machine looks at.")
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
    """Search encoder settings that keep what a machine sees at the lowest rate."""
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
            metric=None if metric is None else metric.value,
            detector=detector,
            face_detector=face_detector,
            face_embedder=face_embedder,
            face_levels=None if face_levels is None else face_levels.value,
            plate_detector=plate_detector,
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
        recommendation = show_tuning(request, folder, json_lines=json_lines, verbose=verbose)
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
            print_json("encoded", dataclasses.asdict(done))
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
    metric: MetricOption = None,
    detector: DetectorOption = None,
    face_detector: FaceDetectorOption = None,
    plate_detector: PlateDetectorOption = None,
    image_size: Annotated[int, typer.Option(help="Longest side the detector sees.")] = 640,
    max_seconds: Annotated[float | None, typer.Option(help="Cut each clip.")] = None,
    frames_per_second: Annotated[
        float, typer.Option(help="Frames a second that the machine looks at.")
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
        from .machine_choice import MachineChoice

        request = CompareRequest(
            clips=tuple(clips),
            contestants=contestants_of([one.value for one in codec or []], settings or []),
            low_quality=quality_range[0],
            high_quality=quality_range[1],
            machine=MachineChoice(
                asked_metric=None if metric is None else metric.value,
                detector=detector,
                face_detector=face_detector,
                plate_detector=plate_detector,
                image_size=image_size,
            ),
            frame_rate=_frame_rate(frame_rate),
            max_seconds=max_seconds,
            frames_per_second=frames_per_second,
            num_jobs=jobs,
            store=store,
        )
        show_comparison(request, out, json_lines=json_lines)


@app.command()
def score(
    reference: ClipArgument,
    distorted: Annotated[Path, typer.Argument(help="The same clip after compression.")],
    metric: Annotated[
        str,
        typer.Option(
            metavar="NAME,...", help="objects, faces, plates, general, psnr, ssim, xpsnr."
        ),
    ] = "general,psnr,ssim,xpsnr",
    detector: Annotated[
        str | None, typer.Option(help="Finds the regions of objects and general.")
    ] = None,
    face_detector: Annotated[
        str | None, typer.Option(metavar="FILE", help="Finds those of faces: YuNet, ONNX.")
    ] = None,
    plate_detector: Annotated[str | None, typer.Option(help="Finds those of plates.")] = None,
    regions: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Regions of the clip, as JSON, instead.")
    ] = None,
    reference_score: Annotated[
        float, typer.Option(help="Score that makes a region of a detection on the reference.")
    ] = 0.4,
    frames_per_second: Annotated[
        float, typer.Option(help="Frames a second that learned metrics look at.")
    ] = 5.0,
    frame_rate: FrameRateOption = None,
    max_seconds: Annotated[float | None, typer.Option(help="Cut both clips.")] = None,
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write each frame's values.")
    ] = None,
    heat_map: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.png",
            help="Draw where the first learned metric loses sight, on its worst frame.",
        ),
    ] = None,
    json_lines: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Score what a clip keeps of its reference, for machines and as a signal."""
    with _one_line_errors(debug):
        from .errors import RequestError
        from .score import score as score_clips

        for written in (csv, heat_map):
            if written is not None and written.resolve() in (
                reference.resolve(),
                distorted.resolve(),
            ):
                raise RequestError(f"{written} is one of the clips; write to another file")
        show_score(
            lambda progress: score_clips(
                reference,
                distorted,
                metrics=[name for name in metric.split(",") if name],
                detector=detector,
                face_detector=face_detector,
                plate_detector=plate_detector,
                regions=regions,
                min_score=reference_score,
                frames_per_second=frames_per_second,
                frame_rate=_frame_rate(frame_rate),
                max_seconds=max_seconds,
                heat_map=heat_map is not None,
                progress=progress,
            ),
            (reference, distorted),
            csv=csv,
            heat_map=heat_map,
            json_lines=json_lines,
        )


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
            print_json("bd_rate", dataclasses.asdict(found))
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
            print_json("clip", facts)
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
                print_json("encoder", {**dataclasses.asdict(encoder), "version": version})
            else:
                print_encoder(encoder, version)


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

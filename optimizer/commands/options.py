"""Options that commands share, and how their texts are read."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from ..aim import Aim


class CodecName(StrEnum):
    """Rows of the encoder table; written out so that --help needs no PyAV."""

    X264 = "x264"
    X265 = "x265"
    SVTAV1 = "svtav1"


class SamplerName(StrEnum):
    """Who proposes settings: ours, and those of Optuna that make sense for a few dozen trials."""

    ADDITIVE = "additive"
    TPE = "tpe"
    RANDOM = "random"
    GP = "gp"
    CMAES = "cmaes"
    NSGA2 = "nsga2"


class AimName(StrEnum):
    """What a search is after."""

    RATE = "rate"
    QUALITY = "quality"
    BD_RATE = "bd-rate"
    PARETO = "pareto"


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
    """What must still see: a real machine, or a learned metric of a kind of machines."""

    DETECTOR = "detector"
    FACE_EMBEDDER = "face-embedder"
    PLATE_READER = "plate-reader"
    OBJECTS = "objects"
    FACES = "faces"
    PLATES = "plates"
    GENERAL = "general"


class LevelsName(StrEnum):
    """How an embedder of faces wants its pictures."""

    IMAGENET = "imagenet"
    SYMMETRIC = "symmetric"
    UNIT = "unit"


# Groups of options in --help.
ENCODER_PANEL = "Encoder"
MACHINE_PANEL = "What must still see"
GOAL_PANEL = "Goal"
SEARCH_PANEL = "Search"
CLIP_PANEL = "Clips"
RUN_PANEL = "Run and results"

ClipArgument = Annotated[
    Path, typer.Argument(help="A video file, a y4m, or a folder of numbered pictures.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
FrameRateOption = Annotated[
    str | None,
    typer.Option(
        help="Frames a second, such as 25 or 30000/1001, if the clip states a wrong rate.",
        rich_help_panel=CLIP_PANEL,
    ),
]
MetricOption = Annotated[
    MachineName | None,
    typer.Option(
        help="A real machine (the first three) or a learned metric. By default detector where one "
        "is given, else objects.",
        rich_help_panel=MACHINE_PANEL,
    ),
]
DetectorOption = Annotated[
    str | None,
    typer.Option(
        help="Weights file, or a model name that ultralytics downloads. With --metric objects or "
        "general it finds the regions and verifies what is recommended; without it a built-in "
        "network finds them.",
        rich_help_panel=MACHINE_PANEL,
    ),
]
# Of commands that ask one machine only, and verify nothing.
JudgingDetectorOption = Annotated[
    str | None,
    typer.Option(
        "--detector",
        help="Weights file, or a model name that ultralytics downloads: the real machine, or what "
        "finds the regions of objects and general; without it a built-in network finds them.",
        rich_help_panel=MACHINE_PANEL,
    ),
]
JudgingEmbedderOption = Annotated[
    Path | None,
    typer.Option(
        "--face-embedder",
        metavar="FILE",
        help="Recognises faces, for --metric face-embedder; needs --face-detector.",
        rich_help_panel=MACHINE_PANEL,
    ),
]
FaceDetectorOption = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Finds faces (YuNet's ONNX file); without it a built-in network does.",
        rich_help_panel=MACHINE_PANEL,
    ),
]
FaceEmbedderOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Recognises faces; needs --face-detector. Verifies --metric faces, or is the metric.",
        rich_help_panel=MACHINE_PANEL,
    ),
]
FaceLevelsOption = Annotated[
    LevelsName | None,
    typer.Option(
        help="Pixel values that the embedder takes: by ImageNet's mean and deviation, in [-1, 1] "
        "(symmetric), or in [0, 1] (unit).",
        rich_help_panel=MACHINE_PANEL,
    ),
]
ImageSizeOption = Annotated[
    int,
    typer.Option(
        help="Longest side of what the detector sees, in pixels; a multiple of 32.",
        rich_help_panel=MACHINE_PANEL,
    ),
]
ReferenceScoreOption = Annotated[
    float,
    typer.Option(
        help="Lowest score of a detection on the original that counts as an object.",
        rich_help_panel=MACHINE_PANEL,
    ),
]
MatchScoreOption = Annotated[
    float | None,
    typer.Option(
        help="Lowest score of a detection on the encode that may match. By default 0.25, or the "
        "reference score if that is lower.",
        rich_help_panel=MACHINE_PANEL,
    ),
]
SegmentsOption = Annotated[
    str | None,
    typer.Option(
        metavar="N[xS]",
        help="Search on N pieces of S (by default 2) seconds spread over the clip; verify on all "
        "of it.",
        rich_help_panel=CLIP_PANEL,
    ),
]
FramesPerSecondOption = Annotated[
    float,
    typer.Option(help="How many frames a second the machine looks at.", rich_help_panel=CLIP_PANEL),
]
MaxVerifiedFramesOption = Annotated[
    int,
    typer.Option(
        help="Most frames that machines look at for the verification, spread over the clip.",
        rich_help_panel=CLIP_PANEL,
    ),
]
LimitOption = Annotated[
    list[str] | None,
    typer.Option(
        "--limit",
        metavar="NAME=N",
        help="Change a limit on clips: size-gb, pixels, frames, decode-seconds, stall-seconds or "
        "scratch-gb; repeatable.",
        rich_help_panel=CLIP_PANEL,
    ),
]
AllowNetworkOption = Annotated[
    bool,
    typer.Option(
        "--allow-network",
        help="Accept http, https and rtsp addresses as clips.",
        rich_help_panel=CLIP_PANEL,
    ),
]
JobsOption = Annotated[
    int,
    typer.Option(help="Encodes side by side; 0 means one per core.", rich_help_panel=RUN_PANEL),
]
StoreOption = Annotated[
    Path,
    typer.Option(
        help="Database of measurements; what it holds is not measured again.",
        rich_help_panel=RUN_PANEL,
    ),
]
PlateDetectorOption = Annotated[
    str | None,
    typer.Option(
        help="Finds plates; without it a built-in network does.", rich_help_panel=MACHINE_PANEL
    ),
]
MaxSecondsOption = Annotated[
    float | None,
    typer.Option(help="Look at the first seconds of a clip only.", rich_help_panel=CLIP_PANEL),
]
OutOption = Annotated[Path, typer.Option(help="Folder of results.", rich_help_panel=RUN_PANEL)]


def parse_aim(
    name: AimName | None,
    target_quality: float | None,
    target_rate: float | None,
    quality_range: tuple[float, float] | None,
) -> Aim:
    """Returns the aim that name and targets make.

    Raises:
        RequestError: They do not go together.
    """
    from ..aim import QualityRange, TargetQuality, TargetRate
    from ..api import aim_of
    from ..errors import RequestError

    if name is AimName.PARETO and target_quality is not None:
        raise RequestError(
            f"aim pareto has no target_quality, got {target_quality:g}; give the least quality of "
            f"use as the low end of quality_range"
        )
    needs_range = name in (AimName.BD_RATE, AimName.PARETO) and target_rate is None
    if needs_range and quality_range is None:
        quality_range = (QualityRange().low, QualityRange().high)
    if name is AimName.QUALITY and target_rate is None:
        raise RequestError("aim quality needs a target_rate in kbit/s")
    made = aim_of(target_quality, target_rate, quality_range)
    kinds = {
        AimName.RATE: TargetQuality, AimName.QUALITY: TargetRate, AimName.BD_RATE: QualityRange,
        AimName.PARETO: QualityRange,
    }  # fmt: skip
    if name is not None and not isinstance(made, kinds[name]):
        raise RequestError(
            f"aim {name} does not go with these targets: rate takes target_quality, quality takes "
            f"target_rate, bd-rate and pareto take quality_range"
        )
    return made


def parse_frame_rate(text: str | None) -> Fraction | None:
    """Returns an exact frame rate from a text such as 30000/1001.

    Raises:
        RequestError: It is not one.
    """
    from ..request import exact_frame_rate

    return exact_frame_rate(text)


def parse_regions(text: str | None) -> Path | Literal["detector"] | None:
    """Returns where regions come from: found by a detector, or a file."""
    if text is None:
        return None
    return "detector" if text == "detector" else Path(text)


def parse_segments(text: str | None) -> tuple[int, float]:
    """Returns number and seconds of the pieces from a text such as 4x2.5; none for None.

    Raises:
        RequestError: It is not like that.
    """
    from ..errors import RequestError

    if text is None:
        return 0, 2.0
    number, _, seconds = text.partition("x")
    try:
        return int(number), float(seconds or 2)
    except ValueError:
        raise RequestError(f"segments must be like 4 or 4x2.5, got {text!r}") from None


def parse_worker_paths(texts: Sequence[str]) -> dict[str, str]:
    """Returns where workers find files, by where they are here, from texts such as /here=/there.

    Raises:
        RequestError: One is not like that.
    """
    from ..errors import RequestError

    pairs = [text.partition("=") for text in texts]
    for text, (here, _, there) in zip(texts, pairs, strict=True):
        if not (here and there):
            raise RequestError(f"worker_path must be like /here=/there, got {text!r}")
    return {here: there for here, _, there in pairs}


def refuse_unused(ctx: typer.Context, *rules: tuple[str, bool, str]) -> None:
    """Refuses options that have a default, given where nothing goes by them.

    Args:
        rules: Name of an option's parameter, whether something goes by it, and why not if not.

    Raises:
        RequestError: One was given in vain.
    """
    from ..errors import RequestError

    for name, is_used, why in rules:
        source = ctx.get_parameter_source(name)
        if not is_used and source is not None and source.name == "COMMANDLINE":
            raise RequestError(f"--{name.replace('_', '-')} {why}; leave it out")


def refuse_unused_of_detectors(
    ctx: typer.Context, detector: object, plate_detector: object
) -> None:
    """Refuses options of detectors where there is none.

    Raises:
        RequestError: One was given in vain.
    """
    is_there = detector is not None
    refuse_unused(
        ctx,
        ("image_size", is_there or plate_detector is not None, "is what a detector sees"),
        ("match_score", is_there, "is a detector's"),
    )

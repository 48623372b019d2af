"""``ratesight tune``: searches, verifies, recommends."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .errors import NOT_VERIFIED, one_line_errors
from .options import (
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
    MatchScoreOption,
    MaxSecondsOption,
    MaxVerifiedFramesOption,
    MetricOption,
    PlateDetectorOption,
    ReferenceScoreOption,
    SamplerName,
    SegmentsOption,
    StoreOption,
    parse_aim,
    parse_frame_rate,
    parse_regions,
    parse_segments,
    parse_worker_paths,
    refuse_unused,
    refuse_unused_of_detectors,
)
from .output import own_folder


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
    reference_score: ReferenceScoreOption = 0.4,
    match_score: MatchScoreOption = None,
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
        int,
        typer.Option(
            help="Same seed, same result, unless a similar clip was tuned with this store since.",
            rich_help_panel=SEARCH_PANEL,
        ),
    ] = 0,
    max_seconds: MaxSecondsOption = None,
    segments: SegmentsOption = None,
    frames_per_second: FramesPerSecondOption = 5.0,
    max_verified_frames: MaxVerifiedFramesOption = 1000,
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
            help="Folder of results; by default ratesight-out/CLIP-CODEC, CLIP-CODEC-pareto or "
            "N-clips-CODEC, numbered where other clips have it.",
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
        from ...codecs.address import clip_name
        from ...codecs.container import check_is_there
        from ...codecs.limits import parse_limits
        from ...codecs.settings import parse_options
        from ...codecs.table import ENCODERS
        from ..errors import RequestError
        from ..measuring.machine_choice import machine_of
        from ..request import TuneRequest

        is_pareto = aim is AimName.PARETO
        refuse_unused(
            ctx,
            ("warm_starts", not is_pareto, "does not go with aim pareto"),
            ("tolerance", not is_pareto, "does not go with aim pareto"),
            ("region_trials", regions is not None, "goes with --regions only"),
        )
        refuse_unused_of_detectors(ctx, detector or second_detector, plate_detector)
        num_segments, segment_seconds = parse_segments(segments)
        request = TuneRequest(
            clip=clips[0],
            codec=codec.value,
            preset=preset,
            fixed_options=parse_options(ENCODERS[codec.value], set_option or []),
            aim=parse_aim(aim, target_quality, target_rate, quality_range),
            min_fps=min_fps,
            machine=machine_of(
                metric=None if metric is None else metric.value,
                detector=detector,
                face_detector=face_detector,
                face_embedder=face_embedder,
                face_levels=None if face_levels is None else face_levels.value,
                plate_detector=plate_detector,
                image_size=image_size,
                reference_score=reference_score,
                match_score=match_score,
            ),
            annotations=annotations,
            num_trials=trials if trials is not None else 80 if is_pareto else 25,
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
            max_verified_frames=max_verified_frames,
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
        if is_pareto:
            from .pareto import show_front

            if len(clips) > 1:
                raise RequestError(f"aim pareto takes one clip, got {len(clips)}")
            name = f"{clip_name(clips[0])}-{codec.value}-pareto"
            folder = out or own_folder(name, "pareto.json", clips)
            show_front(request, folder, json_lines=json_lines, verbose=verbose)
            return
        if len(clips) > 1:
            from .tune_set import show_set

            name = f"{len(clips)}-clips-{codec.value}"
            folder = out or own_folder(name, "recommendation.json", clips)
            is_verified = show_set(
                request, clips, folder, json_lines=json_lines, verbose=verbose
            ).is_verified
        else:
            from .tune_one import show_one

            name = f"{clip_name(clips[0])}-{codec.value}"
            folder = out or own_folder(name, "recommendation.json", clips)
            is_verified = show_one(
                request, folder, json_lines=json_lines, verbose=verbose
            ).is_verified
    if is_verified is False:  # a set that keeps the defaults has nothing to verify
        raise typer.Exit(NOT_VERIFIED)

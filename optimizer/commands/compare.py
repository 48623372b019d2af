"""``ratesight compare``: curves of encoders and settings, BD-rate of each pair."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .errors import one_line_errors
from .options import (
    ENCODER_PANEL,
    GOAL_PANEL,
    AllowNetworkOption,
    CodecName,
    DebugOption,
    FaceDetectorOption,
    FaceLevelsOption,
    FrameRateOption,
    FramesPerSecondOption,
    ImageSizeOption,
    JobsOption,
    JsonOption,
    JudgingDetectorOption,
    JudgingEmbedderOption,
    LimitOption,
    MatchScoreOption,
    MaxSecondsOption,
    MetricOption,
    OutOption,
    PlateDetectorOption,
    ReferenceScoreOption,
    StoreOption,
    parse_frame_rate,
    refuse_unused_of_detectors,
)
from .output import event_type, make_folder, open_console, print_json, print_table, say

if TYPE_CHECKING:
    from ..compare import CompareRequest


def compare(
    ctx: typer.Context,
    clips: Annotated[
        list[Path], typer.Argument(help="Video files or folders of numbered pictures.")
    ],
    codec: Annotated[
        list[CodecName] | None,
        typer.Option(
            help="Encoder at its usual preset, with its defaults; repeatable.",
            rich_help_panel=ENCODER_PANEL,
        ),
    ] = None,
    settings: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="A recommendation.json; repeatable.",
            rich_help_panel=ENCODER_PANEL,
        ),
    ] = None,
    quality_range: Annotated[
        tuple[float, float],
        typer.Option(
            metavar="LOW HIGH",
            help="Range of quality that curves and BD-rate cover.",
            rich_help_panel=GOAL_PANEL,
        ),
    ] = (0.8, 0.97),
    metric: MetricOption = None,
    detector: JudgingDetectorOption = None,
    face_detector: FaceDetectorOption = None,
    face_embedder: JudgingEmbedderOption = None,
    face_levels: FaceLevelsOption = None,
    plate_detector: PlateDetectorOption = None,
    image_size: ImageSizeOption = 640,
    reference_score: ReferenceScoreOption = 0.4,
    match_score: MatchScoreOption = None,
    max_seconds: MaxSecondsOption = None,
    frames_per_second: FramesPerSecondOption = 5.0,
    frame_rate: FrameRateOption = None,
    limit: LimitOption = None,
    allow_network: AllowNetworkOption = False,
    jobs: JobsOption = 0,
    store: StoreOption = Path("ratesight.sqlite"),
    out: OutOption = Path("ratesight-out/compare"),
    json_lines: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Compare encoders and settings on clips: curves and BD-rate of each pair."""
    with one_line_errors(debug, goes_on=True):
        from ...codecs.limits import parse_limits
        from ..compare import CompareRequest
        from ..contestants import contestants_of
        from ..measuring.machine_choice import machine_of

        if not settings:  # Their regions may need what a search without a detector went by.
            refuse_unused_of_detectors(ctx, detector, plate_detector)
        request = CompareRequest(
            clips=tuple(clips),
            contestants=contestants_of([one.value for one in codec or []], settings or []),
            low_quality=quality_range[0],
            high_quality=quality_range[1],
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
            frame_rate=parse_frame_rate(frame_rate),
            limits=parse_limits(limit or [], allow_network=allow_network),
            max_seconds=max_seconds,
            frames_per_second=frames_per_second,
            num_jobs=jobs,
            store=store,
        )
        _show(request, out, json_lines=json_lines)


def _show(request: CompareRequest, out: Path, *, json_lines: bool) -> None:
    """Runs a comparison, shows its progress, writes its results."""
    from ..compare import Compared, compare_events
    from ..contestants import CurveMeasured
    from ..measuring.store import open_store
    from ..reports.comparison_files import (
        clip_rows,
        comparison_notes,
        matrix_rows,
        write_comparison,
    )
    from ..reports.files import compare_record, write_report
    from ..reports.record import keep

    make_folder(out)
    console = open_console(stderr=True)
    compared: Compared | None = None
    with console.status("measuring"):
        for event in compare_events(request):
            if isinstance(event, Compared):
                compared = event
                break
            if isinstance(event, CurveMeasured):
                points = [f"{one.quality:.3f} at {one.rate_kbps:.0f}" for one in event.points]
                console.print(
                    f"{event.clip} {event.contestant}: quality {', '.join(points)} kbit/s"
                )
            else:
                console.print(f"{event.clip} skipped: {event.reason}")
            if json_lines:
                print_json(event_type(event), dataclasses.asdict(event))
    assert compared is not None
    write_comparison(compared, out)
    record = compare_record(request, compared, name=out.name)
    with open_store(request.store) as store:
        keep(record, dataclasses.replace(request, num_jobs=0), store)
    write_report(record, out)
    if json_lines:
        print_json("compared", compared.to_json())
        return
    names = [one.name for one in request.contestants]
    console = open_console()
    print_table(
        console,
        ("", *names),
        matrix_rows(compared, names),
        title="BD-rate of column against row: median over clips (95 % interval)",
    )
    rows = list(clip_rows(compared, names))
    if len(rows) > 1:
        title = f"BD-rate against {names[0]}, clip by clip (95 % interval)"
        print_table(console, ("clip", *names[1:]), rows, texts=("clip",), title=title)
    console.print(
        f"over quality {request.low_quality:g} to {request.high_quality:g}, curves that fall "
        f"mended (policy monotone)"
    )
    for note in comparison_notes(compared):
        console.print(f"note: {note}")
    say(f"\n{out / 'comparison.json'}\n{out / 'curves.csv'}\n{out / 'report.html'}")

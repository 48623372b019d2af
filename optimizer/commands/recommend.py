"""``ratesight recommend``: for each title the cheapest encoder, settings and frame height."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .errors import NOT_VERIFIED, one_line_errors
from .options import (
    ENCODER_PANEL,
    GOAL_PANEL,
    AllowNetworkOption,
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
    OutOption,
    PlateDetectorOption,
    ReferenceScoreOption,
    SegmentsOption,
    StoreOption,
    parse_frame_rate,
    parse_segments,
    refuse_unused_of_detectors,
)
from .output import event_type, make_folder, open_console, print_json, print_table, say

if TYPE_CHECKING:
    from ..titles.request import PerTitleRequest


def recommend(
    ctx: typer.Context,
    clips: Annotated[
        list[Path], typer.Argument(help="Video files or folders of numbered pictures.")
    ],
    qualities: Annotated[
        str,
        typer.Option(
            metavar="Q,...", help="Qualities, one rung for each.", rich_help_panel=GOAL_PANEL
        ),
    ] = "0.99,0.97,0.95,0.90",
    codecs: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            help="Encoders at their usual presets; by default all, or none with --settings.",
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
    heights: Annotated[
        str,
        typer.Option(
            metavar="LINES,...",
            help="Frame heights; own is the clip's. A clip no higher than a height keeps its own.",
            rich_help_panel=ENCODER_PANEL,
        ),
    ] = "own,720,540",
    metric: MetricOption = None,
    detector: DetectorOption = None,
    face_detector: FaceDetectorOption = None,
    face_embedder: FaceEmbedderOption = None,
    face_levels: FaceLevelsOption = None,
    plate_detector: PlateDetectorOption = None,
    image_size: ImageSizeOption = 640,
    reference_score: ReferenceScoreOption = 0.4,
    match_score: MatchScoreOption = None,
    max_seconds: MaxSecondsOption = None,
    segments: SegmentsOption = None,
    frames_per_second: FramesPerSecondOption = 5.0,
    max_verified_frames: MaxVerifiedFramesOption = 1000,
    frame_rate: FrameRateOption = None,
    limit: LimitOption = None,
    allow_network: AllowNetworkOption = False,
    tolerance: Annotated[
        float,
        typer.Option(
            help="How far a rung's verified quality may fall below what was expected before the "
            "exit code is 3.",
            rich_help_panel=GOAL_PANEL,
        ),
    ] = 0.03,
    jobs: JobsOption = 0,
    store: StoreOption = Path("ratesight.sqlite"),
    out: OutOption = Path("ratesight-out/recommend"),
    json_lines: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Recommend for each title a ladder: encoder, settings, frame height and CRF a quality."""
    with one_line_errors(debug, goes_on=True):
        from ...codecs.limits import parse_limits
        from ..measuring.machine_choice import machine_of
        from ..titles.request import (
            PerTitleRequest,
            ladder_contestants,
            parse_codecs,
            parse_heights,
            parse_qualities,
        )

        refuse_unused_of_detectors(ctx, detector, plate_detector)
        num_segments, segment_seconds = parse_segments(segments)
        request = PerTitleRequest(
            clips=tuple(clips),
            contestants=ladder_contestants(parse_codecs(codecs), settings or []),
            qualities=parse_qualities(qualities),
            heights=parse_heights(heights),
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
            num_segments=num_segments,
            segment_seconds=segment_seconds,
            frames_per_second=frames_per_second,
            max_verified_frames=max_verified_frames,
            num_jobs=jobs,
            tolerance=tolerance,
            store=store,
        )
        _show(request, out, json_lines=json_lines)


def _show(request: PerTitleRequest, out: Path, *, json_lines: bool) -> None:
    """Makes the ladders, shows the progress, writes the results."""
    from rich.table import Table

    from ..contestants import ClipSkipped, CurveMeasured
    from ..measuring.store import open_store
    from ..reports.files import read_picture, write_report
    from ..reports.record import keep
    from ..reports.summaries import ladder_record
    from ..titles.files import (
        FIXED_COLUMNS,
        RUNG_COLUMNS,
        fixed_rows,
        rung_rows,
        summary_notes,
        write_ladders,
    )
    from ..titles.ladder import PerTitle
    from ..titles.per_title import recommend_events
    from ..titles.picture import draw_ladders

    make_folder(out)
    console = open_console(stderr=True)
    found: PerTitle | None = None
    with console.status("measuring") as status:
        for event in recommend_events(request):
            if isinstance(event, PerTitle):
                found = event
            elif isinstance(event, CurveMeasured):
                points = [f"{one.quality:.3f} at {one.rate_kbps:.0f}" for one in event.points]
                console.print(f"{event.clip} {event.contestant}: {', '.join(points)} kbit/s")
            elif isinstance(event, ClipSkipped):
                console.print(f"{event.clip} skipped: {event.reason}")
            else:
                if event.given_up:
                    console.print(
                        f"{event.clip}: {', '.join(event.given_up)} given up as far behind, about "
                        f"{event.num_encodes_spared} encodes spared"
                    )
                for note in event.notes:
                    console.print(f"{event.clip}: {note}")
                status.update(f"measuring, {event.clip} done")
            if json_lines:
                print_json(event_type(event), dataclasses.asdict(event))
    assert found is not None
    write_ladders(found, out)
    draw_ladders(found, out / "hulls.png")
    picture = read_picture(
        out / "hulls.png",
        title="Hulls and rungs",
        read="up is “the machine still sees what it saw on the original”, left is cheaper; the "
        "hull joins the cheapest of all encoders and heights, circles are rungs, crosses the same "
        "as verified.",
    )
    record = ladder_record(found, request, name=out.name, picture=picture)
    with open_store(request.store) as store:
        keep(record, dataclasses.replace(request, num_jobs=0), store)
    write_report(record, out)
    for note in summary_notes(found):
        console.print(f"note: {note}")
    if not json_lines:
        console = open_console()
        table = Table(title="The cheapest of each title (95 % interval over frames)")
        for column in RUNG_COLUMNS:
            is_text = column in ("title", "encoder")
            table.add_column(column, justify="left" if is_text else "right", overflow="fold")
        for title in found.titles:
            for row in rung_rows(title):
                table.add_row(*row)
            table.add_section()
        console.print(table)
        if found.fixed:
            print_table(
                console,
                FIXED_COLUMNS,
                fixed_rows(found),
                texts=[column for column in FIXED_COLUMNS if "for all" in column],
                title="Per-title against one setting for all: median over titles (95 % interval)",
                caption="kept on all titles, or on the median one; change: of each title's rate, "
                "negative is saved; sum: of all rates together; worse: titles that cost more; "
                "short: titles below the quality, per title and with one setting",
            )
        say(f"{found.num_encodes} encodes, {found.num_from_store} found in the store")
        names = ("report.html", "ladder.csv", "recommendations.json", "rungs")
        say("\n".join(["", *(str(out / name) for name in names)]))
    if not found.is_verified:
        raise typer.Exit(NOT_VERIFIED)

"""``ratesight score``: what a clip keeps of its reference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .errors import one_line_errors
from .options import (
    MACHINE_PANEL,
    AllowNetworkOption,
    ClipArgument,
    DebugOption,
    FaceDetectorOption,
    FaceLevelsOption,
    FrameRateOption,
    FramesPerSecondOption,
    ImageSizeOption,
    JsonOption,
    JudgingDetectorOption,
    JudgingEmbedderOption,
    LimitOption,
    MaxSecondsOption,
    PlateDetectorOption,
    parse_frame_rate,
    refuse_unused,
)
from .output import make_folder, open_console, print_json, print_table, say

if TYPE_CHECKING:
    from ..clip_score import Score
    from ..score import Progress


def score(
    ctx: typer.Context,
    reference: ClipArgument,
    distorted: Annotated[Path, typer.Argument(help="The same clip after compression.")],
    metric: Annotated[
        str,
        typer.Option(
            metavar="NAME,...",
            help="Real machines: detector, face-embedder, plate-reader. Learned: objects, faces, "
            "plates, general. Signals: psnr, ssim, xpsnr.",
            rich_help_panel=MACHINE_PANEL,
        ),
    ] = "general,psnr,ssim,xpsnr",
    detector: JudgingDetectorOption = None,
    face_detector: FaceDetectorOption = None,
    face_embedder: JudgingEmbedderOption = None,
    face_levels: FaceLevelsOption = None,
    plate_detector: PlateDetectorOption = None,
    image_size: ImageSizeOption = 640,
    regions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Regions as JSON, instead of finding them.",
            rich_help_panel=MACHINE_PANEL,
        ),
    ] = None,
    reference_score: Annotated[
        float,
        typer.Option(
            help="Lowest score of a detection on the reference that counts as a region.",
            rich_help_panel=MACHINE_PANEL,
        ),
    ] = 0.4,
    frames_per_second: FramesPerSecondOption = 5.0,
    frame_rate: FrameRateOption = None,
    limit: LimitOption = None,
    allow_network: AllowNetworkOption = False,
    max_seconds: MaxSecondsOption = None,
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the values of each frame.")
    ] = None,
    regions_csv: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the values of each region.")
    ] = None,
    heat_map: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.png",
            help="Draw where the first learned metric sees most lost, on its worst frame.",
        ),
    ] = None,
    json_lines: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Score what a clip keeps of its reference, for machines and as a signal."""
    with one_line_errors(debug):
        from ...codecs.limits import parse_limits
        from ..clip_score import SIGNALS
        from ..errors import RequestError
        from ..score import score as score_clips

        taken = {reference.resolve(), distorted.resolve()}
        taken |= set() if regions is None else {regions.resolve()}
        for written in (csv, regions_csv, heat_map):
            if written is None:
                continue
            if written.is_dir():
                raise RequestError(f"{written} is a folder; give the name of a file to write")
            if written.resolve() in taken:
                raise RequestError(f"{written} is read or written already; write to another file")
            taken.add(written.resolve())
        names = [name.strip() for name in metric.split(",") if name.strip()]
        has_regions = not set(names) <= set(SIGNALS)
        has_detector = detector is not None or plate_detector is not None
        refuse_unused(
            ctx,
            ("image_size", has_detector, "is what a detector sees"),
            ("reference_score", has_regions, "is of machines' regions"),
            ("frames_per_second", has_regions, "is what machines look at"),
        )
        if regions_csv is not None and not has_regions:
            raise RequestError(
                f"regions_csv needs a metric other than {', '.join(SIGNALS)}, got "
                f"{', '.join(names) or 'none'}"
            )
        _show(
            lambda progress: score_clips(
                reference,
                distorted,
                metrics=names,
                detector=detector,
                face_detector=face_detector,
                face_embedder=face_embedder,
                face_levels=None if face_levels is None else face_levels.value,
                plate_detector=plate_detector,
                image_size=image_size,
                regions=regions,
                reference_score=reference_score,
                frames_per_second=frames_per_second,
                frame_rate=parse_frame_rate(frame_rate),
                limits=parse_limits(limit or [], allow_network=allow_network),
                max_seconds=max_seconds,
                heat_map=heat_map is not None,
                progress=progress,
            ),
            (reference, distorted),
            csv=csv,
            regions_csv=regions_csv,
            heat_map=heat_map,
            json_lines=json_lines,
        )


def _show(
    run: Callable[[Progress], Score],
    clips: tuple[Path, Path],
    *,
    csv: Path | None,
    regions_csv: Path | None,
    heat_map: Path | None,
    json_lines: bool,
) -> None:
    """Scores two clips, shows the progress, writes the files that were asked for."""
    from ...codecs.address import shown_clip
    from ..reports.pictures import draw_heat_map
    from ..reports.score_files import score_rows, write_frames, write_regions

    for written in (csv, regions_csv, heat_map):
        if written is not None:
            make_folder(written.parent)
    console = open_console(stderr=True)
    with console.status("opening") as status:
        found = run(lambda what, count: status.update(f"{what}, {count} frames"))
    for note in found.notes:
        console.print(f"note: {note}")
    if csv is not None:
        write_frames(found, csv)
    if regions_csv is not None:
        write_regions(found, regions_csv)
    if heat_map is not None and found.heat_map is not None:
        draw_heat_map(found.heat_map, heat_map)
    if json_lines:
        names = {"reference": shown_clip(clips[0]), "distorted": shown_clip(clips[1])}
        print_json("score", {**names, **found.to_json()})
        return
    print_table(
        open_console(),
        ("metric", "value", "5th percentile", "worst", "frames", "regions"),
        score_rows(found),
        texts=("metric",),
        caption="5th percentile and worst are of frames",
    )
    for written in (csv, regions_csv, heat_map):
        if written is not None:
            say(written)

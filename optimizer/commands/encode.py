"""``ratesight encode``: applies a recommendation to a whole file."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .errors import one_line_errors
from .options import (
    AllowNetworkOption,
    ClipArgument,
    DebugOption,
    FrameRateOption,
    JsonOption,
    LimitOption,
    parse_frame_rate,
)
from .output import open_console, print_json, say

if TYPE_CHECKING:
    from ...codecs.shots import ShotCrf
    from ...codecs.transcode import Transcoded
    from ..recommendation import RegionsUsed


def encode(
    recommendation: Annotated[Path, typer.Argument(help="A recommendation.json.")],
    clip: ClipArgument,
    target: Annotated[
        Path, typer.Argument(metavar="OUT", help="File to write: .mp4, .mkv or .mov.")
    ],
    detector: Annotated[
        str | None,
        typer.Option(
            help="Finds the regions; by default the recommendation's. Other weights than the "
            "search's are refused, unless its regions came from a file."
        ),
    ] = None,
    regions: Annotated[
        str | None, typer.Option(metavar="FILE", help="Regions of this clip as JSON.")
    ] = None,
    one_crf: Annotated[
        bool, typer.Option("--one-crf", help="Use one CRF instead of one for each shot.")
    ] = False,
    frame_rate: FrameRateOption = None,
    limit: LimitOption = None,
    allow_network: AllowNetworkOption = False,
    json_lines: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Apply a recommendation to a whole file."""
    with one_line_errors(debug):
        from ...codecs.limits import parse_limits
        from ..apply import apply_settings
        from ..errors import RequestError
        from ..recommendation_file import read_settings, read_shots

        settings, used = read_settings(recommendation)
        shots = None if one_crf else read_shots(recommendation)
        if detector is not None and regions is not None:
            raise RequestError("--detector and --regions exclude each other; leave one of them out")
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
        console = open_console(stderr=True)
        with console.status("encoding") as status:
            done = apply_settings(
                settings,
                used,
                clip,
                target,
                shots=shots,
                frame_rate=parse_frame_rate(frame_rate),
                limits=parse_limits(limit or [], allow_network=allow_network),
                progress=lambda what, count: status.update(f"{what}, {count} frames"),
            )
        if _is_of_another_clip(done, recommendation, shots, used, regions):
            what = "the CRF of each shot is" if shots else "the regions are"
            note = f"{what} another clip's: these are not the frames of the tune"
            done = dataclasses.replace(done, notes=(*done.notes, note))
        if json_lines:
            print_json("encoded", dataclasses.asdict(done))
        else:
            for note in done.notes:
                console.print(f"note: {note}")
            say(
                f"{target}: {done.num_frames} frames, {done.size_bytes} bytes, "
                f"{done.rate_kbps:.1f} kbit/s"
            )


def _is_of_another_clip(
    done: Transcoded,
    recommendation: Path,
    shots: Sequence[ShotCrf] | None,
    used: RegionsUsed | None,
    regions: str | None,
) -> bool:
    """Returns whether what fits one clip only was used for another, of as many frames."""
    from ..recommendation_file import read_content_sha256

    fits_one = shots is not None or (used is not None and used.file is not None and not regions)
    return fits_one and read_content_sha256(recommendation) not in (None, done.content_sha256)

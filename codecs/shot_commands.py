"""Prints the ffmpeg commands that encode a clip shot by shot and join the shots."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import PurePath

from .command import ffmpeg_command
from .settings import Crf, EncodeSettings
from .shots import ShotCrf, joinable
from .source import Source


def shot_commands(
    settings: EncodeSettings,
    source: Source,
    shots: Sequence[ShotCrf],
    *,
    input_name: str,
    output_name: str,
) -> tuple[str, ...]:
    """Returns one command a shot, one that writes the list of their files, one that joins them.

    Each shot is cut by frame number, for which ffmpeg decodes the clip from its start.

    Args:
        settings: Of all shots, but for the CRF.
        source: The decoded clip, its frames evenly spaced.
        shots: All of the clip, in order.
        input_name: Path of the clip, or of the folder of pictures.
        output_name: File to write; those of the shots stand beside it.
    """
    output = PurePath(output_name)
    digits = len(str(len(shots)))
    names = [f"{output.stem}-{n:0{digits}d}{output.suffix}" for n in range(1, len(shots) + 1)]
    commands = [
        ffmpeg_command(
            joinable(settings).at(Crf(value=shot.crf)),
            source,
            input_name=input_name,
            output_name=str(output.with_name(name)),
            segment=shot.segment,
        )
        for shot, name in zip(shots, names, strict=True)
    ]
    # Durations are told, since Matroska rounds them to milliseconds, shot after shot.
    entries = [
        line
        for shot, name in zip(shots, names, strict=True)
        for line in (f"file '{name}'", f"duration {float(shot.num_frames / source.frame_rate):.6f}")
    ]
    listed = str(output.with_suffix(".txt"))
    commands.append(shlex.join(["printf", "%s\\n", *entries]) + f" > {shlex.quote(listed)}")
    joining = ["ffmpeg", "-f", "concat", "-safe", "0", "-i", listed, "-c", "copy", output_name]
    return (*commands, shlex.join(joining))

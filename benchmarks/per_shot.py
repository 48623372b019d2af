"""A CRF for each shot against one CRF, on titles of several shots, with each encoder.

Nearly all clips at hand are one shot. One is a street of five shots as it was edited; the other
titles are made of real clips, cut to one size, two seconds of each, without loss.

``python -m benchmarks.per_shot --data ../shared/data`` takes about forty minutes on two cores,
writes after every run, and goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import subprocess
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg
from ratesight.codecs.table import Codec
from ratesight.optimizer.measuring.machine_choice import MachineChoice
from ratesight.optimizer.request import TuneRequest

from .tuning import parse_arguments, run_missing

RESULTS = Path(__file__).parent / "results" / "per_shot.json"

_SHOT_FRAMES, _FRAME_RATE = 50, 25


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """The frames of a clip from a second on, shown at the title's frame rate as they are."""

    clip: str
    start_seconds: float = 0.0


# The room is empty for its first seven seconds.
_CAMERAS = (
    Piece(clip="highway_cam_240p.avi", start_seconds=10.0),
    Piece(clip="indoor_one_by_one_person_432p.mp4", start_seconds=9.0),
    Piece(clip="plaza_crowd_720p.mp4", start_seconds=4.0),
    Piece(clip="webcam_signer_again_480p.mkv"),
    Piece(clip="street_people_720p.mp4", start_seconds=5.0),
)
_PEOPLE = (
    Piece(clip="face_d0_512.mp4"),
    Piece(clip="plaza_crowd_720p.mp4"),
    Piece(clip="carphone_qcif.mp4"),
    Piece(clip="bikes_street_272p.mp4", start_seconds=3.1),
    Piece(clip="face_d6_480.mp4"),
    Piece(clip="face_s18_720p.mp4"),
)
_HALF_720P = (
    Piece(clip="street_people_720p.mp4"),
    Piece(clip="face_s32_720p.mp4"),
    Piece(clip="plaza_crowd_720p.mp4"),
    Piece(clip="face_s18_720p.mp4"),
)
# Size and pieces by the name of the title; the first is a clip of its own.
_EDITED = "bikes_street_272p.mp4"
_TITLES: dict[str, tuple[int, int, tuple[Piece, ...]]] = {
    "half_720p_360p.mkv": (640, 360, _HALF_720P),
    "cameras_216p.mkv": (384, 216, _CAMERAS),
    "people_216p.mkv": (384, 216, _PEOPLE),
}


def main() -> None:
    """Runs what is missing in the results."""
    arguments = parse_arguments(__doc__, [_EDITED, *_TITLES])
    folder = arguments.store.absolute().parent / "titles"

    def request(clip: str, codec: Codec) -> TuneRequest:
        return TuneRequest(
            clip=_title(clip, arguments, folder),
            codec=codec,
            machine=MachineChoice(detector=str(arguments.data / "weights" / "yolov8n.pt")),
            # The encoder's defaults at one CRF are the single setting.
            num_trials=1,
            per_shot=True,
            store=arguments.store,
        )

    run_missing(RESULTS, arguments, request)


def _title(name: str, arguments: argparse.Namespace, folder: Path) -> Path:
    """Returns the file of a title, made if it is not there."""
    clips: Path = arguments.data / "clips"
    if name not in _TITLES:
        return clips / name
    target = folder / name
    if not target.exists():
        folder.mkdir(exist_ok=True)
        _join(clips, target, *_TITLES[name])
    return target


def _join(clips: Path, target: Path, width: int, height: int, pieces: tuple[Piece, ...]) -> None:
    """Writes the pieces of a title one after the other, without loss."""
    words, chains = list[str](), list[str]()
    for number, piece in enumerate(pieces):
        if piece.start_seconds:
            words += ["-ss", str(piece.start_seconds)]
        words += ["-i", str(clips / piece.clip)]
        chains.append(
            f"[{number}:v]scale={width}:{height}:force_original_aspect_ratio=increase:"
            f"flags=lanczos+accurate_rnd+bitexact,crop={width}:{height},setsar=1,format=yuv420p,"
            f"trim=end_frame={_SHOT_FRAMES},setpts=N/{_FRAME_RATE}/TB,fps={_FRAME_RATE}[v{number}]"
        )
    joined = "".join(f"[v{number}]" for number in range(len(pieces)))
    graph = ";".join([*chains, f"{joined}concat=n={len(pieces)}"])
    partial = target.with_suffix(".part.mkv")
    subprocess.run(
        [
            imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y", *words,
            "-filter_complex", graph, "-c:v", "ffv1", str(partial),
        ],
        check=True,
    )  # fmt: skip
    partial.replace(target)


if __name__ == "__main__":
    main()

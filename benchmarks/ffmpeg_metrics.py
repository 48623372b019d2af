"""VMAF and XPSNR of whole frames, by the ffmpeg that ``imageio-ffmpeg`` ships.

Frames lie far apart in their clip, so each is treated as a still: its original stands before all
of its versions, and nothing moves between them.
"""

from __future__ import annotations

import csv
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np

from .labelled_groups import Floats, Group, Pictures
from .predictors import Picture, Values

# One rate for both streams, below the 32 from which XPSNR looks two pictures back.
_RATE = "25"
# Identical pictures have no finite XPSNR.
_MAX_XPSNR_DB = 100.0
# VMAF and XPSNR want the original on different sides.
_GRAPH = (
    "[0:v]split[d0][d1];[1:v]split[r0][r1];"
    "[d0][r0]libvmaf=n_threads=1:log_fmt=csv:log_path=vmaf.csv[v];"
    "[r1][d1]xpsnr=stats_file=xpsnr.txt[x]"
)


@dataclass(frozen=True, slots=True)
class FfmpegPredictor:
    """The rows ``vmaf`` (model v0.6.1) and ``xpsnr`` (luma, dB)."""

    name: str = "ffmpeg"

    @property
    def version(self) -> str:
        return f"1, ffmpeg {imageio_ffmpeg.get_ffmpeg_version()}"

    def predict(self, group: Group, pictures: Pictures) -> dict[str, Values]:
        """Returns values of whole frames, from one run for all of them."""
        num_versions, num_frames = len(group.versions), group.num_frames
        # Sides must be even in 4:2:0.
        even = pictures[:, :, : pictures.shape[2] // 2 * 2, : pictures.shape[3] // 2 * 2]
        with tempfile.TemporaryDirectory() as folder:
            files = [Path(folder) / name for name in ("distorted.yuv", "reference.yuv")]
            with files[0].open("wb") as distorted, files[1].open("wb") as reference:
                for frame in range(num_frames):
                    original = _yuv(even[0, frame])
                    for entry in even[:, frame]:
                        distorted.write(_yuv(entry))
                        reference.write(original)
            vmaf, xpsnr = _measure(Path(folder), width=even.shape[3], height=even.shape[2])
        shape = (num_frames, 1 + num_versions)
        return {
            "vmaf": Values(frames=vmaf.reshape(shape)[:, 1:].T),
            "xpsnr": Values(frames=xpsnr.reshape(shape)[:, 1:].T),
        }


def _measure(folder: Path, *, width: int, height: int) -> tuple[Floats, Floats]:
    raw = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{width}x{height}", "-r", _RATE]
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        *("-hide_banner", "-loglevel", "error", "-nostdin"),
        *(*raw, "-i", "distorted.yuv", *raw, "-i", "reference.yuv"),
        *("-filter_complex_threads", "1", "-filter_complex", _GRAPH),
        *("-map", "[v]", "-f", "null", "-", "-map", "[x]", "-f", "null", "-"),
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ffmpeg ended with {done.returncode}: {done.stderr[-1000:]}")
    with (folder / "vmaf.csv").open() as lines:
        vmaf = [float(line["vmaf"]) for line in csv.DictReader(lines)]
    found = re.findall(r"^n: .*?XPSNR y: +(\S+)", (folder / "xpsnr.txt").read_text(), re.MULTILINE)
    return np.array(vmaf), np.minimum([float(value) for value in found], _MAX_XPSNR_DB)


def _yuv(picture: Picture) -> bytes:
    """Returns a BGR picture as planes of 4:2:0, BT.601 of limited range."""
    return cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_BGR2YUV_I420).tobytes()

"""Runs a second ffmpeg, to make clips with and to compare with."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable

import imageio_ffmpeg
import pytest

RunFfmpeg = Callable[..., str]


@pytest.fixture(scope="session")
def ffmpeg() -> RunFfmpeg:
    """Runs the ffmpeg of imageio-ffmpeg and returns its log."""
    executable = imageio_ffmpeg.get_ffmpeg_exe()

    def run(*words: object, level: str = "error") -> str:
        command = [executable, "-y", "-nostdin", "-hide_banner", "-loglevel", level]
        done = subprocess.run(
            [*command, *map(str, words)],
            capture_output=True,
            text=True,
            errors="replace",
            env={**os.environ, "SVT_LOG": "1"},
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    return run

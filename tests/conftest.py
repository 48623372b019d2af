"""Shared fixtures: real clips and weights, used in place, and a second ffmpeg."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import imageio_ffmpeg
import pytest

RunFfmpeg = Callable[..., str]

# Tests assert behaviour, never time.
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")

# Before ultralytics is imported: it would look for a network and install what it misses.
os.environ["YOLO_OFFLINE"] = "true"
os.environ["YOLO_AUTOINSTALL"] = "false"
# Processes that tests start import what is installed, not the checkout they run in.
os.environ["PYTHONSAFEPATH"] = "1"

_TESTS = Path(__file__).resolve().parent
_DATA = _TESTS.parents[1] / "shared" / "data"
# Folders whose files take less than others', by how little.
_SHORT = ("metrics", "benchmarks", "codecs")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts whole runs first and short files last: what begins last keeps one core busy alone."""

    def order(item: pytest.Item) -> tuple[int, bool]:
        folder, *deeper = item.path.relative_to(_TESTS).parts
        place = _SHORT.index(folder) + 2 if folder in _SHORT else int(folder != "optimizer")
        return place, len(deeper) > 1

    items.sort(key=order)


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real clips, photos and weights beside the checkout."""
    if not _DATA.is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail(f"tests in CI need {_DATA}")
        pytest.skip(f"needs {_DATA}")
    return _DATA


@pytest.fixture(scope="session")
def clips(data: Path) -> Path:
    """The folder of real clips."""
    return data / "clips"


@pytest.fixture(scope="session")
def street(clips: Path) -> Path:
    """640x272, 25 fps, 250 frames: cars, people, bicycles."""
    return clips / "bikes_street_272p.mp4"


@pytest.fixture(scope="session")
def weights(data: Path) -> Path:
    """A small real detector."""
    return data / "weights" / "yolov8n.pt"


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


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 300 kB; mounting it needs root."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("mounting a small disk needs root")
    subprocess.run([mount, "-t", "tmpfs", "-o", "size=300k", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)

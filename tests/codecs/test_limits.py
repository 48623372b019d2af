"""Clips above a limit are refused in one line that names the option."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from ratesight.codecs.clip import probe
from ratesight.codecs.errors import ClipError, LimitError
from ratesight.codecs.limits import LIMITS, ClipLimits, parse_limits
from ratesight.codecs.source import load_source

RunFfmpeg = Callable[..., str]

PICTURES = "BasketballPass_416x240_50_png"


@pytest.fixture(scope="module")
def carphone(clips: Path) -> Path:
    """176x144, 120 frames, 0.6 MB."""
    return clips / "carphone_qcif.mp4"


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (ClipLimits(size_gb=5e-4), r"GB must be at most 0.0005, .* has 0.000589 GB; .*size-gb=N"),
        (ClipLimits(pixels=25343), r"pixels .* at most 25343, .* is 176x144; .*--limit pixels=N"),
        (ClipLimits(frames=119), r"frames must be at most 119, .* has 120 or more; .*frames=N"),
        (ClipLimits(decode_seconds=1e-6), r"decoding must be at most 1e-06, .*decode-seconds=N"),
        (ClipLimits(stall_seconds=1e-9), r"does not answer in time; .*--limit stall-seconds=N"),
    ],
)  # fmt: skip
def test_a_clip_above_a_limit_is_refused(limits: ClipLimits, message: str, carphone: Path) -> None:
    for open_clip in (probe, load_source):
        with pytest.raises(ClipError, match=message) as caught:
            open_clip(carphone, limits=limits)
        assert "\n" not in str(caught.value)


def test_a_clip_at_its_limits_is_taken(carphone: Path) -> None:
    size_gb = carphone.stat().st_size / 1e9
    limits = ClipLimits(size_gb=size_gb, pixels=25344, frames=120, scratch_gb=120 * 38016 / 1e9)
    assert probe(carphone, limits=limits).num_frames == 120
    with load_source(carphone, limits=limits) as source:
        assert source.num_frames == 120


def test_a_cut_clip_needs_what_is_taken_of_it(carphone: Path) -> None:
    limits = ClipLimits(frames=15, scratch_gb=15 * 38016 / 1e9)
    with load_source(carphone, max_seconds=0.5, limits=limits) as source:
        assert source.num_frames == 15


@pytest.mark.parametrize("scratch_gb", [119 * 38016 / 1e9, 1e-6])
def test_scratch_space_is_limited(scratch_gb: float, carphone: Path) -> None:
    with pytest.raises(ClipError, match=r"decoded frames of .* need .* GB; .*scratch-gb=N"):
        load_source(carphone, limits=ClipLimits(scratch_gb=scratch_gb))


def test_all_pictures_of_a_folder_count(clips: Path) -> None:
    folder = clips / PICTURES
    size_gb = sum(file.stat().st_size for file in folder.iterdir()) / 1e9
    with pytest.raises(ClipError, match=r"size in GB must be at most"):
        probe(folder, limits=ClipLimits(size_gb=size_gb * 0.99))


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("value", [0, -1, math.nan])
def test_a_limit_is_above_nothing(name: str, value: float) -> None:
    with pytest.raises(LimitError, match=rf"limit {name.replace('_', '-')} must be above 0, got"):
        ClipLimits(**{name: value})  # type: ignore[arg-type]  # those are numbers


def test_limits_are_read_from_texts() -> None:
    assert parse_limits([]) == ClipLimits()
    assert parse_limits(["pixels=100", "decode-seconds=2.5"], allow_network=True) == ClipLimits(
        pixels=100, decode_seconds=2.5, allow_network=True
    )


@pytest.mark.parametrize("text", ["", "pixels", "pixels=", "pixels=x", "allow-network=1", "a=1"])
def test_a_text_that_is_no_limit_is_refused(text: str) -> None:
    with pytest.raises(LimitError, match=r"NAME=NUMBER with one of size-gb, pixels, frames"):
        parse_limits([text])


def test_room_is_asked_for_by_the_clips_own_frame_rate(
    carphone: Path, ffmpeg: RunFfmpeg, tmp_path: Path
) -> None:
    """Matroska tells a duration, no number of frames: at 1000 fps it would be 33 times as many."""
    path = tmp_path / "clip.mkv"
    ffmpeg("-i", carphone, "-frames:v", 50, "-c", "copy", path)
    limits = ClipLimits(scratch_gb=50 * 38016 / 1e9)

    with load_source(path, frame_rate=Fraction(1000), limits=limits) as source:
        assert source.num_frames == 50
    with pytest.raises(ClipError, match=r"decoded frames of .* need"):
        load_source(path, frame_rate=Fraction(1), limits=ClipLimits(scratch_gb=1e-4))

"""Encoding at another height: the same pictures as ffmpeg's, brought back for whoever looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
from ratesight.codecs.encode import decode, decode_bgr, encode
from ratesight.codecs.errors import SettingsError
from ratesight.codecs.fidelity import fidelity
from ratesight.codecs.planes import plane
from ratesight.codecs.scaling import FLAGS, Scaler, scaled_format, scaled_size
from ratesight.codecs.settings import Crf, EncodeSettings
from ratesight.codecs.source import Source, load_source
from ratesight.codecs.table import ENCODERS, Codec

RunFfmpeg = Callable[..., str]
PRESETS = {"x264": "veryfast", "x265": "ultrafast", "svtav1": "12"}


@pytest.fixture(scope="module")
def carphone(clips: Path) -> Iterator[Source]:
    with load_source(clips / "carphone_qcif.mp4", max_seconds=0.3) as source:
        yield source


def settings(codec: Codec, height: int | None, crf: float = 30) -> EncodeSettings:
    return EncodeSettings(
        codec=codec, preset=PRESETS[codec], rate_control=Crf(value=crf), height=height
    )


def stacked(frame: av.VideoFrame) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    return np.concatenate([plane(frame, index).ravel() for index in range(3)])


@pytest.mark.parametrize(
    ("size", "height", "expected"),
    [
        ((1280, 720), 540, (960, 540)),
        ((640, 272), 136, (320, 136)),
        ((176, 144), 96, (118, 96)),
        ((720, 1280), 540, (304, 540)),
        ((176, 144), 144, (176, 144)),
        ((32, 144), 144, (32, 144)),
    ],
)
def test_shape_is_kept_and_width_even(
    size: tuple[int, int], height: int, expected: tuple[int, int]
) -> None:
    assert scaled_size(*size, height) == expected


@pytest.mark.parametrize(
    ("size", "height", "message"),
    [
        ((176, 144), 146, r"height must be at most the clip's own, 144, got 146; take a lower one"),
        ((144, 1280), 64, r"height 64 makes 144x1280 only 8 pixels wide, the least is 64"),
    ],
)
def test_height_that_does_not_fit_is_refused(
    size: tuple[int, int], height: int, message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        scaled_size(*size, height)


def test_no_height_leaves_the_format_alone(carphone: Source) -> None:
    assert scaled_format(carphone, None) is carphone
    frame = carphone.frame(0)
    assert Scaler(176, 144).scale(frame) is frame


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
@pytest.mark.parametrize("size", [(118, 96), (264, 216)])
def test_samples_are_those_of_the_ffmpeg_command(
    pix_fmt: str, size: tuple[int, int], clips: Path, ffmpeg: RunFfmpeg, tmp_path: Path
) -> None:
    clip, scaled = tmp_path / "clip.mkv", tmp_path / "scaled.mkv"
    words = ["-i", clips / "carphone_qcif.mp4", "-frames:v", 4, "-pix_fmt", pix_fmt]
    ffmpeg(*words, "-c:v", "ffv1", clip)
    ffmpeg("-i", clip, "-vf", f"scale={size[0]}:{size[1]}:flags={FLAGS}", "-c:v", "ffv1", scaled)

    with load_source(clip) as source, av.open(str(scaled)) as container:
        scaler = Scaler(*size)
        frames = list(container.decode(video=0))
        assert len(frames) == source.num_frames == 4
        for index, theirs in enumerate(frames):
            ours = scaler.scale(source.frame(index))
            assert (ours.pts, ours.format.name) == (index, pix_fmt)
            np.testing.assert_array_equal(stacked(ours), stacked(theirs))


@pytest.mark.parametrize("codec", ENCODERS)
def test_encoder_gets_small_frames_and_the_machine_large_ones(
    codec: Codec, carphone: Source
) -> None:
    small, own = (encode(carphone, settings(codec, height)) for height in (96, None))

    assert {(frame.width, frame.height) for frame in decode(small)} == {(118, 96)}
    assert small.rate_kbps < own.rate_kbps
    (seen,) = decode_bgr(small, {3}, carphone.color_space)
    assert seen.shape == (144, 176, 3)
    # A picture of another frame, or one that is moved by some pixels, is further away.
    errors = [np.abs(seen - carphone.bgr(index).astype(float)).mean() for index in range(9)]
    assert np.argmin(errors) in (2, 3, 4)
    moved = np.roll(carphone.bgr(3), 4, axis=1).astype(float)
    assert errors[3] < 10 < np.abs(seen - moved).mean()


def test_own_height_gives_the_same_bytes_as_none(carphone: Source) -> None:
    one, other = (encode(carphone, settings("x264", height)) for height in (144, None))
    assert one.streams == other.streams


def test_height_above_the_clips_own_is_refused(carphone: Source) -> None:
    with pytest.raises(SettingsError, match=r"at most the clip's own, 144, got 288"):
        encode(carphone, settings("x264", 288))


def test_fidelity_is_that_at_the_clips_own_size(
    carphone: Source, ffmpeg: RunFfmpeg, tmp_path: Path
) -> None:
    small = encode(carphone, settings("x264", 96, crf=0))
    (tmp_path / "small.h264").write_bytes(b"".join(small.streams[0]))
    (tmp_path / "reference.yuv").write_bytes(
        b"".join(carphone.planes(index).tobytes() for index in range(carphone.num_frames))
    )
    rate = ["-r", carphone.frame_rate]
    raw = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", "176x144", *rate]
    words = [*rate, "-i", tmp_path / "small.h264", *raw, "-i", tmp_path / "reference.yuv"]
    graph = f"[0]scale=176:144:flags={FLAGS}[back];[back][1]psnr"
    log = ffmpeg(*words, "-lavfi", graph, "-f", "null", "-", level="info")

    found = fidelity(carphone, small)

    average = float(log.partition(" average:")[2].partition(" ")[0])
    assert found.psnr_db == pytest.approx(average, abs=1e-4)  # the command prints six digits
    assert found.psnr_db < 45  # what the small frames cannot hold is counted

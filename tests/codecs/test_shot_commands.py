"""The printed commands, run one after the other by a second ffmpeg."""

import os
import subprocess
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest
from ratesight.codecs.settings import Crf, EncodeSettings
from ratesight.codecs.shot_commands import shot_commands
from ratesight.codecs.shots import ShotCrf
from ratesight.codecs.source import load_source
from ratesight.codecs.transcode import transcode

PRESETS = {"x264": "veryfast", "x265": "ultrafast", "svtav1": "12"}
# A frame lasts 33.37 ms: what Matroska rounds adds up over shots.
SHOTS = (
    ShotCrf(start_frame=0, num_frames=16, crf=24),
    ShotCrf(start_frame=16, num_frames=17, crf=41.5),
    ShotCrf(start_frame=33, num_frames=17, crf=33),
)


@pytest.fixture(scope="module")
def clip(clips, ffmpeg, tmp_path_factory):
    path = tmp_path_factory.mktemp("commands") / "fifty frames.mp4"
    ffmpeg("-i", clips / "carphone_qcif.mp4", "-frames:v", 50, "-crf", 5, path)
    return path


def frames_of(path):
    with av.open(str(path)) as container:
        return [
            (frame.pts * frame.time_base, frame.to_ndarray()) for frame in container.decode(video=0)
        ]


@pytest.mark.parametrize("ending", ["mkv", "mp4"])
@pytest.mark.parametrize("codec", PRESETS)
def test_commands_make_what_encode_makes(codec, ending, clip, tmp_path):
    settings = EncodeSettings(codec=codec, preset=PRESETS[codec], rate_control=Crf(value=30))
    with load_source(clip) as source:
        commands = shot_commands(
            settings,
            source,
            SHOTS,
            input_name=str(clip),
            output_name=str(tmp_path / f"out.{ending}"),
        )
    assert len(commands) == len(SHOTS) + 2
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "ffmpeg").symlink_to(imageio_ffmpeg.get_ffmpeg_exe())
    path = {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "SVT_LOG": "1"}
    script = "\n".join(["set -e", *commands])
    done = subprocess.run(
        ["sh", "-c", script], cwd=tmp_path, env={**os.environ, **path}, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    transcode(settings, clip, tmp_path / f"ours.{ending}", shots=SHOTS)
    found, ours = (frames_of(tmp_path / f"{name}.{ending}") for name in ("out", "ours"))
    assert len(found) == len(ours) == 50
    for (time, frame), (our_time, our_frame) in zip(found, ours, strict=True):
        assert abs(time - our_time) < 0.002
        if codec != "svtav1":  # the second ffmpeg has another version of it
            assert np.array_equal(frame, our_frame)
    assert Path(tmp_path / f"out-1.{ending}").exists()

"""Shots are found, and their streams joined, on real clips."""

from fractions import Fraction
from itertools import pairwise

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ratesight.codecs.encode import decode, encode
from ratesight.codecs.errors import SettingsError
from ratesight.codecs.settings import Crf, EncodeSettings
from ratesight.codecs.shots import ShotCrf, find_shots, join, joinable, shots_between
from ratesight.codecs.source import Segment, load_source
from ratesight.codecs.table import ENCODERS
from ratesight.codecs.transcode import transcode

PRESETS = {"x264": "veryfast", "x265": "ultrafast", "svtav1": "12"}
# Far apart, and not in order; 0.25 is SVT-AV1's step, 0.1 that of the others.
CRFS = (24, 41.5, 33)


@pytest.fixture(scope="module")
def small(street, ffmpeg, tmp_path_factory):
    """Three shots of a street: 30, 46 and 20 frames, with every time stamp a multiple of 1/25 s."""
    path = tmp_path_factory.mktemp("shots") / "street.mkv"
    ffmpeg("-i", street, "-frames:v", 96, "-vf", "scale=192:82", "-c:v", "ffv1", path)
    return path


@pytest.fixture(scope="module")
def source(small):
    with load_source(small) as source:
        yield source


def plan(source, crfs=CRFS):
    return tuple(
        ShotCrf(start_frame=shot.start_frame, num_frames=shot.num_frames, crf=crf)
        for shot, crf in zip(find_shots(source), crfs, strict=True)
    )


def settings(codec):
    return EncodeSettings(codec=codec, preset=PRESETS[codec], rate_control=Crf(value=30))


def joined(source, codec):
    """Encodes the shots one by one, without any container."""
    asked = joinable(settings(codec))
    parts = [encode(source, asked.at(Crf(value=one.crf)), [one.segment]) for one in plan(source)]
    return parts, join(parts, source.frame_rate)


class TestFindShots:
    def test_a_shot_of_a_slow_clip_has_three_frames(self, data, ffmpeg, tmp_path):
        """As of slides; x264 decodes streams of one and two frames at other times than longer."""
        photos, path = sorted((data / "photos").iterdir()), tmp_path / "slides.mkv"
        for number, photo in enumerate(np.repeat(photos[:6], (2, 8, 2, 8, 3, 8))):
            picture = cv2.resize(cv2.imread(str(photo)), (96, 96))
            cv2.imwrite(str(tmp_path / f"{number:03d}.png"), picture)
        ffmpeg("-framerate", 4, "-i", tmp_path / "%03d.png", "-c:v", "ffv1", path)
        with load_source(path) as source:
            shots = find_shots(source)
        assert len(shots) > 1
        assert all(shot.num_frames >= 3 for shot in shots)
        plan = [
            ShotCrf(start_frame=one.start_frame, num_frames=one.num_frames, crf=30) for one in shots
        ]
        done = transcode(settings("x264"), path, tmp_path / "out.mp4", shots=plan)
        assert done.num_frames == 31

    def test_finds_the_cuts_of_a_street(self, street):
        # The last cut, 8 frames before the end, leaves too short a shot.
        with load_source(street) as source:
            starts = [shot.start_frame for shot in find_shots(source)]
        assert starts == [0, 30, 76, 137, 187]

    def test_finds_them_at_another_size_too(self, source):
        assert [shot.num_frames for shot in find_shots(source)] == [30, 46, 20]

    @pytest.mark.parametrize("name", ["carphone_qcif.mp4", "BasketballPass_416x240_50_png"])
    def test_one_shot_is_the_whole_clip(self, clips, name):
        # A man in a car whose window flies by; a hall that a camera pans over.
        with load_source(clips / name, max_seconds=2) as source:
            assert find_shots(source) == source.whole

    def test_deep_colour_makes_no_difference(self, small, ffmpeg, tmp_path):
        deep = tmp_path / "deep.mkv"
        ffmpeg("-i", small, "-c:v", "ffv1", "-pix_fmt", "yuv420p10le", deep)
        with load_source(deep) as source:
            assert source.pix_fmt == "yuv420p10le"
            assert [shot.start_frame for shot in find_shots(source)] == [0, 30, 76]


class TestShotsBetween:
    @given(
        cuts=st.dictionaries(st.integers(0, 120), st.floats(10, 100), max_size=12),
        num_frames=st.integers(1, 100),
        min_frames=st.integers(1, 30),
    )
    def test_they_cover_the_clip_and_are_long_enough(self, cuts, num_frames, min_frames):
        shots = shots_between(cuts, num_frames, min_frames)
        ends = [shot.start_frame + shot.num_frames for shot in shots]
        assert [shot.start_frame for shot in shots] == [0, *ends[:-1]]
        assert ends[-1] == num_frames
        assert len(shots) == 1 or min(shot.num_frames for shot in shots) >= min_frames
        assert {shot.start_frame for shot in shots[1:]} <= cuts.keys()

    @pytest.mark.parametrize(("scores", "start"), [((50.0, 20.0), 40), ((20.0, 50.0), 44)])
    def test_a_short_shot_goes_to_the_neighbour_that_is_more_like_it(self, scores, start):
        shots = shots_between(dict(zip((40, 44), scores, strict=True)), 100, 12)
        assert [shot.start_frame for shot in shots] == [0, start]


class TestJoin:
    @pytest.mark.parametrize("codec", ENCODERS)
    def test_adds_up(self, source, codec):
        parts, whole = joined(source, codec)
        assert whole.num_frames == source.num_frames
        assert whole.size_bytes == sum(one.size_bytes for one in parts)
        assert whole.rate_kbps == pytest.approx(whole.size_bytes * 8 / 1000 / (96 / 25))
        assert len(list(decode(whole))) == source.num_frames


class TestShotsInOneFile:
    @pytest.mark.parametrize("ending", ["mp4", "mkv"])
    @pytest.mark.parametrize("codec", ENCODERS)
    def test_plays_through_as_the_shots_themselves(
        self, codec, ending, small, source, ffmpeg, tmp_path
    ):
        target = tmp_path / f"shots.{ending}"
        done = transcode(settings(codec), small, target, shots=plan(source))
        _, alone = joined(source, codec)
        with av.open(str(target)) as container:
            frames = list(container.decode(video=0))
        assert done.num_frames == len(frames) == source.num_frames
        assert [frame.pts * frame.time_base for frame in frames] == [
            Fraction(index, 25) for index in range(96)
        ]
        for frame, expected in zip(frames, decode(alone), strict=True):
            assert np.array_equal(frame.to_ndarray(), expected.to_ndarray())
        # Headers stand once in the file, and with each shot where there is none.
        assert alone.size_bytes * 0.97 < done.size_bytes <= alone.size_bytes
        assert "rror" not in ffmpeg("-xerror", "-i", target, "-f", "null", "-", level="warning")

    @pytest.mark.parametrize("codec", ENCODERS)
    def test_each_shot_can_be_sought(self, codec, small, source, tmp_path):
        target = tmp_path / "shots.mp4"
        transcode(settings(codec), small, target, shots=plan(source))
        with av.open(str(target)) as container:
            stream = container.streams.video[0]
            packets = [packet for packet in container.demux(stream) if packet.size]
            keys = {float(one.pts * one.time_base) for one in packets if one.is_keyframe}
            assert keys >= {0, 30 / 25, 76 / 25}
            assert all(before.dts < after.dts for before, after in pairwise(packets))
            container.seek(int(76 / 25 / stream.time_base), stream=stream)
            frame = next(container.decode(stream))
        assert frame.pts * frame.time_base == Fraction(76, 25)

    @pytest.mark.parametrize(
        ("lengths", "got"), [((30, 46, 21), "97 .*, got 96"), ((30, 46, 19), "95 .*, got more")]
    )
    def test_another_clip_is_refused_and_leaves_no_file(self, lengths, got, small, tmp_path):
        starts = (0, 30, 76)
        shots = [
            ShotCrf(start_frame=start, num_frames=length, crf=30)
            for start, length in zip(starts, lengths, strict=True)
        ]
        with pytest.raises(SettingsError, match=f"the {got}; tune this clip, or encode it with"):
            transcode(settings("x264"), small, tmp_path / "out.mkv", shots=shots)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("start", [29, 31])
    def test_shots_must_follow_each_other(self, start, small, tmp_path):
        shots = [
            ShotCrf(start_frame=0, num_frames=30, crf=30),
            ShotCrf(start_frame=start, num_frames=96 - start, crf=30),
        ]
        with pytest.raises(SettingsError, match="follow each other without a gap"):
            transcode(settings("x264"), small, tmp_path / "out.mkv", shots=shots)


def test_joinable_settings_keep_everything_else():
    asked = EncodeSettings(
        codec="x264", preset="fast", rate_control=Crf(value=30), options=(("aq-mode", 2),)
    )
    found = joinable(asked)
    assert found.options == (("aq-mode", 2), ("stitchable", 1))
    assert found.at(asked.rate_control).preset == "fast"
    assert joinable(found) == found


def test_segment_of_a_shot():
    shot = ShotCrf(start_frame=3, num_frames=4, crf=30)
    assert shot.segment == Segment(start_frame=3, num_frames=4)

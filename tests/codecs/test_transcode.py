import gc
import os
import shutil
import sys
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from av.stream import Disposition
from ratesight.codecs.encode import decode, encode
from ratesight.codecs.errors import ClipError, RegionError, SettingsError, TargetError
from ratesight.codecs.region import ClipRegions, Region
from ratesight.codecs.settings import Crf, EncodeSettings, sorted_options
from ratesight.codecs.source import load_source
from ratesight.codecs.table import ENCODERS
from ratesight.codecs.transcode import transcode

PICTURES = "BasketballPass_416x240_50_png"
PRESETS = {"x264": "veryfast", "x265": "ultrafast", "svtav1": "12"}


def settings(codec, **options):
    return EncodeSettings(
        codec=codec,
        preset=PRESETS[codec],
        rate_control=Crf(value=30),
        options=sorted_options(options),
    )


def roi_settings(codec):
    """Returns settings with all that regions may change."""
    qp = {"roi-object-qp": -4.0, "roi-background-qp": 6.0}
    return settings(codec, **qp, **{"roi": 1, "roi-blur": 1.0, "roi-freeze": 2.0})


def moving_regions(num_frames, width=176, height=144):
    frames = tuple(
        (Region(x0=n, y0=0, x1=n + 64, y1=80), Region(x0=100, y0=90, x1=176, y1=144, weight=0.5))
        for n in range(num_frames)
    )
    return ClipRegions(width=width, height=height, frames=frames)


def frames_of(path):
    """Returns times in seconds and the pictures of a file."""
    with av.open(str(path)) as container:
        decoded = list(container.decode(video=0))
    return [frame.pts * frame.time_base for frame in decoded], [
        frame.to_ndarray() for frame in decoded
    ]


@pytest.fixture(scope="module")
def talking(clips, ffmpeg, tmp_path_factory):
    """One second of carphone with sound."""
    path = tmp_path_factory.mktemp("talking") / "talking.mp4"
    sound = ("-f", "lavfi", "-i", "sine=440:duration=1")
    words = ("-c:v", "libx264", "-c:a", "aac", "-metadata:s:a:0", "language=deu", "-t", 1)
    ffmpeg("-i", clips / "carphone_qcif.mp4", *sound, *words, path)
    return path


@pytest.mark.parametrize(
    ("codec", "ending"),
    [(codec, ending) for codec in ENCODERS for ending in ("mp4", "mkv")]
    + [("x264", "mov"), ("x265", "mov")],  # QuickTime has no AV1.
)
def test_file_holds_the_encode_of_a_trial(codec, ending, clips, tmp_path):
    clip, target = clips / "carphone_qcif.mp4", tmp_path / f"out.{ending}"
    done = transcode(settings(codec), clip, target)
    with load_source(clip) as source:
        encoding = encode(source, settings(codec))
        trial = [frame.to_ndarray() for frame in decode(encoding)]
        original_times, _ = frames_of(clip)
    times, pictures = frames_of(target)
    assert done.num_frames == len(pictures) == 120
    assert all(np.array_equal(*pair) for pair in zip(pictures, trial, strict=True))
    # Parameter sets move from the packets to the container.
    assert 0 <= encoding.size_bytes - done.size_bytes < 120
    assert done.rate_kbps == pytest.approx(encoding.rate_kbps, rel=0.02)
    assert done.file_size_bytes == target.stat().st_size > done.size_bytes
    # Matroska counts milliseconds.
    tolerance = 0.001 if ending == "mkv" else 0
    for time, original in zip(times, original_times, strict=True):
        assert abs(time - original) <= tolerance


@pytest.mark.parametrize(("codec", "most"), [("x264", 16), ("x265", 8)])
def test_many_b_frames_are_shown_in_time(codec, most, clips, ffmpeg, tmp_path):
    # Of what stands still x264 makes as many in a row as it may.
    clip, target = tmp_path / "still.mkv", tmp_path / "out.mp4"
    words = ["-i", clips / "carphone_qcif.mp4", "-vf", "select=eq(n\\,0),loop=119:1,setpts=N/30/TB"]
    ffmpeg(*words, "-frames:v", 120, "-r", 30, "-c:v", "ffv1", clip)
    asked = replace(settings(codec), preset="veryfast", options=(("bframes", most),))
    transcode(asked, clip, target)
    times, _ = frames_of(target)
    assert times == pytest.approx([frame / 30 for frame in range(120)], abs=0.001)


@pytest.mark.parametrize("num_frames", [1, 2, 3])
@pytest.mark.parametrize("ending", ["mp4", "mkv"])
@pytest.mark.parametrize("codec", ENCODERS)
def test_fewer_frames_than_are_reordered(codec, ending, num_frames, clips, ffmpeg, tmp_path):
    clip, target = tmp_path / "short.mkv", tmp_path / f"out.{ending}"
    words = ["-i", clips / "carphone_qcif.mp4", "-frames:v", num_frames, "-c:v", "ffv1"]
    ffmpeg(*words, clip)
    assert transcode(settings(codec), clip, target).num_frames == num_frames
    times, _ = frames_of(target)
    assert times == pytest.approx([frame * 1001 / 30000 for frame in range(num_frames)], abs=0.001)


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_sound_is_copied(ending, talking, tmp_path):
    target = tmp_path / f"out.{ending}"
    done = transcode(settings("x264"), talking, target)
    with av.open(str(talking)) as before, av.open(str(target)) as after:
        assert after.streams.audio[0].codec_context.name == "aac"
        assert after.streams.audio[0].metadata["language"] == "deu"
        assert after.streams[0].type == "video"
        packets = [
            [bytes(packet) for packet in container.demux(audio=0) if packet.size]
            for container in (before, after)
        ]
    assert packets[0] == packets[1]
    assert done.notes == ()


def test_sound_that_the_container_does_not_take_is_left_out(clips, ffmpeg, tmp_path):
    clip = tmp_path / "clip.mkv"
    sound = ("-f", "lavfi", "-i", "sine=440:duration=0.5", "-c:a", "wmav2")
    ffmpeg("-i", clips / "carphone_qcif.mp4", *sound, "-c:v", "copy", "-t", 0.5, clip)
    done = transcode(settings("x264"), clip, tmp_path / "out.mp4")
    assert "sound stream 1 (wmav2) left out: it cannot be copied into mp4" in done.notes
    assert done.num_frames > 10


def test_pictures_and_sound_stay_together(talking, tmp_path):
    transcode(settings("x264"), talking, tmp_path / "out.mp4")
    starts = []
    for path in (talking, tmp_path / "out.mp4"):
        with av.open(str(path)) as container:
            first = {packet.stream.type: packet for packet in reversed(list(container.demux()))}
            starts.append({kind: packet.pts * packet.time_base for kind, packet in first.items()})
    assert starts[0] == starts[1]


def test_uneven_frame_times_are_kept(clips, ffmpeg, tmp_path):
    clip = tmp_path / "uneven.mp4"
    words = ("-vf", "select=mod(n\\,5)", "-fps_mode", "passthrough", "-t", 1, "-c:v", "libx264")
    ffmpeg("-i", clips / "carphone_qcif.mp4", *words, clip)
    done = transcode(settings("x265"), clip, tmp_path / "out.mp4")
    before, after = frames_of(clip)[0], frames_of(tmp_path / "out.mp4")[0]
    assert after == [time - before[0] for time in before]
    assert "uneven frame times" in done.notes[0]


def test_the_first_of_pictures_and_sound_is_at_zero_as_ffmpeg_has_it(clips, ffmpeg, tmp_path):
    clip = tmp_path / "late.ts"
    sound = ("-itsoffset", 0.2, "-f", "lavfi", "-i", "sine=440:duration=1", "-c:a", "aac")
    words = ("-t", 0.5, "-c:v", "libx264", "-output_ts_offset", 20_000)
    ffmpeg("-i", clips / "carphone_qcif.mp4", *sound, *words, clip)
    assert frames_of(clip)[0][0] > 20_000
    ffmpeg("-i", clip, "-c", "copy", tmp_path / "theirs.mkv")
    transcode(settings("x264"), clip, tmp_path / "ours.mkv")
    starts = []
    for name in ("theirs.mkv", "ours.mkv"):
        with av.open(str(tmp_path / name)) as container:
            first = {one.stream.type: one for one in reversed(list(container.demux())) if one.size}
            starts.append({kind: float(one.pts * one.time_base) for kind, one in first.items()})
    assert starts[1] == pytest.approx(starts[0], abs=0.002)
    assert starts[1]["video"] == 0
    assert starts[1]["audio"] > 0.1


def test_pictures_and_sound_of_joined_files_go_on_where_times_jump_back(talking, ffmpeg, tmp_path):
    ffmpeg("-i", talking, "-c", "copy", tmp_path / "one.ts")
    joined, target = tmp_path / "joined.ts", tmp_path / "out.mp4"
    joined.write_bytes((tmp_path / "one.ts").read_bytes() * 2)

    done = transcode(settings("x264"), joined, target)

    times, _ = frames_of(target)
    steps = np.diff([float(time) for time in times])
    assert done.num_frames == len(times) == 60
    assert steps == pytest.approx(1001 / 30000, abs=1e-4)
    assert "times jump back at frame 30; they go on from there" in done.notes
    with av.open(str(target)) as container:
        sound = [float(one.pts * one.time_base) for one in container.demux(audio=0) if one.size]
    assert max(sound) == pytest.approx(float(times[-1]), abs=0.1)
    assert np.diff(sound) == pytest.approx(1024 / 44100, abs=1e-3)


def test_what_does_not_come_along_is_told(talking, ffmpeg, tmp_path):
    (tmp_path / "words.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nHello\n")
    chapter = ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=500\ntitle=one\n"
    (tmp_path / "chapters.txt").write_text(chapter)
    clip = tmp_path / "clip.mkv"
    inputs = ("-i", tmp_path / "words.srt", "-i", tmp_path / "chapters.txt")
    ffmpeg("-i", talking, *inputs, "-map_chapters", 2, "-c", "copy", "-c:s", "srt", clip)

    own = transcode(settings("x264"), clip, tmp_path / "own.mkv")
    slow = transcode(settings("x264"), clip, tmp_path / "slow.mkv", frame_rate=Fraction(10))

    left_out = ("subtitles left out (1)", "chapters left out (1)")
    assert own.notes == left_out
    sound = "sound left out, since the frame rate is another one"
    assert slow.notes[-3:] == (sound, *left_out)


def test_further_videos_and_data_are_told_and_when_it_was_taken_is_kept(clips, ffmpeg, tmp_path):
    clip, target = tmp_path / "clip.mov", tmp_path / "out.mp4"
    told = {"title": "gate 3", "creation_time": "2026-05-04T03:02:01.000000Z"}
    words = [word for key, value in told.items() for word in ("-metadata", f"{key}={value}")]
    two = ("-map", "0:v", "-map", "0:v", "-timecode", "01:00:00:00", "-c:v", "libx264", "-t", 0.3)
    ffmpeg("-i", clips / "carphone_qcif.mp4", *two, *words, clip)

    done = transcode(settings("x264"), clip, target)

    # QuickTime has a time code for each of the two.
    assert done.notes == ("further video streams left out (1)", "data streams left out (2)")
    with av.open(str(target)) as container:
        assert told.items() <= container.metadata.items()
        assert container.metadata["encoder"].startswith("Lavf")


@pytest.mark.parametrize("ending", ["mkv", "mp4", "mov"])
@pytest.mark.parametrize("codec", ["pcm_alaw", "pcm_mulaw"])
def test_sound_of_cameras_is_kept_in_every_container(codec, ending, clips, ffmpeg, tmp_path):
    clip, target = tmp_path / "camera.mkv", tmp_path / f"out.{ending}"
    sound = ("-f", "lavfi", "-i", "sine=440:duration=0.5:sample_rate=8000", "-c:a", codec)
    ffmpeg("-i", clips / "carphone_qcif.mp4", *sound, "-t", 0.5, "-c:v", "libx264", clip)

    done = transcode(settings("x264"), clip, target)

    def samples(path):
        with av.open(str(path)) as container:
            return np.concatenate([one.to_ndarray()[0] for one in container.decode(audio=0)])

    np.testing.assert_array_equal(samples(target), samples(clip))
    left = f"sound stream 1 ({codec}) written as pcm_s16le, which loses nothing"
    assert done.notes == (() if ending == "mov" else (left,))


def test_sound_before_a_cut_that_an_edit_list_hides_stays_hidden(talking, ffmpeg, tmp_path):
    ffmpeg("-ss", 0.6, "-i", talking, "-c", "copy", tmp_path / "cut.mp4")
    assert sum(_is_hidden(tmp_path / "cut.mp4")) > 20

    transcode(settings("x264"), tmp_path / "cut.mp4", tmp_path / "out.mkv")

    with av.open(str(tmp_path / "out.mkv")) as container:
        first = {one.stream.type: one for one in reversed(list(container.demux())) if one.size}
        starts = {kind: float(one.pts * one.time_base) for kind, one in first.items()}
    # One packet before the cut remains, which a decoder needs.
    assert starts["audio"] == pytest.approx(0, abs=0.03)
    assert starts["video"] == pytest.approx(0, abs=0.05)


def _is_hidden(path):
    with av.open(str(path)) as container:
        return [one.is_discard for one in container.demux(audio=0) if one.size]


def test_the_sound_that_was_to_be_heard_still_is(clips, ffmpeg, tmp_path):
    clip = tmp_path / "two.mkv"
    tones = [word for hz in (300, 500) for word in ("-f", "lavfi", "-i", f"sine={hz}:duration=0.3")]
    maps = ("-map", 0, "-map", 1, "-map", 2, "-disposition:a:0", 0, "-disposition:a:1", "default")
    words = ("-t", 0.3, "-c:v", "libx264", "-c:a", "aac")
    ffmpeg("-i", clips / "carphone_qcif.mp4", *tones, *maps, *words, clip)
    transcode(settings("x264"), clip, tmp_path / "out.mkv")
    with av.open(str(tmp_path / "out.mkv")) as container:
        heard = [bool(one.disposition & Disposition.default) for one in container.streams.audio]
    assert heard == [False, True]


def test_a_photo_with_exif_is_encoded(clips, tmp_path):
    from PIL import ExifTags, Image

    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 1
    with Image.open(clips / PICTURES / "f001.png") as picture:
        picture.convert("RGB").save(tmp_path / "photo.jpg", exif=exif)
    done = transcode(settings("x264"), tmp_path / "photo.jpg", tmp_path / "o.mp4")
    assert done.num_frames == 1


def test_hdr10_levels_do_not_come_along(clips, ffmpeg, tmp_path):
    clip = tmp_path / "hdr.mkv"
    display = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
    levels = f"log-level=none:hdr10=1:master-display={display}:max-cll=1000,400"
    words = ("-frames:v", 5, "-pix_fmt", "yuv420p10le", "-c:v", "libx265", "-x265-params", levels)
    ffmpeg("-i", clips / "carphone_qcif.mp4", *words, clip)
    assert transcode(settings("x264"), clip, tmp_path / "o.mp4").notes == ("HDR10 levels left out",)


@pytest.mark.parametrize(("codec", "ending"), [("libopus", "mov"), ("flac", "mov")])
def test_sound_that_only_the_header_refuses_is_left_out(codec, ending, talking, ffmpeg, tmp_path):
    clip = tmp_path / "clip.mkv"
    ffmpeg("-i", talking, "-c:v", "copy", "-c:a", codec, clip)
    done = transcode(settings("x264"), clip, tmp_path / f"out.{ending}")
    assert any("left out: it cannot be copied into mov" in note for note in done.notes)
    assert len(frames_of(tmp_path / f"out.{ending}")[1]) == 30


def test_stream_without_times_gets_even_ones(clips, ffmpeg, tmp_path):
    clip = tmp_path / "raw.h264"
    ffmpeg("-i", clips / "carphone_qcif.mp4", "-frames:v", 10, "-c:v", "libx264", clip)
    transcode(settings("x264"), clip, tmp_path / "out.mp4")
    times, _ = frames_of(tmp_path / "out.mp4")
    assert times == pytest.approx([index * 1001 / 30000 for index in range(10)], abs=1e-4)


def test_given_frame_rate_sets_the_pace(talking, tmp_path):
    done = transcode(
        settings("x264"), talking, tmp_path / "out.mp4", frame_rate=Fraction(10), progress=None
    )
    times, _ = frames_of(tmp_path / "out.mp4")
    assert times == [Fraction(index, 10) for index in range(done.num_frames)]
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert len(container.streams.audio) == 0


def test_picture_folder_odd_size_and_turn(clips, ffmpeg, tmp_path):
    frames = []
    done = transcode(settings("x264"), clips / PICTURES, tmp_path / "p.mp4", progress=frames.append)
    assert done.num_frames == 100
    assert frames == list(range(1, 101))
    odd = tmp_path / "odd.mp4"
    words = ("-vf", "scale=175:143", "-frames:v", 5, "-c:v", "mpeg4")
    ffmpeg("-i", clips / "carphone_qcif.mp4", *words, odd)
    ffmpeg("-display_rotation", 90, "-i", odd, "-c:v", "copy", tmp_path / "turned.mp4")
    done = transcode(settings("x264"), tmp_path / "turned.mp4", tmp_path / "out.mp4")
    assert frames_of(tmp_path / "out.mp4")[1][0].shape == (174 * 3 // 2, 142)
    assert done.notes == (
        "stood upright as its rotation flag asks",
        "cut to even size 142x174",
    )


@pytest.mark.parametrize("codec", ENCODERS)
def test_pixel_shape_is_kept(codec, clips, tmp_path):
    transcode(settings(codec), clips / "carphone_qcif.mp4", tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(128, 117)


@pytest.mark.parametrize("codec", ENCODERS)
def test_file_has_the_height_that_is_asked_for(codec, clips, ffmpeg, tmp_path):
    clip, target = tmp_path / "clip.mkv", tmp_path / "out.mp4"
    words = ("-frames:v", 9, "-vf", "setsar=12/11", "-c:v", "ffv1")
    ffmpeg("-i", clips / "carphone_qcif.mp4", *words, clip)
    asked = replace(settings(codec), height=96)
    transcode(asked, clip, target)
    with load_source(clip) as source:
        expected = [frame.to_ndarray() for frame in decode(encode(source, asked))]
    _, pictures = frames_of(target)
    np.testing.assert_array_equal(pictures, expected)
    with av.open(str(target)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == (118, 96)
        # The picture is as wide on screen as before.
        shape = stream.sample_aspect_ratio * Fraction(118, 96)
        assert shape == Fraction(12, 11) * Fraction(176, 144)


def test_height_above_the_clips_own_leaves_nothing_behind(clips, tmp_path):
    with pytest.raises(SettingsError, match=r"at most the clip's own, 144, got 720"):
        transcode(
            replace(settings("x264"), height=720),
            clips / "carphone_qcif.mp4",
            tmp_path / "out.mp4",
        )
    assert not list(tmp_path.iterdir())


def test_pixel_shape_that_is_lost_is_told(clips, tmp_path):
    done = transcode(settings("svtav1"), clips / "carphone_qcif.mp4", tmp_path / "out.mkv")
    assert done.notes == ("pixel shape 128/117 left out; write .mp4 to keep it",)


def test_file_in_place_is_replaced(clips, tmp_path):
    target = tmp_path / "out.mp4"
    target.write_bytes(b"old")
    transcode(settings("x264"), clips / PICTURES, target)
    assert frames_of(target)[0]
    assert [file.name for file in tmp_path.iterdir()] == ["out.mp4"]


class TestRegions:
    @pytest.mark.parametrize("ending", ["mp4", "mkv"])
    @pytest.mark.parametrize("codec", ENCODERS)
    def test_file_holds_the_encode_of_a_trial(self, codec, ending, talking, ffmpeg, tmp_path):
        target, raw = tmp_path / f"out.{ending}", tmp_path / "out.yuv"
        regions = moving_regions(30)
        done = transcode(roi_settings(codec), talking, target, regions=regions)
        with load_source(talking) as source:
            encoding = encode(source, roi_settings(codec), regions=regions)
            trial = [frame.to_ndarray() for frame in decode(encoding)]
            plain = encode(source, settings(codec))
        times, pictures = frames_of(target)
        assert done.num_frames == len(pictures) == 30
        assert all(np.array_equal(*pair) for pair in zip(pictures, trial, strict=True))
        # Parameter sets move from the packets to the container.
        assert 0 <= encoding.size_bytes - done.size_bytes < 120
        assert encoding.streams != plain.streams
        for time, original in zip(times, frames_of(talking)[0], strict=True):
            assert time - times[0] == pytest.approx(original, abs=0.001)
        # Another player shows the same, without a complaint.
        words = ("-an", "-fps_mode", "passthrough", "-f", "rawvideo")
        complaints = ffmpeg("-i", target, *words, raw, level="warning")
        assert complaints == ""
        assert raw.read_bytes() == b"".join(picture.tobytes() for picture in trial)
        with av.open(str(target)) as container:
            assert len(container.streams.audio) == 1
            first, *others = [
                packet.is_keyframe for packet in container.demux(video=0) if packet.size
            ]
        assert first
        assert not any(others)

    @pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
    @pytest.mark.parametrize("ending", ["mp4", "mkv"])
    def test_av1_header_is_that_of_a_file_without(self, ending, pix_fmt, clips, ffmpeg, tmp_path):
        # With QP offsets the packets come from the library, the header from FFmpeg's wrapper.
        clip = tmp_path / "clip.mkv"
        words = ("-frames:v", 4, "-pix_fmt", pix_fmt, "-c:v", "ffv1")
        ffmpeg("-i", clips / "carphone_qcif.mp4", *words, clip)
        headers = []
        for number, asked in enumerate((settings("svtav1"), roi_settings("svtav1"))):
            target = tmp_path / f"{number}.{ending}"
            transcode(asked, clip, target, regions=moving_regions(4))
            with av.open(str(target)) as container:
                (stream,) = container.streams
                packet = bytes(next(container.demux(stream)))
                assert stream.codec_context.pix_fmt == pix_fmt
                header = bytes(stream.codec_context.extradata)
            # An OBU of type 1, a sequence header, with its size in the next byte.
            assert packet[0] == header[4] == 1 << 3 | 2
            headers.append((header, packet[: 2 + packet[1]]))
        assert headers[0] == headers[1]

    @pytest.mark.skipif(sys.platform != "linux", reason="scheduling policies are Linux's")
    def test_av1_leaves_an_ordinary_thread_and_no_complaint(self, talking, tmp_path, capfd):
        # The wrapper that gives the header makes the thread that opens it a real-time one, and
        # complains of a stream without an end.
        before = os.sched_getscheduler(0)
        target = tmp_path / "out.mp4"
        transcode(roi_settings("svtav1"), talking, target, regions=moving_regions(30))
        gc.collect()
        assert os.sched_getscheduler(0) == before
        assert capfd.readouterr().err == ""

    @pytest.mark.parametrize("codec", ENCODERS)
    @pytest.mark.parametrize(
        ("regions", "message"),
        [
            (None, "settings with roi=1 need the regions of the clip, got none"),
            (moving_regions(20), r"for 21 frames of 176x144, got 20 of 176x144; make them"),
            (moving_regions(31), r"for 30 frames of 176x144, got 31 of 176x144; make them"),
            (moving_regions(30, height=146), r"for 30 frames of 176x144, got 30 of 176x146"),
        ],
        ids=["none", "too few", "too many", "too large"],
    )
    def test_of_another_clip_leave_nothing_behind(self, regions, message, codec, talking, tmp_path):
        target = tmp_path / "out.mp4"
        target.write_bytes(b"old")
        with pytest.raises(RegionError, match=message):
            transcode(roi_settings(codec), talking, target, regions=regions)
        assert [file.name for file in tmp_path.iterdir()] == ["out.mp4"]
        assert target.read_bytes() == b"old"

    def test_are_not_used_where_the_settings_have_none(self, talking, tmp_path):
        for name, regions in (("with.mp4", moving_regions(30)), ("without.mp4", None)):
            transcode(settings("x264"), talking, tmp_path / name, regions=regions)
        first, second = (frames_of(tmp_path / name)[1] for name in ("with.mp4", "without.mp4"))
        assert all(np.array_equal(*pair) for pair in zip(first, second, strict=True))


class TestWhatIsRefused:
    @pytest.fixture
    def clip(self, clips, tmp_path):
        return shutil.copy(clips / "carphone_qcif.mp4", tmp_path / "clip.mp4")

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("out.xyz", r"target must end in \.mp4, \.mov, \.mkv, got 'out.xyz'; rename it"),
            ("out", r"target must end in \.mp4, \.mov, \.mkv, got 'out'"),
            ("clip.mp4", r"target must be another file than the clip, both are .*clip.mp4"),
            ("missing/out.mp4", r"folder of the target must exist, .*missing does not"),
            ("folder.mp4", r"target must be a file, .*folder.mp4 is a folder"),
        ],
    )
    def test_target(self, name, message, clip, tmp_path):
        (tmp_path / "folder.mp4").mkdir()
        before = sorted(file.name for file in tmp_path.iterdir())
        with pytest.raises(TargetError, match=message):
            transcode(settings("x264"), clip, tmp_path / name)
        assert sorted(file.name for file in tmp_path.iterdir()) == before

    @pytest.mark.skipif(sys.platform != "linux", reason="needs a folder that refuses root")
    def test_folder_that_cannot_be_written(self, clip):
        with pytest.raises(TargetError, match=r"cannot write /proc/out.mp4: "):
            transcode(settings("x264"), clip, "/proc/out.mp4")

    def test_container_that_does_not_take_the_codec(self, clip, tmp_path):
        with pytest.raises(TargetError, match=r"AV1 is not written to .mov, got 'out.mov'; write "):
            transcode(settings("svtav1"), clip, tmp_path / "out.mov")
        assert [file.name for file in tmp_path.iterdir()] == ["clip.mp4"]

    @pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
    def test_disk_that_fills_up(self, clip, tmp_path):
        import resource

        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, limits[1]))
        try:
            with pytest.raises(TargetError, match=r"cannot write .*out.mp4: File too large"):
                transcode(settings("x264"), clip, tmp_path / "out.mp4")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert [file.name for file in tmp_path.iterdir()] == ["clip.mp4"]

    def test_cut_clip_leaves_nothing_behind(self, clip, ffmpeg, tmp_path):
        cut = tmp_path / "cut.mp4"
        ffmpeg("-i", clip, "-c", "copy", "-movflags", "+faststart", cut)
        cut.write_bytes(cut.read_bytes()[:300_000])
        with pytest.raises(ClipError, match=r"(truncated|damaged|does not decode)"):
            transcode(settings("x264"), cut, tmp_path / "out.mp4")
        assert sorted(file.name for file in tmp_path.iterdir()) == ["clip.mp4", "cut.mp4"]

    def test_interruption_leaves_nothing_behind(self, clip, tmp_path):
        def interrupt(num_frames):
            if num_frames == 30:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            transcode(settings("x264"), clip, tmp_path / "out.mp4", progress=interrupt)
        assert [file.name for file in tmp_path.iterdir()] == ["clip.mp4"]

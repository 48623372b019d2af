"""Clips of every kind that users have, whole and broken."""

import resource
import shutil
import struct
import subprocess
import sys
import threading
from fractions import Fraction

import av
import imageio_ffmpeg
import numpy as np
import pytest
from ratesight.codecs.encode import decode_bgr, encode
from ratesight.codecs.errors import ClipError, ScratchError
from ratesight.codecs.settings import Crf, EncodeSettings
from ratesight.codecs.source import load_source
from ratesight.codecs.table import ENCODERS

PICTURES = "BasketballPass_416x240_50_png"
LOSSLESS = ("-c:v", "ffv1")


@pytest.fixture(scope="module")
def carphone(clips):
    return clips / "carphone_qcif.mp4"


@pytest.fixture
def make(carphone, ffmpeg, tmp_path):
    """Makes a clip of carphone's first frames with the ffmpeg command."""

    def run(name, *words, num_frames=8, inputs=()):
        path = tmp_path / name
        ffmpeg(*inputs, "-i", carphone, "-frames:v", num_frames, *words, path)
        return path

    return run


def decoded(path, pix_fmt, *words):
    """Returns what the ffmpeg command decodes, as bytes."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(path), *words]
    command += ["-fps_mode", "passthrough", "-pix_fmt", pix_fmt, "-f", "rawvideo", "-"]
    return subprocess.run(command, capture_output=True, check=True).stdout


def contents(source):
    return b"".join(source.planes(index).tobytes() for index in range(source.num_frames))


class TestWhatIsRead:
    @pytest.mark.parametrize(
        ("name", "facts"),
        [
            (PICTURES, (416, 240, Fraction(25), 25, 6)),
            ("bikes_street_272p.mp4", (640, 272, Fraction(25), 25, 2)),
            ("carphone_qcif.mp4", (176, 144, Fraction(30000, 1001), 30, 2)),
            ("highway_cam_240p.avi", (320, 240, Fraction(25), 25, 2)),
            ("street_people_720p.mp4", (1280, 720, Fraction(30000, 1001), 30, 1)),
            ("webcam_signer_again_480p.mkv", (640, 480, Fraction(30), 30, 2)),
        ],
    )
    def test_real_clips(self, name, facts, clips):
        with load_source(clips / name, max_seconds=1) as source:
            found = (
                source.width,
                source.height,
                source.frame_rate,
                source.num_frames,
                source.color_space,
            )
            assert found == facts
            assert source.pix_fmt == "yuv420p"
            assert source.whole[0].num_frames == source.num_frames

    def test_whole_clip_has_the_samples_that_ffmpeg_decodes(self, carphone):
        with load_source(carphone) as source:
            assert source.num_frames == 120
            assert source.notes == ()
            assert not source.is_shortened
            assert contents(source) == decoded(carphone, "yuv420p")

    def test_surveillance_recording_whose_header_is_off_by_two(self, clips):
        with load_source(clips / "highway_cam_240p.avi") as source:
            assert source.num_frames == 748
            assert source.notes == ("uneven frame times; frames are paired by index at 25 fps",)

    @pytest.mark.parametrize(
        ("name", "words", "pix_fmt"),
        [
            ("clip.y4m", (), "yuv420p"),
            ("deep.mkv", ("-pix_fmt", "yuv420p10le", *LOSSLESS), "yuv420p10le"),
            ("deeper.mkv", ("-pix_fmt", "yuv420p12le", *LOSSLESS), "yuv420p10le"),
            ("full_chroma.mkv", ("-pix_fmt", "yuv444p", *LOSSLESS), "yuv420p"),
            ("half_chroma.y4m", ("-pix_fmt", "yuv422p"), "yuv420p"),
            ("rgb.mkv", ("-pix_fmt", "bgr0", *LOSSLESS), "yuv420p"),
            ("full_range.mkv", ("-pix_fmt", "yuvj420p", "-c:v", "mjpeg", "-q:v", 3), "yuv420p"),
            (
                "deep_range.mkv",
                ("-pix_fmt", "yuv420p10", "-color_range", 2, *LOSSLESS),
                "yuv420p10le",
            ),
            # Their decoders say where chroma lies.
            ("left.mkv", ("-pix_fmt", "yuv444p", "-c:v", "libx264"), "yuv420p"),
            ("left_deep.mkv", ("-pix_fmt", "yuv444p10", "-c:v", "libx264"), "yuv420p10le"),
            ("left_rgb.mkv", ("-pix_fmt", "rgb24", "-c:v", "libx264rgb"), "yuv420p"),
            ("left_half.mkv", ("-pix_fmt", "yuv422p", "-c:v", "mpeg2video"), "yuv420p"),
        ],
    )
    def test_formats_become_what_the_ffmpeg_command_makes(self, name, words, pix_fmt, make):
        path = make(name, *words)
        with load_source(path) as source:
            assert source.pix_fmt == pix_fmt
            assert source.num_frames == 8
            assert contents(source) == decoded(path, pix_fmt, "-vf", "scale=out_range=tv")
            is_converted = name not in ("clip.y4m", "deep.mkv")
            assert any("converted from" in note for note in source.notes) == is_converted

    @pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p"])
    def test_odd_sizes_are_cut(self, pix_fmt, make):
        path = make("odd.mkv", "-vf", "scale=175:143", "-pix_fmt", pix_fmt, *LOSSLESS)
        with load_source(path) as source:
            assert (source.width, source.height) == (174, 142)
            assert "cut to even size 174x142" in source.notes
            cut = ("-vf", "format=yuv420p,crop=174:142:0:0:exact=1")
            assert contents(source) == decoded(path, "yuv420p", *cut)

    @pytest.mark.parametrize(
        ("inputs", "size"),
        [
            (("-display_rotation", 90), (144, 176)),
            (("-display_rotation", 180), (176, 144)),
            (("-display_rotation", 270), (144, 176)),
            (("-display_hflip",), (176, 144)),
            (("-display_vflip",), (176, 144)),
            (("-display_rotation", 90, "-display_hflip"), (144, 176)),
        ],
    )
    def test_rotation_flag_is_applied(self, inputs, size, make, ffmpeg, tmp_path):
        path = tmp_path / "turned.mp4"
        ffmpeg(*inputs, "-i", make("clip.mp4", "-c:v", "libx264"), "-c:v", "copy", path)
        with load_source(path) as source:
            assert (source.width, source.height) == size
            assert source.notes == ("stood upright as its rotation flag asks",)
            assert contents(source) == decoded(path, "yuv420p")

    def test_picture_folder(self, clips):
        with load_source(clips / PICTURES, max_seconds=0.1, frame_rate=Fraction(50)) as source:
            assert source.frame_rate == 50
            assert source.num_frames == 5
            assert source.notes == (
                "converted from rgb24 to limited-range 4:2:0",
                "cut to its first 5 frames, as asked",
            )

    def test_palette_pictures_look_like_full_colour_ones(self, clips, ffmpeg, tmp_path):
        for name, words in (
            ("rgb", ()),
            ("palette", ("-vf", "split[a][b];[a]palettegen[p];[b][p]paletteuse")),
        ):
            (tmp_path / name).mkdir()
            ffmpeg("-i", clips / PICTURES / "f001.png", *words, tmp_path / name / "1.png")
        with load_source(tmp_path / "rgb") as rgb, load_source(tmp_path / "palette") as palette:
            assert "pal8" in palette.notes[0]
            # 256 colours are off by some levels; a wrong range or matrix by some more.
            error = np.abs(rgb.planes(0).astype(int) - palette.planes(0)).mean(axis=1)
            assert error.max() < 12

    def test_uneven_frame_times_are_paired_by_index(self, make):
        words = ("-vf", "select=mod(n\\,5)", "-fps_mode", "passthrough", *LOSSLESS)
        with load_source(make("uneven.mkv", *words, num_frames=16)) as source:
            assert source.num_frames == 16
            assert source.is_uneven
            assert "uneven frame times" in source.notes[0]

    def test_stream_without_time_stamps(self, make):
        with load_source(make("raw.h264", "-c:v", "libx264")) as source:
            assert (source.num_frames, source.frame_rate) == (8, Fraction(30000, 1001))
        with load_source(make("raw.h264", "-c:v", "libx264"), frame_rate=Fraction(12)) as source:
            assert (source.num_frames, source.frame_rate) == (8, 12)

    def test_first_stream_that_is_no_cover_picture(self, make, ffmpeg, clips, tmp_path):
        path = tmp_path / "cover.mp4"
        cover = clips / PICTURES / "f001.png"
        words = ("-map", "1:v", "-map", "0:v", "-c:v:0", "png", "-disposition:v:0", "attached_pic")
        ffmpeg("-i", make("v.mp4", "-c:v", "libx264"), "-i", cover, *words, "-c:v:1", "copy", path)
        with load_source(path) as source:
            assert (source.width, source.num_frames) == (176, 8)

    def test_name_with_colon_and_percent(self, carphone, tmp_path, monkeypatch):
        shutil.copy(carphone, tmp_path / "12:00 50%d.mp4")
        monkeypatch.chdir(tmp_path)
        with load_source("12:00 50%d.mp4", max_seconds=0.1) as source:
            assert source.num_frames == 3


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("empty.mp4", b"", r"clip must hold at least one frame, .*empty.mp4 is an empty file"),
            (
                "text.mp4",
                b"not a video\n" * 99,
                r"clip must be a video .*text.mp4 is not: Invalid",
            ),
            ("noise.avi", bytes(range(256)) * 64, r"clip must be a video .*noise.avi is not: "),
        ],
    )
    def test_file_that_is_no_video(self, name, content, message, tmp_path):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ClipError, match=message):
            load_source(tmp_path / name)

    def test_missing_file(self, tmp_path):
        with pytest.raises(ClipError, match=r"clip must be .*, .*nowhere.mp4 does not exist"):
            load_source(tmp_path / "nowhere.mp4")

    def test_sound_without_pictures(self, ffmpeg, tmp_path):
        ffmpeg("-f", "lavfi", "-i", "sine=duration=1", tmp_path / "sound.m4a")
        with pytest.raises(ClipError, match=r"clip must have a video stream, .*sound.m4a has none"):
            load_source(tmp_path / "sound.m4a")

    def test_song_with_a_cover(self, clips, ffmpeg, tmp_path):
        cover = clips / PICTURES / "f001.png"
        words = ("-map", 0, "-map", 1, "-c:v", "png", "-disposition:v", "attached_pic")
        ffmpeg("-f", "lavfi", "-i", "sine=duration=1", "-i", cover, *words, tmp_path / "song.m4a")
        with pytest.raises(ClipError, match=r"clip must have a video stream, .*song.m4a has none"):
            load_source(tmp_path / "song.m4a")

    def test_interlaced_clip(self, make):
        words = ("-vf", "tinterlace=4,setfield=tff", "-c:v", "mpeg2video", "-flags", "+ildct+ilme")
        with pytest.raises(
            ClipError, match=r"clip must be progressive, .* is interlaced; dein.*ffmpeg"
        ):
            load_source(make("fields.mpg", *words, num_frames=20))

    def test_mp4_without_its_index(self, make):
        path = cut(make("end.mp4", "-c:v", "libx264", num_frames=60))
        with pytest.raises(
            ClipError, match=r"clip must be a video that FFmpeg reads, .*end.mp4 is"
        ):
            load_source(path)

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("front.mp4", ("-c:v", "libx264", "-movflags", "+faststart")),
            ("cut.avi", ("-c:v", "mpeg4")),
            ("cut.mkv", ("-c:v", "libx264")),
            (
                "fragments.mp4",
                ("-c:v", "libx264", "-g", 10, "-movflags", "frag_keyframe+empty_moov"),
            ),
        ],
    )
    def test_cut_file_says_how_much_is_good(self, name, words, make):
        path = cut(make(name, *words, "-qp", 10, num_frames=60))
        message = r"(truncated|damaged|does not decode).*; repair the file, or use --max-seconds "
        with pytest.raises(ClipError, match=message) as caught:
            load_source(path)
        seconds = float(str(caught.value).split("--max-seconds ")[1].split()[0])
        with load_source(path, max_seconds=seconds) as source:
            assert 20 < source.num_frames < 45

    @pytest.mark.parametrize("name", ["holed.mp4", "holed.mkv", "holed.ts", "holed.avi"])
    def test_damaged_frame_is_found_each_time(self, name, make):
        codec = "mpeg4" if name.endswith("avi") else "libx264"
        path = make(name, "-c:v", codec, "-qp", 10, num_frames=60)
        content = bytearray(path.read_bytes())
        middle = len(content) // 2
        content[middle : middle + 50] = b"x" * 50
        path.write_bytes(content)
        messages = set()
        for _ in range(3):
            with pytest.raises(
                ClipError, match=r"frame \d+ of .* (is damaged|does not decode)"
            ) as caught:
                load_source(path)
            messages.add(str(caught.value))
        assert len(messages) == 1

    def test_a_cut_without_encoding_hides_frames_that_its_header_counts(
        self, make, ffmpeg, tmp_path
    ):
        whole, cut_ = make("whole.mp4", "-c:v", "libx264", num_frames=100), tmp_path / "cut.mp4"
        ffmpeg("-ss", 2.2, "-i", whole, "-c", "copy", cut_)
        with av.open(str(cut_)) as container:
            assert container.streams.video[0].frames > 90
        with load_source(cut_) as source:
            assert source.num_frames < 40

    def test_last_frame_may_be_shown_for_long(self, make):
        long = "setts=duration='if(eq(N,59),9/TB,DURATION)'"
        path = make("long.mkv", "-c:v", "libx264", "-bf", 0, "-bsf:v", long, num_frames=60)
        with av.open(str(path)) as container:
            assert container.streams.video[0].metadata["DURATION"] > "00:00:10"
        with load_source(path) as source:
            assert source.num_frames == 60

    def test_size_that_changes(self, make, tmp_path):
        small = make("small.h264", "-vf", "scale=128:96", "-c:v", "libx264")
        large = make("large.h264", "-c:v", "libx264")
        both = tmp_path / "both.h264"
        both.write_bytes(large.read_bytes() + small.read_bytes())
        with pytest.raises(ClipError, match=r"one size, .* from 176x144 to 128x96 at frame 8"):
            load_source(both)

    def test_angle_between_quarter_turns(self, make):
        path = make("askew.mp4", "-c:v", "copy", inputs=("-display_rotation", 45))
        with pytest.raises(ClipError, match=r"rotation must be a multiple of 90 .* asks for 45"):
            load_source(path)

    @pytest.mark.parametrize(
        ("names", "message"),
        [
            ((), r"hold the pictures of one clip \(.*\.png.*\), .* has none; give videos"),
            (("f1.png", "f2.png", "f4.png"), r"no gap, number 3 is missing in"),
            (("f1.png", "g2.png"), r"pictures must differ in their number only"),
            (("f1.png", "f2.jpg"), r"pictures must differ in their number only"),
            (("f01.png", "f2.png"), r"numbers of pictures must have one width"),
            (("first.png",), r"pictures must be numbered like f001.png, got first.png"),
        ],
    )
    def test_folder_that_is_no_sequence(self, names, message, clips, tmp_path):
        for name in names:
            shutil.copy(clips / PICTURES / "f001.png", tmp_path / name)
        (tmp_path / "notes.txt").write_text("not a picture")
        with pytest.raises(ClipError, match=message):
            load_source(tmp_path)

    def test_folder_of_two_sizes(self, clips, ffmpeg, tmp_path):
        picture = clips / PICTURES / "f001.png"
        shutil.copy(picture, tmp_path / "1.png")
        ffmpeg("-i", picture, "-vf", "scale=100:100", tmp_path / "2.png")
        with pytest.raises(ClipError, match=r"one size, .* from 416x240 to 100x100 at frame 1"):
            load_source(tmp_path)

    def test_picture_that_is_none(self, clips, tmp_path):
        shutil.copy(clips / PICTURES / "f001.png", tmp_path / "1.png")
        (tmp_path / "2.png").write_bytes(b"not a picture")
        with pytest.raises(ClipError, match=r"frame 1 of .* does not decode"):
            load_source(tmp_path)

    @pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
    def test_time_that_is_none(self, seconds, carphone):
        with pytest.raises(ClipError, match=r"max_seconds must be above 0 and finite, got"):
            load_source(carphone, max_seconds=seconds)


def cut(path):
    """Cuts the last 45 % of a file off."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 55 // 100])
    return path


class TestSource:
    def test_hash_is_of_pictures_and_rate(self, carphone, make):
        lossless = make("copy.mkv", *LOSSLESS)
        with (
            load_source(carphone, max_seconds=0.25) as original,
            load_source(lossless) as same,
            load_source(lossless, frame_rate=Fraction(25)) as slower,
        ):
            assert original.num_frames == same.num_frames
            assert contents(original) == contents(same) == contents(slower)
            rates = [original.frame_rate, same.frame_rate, slower.frame_rate]
            hashes = [original.content_sha256, same.content_sha256, slower.content_sha256]
            assert (hashes[0] == hashes[1]) == (rates[0] == rates[1])
            assert hashes[2] not in hashes[:2]

    def test_equal_samples_of_other_colours_are_another_clip(self, make):
        hashes, colours = [], []
        for name in ("bt709", "smpte170m"):
            tag = f"setparams=colorspace={name}"
            with load_source(make(f"{name}.mkv", "-vf", tag, *LOSSLESS, num_frames=2)) as source:
                hashes.append(source.content_sha256)
                colours.append((contents(source), source.bgr(0).tobytes()))
        assert colours[0][0] == colours[1][0]
        assert colours[0][1] != colours[1][1]
        assert hashes[0] != hashes[1]

    def test_planes_are_read_only_and_in_range(self, carphone):
        with load_source(carphone, max_seconds=0.1) as source:
            planes = source.planes(2)
            assert (planes.shape, planes.dtype) == ((216, 176), np.uint8)
            with pytest.raises(ValueError, match="read-only"):
                planes[0, 0] = 1
            for index in (-1, 3):
                with pytest.raises(IndexError, match=rf"frame must be in \[0, 2\], got {index}"):
                    source.planes(index)

    def test_bgr_shows_the_colours_of_the_pictures(self, clips, ffmpeg, tmp_path):
        ffmpeg("-i", clips / PICTURES / "f001.png", "-pix_fmt", "bgr24", tmp_path / "frame.bmp")
        header_bytes = struct.unpack("<I", (tmp_path / "frame.bmp").read_bytes()[10:14])[0]
        rows = np.frombuffer((tmp_path / "frame.bmp").read_bytes()[header_bytes:], np.uint8)
        expected = rows.reshape(240, 416, 3)[::-1].astype(int)
        with load_source(clips / PICTURES, max_seconds=0.02) as source:
            found = source.bgr(0)
        # Chroma at half size costs the edges; a swapped channel or matrix would cost it all.
        assert np.abs(found - expected).mean() < 3

    def test_matrix_of_the_clip_is_used(self, make):
        # In BT.709 a sample of red has another luma than in BT.601.
        colours = []
        for name in ("bt709", "smpte170m"):
            red = f"color=red:size=64x64:duration=0.2,scale=out_color_matrix={name}"
            path = make(
                f"{name}.mkv", "-filter_complex", f"{red},format=yuv420p[v]", "-map", "[v]",
                "-colorspace", name, *LOSSLESS, num_frames=2,
            )  # fmt: skip
            with load_source(path) as source:
                colours.append((int(source.planes(0)[0, 0]), source.bgr(0)[32, 32].tolist()))
        assert [luma for luma, _ in colours] == pytest.approx([63, 81], abs=1)
        for _, bgr in colours:
            assert bgr == pytest.approx([0, 0, 255], abs=5)

    def test_clip_does_not_stay_in_memory(self, clips):
        with load_source(clips / "bikes_street_272p.mp4") as source:
            clip_bytes = source.planes(0).nbytes * source.num_frames
            assert clip_bytes > 60e6
            before = resident_bytes()
            most = 0
            for index in range(source.num_frames):
                source.planes(index).sum()
                most = max(most, resident_bytes() - before)
        assert most < clip_bytes / 20

    def test_closing_gives_the_disk_back(self, carphone):
        source = load_source(carphone, max_seconds=0.1)
        source.close()
        with pytest.raises(ValueError, match="closed"):
            source.planes(0)

    def test_decoding_can_be_stopped(self, carphone, tmp_path, monkeypatch):
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        stop = threading.Event()
        with load_source(carphone, max_seconds=0.1, stop=stop) as source:
            assert source.num_frames == 3
        stop.set()
        with pytest.raises(ClipError, match=r"decoding of .*carphone_qcif.mp4 was stopped"):
            load_source(carphone, stop=stop)
        assert list(tmp_path.iterdir()) == []

    def test_pictures_can_be_encoded(self, clips):
        # Tagged as RGB, 4:2:0 pictures were refused by SVT-AV1.
        settings = EncodeSettings(codec="svtav1", preset="12", rate_control=Crf(value=40))
        with load_source(clips / PICTURES, max_seconds=0.1) as source:
            assert encode(source, settings).num_frames == 3


def resident_bytes():
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


class TestDiskFull:
    def test_clip_that_cannot_fit_is_refused_before_it_is_decoded(self, make, tmp_path):
        path = make("long.avi", "-c:v", "mpeg4")
        content = bytearray(path.read_bytes())
        # AVI stream header: strh, size, vids, then dwLength 32 bytes into the data.
        place = content.index(b"vids") + 32
        assert struct.unpack("<I", content[place : place + 4]) == (8,)
        content[place : place + 4] = struct.pack("<I", 2**31 - 1)
        path.write_bytes(content)
        with pytest.raises(
            ScratchError, match=r"need 81,6\d\d,\d\d\d MB, .* free; set TMPDIR to a larger"
        ):
            load_source(path)

    @pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
    def test_disk_that_fills_up_while_decoding(self, carphone):
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        try:
            with pytest.raises(ScratchError, match=r"disk full: .* set TMPDIR to a larger disk or"):
                load_source(carphone)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    def test_folder_that_cannot_be_written(self, carphone, tmp_path, monkeypatch):
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
        with pytest.raises(ScratchError, match=r"no file for the decoded frames: .*set TMPDIR to"):
            load_source(carphone)


class TestPictures:
    @pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tiff", ".webp"])
    def test_one_picture_is_a_clip_of_one_frame(self, suffix, clips, tmp_path):
        from PIL import Image

        path = tmp_path / f"one{suffix}"
        with Image.open(clips / PICTURES / "f001.png") as picture:
            picture.convert("RGB").save(path)
        with load_source(path) as source:
            assert (source.num_frames, source.width, source.height) == (1, 416, 240)

    @pytest.mark.parametrize(("number", "quarter_turns"), [(1, 0), (6, 3), (3, 2), (8, 1)])
    def test_a_photo_stands_as_its_exif_says(self, number, quarter_turns, clips, tmp_path):
        from PIL import ExifTags, Image

        path = tmp_path / "photo.jpg"
        with Image.open(clips / PICTURES / "f001.png") as picture:
            exif = Image.Exif()
            exif[ExifTags.Base.Orientation] = number
            picture.convert("RGB").save(path, exif=exif, quality=95)
            expected = np.rot90(np.asarray(picture.convert("RGB"))[..., ::-1], quarter_turns)
        with load_source(path) as source:
            shown = source.bgr(0).astype(int)
        assert shown.shape == expected.shape
        assert np.abs(shown - expected).mean() < 6

    def test_photos_that_stand_differently(self, clips, tmp_path):
        from PIL import ExifTags, Image

        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = 3
        with Image.open(clips / PICTURES / "f001.png") as picture:
            picture.convert("RGB").save(tmp_path / "f1.jpg")
            picture.convert("RGB").save(tmp_path / "f2.jpg", exif=exif)
        with pytest.raises(ClipError, match=r"keep one rotation flag, .* changes at frame 1; turn"):
            load_source(tmp_path)

    @pytest.mark.parametrize("codec", ENCODERS)
    def test_grey_pictures_are_encoded_and_shown_grey(self, codec, clips, tmp_path):
        from PIL import Image

        for number in (1, 2):
            with Image.open(clips / PICTURES / f"f00{number}.png") as picture:
                picture.convert("L").save(tmp_path / f"f{number}.png")
                wanted = np.asarray(picture.convert("L")).astype(int)
        with load_source(tmp_path) as source:
            preset = ENCODERS[codec].default_preset
            settings = EncodeSettings(codec=codec, preset=preset, rate_control=Crf(value=10))
            (shown,) = decode_bgr(encode(source, settings), {1}, source.color_space)
            assert source.color_space == 6
        assert np.abs(shown - wanted[..., None]).mean() < 3

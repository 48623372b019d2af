from fractions import Fraction

import pytest
from ratesight.codecs.clip import is_uneven, probe
from ratesight.codecs.errors import ClipError


class TestProbe:
    @pytest.mark.parametrize(
        ("name", "facts"),
        [
            ("BasketballPass_416x240_50_png", (416, 240, 25, "rgb24", "full", "rgb", 100, None)),
            (
                "bikes_street_272p.mp4",
                (640, 272, 25, "yuv420p", "unspecified", "unspecified", 250, 250),
            ),
            (
                "carphone_qcif.mp4",
                (
                    176,
                    144,
                    Fraction(30000, 1001),
                    "yuv420p",
                    "unspecified",
                    "unspecified",
                    120,
                    120,
                ),
            ),
            (
                "highway_cam_240p.avi",
                (320, 240, 25, "yuv420p", "unspecified", "unspecified", 748, 750),
            ),
            ("face_s18_720p.mp4", (1280, 720, 30, "yuv420p", "limited", "bt709", 282, 282)),
            (
                "webcam_signer_again_480p.mkv",
                (640, 480, 30, "yuvj420p", "full", "unspecified", 77, None),
            ),
        ],
    )
    def test_real_clips(self, name, facts, clips):
        clip = probe(clips / name)
        found = (
            clip.width,
            clip.height,
            clip.frame_rate,
            clip.pix_fmt,
            clip.color_range,
            clip.color_space,
            clip.num_frames,
            clip.num_frames_from_header,
        )
        assert found == facts
        assert clip.duration_seconds == float(clip.num_frames / clip.frame_rate)
        assert clip.decode_error is None
        assert not clip.is_interlaced
        assert clip.is_variable_frame_rate == (name == "highway_cam_240p.avi")

    def test_size_is_the_one_shown(self, clips, ffmpeg, tmp_path):
        path = tmp_path / "turned.mp4"
        ffmpeg("-display_rotation", 90, "-i", clips / "carphone_qcif.mp4", "-c:v", "copy", path)
        clip = probe(path)
        assert (clip.width, clip.height, clip.rotation_degrees) == (144, 176, 90)

    def test_bits_and_interlacing(self, clips, ffmpeg, tmp_path):
        words = ("-i", clips / "carphone_qcif.mp4", "-frames:v", 6)
        ffmpeg(*words, "-pix_fmt", "yuv422p10le", "-c:v", "ffv1", tmp_path / "deep.mkv")
        assert probe(tmp_path / "deep.mkv").bit_depth == 10
        fields = ("-vf", "tinterlace=4,setfield=tff", "-c:v", "mpeg2video", "-flags", "+ildct+ilme")
        ffmpeg(*words, *fields, tmp_path / "fields.mpg")
        assert probe(tmp_path / "fields.mpg").is_interlaced

    def test_damage_is_told_and_the_rest_counted(self, clips, tmp_path):
        content = bytearray((clips / "carphone_qcif.mp4").read_bytes())
        middle = len(content) // 2
        content[middle : middle + 100] = b"x" * 100
        (tmp_path / "holed.mp4").write_bytes(content)
        clip = probe(tmp_path / "holed.mp4")
        assert clip.decode_error is not None
        assert clip.decode_error.startswith("frame ")
        assert clip.num_frames > 60

    def test_given_frame_rate_overrides(self, clips):
        clip = probe(clips / "BasketballPass_416x240_50_png", Fraction(50))
        assert (clip.frame_rate, clip.duration_seconds) == (50, 2.0)

    def test_header_without_frames(self, clips, tmp_path):
        content = (clips / "highway_cam_240p.avi").read_bytes()
        (tmp_path / "header.avi").write_bytes(content[: content.index(b"movi") + 4])
        with pytest.raises(ClipError, match=r"(at least one frame|not: )"):
            probe(tmp_path / "header.avi")


class TestIsUneven:
    @pytest.mark.parametrize(
        ("timestamps", "expected"),
        [
            ([0, 33, 67, 100, 133], False),  # 30 fps in milliseconds
            ([0, 33, 100, 133], True),  # one is missing
            ([0, 33, 33, 67], True),  # one is doubled
            ([100, 0, 67, 33], False),  # in decoding order
            ([None, None, None], False),
            ([0, 500], False),  # two frames have no rhythm
            ([40 * n for n in range(9)], True),  # 25 fps: the third is nearer to where a fourth is
            ([33 * n for n in range(50)], False),  # half a frame behind after 55
            ([33 * n for n in range(60)], True),
            ([33, None, 67, 100], False),  # nobody knows where the others are
        ],
    )
    def test_half_a_frame_is_the_limit(self, timestamps, expected):
        assert is_uneven(timestamps, Fraction(1, 1000), Fraction(30)) == expected

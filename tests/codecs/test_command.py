import shlex
import shutil
from dataclasses import replace
from fractions import Fraction

import av
import pytest
from ratesight.codecs.command import command_notes, ffmpeg_command
from ratesight.codecs.encode import encode
from ratesight.codecs.settings import Bitrate, Crf, EncodeSettings, Qp, sorted_options
from ratesight.codecs.source import load_source

PICTURES = "BasketballPass_416x240_50_png"


def settings(codec, rate_control=None, **options):
    preset = {"x264": "medium", "x265": "veryfast", "svtav1": "8"}[codec]
    return EncodeSettings(
        codec=codec,
        preset=preset,
        rate_control=rate_control or Crf(value=30),
        options=sorted_options(options),
    )


def run(command, ffmpeg, num_frames=None):
    """Runs the printed command and returns sizes of headers and packets of what it wrote.

    Args:
        num_frames: Stops after so many; the whole clip where None.
    """
    words = shlex.split(command)
    assert words[0] == "ffmpeg"
    if num_frames is not None:
        words[-1:-1] = ["-frames:v", str(num_frames)]
    log = ffmpeg(*words[1:], level="warning")
    # swscale warns of every yuvj clip.
    lines = [line for line in log.splitlines() if "deprecated pixel format" not in line]
    assert lines == []
    with av.open(words[-1]) as container:
        headers = container.streams.video[0].codec_context.extradata or b""
        sizes = [packet.size for packet in container.demux(video=0) if packet.size]
        return len(headers), sizes


@pytest.mark.parametrize(
    ("codec", "tolerance"),
    # The ffmpeg of imageio-ffmpeg has another version of SVT-AV1.
    [("x264", 0.02), ("x265", 0.02), ("svtav1", 0.1)],
)
@pytest.mark.parametrize(
    "name", ["bikes_street_272p.mp4", "webcam_signer_again_480p.mkv", PICTURES]
)
def test_command_makes_the_same_encode(codec, tolerance, name, clips, ffmpeg, tmp_path):
    with load_source(clips / name, max_seconds=0.4) as source:
        asked = settings(codec)
        encoding = encode(source, asked)
        command = ffmpeg_command(
            asked,
            source,
            input_name=str(clips / name),
            output_name=str(tmp_path / "out.mkv"),
        )
    num_header_bytes, sizes = run(command, ffmpeg, encoding.num_frames)
    assert len(sizes) == encoding.num_frames
    assert num_header_bytes + sum(sizes) == pytest.approx(encoding.size_bytes, rel=tolerance)
    if codec == "x264":
        assert sizes[1:] == [len(packet) for packet in encoding.streams[0]][1:]


@pytest.mark.parametrize(
    ("codec", "name"),
    # Limited range, full range, a folder of RGB pictures; the others on one of them.
    [
        ("x264", "bikes_street_272p.mp4"),
        ("x264", "webcam_signer_again_480p.mkv"),
        ("x264", PICTURES),
        ("x265", "bikes_street_272p.mp4"),
        ("svtav1", "bikes_street_272p.mp4"),
    ],
)
def test_command_scales_to_the_same_bytes(codec, name, clips, ffmpeg, tmp_path):
    with load_source(clips / name, max_seconds=0.3) as source:
        asked = replace(settings(codec), height=144)
        encoding = encode(source, asked)
        command = ffmpeg_command(
            asked,
            source,
            input_name=str(clips / name),
            output_name=str(tmp_path / "out.mkv"),
        )
        width = round(source.width * 144 / source.height / 2) * 2
        scale = f"format=yuv420p,scale={width}:144:flags=lanczos+accurate_rnd+bitexact"
        assert f"{scale} " in command or f"{scale}'" in command
    num_header_bytes, sizes = run(command, ffmpeg, encoding.num_frames)
    if codec == "svtav1":  # another version of it
        assert num_header_bytes + sum(sizes) == pytest.approx(encoding.size_bytes, rel=0.1)
    else:
        assert sizes[1:] == [len(packet) for packet in encoding.streams[0]][1:]


@pytest.mark.parametrize("codec", ["x264", "x265", "svtav1"])
@pytest.mark.parametrize("rate_control", [Qp(value=30), Bitrate(rate_kbps=200)])
def test_other_rate_controls_run(codec, rate_control, clips, ffmpeg, tmp_path):
    clip = clips / "carphone_qcif.mp4"
    with load_source(clip, max_seconds=0.2) as source:
        command = ffmpeg_command(
            settings(codec, rate_control),
            source,
            input_name=str(clip),
            output_name=str(tmp_path / "out.mp4"),
        )
        assert len(run(command, ffmpeg, source.num_frames)[1]) == source.num_frames


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("x264", {"deblock-alpha": 2, "psy-rd": 0.4, "cqm": "jvt"}),
        ("x265", {"deblock-tc": 2, "sao": 0}),
        ("svtav1", {"tune": 2, "enable-tf": 0, "ac-bias": 1.5}),
    ],
)
def test_options_are_understood(codec, options, clips, ffmpeg, tmp_path):
    clip = clips / "carphone_qcif.mp4"
    with load_source(clip, max_seconds=0.2) as source:
        command = ffmpeg_command(
            settings(codec, **options),
            source,
            input_name=str(clip),
            output_name=str(tmp_path / "out.mkv"),
        )
        assert len(run(command, ffmpeg, source.num_frames)[1]) == source.num_frames


@pytest.mark.parametrize(("sent", "ending"), [(30, "mkv"), (30, "ts"), (20, "mkv")])
def test_frames_sent_at_another_rate_than_stated_are_all_there(
    sent, ending, clips, ffmpeg, tmp_path
):
    raw, stream, clip = (tmp_path / name for name in ("a.h264", "b.ts", f"c.{ending}"))
    words = (
        "-r",
        25,
        "-i",
        clips / "carphone_qcif.mp4",
        "-frames:v",
        40,
        "-c:v",
        "libx264",
        "-bf",
        0,
    )
    ffmpeg(*words, raw)
    times = f"setts=pts=N/({sent}*TB):dts=N/({sent}*TB):duration=1/({sent}*TB)"
    ffmpeg("-i", raw, "-c", "copy", "-bsf:v", times, stream)
    ffmpeg("-i", stream, "-c", "copy", *(("-f", "mpegts") if ending == "ts" else ()), clip)

    with load_source(clip) as source:
        command = ffmpeg_command(
            settings("x264"), source, input_name=str(clip), output_name=str(tmp_path / "out.mkv")
        )
        assert source.frame_rate == 25
        told = f"frames are shown at {sent} fps, the clip states 25 fps: encoded, and rates told"
        assert any(note.startswith(told) for note in source.notes), source.notes
        assert "-fps_mode passthrough" in command
        assert len(run(command, ffmpeg)[1]) == source.num_frames == 40
    with load_source(clip, frame_rate=Fraction(sent)) as source:
        assert not source.is_uneven
        assert not source.notes


def test_uneven_frames_are_neither_doubled_nor_dropped(clips, ffmpeg, tmp_path):
    clip = tmp_path / "uneven.mp4"
    words = ["-i", clips / "carphone_qcif.mp4", "-vf", "select=mod(n\\,5)", "-t", 1]
    ffmpeg(*words, "-fps_mode", "passthrough", "-c:v", "libx264", clip)
    with load_source(clip) as source:
        assert source.is_uneven
        command = ffmpeg_command(
            settings("x264"), source, input_name=str(clip), output_name=str(tmp_path / "out.mkv")
        )
        assert "-fps_mode passthrough" in command
        assert len(run(command, ffmpeg)[1]) == source.num_frames
        (note,) = command_notes(source, has_ffmpeg=True)
        assert "one rate of 24.8 fps" in note
        assert not list(command_notes(source, has_ffmpeg=False))
    with load_source(clip, frame_rate=Fraction(6)) as source:
        assert not list(command_notes(source, has_ffmpeg=True))
    with load_source(clip, max_seconds=0.5, frame_rate=Fraction(6)) as source:
        (note,) = command_notes(source, has_ffmpeg=True)
        assert "max_seconds" in note


@pytest.mark.parametrize("codec", ["x264", "x265", "svtav1"])
def test_what_was_rgb_is_tagged_as_it_was_converted(codec, clips, ffmpeg, tmp_path):
    clip, out = tmp_path / "rgb.mkv", tmp_path / "out.mkv"
    words = ["-i", clips / "carphone_qcif.mp4", "-frames:v", 5, "-pix_fmt", "gbrp"]
    ffmpeg(*words, "-c:v", "ffv1", clip)
    with load_source(clip) as source:
        command = ffmpeg_command(
            settings(codec), source, input_name=str(clip), output_name=str(out)
        )
        encoding = encode(source, settings(codec))
    sizes = run(command, ffmpeg)[1]
    assert sum(sizes) == pytest.approx(encoding.size_bytes, rel=0.1)
    with av.open(str(out)) as container:
        assert int(next(container.decode(video=0)).colorspace) == 6  # SMPTE 170M


def test_odd_size_is_cut(clips, ffmpeg, tmp_path):
    clip = tmp_path / "odd.mkv"
    words = ["-i", clips / "carphone_qcif.mp4", "-frames:v", 5, "-vf", "scale=175:143"]
    ffmpeg(*words, "-c:v", "ffv1", clip)
    with load_source(clip) as source:
        command = ffmpeg_command(
            settings("x264"), source, input_name=str(clip), output_name=str(tmp_path / "out.mkv")
        )
        assert "-vf crop=174:142:0:0" in command
        encoding = encode(source, settings("x264"))
        assert run(command, ffmpeg, 5)[1][1:] == [len(packet) for packet in encoding.streams[0]][1:]


@pytest.mark.parametrize(
    "turn",
    [
        (),
        ("-display_rotation", 90),
        ("-display_rotation", 180),
        ("-display_rotation", 270),
        ("-display_hflip",),
        ("-display_vflip",),
        ("-display_rotation", 90, "-display_hflip"),
    ],
)
@pytest.mark.parametrize(
    ("size", "words"),
    [
        ("175:143", ("-pix_fmt", "yuv420p")),
        ("175:143", ("-pix_fmt", "yuv420p", "-color_range", "pc")),
        ("175:143", ("-pix_fmt", "yuv422p10")),
        ("175:144", ("-pix_fmt", "yuv444p")),
        ("176:144", ("-pix_fmt", "yuv444p")),
        ("176:143", ("-pix_fmt", "bgr0")),
    ],
)
def test_turned_clip_has_the_same_frames(turn, size, words, clips, ffmpeg, tmp_path):
    clip, turned, raw, out = (tmp_path / name for name in ("a.mkv", "b.mkv", "c.yuv", "d.mp4"))
    first = ["-i", clips / "carphone_qcif.mp4", "-frames:v", 2, "-vf", f"scale={size}"]
    ffmpeg(*first, *words, "-c:v", "ffv1", clip)
    ffmpeg(*turn, "-i", clip, "-c:v", "copy", turned)
    with load_source(turned) as source:
        frames = b"".join(source.planes(index).tobytes() for index in range(source.num_frames))
        command = ffmpeg_command(
            settings("x264"), source, input_name=str(turned), output_name=str(out)
        )
    asked = shlex.split(command)
    ffmpeg(*asked[1 : asked.index("-c:v")], "-pix_fmt", source.pix_fmt, raw)
    assert raw.read_bytes() == frames
    run(command, ffmpeg)
    with av.open(out) as container:
        shown = next(container.decode(video=0))
        assert (shown.width, shown.height, shown.rotation) == (source.width, source.height, 0)


def test_turned_clip_that_is_whole_needs_no_words(clips, ffmpeg, tmp_path):
    ffmpeg(
        "-display_rotation", 90, "-i", clips / "carphone_qcif.mp4", "-c", "copy", tmp_path / "a.mp4"
    )
    with load_source(tmp_path / "a.mp4", max_seconds=0.1) as source:
        command = ffmpeg_command(settings("x264"), source, input_name="a.mp4", output_name="o.mp4")
    assert command.startswith("ffmpeg -i a.mp4 -map 0:V:0 -c:v libx264 ")


def test_given_frame_rate_is_told(clips, ffmpeg, tmp_path):
    clip = clips / "carphone_qcif.mp4"
    with load_source(clip, max_seconds=0.5, frame_rate=Fraction(10)) as source:
        command = ffmpeg_command(
            settings("x264"),
            source,
            input_name=str(clip),
            output_name=str(tmp_path / "out.mkv"),
        )
        encoding = encode(source, settings("x264"))
        assert command.startswith(f"ffmpeg -r 10 -i {clip} ")
        _, sizes = run(command, ffmpeg, encoding.num_frames)
        assert sizes[1:] == [len(packet) for packet in encoding.streams[0]][1:]


def test_picture_folder_with_awkward_names(clips, ffmpeg, tmp_path):
    folder = tmp_path / "it's 50% done: 12:00"
    folder.mkdir()
    for number in range(1, 6):
        shutil.copy(clips / PICTURES / f"f{number:03d}.png", folder / f"a%d {number + 7}.png")
    with load_source(folder, frame_rate=Fraction(50)) as source:
        command = ffmpeg_command(
            settings("x264"), source, input_name=str(folder), output_name=str(tmp_path / "o.mkv")
        )
        assert "-framerate 50 -start_number 8" in command
        assert len(run(command, ffmpeg)[1]) == 5


def test_names_that_look_like_options_or_protocols_are_files(clips):
    with load_source(clips / "carphone_qcif.mp4", max_seconds=0.1) as source:
        command = ffmpeg_command(
            settings("x264"), source, input_name="cam 12:00.mp4", output_name="-o.mkv"
        )
    assert "-i 'file:cam 12:00.mp4'" in command
    assert command.endswith(" file:-o.mkv")

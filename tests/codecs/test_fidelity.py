import re
from dataclasses import replace

import numpy as np
import pytest
from ratesight.codecs.encode import decode, encode
from ratesight.codecs.errors import EncodeError
from ratesight.codecs.fidelity import fidelity
from ratesight.codecs.settings import Crf, EncodeSettings, Qp
from ratesight.codecs.source import Segment, load_source
from skimage.metrics import peak_signal_noise_ratio


@pytest.fixture(scope="module", params=["yuv420p", "yuv420p10le"])
def source(request, clips, ffmpeg, tmp_path_factory):
    clip = tmp_path_factory.mktemp("fidelity") / "clip.mkv"
    # Beyond 8 bits ffmpeg's xpsnr is right only where lines need no padding.
    words = ["-i", clips / "bikes_street_272p.mp4", "-frames:v", 8, "-vf", "scale=256:-2"]
    ffmpeg(*words, "-pix_fmt", request.param, "-c:v", "ffv1", clip)
    with load_source(clip) as source:
        assert source.pix_fmt == request.param
        yield source


def settings(rate_control, codec="x264"):
    preset = {"x264": "medium", "x265": "medium", "svtav1": "8"}[codec]
    return EncodeSettings(codec=codec, preset=preset, rate_control=rate_control)


@pytest.mark.parametrize("codec", ["x264", "x265", "svtav1"])
def test_agrees_with_the_ffmpeg_command(codec, source, ffmpeg, tmp_path):
    encoding = encode(source, settings(Crf(value=32), codec))
    ending = {"x264": "h264", "x265": "hevc", "svtav1": "obu"}[codec]
    (tmp_path / "reference.yuv").write_bytes(
        b"".join(source.planes(index).tobytes() for index in range(source.num_frames))
    )
    (tmp_path / f"distorted.{ending}").write_bytes(b"".join(encoding.streams[0]))
    rate = ["-r", source.frame_rate]
    raw = ["-f", "rawvideo", "-pix_fmt", source.pix_fmt, "-s", f"{source.width}x{source.height}"]
    words = [*raw, *rate, "-i", tmp_path / "reference.yuv"]
    words += [*rate, "-i", tmp_path / f"distorted.{ending}"]
    log = "".join(
        # xpsnr weighs by its first input, the other two take the distorted one first.
        ffmpeg(*words, "-lavfi", graph, "-f", "null", "-", level="info")
        for graph in ("[1][0]psnr", "[1][0]ssim", "[0][1]xpsnr")
    )
    found = fidelity(source, encoding)
    # The command prints four to six digits.
    assert found.psnr_db == pytest.approx(number(r" average:([\d.]+)", log), abs=1e-4)
    assert found.ssim == pytest.approx(number(r" All:([\d.]+)", log), abs=1e-5)
    assert found.xpsnr_db == pytest.approx(number(r"minimum: ([\d.]+)", log), abs=1e-3)


def number(pattern, text):
    return float(re.search(pattern, text)[1])


def test_psnr_of_luma_and_chroma_agrees_with_scikit_image(clips):
    with load_source(clips / "carphone_qcif.mp4", max_seconds=0.1) as source:
        encoding = encode(source, settings(Crf(value=35)))
        distorted = np.stack([frame.to_ndarray() for frame in decode(encoding)])
        reference = np.stack([source.planes(index) for index in range(source.num_frames)])
        expected = peak_signal_noise_ratio(reference, distorted)
        assert fidelity(source, encoding).psnr_db == pytest.approx(expected, abs=1e-4)


def test_lossless_encode_gets_the_best_values(clips):
    with load_source(clips / "carphone_qcif.mp4", max_seconds=0.2) as source:
        best = fidelity(source, encode(source, settings(Qp(value=0))))
    assert (best.psnr_db, best.ssim, best.xpsnr_db) == (100.0, 1.0, 100.0)


@pytest.mark.parametrize("width", [200, 166])
def test_xpsnr_of_ten_bits_holds_at_any_width(width, clips, ffmpeg, tmp_path):
    found = []
    for pix_fmt in ("yuv420p", "yuv420p10le"):
        clip = tmp_path / "clip.mkv"
        words = ["-i", clips / "bikes_street_272p.mp4", "-frames:v", 8]
        ffmpeg(*words, "-vf", f"scale={width}:-2", "-pix_fmt", pix_fmt, "-c:v", "ffv1", clip)
        with load_source(clip) as source:
            found.append(fidelity(source, encode(source, settings(Crf(value=32)))).xpsnr_db)
    assert found[0] == pytest.approx(found[1], abs=1)


def test_more_crf_is_worse_in_every_way(source):
    good, bad = (fidelity(source, encode(source, settings(Crf(value=crf)))) for crf in (20, 40))
    assert good.psnr_db > bad.psnr_db
    assert good.ssim > bad.ssim
    assert good.xpsnr_db > bad.xpsnr_db


def test_segments_are_compared_with_their_own_frames(source):
    parts = [Segment(start_frame=5, num_frames=3), Segment(start_frame=1, num_frames=2)]
    encoding = encode(source, settings(Crf(value=20)), parts)
    assert fidelity(source, encoding, parts).psnr_db > 35
    assert fidelity(source, encoding, parts[::-1]).psnr_db < 30


def test_wrong_segments_are_refused(source):
    encoding = encode(source, settings(Crf(value=30)), [Segment(start_frame=0, num_frames=4)])
    with pytest.raises(ValueError, match=r"they have 8 frames, the encode has 4"):
        fidelity(source, encoding)


def test_lost_frames_are_an_error(source):
    encoding = replace(encode(source, settings(Crf(value=30))), num_frames=9)
    parts = [Segment(start_frame=0, num_frames=8), Segment(start_frame=0, num_frames=1)]
    with pytest.raises(EncodeError, match=r"9 went into libx264 and 8 came out"):
        fidelity(source, encoding, parts)

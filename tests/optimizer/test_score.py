"""Scores of two clips, by files and by arrays."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from ratesight.codecs.encode import encode
from ratesight.codecs.errors import ClipError
from ratesight.codecs.fidelity import fidelity
from ratesight.codecs.pictures import Pictures
from ratesight.codecs.settings import Crf, EncodeSettings
from ratesight.codecs.source import load_source
from ratesight.codecs.transcode import transcode
from ratesight.metrics.detector import load_detector
from ratesight.metrics.objects import ObjectMachine
from ratesight.optimizer.clip_score import Score
from ratesight.optimizer.errors import OutputError, RequestError
from ratesight.optimizer.measuring.region_metric import FoundRegions
from ratesight.optimizer.reports.score_files import (
    score_rows,
    write_frames,
    write_regions,
)
from ratesight.optimizer.score import frames_looked_at, measure, score

import ratesight

Array = npt.NDArray[np.uint8]
RunFfmpeg = Callable[..., str]

SIGNALS = ("psnr", "ssim", "xpsnr")
X264 = EncodeSettings(codec="x264", preset="medium", rate_control=Crf(value=36))


@pytest.fixture(scope="module")
def scored(pair: tuple[Path, Path], weights: Path) -> Score:
    """By signals and by a real machine."""
    machine = ObjectMachine(detector=load_detector(str(weights), image_size=320))
    with load_source(pair[0]) as first, load_source(pair[1]) as second:
        return measure(
            first,
            second,
            signals=SIGNALS,
            region_metrics=[FoundRegions(name="detector", machine=machine)],
            frames_per_second=10,
        )


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
def test_signals_are_those_of_an_encode(
    pix_fmt: str, pair: tuple[Path, Path], ffmpeg: RunFfmpeg, tmp_path: Path
) -> None:
    clip, stream = tmp_path / "clip.mkv", tmp_path / "stream.h264"
    ffmpeg("-i", pair[0], "-vf", "scale=200:-2", "-pix_fmt", pix_fmt, "-c:v", "ffv1", clip)
    with load_source(clip) as source:
        assert source.pix_fmt == pix_fmt
        encoding = encode(source, X264)
        expected = fidelity(source, encoding)
    stream.write_bytes(b"".join(encoding.streams[0]))

    found = score(clip, stream, metrics=SIGNALS, frame_rate=Fraction(25))

    assert found["psnr"].value == expected.psnr_db
    assert found["ssim"].value == expected.ssim
    assert found["xpsnr"].value == expected.xpsnr_db
    assert [one.frame for one in found["psnr"].frames] == list(range(8))


def test_regions_add_up_to_frames_and_frames_to_the_clip(scored: Score) -> None:
    found = scored["detector"]
    assert found.num_frames_looked_at == 3
    assert found.num_regions == sum(len(one.regions) for one in found.frames) > 3
    every = [region for frame in found.frames for region in frame.regions]
    for frame in found.frames:
        weights = [region.weight for region in frame.regions]
        mean = np.average([region.value for region in frame.regions], weights=weights)
        assert frame.value == pytest.approx(mean)
        assert frame.time_seconds == frame.frame / 25
    mean = np.average([one.value for one in every], weights=[one.weight for one in every])
    assert found.value == pytest.approx(mean)
    assert {one.class_name for one in every} >= {"person"}


def test_metrics_come_in_the_order_asked_for(pair: tuple[Path, Path]) -> None:
    found = score(*pair, metrics=("xpsnr", "psnr", "xpsnr"))
    assert [one.metric for one in found.metrics] == ["xpsnr", "psnr"]
    with pytest.raises(KeyError, match="plates"):
        found["plates"]


def test_pictures_are_a_folder_of_them(arrays: tuple[Array, Array], tmp_path: Path) -> None:
    for name, pictures in zip(("first", "second"), arrays, strict=True):
        (tmp_path / name).mkdir()
        for number, picture in enumerate(pictures):
            cv2.imwrite(str(tmp_path / name / f"{number:02d}.png"), picture)
    of_files = score(tmp_path / "first", tmp_path / "second", metrics=SIGNALS)
    of_arrays = score(*arrays, metrics=SIGNALS)
    assert arrays[0].shape == (8, 271, 639, 3)
    assert [one.value for one in of_arrays.metrics] == [one.value for one in of_files.metrics]
    assert of_arrays["psnr"].frames[3].time_seconds == 3


def test_eight_bits_of_ten_are_the_same_clip(
    pair: tuple[Path, Path], ffmpeg: RunFfmpeg, tmp_path: Path
) -> None:
    deep = tmp_path / "deep.mkv"
    ffmpeg("-i", pair[0], "-pix_fmt", "yuv420p10le", "-c:v", "ffv1", deep)
    for first, second in ((deep, pair[0]), (pair[0], deep)):
        assert score(first, second, metrics=["psnr", "ssim"])["psnr"].value == 100


def other_size(ffmpeg: RunFfmpeg, clip: Path, target: Path) -> None:
    ffmpeg("-i", clip, "-vf", "scale=320:136", target)


def fewer_frames(ffmpeg: RunFfmpeg, clip: Path, target: Path) -> None:
    ffmpeg("-i", clip, "-frames:v", 6, target)


def other_rate(ffmpeg: RunFfmpeg, clip: Path, target: Path) -> None:
    ffmpeg("-r", 30, "-i", clip, "-r", 30, target)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (other_size, r"same size, got 640x272 \(.*\) and 320x136 \(.*other\.mp4\); scale one"),
        (fewer_frames, r"same number of frames, got 8 \(.*\) and 6 \(.*--max-seconds"),
        (other_rate, r"same frame rate, got 25 \(.*\) and 30 \(.*--frame-rate"),
    ],
)
def test_clips_that_do_not_pair_are_refused(
    make: Any, words: str, pair: tuple[Path, Path], ffmpeg: RunFfmpeg, tmp_path: Path
) -> None:
    make(ffmpeg, pair[0], tmp_path / "other.mp4")
    with pytest.raises(ClipError, match=words):
        score(pair[0], tmp_path / "other.mp4", metrics=SIGNALS)


def test_both_are_cut_to_one_number_of_frames(
    pair: tuple[Path, Path], ffmpeg: RunFfmpeg, tmp_path: Path
) -> None:
    faster = tmp_path / "faster.mkv"  # by a rounding, so that 0.2 s are a frame more
    ffmpeg("-r", "25.01", "-i", pair[0], "-c:v", "ffv1", faster)
    with load_source(faster, max_seconds=0.2) as source:
        assert source.num_frames == 6

    assert score(pair[0], faster, metrics=SIGNALS, max_seconds=0.2).num_frames == 5


def test_the_remedies_help(pair: tuple[Path, Path], ffmpeg: RunFfmpeg, tmp_path: Path) -> None:
    fewer_frames(ffmpeg, pair[0], tmp_path / "fewer.mp4")
    assert score(pair[0], tmp_path / "fewer.mp4", metrics=SIGNALS, max_seconds=0.2).num_frames == 5
    other_rate(ffmpeg, pair[0], tmp_path / "fast.mp4")
    rate = Fraction(30)
    found = score(pair[0], tmp_path / "fast.mp4", metrics=SIGNALS, frame_rate=rate)
    assert found.frame_rate == rate


def test_an_encode_of_an_uneven_clip_pairs_with_it(
    clips: Path, ffmpeg: RunFfmpeg, tmp_path: Path
) -> None:
    clip, target = tmp_path / "uneven.mkv", tmp_path / "out.mp4"
    words = ("-vf", "select=mod(n\\,5)", "-fps_mode", "passthrough", "-t", 1, "-c:v", "libx264")
    ffmpeg("-i", clips / "carphone_qcif.mp4", *words, clip)
    transcode(EncodeSettings(codec="x264", preset="fast", rate_control=Crf(value=30)), clip, target)
    with load_source(clip) as source, load_source(target) as written:
        assert abs(source.frame_rate / written.frame_rate - 1) > 1e-3

    found = score(clip, target, metrics=("psnr",))

    assert found["psnr"].value is not None
    assert any("uneven frame times" in note for note in found.notes)


@pytest.mark.parametrize(
    ("pictures", "words"),
    [
        (np.zeros((4, 64, 64, 3)), "must be uint8 .*, got float64"),
        (np.zeros((4, 3, 64, 64), np.uint8), r"got uint8 \(4, 3, 64, 64\)"),
        (np.zeros((64, 64), np.uint8), "must be uint8"),
        (np.zeros((0, 64, 64, 3), np.uint8), "at least 1 of 2x2"),
        (np.zeros((1, 1, 64, 3), np.uint8), "at least 1 of 2x2"),
        (np.zeros((1, 20, 64, 3), np.uint8), "sides of at least 16 and of at least 2025 pixels"),
    ],
)
def test_arrays_of_another_kind_are_refused(pictures: Any, words: str) -> None:
    with pytest.raises(ClipError, match=words):
        score(pictures, pictures, metrics=SIGNALS)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"metrics": ["vmaf"]}, "metrics must be some of detector, .*, xpsnr, got 'vmaf'"),
        ({"metrics": "psnr, ssim"}, "metrics must be some of detector, .*, got 'psnr, ssim'"),
        ({"metrics": []}, "got none"),
        ({"detector": "a.pt", "metrics": ["psnr"]}, "detector is for .*, got metrics psnr"),
        ({"metrics": ["faces"], "face_embedder": "a.onnx"}, "face_embedder is for face-embedder"),
        ({"metrics": ["detector"]}, "metric detector needs a detector: a weights file"),
        ({"metrics": ["face-embedder"]}, "metric face-embedder needs a face_embedder and a"),
        ({"metrics": ["psnr"], "heat_map": True}, "a heat map needs one of .* got psnr"),
        (
            {"metrics": ["psnr"], "frames_per_second": 0},
            "frames_per_second must be above 0 and .* 0",
        ),
        ({"max_seconds": -1}, "max_seconds must be above 0 and finite, got -1"),
        ({"max_seconds": float("inf")}, "max_seconds must be above 0 and finite, got inf"),
        ({"max_seconds": float("nan")}, "max_seconds must be above 0 and finite, got nan"),
        ({"frames_per_second": float("inf")}, "frames_per_second must be above 0 and finite"),
        (
            {"metrics": ["psnr"], "reference_score": 1},
            "reference_score must be between 0 and 1, got 1",
        ),
        (
            {"metrics": ["psnr"], "frame_rate": -5},
            "frame_rate must be between 1/1000 .*, got -5",
        ),
        ({"metrics": ["psnr"], "frame_rate": "x"}, "frame_rate must be like 25 or .*, got 'x'"),
        ({"metrics": ["psnr"], "face_levels": "unit"}, "face_levels is for face-embedder"),
    ],
)
def test_requests_without_sense_are_refused(
    given: Any, words: str, pair: tuple[Path, Path]
) -> None:
    with pytest.raises(RequestError, match=words):
        score(*pair, **given)


@pytest.mark.parametrize(
    ("finder", "real", "metrics"),
    [
        ("detector", "detector", ["objects", "general"]),
        ("detector", "detector", ["general", "face-embedder"]),
        ("face_detector", "face-embedder", ["psnr", "faces"]),
        ("plate_detector", "plate-reader", ["plates"]),
    ],
)
def test_a_finder_of_regions_that_are_given_is_refused(
    finder: Any, real: str, metrics: list[str], pair: tuple[Path, Path]
) -> None:
    words = f"{finder} with regions is for {real}, got metrics .*; leave {finder} or regions out"
    with pytest.raises(RequestError, match=words):
        score(*pair, metrics=metrics, regions="regions.json", **{finder: "a.onnx"})


def test_a_file_and_an_array_do_not_mix(
    pair: tuple[Path, Path], arrays: tuple[Array, Array]
) -> None:
    with pytest.raises(
        RequestError, match=r"both be paths, or both arrays of .*, got PosixPath and ndarray"
    ):
        score(pair[0], arrays[1], metrics=SIGNALS)


@pytest.mark.parametrize(
    ("num_frames", "rate", "wanted"),
    [
        (25, 5, [2, 7, 12, 17, 22]),
        (1, 5, [0]),
        (3, 25, [0, 1, 2]),
        (3, 100, [0, 1, 2]),
        (20, 0.5, [10]),
        (13, 1, [6]),
        (24, 5, [2, 7, 12, 16, 21]),
    ],
)
def test_frames_looked_at_are_spread(num_frames: int, rate: float, wanted: list[int]) -> None:
    clip = Pictures(pictures=np.zeros((num_frames, 2, 2, 3), np.uint8), frame_rate=Fraction(25))
    assert frames_looked_at(clip, rate) == wanted


def test_a_score_is_strict_json(scored: Score) -> None:
    told = json.loads(json.dumps(scored.to_json(), allow_nan=False))
    assert list(told["metrics"]) == [one.metric for one in scored.metrics]
    assert told["metrics"]["detector"]["num_frames_looked_at"] == 3
    assert told["metrics"]["psnr"]["num_regions"] is None
    assert told["metrics"]["psnr"]["regions"] is None
    assert told["heat_map"] is None
    assert told["frame_rate"] == "25"


def test_json_has_each_region(scored: Score) -> None:
    told = json.loads(json.dumps(scored.to_json()))["metrics"]["detector"]
    assert len(told["regions"]) == told["num_regions"]
    for frame in scored["detector"].frames:
        regions = [one for one in told["regions"] if one["frame"] == frame.frame]
        assert regions == [
            {
                "frame": frame.frame,
                "box": list(one.box),
                "class": one.class_name,
                "weight": one.weight,
                "value": one.value,
            }
            for one in frame.regions
        ]


def test_rows_of_the_table_have_a_unit(scored: Score) -> None:
    rows = list(score_rows(scored))
    assert [row[0] for row in rows] == ["psnr, dB", "ssim", "xpsnr, dB", "detector"]
    assert rows[0][1] == f"{scored['psnr'].value:.2f}"
    assert rows[0][4:] == ["8", "-"]
    assert rows[3][4:] == ["3", str(scored["detector"].num_regions)]


def test_csv_has_a_row_a_frame(scored: Score, tmp_path: Path) -> None:
    write_frames(scored, tmp_path / "frames.csv")
    with (tmp_path / "frames.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["frame", "time_seconds", *(one.metric for one in scored.metrics)]
    assert [float(row["time_seconds"]) for row in rows] == [index / 25 for index in range(8)]
    looked_at = {one.frame: one.value for one in scored["detector"].frames}
    for index, row in enumerate(rows):
        assert row["frame"] == str(index)
        assert float(row["psnr"]) == pytest.approx(scored["psnr"].frames[index].value, abs=1e-6)
        expected = f"{looked_at[index]:.6f}" if index in looked_at else ""
        assert row["detector"] == expected
    with pytest.raises(OutputError, match="cannot be written"):
        write_frames(scored, tmp_path / "missing" / "frames.csv")


def test_another_csv_has_a_row_a_region(scored: Score, tmp_path: Path) -> None:
    write_regions(scored, tmp_path / "regions.csv")
    with (tmp_path / "regions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert ",".join(rows[0]) == "frame,time_seconds,x0,y0,x1,y1,class,detector"
    frames = scored["detector"].frames
    every = [(frame, region) for frame in frames for region in frame.regions]
    assert len(rows) == len(every)
    for row, (frame, region) in zip(rows, every, strict=True):
        assert (row["frame"], row["class"]) == (str(frame.frame), region.class_name)
        told = [float(row[name]) for name in ("time_seconds", "x0", "y0", "x1", "y1", "detector")]
        expected = [frame.time_seconds, *region.box, region.value]
        assert told == pytest.approx(expected, abs=0.0051)


def test_regions_at_one_place_have_a_row_each(scored: Score, tmp_path: Path) -> None:
    first, *others = scored["detector"].frames
    twice = replace(first, regions=(first.regions[0], replace(first.regions[0], value=0.25)))
    metric = replace(scored["detector"], frames=(twice, *others))
    write_regions(replace(scored, metrics=(metric,)), tmp_path / "regions.csv")
    with (tmp_path / "regions.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["frame"] == str(first.frame)]
    assert [float(row["detector"]) for row in rows] == pytest.approx(
        [first.regions[0].value, 0.25], abs=1e-6
    )


@pytest.mark.parametrize("rate", [25, 25.0, 29.97, "30000/1001"])
def test_a_frame_rate_is_any_number(rate: Any, arrays: tuple[Array, Array]) -> None:
    found = score(*arrays, metrics=("psnr",), frame_rate=rate)
    assert float(found.frame_rate) == pytest.approx(25 if rate == 25 else 29.97, abs=1e-4)


@pytest.mark.parametrize("lowest", [0.1, 0.24])
def test_a_clip_against_itself_keeps_everything_at_any_score(
    lowest: float, pair: tuple[Path, Path], weights: Path
) -> None:
    found = score(pair[0], pair[0], metrics=["detector"], detector=weights, reference_score=lowest)
    assert found["detector"].value == 1


def test_it_is_one_python_call(arrays: tuple[Array, Array]) -> None:
    found = ratesight.score(*arrays, metrics=("psnr",))
    assert isinstance(found, ratesight.Score)
    assert 20 < found["psnr"].value < 45

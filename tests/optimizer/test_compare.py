"""Comparisons, with real encoders and a real detector on a real clip."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ratesight.codecs.settings import Crf, EncodeSettings
from ratesight.codecs.table import ENCODERS, Codec
from ratesight.metrics.errors import WeightsError
from ratesight.optimizer.commands.app import app
from ratesight.optimizer.compare import (
    Compared,
    CompareRequest,
    compare_events,
    frame_qualities,
)
from ratesight.optimizer.contestants import (
    ClipSkipped,
    Contestant,
    CurveMeasured,
    contestants_of,
)
from ratesight.optimizer.errors import CurveError, RequestError
from ratesight.optimizer.measuring.bench import Measurement
from ratesight.optimizer.measuring.machine_choice import MachineChoice
from ratesight.optimizer.search.candidate import Candidate, next_crfs
from typer.testing import CliRunner

import ratesight

MakeMeasurement = Callable[..., Measurement]
CompareEvent = CurveMeasured | ClipSkipped | Compared


def contestant(codec: Codec, preset: str, name: str | None = None, **options: int) -> Contestant:
    named = {key.replace("_", "-"): value for key, value in options.items()}
    return Contestant(
        name=name or codec,
        settings=EncodeSettings(
            codec=codec,
            preset=preset,
            rate_control=Crf(value=30),
            options=tuple(sorted(named.items())),
        ),
    )


@pytest.fixture(scope="module")
def asked(clips: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> CompareRequest:
    return CompareRequest(
        clips=(clips / "carphone_qcif.mp4", clips / "highway_cam_240p.avi"),
        contestants=(
            contestant("x264", "veryfast"),
            contestant("x264", "veryfast", "x264 no B", bframes=0),
            contestant("svtav1", "12"),
        ),
        low_quality=0.7,
        high_quality=0.9,
        machine=MachineChoice(detector=str(weights), image_size=128),
        max_seconds=0.5,
        frames_per_second=10,
        store=tmp_path_factory.mktemp("compare") / "store.sqlite",
    )


@pytest.fixture(scope="module")
def events(asked: CompareRequest) -> list[CompareEvent]:
    return list(compare_events(asked))


@pytest.fixture(scope="module")
def compared(events: list[CompareEvent]) -> Compared:
    assert isinstance(events[-1], Compared)
    return events[-1]


def test_each_contestant_gets_a_curve_on_each_clip(
    asked: CompareRequest, compared: Compared
) -> None:
    assert [(curve.clip, curve.contestant) for curve in compared.curves] == [
        (clip.stem, one.name) for clip in asked.clips for one in asked.contestants
    ]
    for curve in compared.curves:
        assert 4 <= len(curve.points) <= 9
        crfs = [point.crf for point in curve.points]
        assert crfs == sorted(set(crfs))


def test_each_pair_is_compared_both_ways(compared: Compared, asked: CompareRequest) -> None:
    names = [one.name for one in asked.contestants]
    pairs = {(pair.anchor, pair.test): pair for pair in compared.pairs}

    assert set(pairs) == {(one, other) for one in names for other in names if one != other}
    for (anchor, test), pair in pairs.items():
        back = pairs[test, anchor]
        if pair.comparison is None:
            assert pair.reason
            continue
        for there in pair.comparison.clips:
            assert (there.result is None) == (there.reason is not None)
        if back.comparison is not None and pair.comparison.num_not_available == 0:
            for there, again in zip(pair.comparison.clips, back.comparison.clips, strict=True):
                if there.result is not None and again.result is not None:
                    product = (1 + there.result.percent / 100) * (1 + again.result.percent / 100)
                    assert product == pytest.approx(1)


def test_nothing_is_measured_twice(asked: CompareRequest, compared: Compared) -> None:
    again = list(compare_events(asked))[-1]

    assert isinstance(again, Compared)
    assert again.num_encodes == 0
    assert again.num_from_store == compared.num_encodes
    assert (again.curves, again.pairs) == (compared.curves, compared.pairs)


def test_the_python_call_finds_what_the_command_finds(
    asked: CompareRequest, weights: Path, tmp_path: Path
) -> None:
    (_, clip), store = asked.clips, tmp_path / "store.sqlite"

    found = ratesight.compare(
        clip,
        codecs=("x264", "svtav1"),
        quality_range=(0.7, 0.9),
        detector=weights,
        image_size=128,
        max_seconds=0.5,
        frames_per_second=10,
        store=store,
    )

    command = [
        "compare", clip, "--codec", "x264", "--codec", "svtav1", "--quality-range", 0.7, 0.9,
        "--detector", weights, "--image-size", 128, "--max-seconds", 0.5,
        "--frames-per-second", 10, "--store", store, "--out", tmp_path / "out", "--json",
    ]  # fmt: skip
    done = CliRunner().invoke(app, [str(word) for word in command])
    printed = json.loads(done.stdout.splitlines()[-1])
    assert found.num_encodes > 0
    assert printed["num_encodes"] == 0
    for name in ("curves", "pairs", "skipped", "notes"):
        assert printed[name] == found.to_json()[name]
    comparison = found.comparison("x264", "svtav1")
    assert comparison is not None
    assert comparison.bd_rate_percent != 0
    with pytest.raises(RequestError, match="two of x264, svtav1, got 'x264' and 'x265'"):
        found.comparison("x264", "x265")


def test_a_copy_of_a_clip_is_said_and_not_measured_again(
    asked: CompareRequest, tmp_path: Path
) -> None:
    copy = tmp_path / f"copy{asked.clips[0].suffix}"
    copy.write_bytes(asked.clips[0].read_bytes())

    *_, found = compare_events(dataclasses.replace(asked, clips=(*asked.clips, copy)))

    assert isinstance(found, Compared)
    assert found.num_encodes == 0
    told = [note for note in found.notes if note.startswith("copy has the frames of ")]
    assert told == [
        f"copy has the frames of {asked.clips[0].stem}: they count twice in medians and intervals; "
        f"leave one out"
    ]


def test_a_clip_that_cannot_be_used_is_skipped(asked: CompareRequest, tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"not a clip")
    request = dataclasses.replace(asked, clips=(tmp_path / "broken.mp4", asked.clips[0]))

    events = list(compare_events(request))

    assert isinstance(events[0], ClipSkipped)
    assert events[0].clip == "broken"
    assert isinstance(events[-1], Compared)
    assert events[-1].skipped == (events[0],)
    assert {curve.clip for curve in events[-1].curves} == {asked.clips[0].stem}
    assert events[-1].num_encodes == 0


def test_a_clip_lower_than_the_height_of_settings_is_skipped(asked: CompareRequest) -> None:
    tall = contestant("x264", "veryfast", "tall")
    tall = dataclasses.replace(tall, settings=dataclasses.replace(tall.settings, height=288))
    request = dataclasses.replace(
        asked, clips=asked.clips[:1], contestants=(asked.contestants[0], tall)
    )

    events = compare_events(request)
    skipped = next(events)

    assert isinstance(skipped, ClipSkipped)
    assert "at most the clip's own, 144, got 288" in skipped.reason
    with pytest.raises(CurveError, match="no clip could be measured; "):
        next(events)


def test_the_command_writes_its_results(clips: Path, weights: Path, tmp_path: Path) -> None:
    recommendation = tmp_path / "mine" / "recommendation.json"
    recommendation.parent.mkdir()
    settings = {"codec": "x264", "preset": "veryfast", "rate_control": {"crf": 30},
                "options": {"aq-mode": 0}, "num_threads": 1}  # fmt: skip
    recommendation.write_text(json.dumps({"settings": settings}))

    done = CliRunner().invoke(
        app,
        ["compare", str(clips / "carphone_qcif.mp4"), "--codec", "x264", "--settings",
         str(recommendation), "--detector", str(weights), "--image-size", "128", "--max-seconds",
         "0.4", "--quality-range", "0.7", "0.9", "--store", str(tmp_path / "s.sqlite"), "--out",
         str(tmp_path / "out")],
    )  # fmt: skip

    assert done.exit_code == 0, done.output
    assert "mine" in done.stdout
    written = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert {pair["anchor"] for pair in written["pairs"]} == {"x264", "mine"}
    with (tmp_path / "out" / "curves.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["contestant"] for row in rows} == {"x264", "mine"}
    assert len(rows) == sum(len(curve["points"]) for curve in written["curves"])
    assert (tmp_path / "out" / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("codec", ENCODERS)
def test_a_curve_covers_the_range_and_ends(codec: Codec, measurement: MakeMeasurement) -> None:
    """Whatever the slope, points are added at the ends and in gaps until the range is known."""
    low, high = ENCODERS[codec].search_crf
    for middle in (0.3, 0.5, 0.8):
        candidate = Candidate(settings=contestant(codec, ENCODERS[codec].default_preset).settings)

        def quality(crf: float, middle: float = middle) -> float:
            share = (crf - low) / (high - low)
            return 1 / (1 + 2.0 ** ((share - middle) * 20)) * 0.999

        todo = [float(round(low + (high - low) * share)) for share in (0.3, 0.5, 0.7)]
        while todo:
            for crf in todo:
                candidate.measurements[crf] = measurement(10000 * 0.9**crf, [1 - quality(crf)])
            todo = next_crfs(candidate, 0.7, 0.95)

        qualities = [point.quality for point in candidate.points]
        assert max(qualities) >= 0.95
        assert min(qualities) <= 0.7
        inside = [one for one in qualities if 0.6 < one < 0.98]
        assert len(inside) >= 2
        assert len(qualities) <= 9


def test_encodes_of_one_size_are_one_point(measurement: MakeMeasurement) -> None:
    """x264 gives still pictures the same bytes at CRF 42 and 47."""
    measured = {
        20.0: measurement(400, [0.1, 0.2]),
        30.0: measurement(200, [0.3, 0.4]),
        42.0: measurement(100, [0.5, 0.7]),
        47.0: measurement(100, [0.7, 0.5]),
    }

    found = frame_qualities(measured, block_frames=1)

    np.testing.assert_array_equal(found.rates, [100, 200, 400])
    np.testing.assert_allclose(found.qualities, [[0.4, 0.4], [0.7, 0.6], [0.9, 0.8]])


def test_regions_of_one_clip_are_not_compared_on_others(tmp_path: Path) -> None:
    settings = {"codec": "x264", "preset": "veryfast", "rate_control": {"crf": 30},
                "options": {"roi": 1}, "num_threads": 1}  # fmt: skip
    regions = {"file": "mine.json", "detector": "yolo11n.pt", "image_size": 640, "match_score": 0.2}
    path = tmp_path / "recommendation.json"
    path.write_text(json.dumps({"settings": settings, "regions": regions}))

    with pytest.raises(RequestError, match=r"goes by the regions of mine\.json"):
        contestants_of([], [path])


def test_regions_are_found_as_in_the_search(
    asked: CompareRequest, weights: Path, tmp_path: Path
) -> None:
    settings = {"codec": "x264", "preset": "veryfast", "rate_control": {"crf": 30},
                "options": {"roi": 1}, "num_threads": 1}  # fmt: skip
    used = {"file": None, "detector": str(weights), "image_size": 128, "match_score": 0.25}
    path = tmp_path / "mine" / "recommendation.json"
    path.parent.mkdir()

    def request(**changed: object) -> CompareRequest:
        path.write_text(json.dumps({"settings": settings, "regions": {**used, **changed}}))
        return dataclasses.replace(asked, contestants=contestants_of(["x264"], [path]))

    assert request(metric="general").contestants[1].used is not None
    here = "got a detector, image_size 128, match_score 0.25; give the same, or leave mine out"
    for changed, there in (
        ({"image_size": 640}, "a detector, image_size 640, match_score 0.25"),
        ({"match_score": 0.1}, "a detector, image_size 128, match_score 0.1"),
        ({"detector": None}, r"built-in proposals \(object\), match_score 0.25"),
        ({"metric": "plates"}, "a plate_detector, image_size 128, match_score 0.25"),
    ):
        with pytest.raises(RequestError, match=f"mine has those of {there}, {here}"):
            request(**changed)
    with pytest.raises(WeightsError, match="must be those of the search, 0123, "):
        next(compare_events(request(weights_sha256="0123")))


def test_a_plan_of_shots_is_not_compared_as_one_crf(tmp_path: Path) -> None:
    settings = {"codec": "x264", "preset": "veryfast", "rate_control": {"crf": 30},
                "options": {}, "num_threads": 1}  # fmt: skip
    shots = [{"start_frame": 0, "num_frames": 10, "crf": 20.0}]
    path = tmp_path / "recommendation.json"
    path.write_text(json.dumps({"settings": settings, "regions": None, "shots": shots}))

    with pytest.raises(RequestError, match=r"recommendation\.json has a CRF for each shot"):
        contestants_of([], [path])


def test_an_unknown_codec_is_misuse() -> None:
    with pytest.raises(RequestError, match="among x264, x265, svtav1, got 'h264'"):
        contestants_of(["h264"], [])  # type: ignore[list-item]  # as Python passes it on


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"low_quality": 0.9, "high_quality": 0.8}, "quality range"),
        ({"contestants": (contestant("x264", "medium"),)}, "two contestants"),
        ({"contestants": (contestant("x264", "medium"),) * 2}, "different names"),
        ({"clips": ()}, "there must be a clip"),
        ({"clips": (Path("a/one.mp4"), Path("b/one.mkv"))}, "a/one.mp4 and b/one.mkv do not"),
        ({"frames_per_second": 0}, "frames_per_second"),
        ({"max_seconds": float("inf")}, "max_seconds"),
        ({"num_jobs": -1}, "jobs must not be negative"),
        (
            {
                "machine": MachineChoice(
                    asked_metric="faces",
                    face_detector="yunet.onnx",
                    face_embedder=Path("embedder.onnx"),
                )
            },
            "compare asks one machine only",
        ),
    ],
)
def test_misuse_is_refused(asked: CompareRequest, fields: dict[str, object], words: str) -> None:
    with pytest.raises(RequestError, match=words):
        dataclasses.replace(asked, **fields)

"""What a worker does with an order, and when it refuses one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ratesight.codecs.errors import ClipError
from ratesight.codecs.limits import ClipLimits
from ratesight.codecs.region import ClipRegions, Region
from ratesight.codecs.settings import Crf, EncodeSettings
from ratesight.codecs.source import Segment, Source, load_source
from ratesight.metrics.annotations import Annotations
from ratesight.metrics.boxes import Detections
from ratesight.metrics.detector import load_detector
from ratesight.metrics.errors import WeightsError
from ratesight.metrics.learned import load_learned_metric
from ratesight.metrics.task import TaskMachine
from ratesight.optimizer.errors import ClusterError
from ratesight.optimizer.measuring.bench import Bench
from ratesight.optimizer.measuring.machine_choice import MachineChoice
from ratesight.optimizer.measuring.machine_table import load_finder, object_machine
from ratesight.optimizer.measuring.measure import Measurer, open_measurer
from ratesight.optimizer.measuring.regions import own_regions
from ratesight.optimizer.measuring.set_up import set_up_bench
from ratesight.optimizer.measuring.station import (
    Look,
    Order,
    Place,
    check_same,
    measure_order,
    open_stations,
    versions,
)
from ratesight.optimizer.measuring.store import open_store

SETTINGS = EncodeSettings(codec="x264", preset="veryfast", rate_control=Crf(value=40))
FRAMES = (2, 8, 13)


@pytest.fixture
def measurer(tmp_path: Path) -> Iterator[Measurer]:
    with open_store(tmp_path / "s.sqlite") as store, open_measurer(store, 1) as opened:
        yield opened


@pytest.fixture(scope="module")
def metric() -> TaskMachine[Any]:
    """A learned metric, whose references need the originals; and no weights but our own."""
    return load_learned_metric("objects", load_finder("objects", None))


def bench_on(
    source: Source,
    machine: TaskMachine[Any],
    measurer: Measurer,
    segments: tuple[Segment, ...] | None = None,
    annotations: Annotations | None = None,
) -> Bench:
    return set_up_bench(
        source,
        machine,
        segments=segments or source.whole,
        sample=[(frame, frame) for frame in FRAMES],
        annotations=annotations,
        regions=None,
        measurer=measurer,
    )


def order_of(bench: Bench, **fields: object) -> Order:
    """Returns the order that a bench makes; fields of its place may be given."""
    source = bench.source
    given: dict[str, Any] = {
        "clip": str(source.path),
        "num_frames": source.num_frames,
        "frame_rate": source.frame_rate,
        "given_frame_rate": None,
        "limits": ClipLimits(),
        "choice": MachineChoice(),
        "second_detector": None,
    }
    return Order(
        place=Place(**{**given, **fields}),
        segments=bench.segments,
        regions=bench.regions,
        looks=(
            Look(
                key=bench.key,
                frames=bench.frames,
                positions=bench.positions,
                references=tuple(bench.machine.to_json(one) for one in bench.references),
            ),
        ),
    )


def measured(
    bench: Bench, digest: str, order: Order, settings: EncodeSettings = SETTINGS
) -> dict[str, Any]:
    (value,) = measure_order(digest, order.pack(), settings, [bench.measurement_key(settings)])
    assert isinstance(value, dict)
    return {name: one for name, one in value.items() if not name.endswith("_seconds")}


def own(bench: Bench, settings: EncodeSettings = SETTINGS) -> dict[str, Any]:
    value = bench.look(bench.encode(settings)).to_json()
    assert isinstance(value, dict)
    return {name: one for name, one in value.items() if not name.endswith("_seconds")}


def test_a_worker_measures_what_the_run_would(
    phone: Source, metric: TaskMachine[Any], measurer: Measurer
) -> None:
    bench = bench_on(phone, metric, measurer)

    assert measured(bench, "whole", order_of(bench)) == own(bench)
    # From what it keeps.
    assert measured(bench, "whole", order_of(bench)) == own(bench)


def test_a_second_detector_and_annotations_reach_the_worker(
    phone: Source, weights: Path, measurer: Measurer
) -> None:
    detector = load_detector(str(weights), image_size=128)
    second = object_machine(detector, MachineChoice())
    box = detector.detect([phone.bgr(FRAMES[0])], 0.4)[0].boxes[:1]
    there = Detections(boxes=box, scores=np.ones(1), class_names=("person",))
    annotations = Annotations(frames=dict.fromkeys(FRAMES, there), sha256="a file")
    bench = bench_on(phone, second, measurer, annotations=annotations)
    order = order_of(bench, choice=MachineChoice(image_size=128), second_detector=str(weights))

    assert measured(bench, "annotated", order) == own(bench)


def test_regions_and_pieces_reach_the_worker(
    phone: Source, metric: TaskMachine[Any], measurer: Measurer
) -> None:
    boxes = ClipRegions(
        width=phone.width,
        height=phone.height,
        frames=((Region(x0=48, y0=32, x1=112, y1=96, weight=1.0),),) * phone.num_frames,
    )
    plain = bench_on(phone, metric, measurer, (Segment(start_frame=1, num_frames=14),))
    bench = replace(plain, regions=own_regions(boxes, phone.frame_rate, {"file": "a hash"}))
    settings = replace(SETTINGS, options=(("roi", 1), ("roi-background-qp", 6.0)))

    with_regions = measured(bench, "regions", order_of(bench), settings)

    assert with_regions == own(bench, settings)
    assert with_regions["size_bytes"] < own(bench)["size_bytes"]


def test_another_content_is_refused(
    phone: Source, clips: Path, metric: TaskMachine[Any], measurer: Measurer, tmp_path: Path
) -> None:
    bench = bench_on(phone, metric, measurer)
    order = order_of(bench, clip=str(clips / "bikes_street_272p.mp4"))

    with pytest.raises(
        ClusterError, match=r"same content .*bikes.* 15 frames with .* there, 15 with"
    ):
        measured(bench, "another content", order)


def test_a_clip_that_was_written_anew_is_read_anew(
    clips: Path, ffmpeg: Callable[..., str], metric: TaskMachine[Any], measurer: Measurer,
    tmp_path: Path,
) -> None:  # fmt: skip
    clip = tmp_path / "clip.mkv"
    for turn in ("null", "hflip"):
        words = ["-i", clips / "carphone_qcif.mp4", "-frames:v", 15, "-vf", turn]
        ffmpeg(*words, "-c:v", "ffv1", clip)
        with load_source(clip) as source:
            bench = bench_on(source, metric, measurer)
            assert measured(bench, turn, order_of(bench)) == own(bench)


def test_clips_of_a_set_are_decoded_once_each(
    clips: Path, metric: TaskMachine[Any], measurer: Measurer
) -> None:
    with ExitStack() as stack:
        benches = [
            bench_on(
                stack.enter_context(load_source(clips / "carphone_qcif.mp4", max_seconds=seconds)),
                metric,
                measurer,
            )
            for seconds in (0.5, 0.6, 0.7, 0.8)
        ]
        orders = [order_of(bench) for bench in benches]
        for number, bench in enumerate(benches):
            measured(bench, f"of a set {number}", orders[number])
        stations = [open_stations[order.place] for order in orders]
        for number, bench in enumerate(benches):
            measured(bench, f"of a set {number}", orders[number])
        assert [open_stations[order.place] for order in orders] == stations


def test_another_machine_is_refused(
    phone: Source, weights: Path, metric: TaskMachine[Any], measurer: Measurer
) -> None:
    bench = bench_on(phone, metric, measurer)
    order = order_of(bench, choice=MachineChoice(detector=str(weights), image_size=128))

    with pytest.raises(ClusterError, match=r"it is similarity \d+ .* in the run and .*ultralytics"):
        measured(bench, "another machine", order)


def test_what_is_missing_is_said(
    phone: Source, metric: TaskMachine[Any], measurer: Measurer, tmp_path: Path
) -> None:
    bench = bench_on(phone, metric, measurer)

    with pytest.raises(ClipError, match="does not exist"):
        measured(bench, "no clip", order_of(bench, clip=str(tmp_path / "none.mp4")))
    choice = MachineChoice(detector=str(tmp_path / "none.pt"))
    with pytest.raises(WeightsError, match=r"none\.pt"):
        measured(bench, "no weights", order_of(bench, choice=choice))


def test_another_encoder_is_refused(
    phone: Source, metric: TaskMachine[Any], measurer: Measurer
) -> None:
    bench = bench_on(phone, metric, measurer)
    key = bench.measurement_key(SETTINGS)
    assert isinstance(key, dict)

    with pytest.raises(ClusterError, match=r"encoder must be the same .* libx264 0 in the run"):
        measure_order("x", order_of(bench).pack(), SETTINGS, [{**key, "encoder": "libx264 0"}])


def test_other_versions_are_refused() -> None:
    here = versions()

    check_same(here, dict(here))
    assert set(here) == {
        "ratesight", "decoder", "encoder x264", "encoder x265", "encoder svtav1",
    }  # fmt: skip
    with pytest.raises(ClusterError, match=r"version of ratesight .* it is 0\.0\.1 in the run"):
        check_same({**here, "ratesight": "0.0.1"}, here)


def test_a_clip_that_was_cut_is_cut_to_the_frame(
    clips: Path, metric: TaskMachine[Any], measurer: Measurer
) -> None:
    for seconds in (0.47, 0.5006):
        with load_source(clips / "carphone_qcif.mp4", max_seconds=seconds) as source:
            bench = bench_on(source, metric, measurer)
            assert measured(bench, f"{seconds}", order_of(bench)) == own(bench)

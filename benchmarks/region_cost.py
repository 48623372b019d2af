"""What regions cost beside the encode itself, in processor time of one thread.

Telling the encoder (for SVT-AV1 making its map: what that costs inside the library is the
encode's), and the background filter with blur and freeze on.

``python -m benchmarks.region_cost --data ../shared/data``
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from ratesight.codecs.background import BackgroundFilter
from ratesight.codecs.encoder import RunningEncoder
from ratesight.codecs.region import weight_map
from ratesight.codecs.region_encoder import RegionSideData
from ratesight.codecs.settings import Crf, EncodeSettings, sorted_options
from ratesight.codecs.source import Source, load_source
from ratesight.codecs.svtav1 import segment_map
from ratesight.codecs.table import ENCODERS, Codec
from ratesight.metrics.detector import load_detector
from ratesight.optimizer.measuring.bench import Thresholds
from ratesight.optimizer.measuring.measure import open_measurer
from ratesight.optimizer.measuring.regions import RegionSource, shape_regions
from ratesight.optimizer.measuring.set_up import find_regions
from ratesight.optimizer.measuring.store import open_store

from .machine import describe_machine
from .result_file import write_results

RESULTS = Path(__file__).parent / "results" / "region_cost.json"
_CLIPS = ("highway_cam_240p.avi", "street_people_720p.mp4")
_SECONDS = 2.0
_REPEATS = 7


def main() -> None:
    """Writes processor seconds of each step; the least of some repeats."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with clips/ and weights/")
    arguments = parser.parse_args()
    detector = load_detector(str(arguments.data / "weights" / "yolov8n.pt"))
    rows = []
    for clip in _CLIPS:
        path = arguments.data / "clips" / clip
        with (
            load_source(path, max_seconds=_SECONDS) as source,
            tempfile.TemporaryDirectory() as folder,
            open_store(Path(folder) / "s.sqlite") as store,
            open_measurer(store, 1) as measurer,
        ):
            found = find_regions(source, detector, Thresholds(), measurer)
            for codec in ENCODERS:
                rows.append({"clip": clip, "codec": codec, **_cost(source, codec, found)})
                print(json.dumps(rows[-1]), flush=True)
    write_results({"rows": rows, "machine": describe_machine()}, RESULTS)


def _cost(source: Source, codec: Codec, found: RegionSource) -> dict[str, float]:
    encoder = ENCODERS[codec]
    options = {"roi": 1, "roi-background-qp": 6.0, "roi-blur": 2.0, "roi-freeze": 3.0}
    settings = EncodeSettings(
        codec=codec,
        preset=encoder.default_preset,
        rate_control=Crf(value=30),
        options=sorted_options(options),
    )
    plain = EncodeSettings(codec=codec, preset=encoder.default_preset, rate_control=Crf(value=30))
    coding = settings.regions
    assert coding is not None
    regions = shape_regions(found, coding, encoder.roi_block)

    def encode_all() -> None:
        running = RunningEncoder(source, plain)
        for index in range(source.num_frames):
            running.encode(source.frame(index))
        running.encode(None)

    def make_frames() -> None:
        for index in range(source.num_frames):
            source.frame(index)

    def attach() -> None:
        side_data = RegionSideData(source, coding)
        for index, here in enumerate(regions.frames):
            side_data.attach(source.frame(index), here)

    def simplify() -> None:
        background = BackgroundFilter(blur_sigma=2, freeze_threshold=3)
        for index, here in enumerate(regions.frames):
            background.apply(source.planes(index), here)

    def map_blocks() -> None:
        for here in regions.frames:
            weights = weight_map(here, source.width, source.height, encoder.roi_block)
            segment_map(coding.qp_offsets(weights), source.width, source.height)

    if encoder.roi_by_side_data:
        encode_seconds, filter_seconds, with_regions, without = _least(
            encode_all, simplify, attach, make_frames
        )
        told_seconds = with_regions - without
    else:
        encode_seconds, filter_seconds, told_seconds = _least(encode_all, simplify, map_blocks)
    return {
        "encode_seconds": encode_seconds,
        "tell_share": max(0.0, told_seconds) / encode_seconds,
        "filter_share": filter_seconds / encode_seconds,
    }


def _least(*works: Callable[[], object]) -> list[float]:
    """Returns the least processor time of each in some rounds: what disturbs it only adds."""
    rounds = []
    for _ in range(_REPEATS):
        times = [time.process_time()]
        for work in works:
            work()
            times.append(time.process_time())
        rounds.append(np.diff(times))
    least: list[float] = np.min(rounds, axis=0).tolist()
    return least


if __name__ == "__main__":
    main()

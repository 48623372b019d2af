"""Peak memory of a 60 s 1080p clip: encodes and detectors side by side, then the filters.

``python -m benchmarks.memory --data ../shared/data`` takes some minutes; a whole tune of such a
clip would take an hour on two cores and hold no more than this.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
from fractions import Fraction
from multiprocessing import Process
from pathlib import Path

import av
import numpy as np
from ratesight.codecs.encode import encode
from ratesight.codecs.fidelity import fidelity
from ratesight.codecs.settings import Crf, EncodeSettings
from ratesight.codecs.source import Segment, load_source
from ratesight.metrics.detector import load_detector
from ratesight.metrics.objects import ObjectMachine
from ratesight.optimizer.measuring.bench import sampled_frames
from ratesight.optimizer.measuring.measure import open_measurer
from ratesight.optimizer.measuring.set_up import set_up_bench
from ratesight.optimizer.measuring.store import open_store

from .machine import describe_machine
from .result_file import write_results

RESULTS = Path(__file__).parent / "results" / "memory.json"
CLIP = "street_people_720p.mp4"


def main() -> None:
    """Measures, and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with clips/ and weights/")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        long_clip = Path(folder) / "long.mp4"
        # In a process of its own, whose memory does not count.
        writer = Process(target=_write_long, args=(arguments.data / "clips" / CLIP, long_clip))
        writer.start()
        writer.join()
        detector = str(arguments.data / "weights" / "yolov8n.pt")
        results = {
            **_measure_memory(long_clip, detector, Path(folder)),
            "machine": describe_machine(),
        }
    write_results(results, RESULTS)
    print(json.dumps(results))


def _measure_memory(clip: Path, detector: str, folder: Path) -> dict[str, object]:
    """Returns the peak memory of all that a tune ever holds at once."""
    machine = load_detector(detector)
    num_jobs = len(os.sched_getaffinity(0))
    with (
        open_store(folder / "store.sqlite") as store,
        load_source(clip) as source,
        open_measurer(store, num_jobs) as measurer,
    ):
        bench = set_up_bench(
            source,
            ObjectMachine(detector=machine),
            segments=source.whole,
            sample=sampled_frames(source, source.whole, 5.0, phase=0.25),
            annotations=None,
            regions=None,
            measurer=measurer,
        )
        settings = [
            EncodeSettings(codec="x264", preset="medium", rate_control=Crf(value=30 + index))
            for index in range(num_jobs)
        ]
        list(measurer.pool.map(lambda one: measurer.measure(bench, one), settings))
        encoding = encode(source, settings[0], (Segment(start_frame=0, num_frames=150),))
        fidelity(source, encoding, (Segment(start_frame=0, num_frames=150),))
    return {
        "frames": source.num_frames,
        "size": f"{source.width}x{source.height}",
        "num_jobs": num_jobs,
        "peak_gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
    }


def _write_long(clip: Path, target: Path) -> None:
    """Writes 60 s of 1080p at 30 fps: the clip scaled, forwards and backwards in turn."""
    with av.open(str(clip)) as container:
        frames = [
            frame.reformat(1920, 1080, "yuv420p").to_ndarray()
            for frame, _ in zip(container.decode(video=0), range(90), strict=False)
        ]
    with av.open(str(target), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(30))
        stream.width, stream.height, stream.pix_fmt = 1920, 1080, "yuv420p"
        stream.options = {"preset": "ultrafast", "crf": "20"}
        order = np.abs((np.arange(1800) + 89) % 178 - 89)
        for index in order:
            frame = av.VideoFrame.from_ndarray(frames[index], format="yuv420p")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


if __name__ == "__main__":
    main()

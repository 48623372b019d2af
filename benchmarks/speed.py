"""How long a tune takes, where the time goes, and how much memory a long clip takes.

``python -m benchmarks.speed --data ../shared/data``; let nothing else run beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from ratesight.optimizer.events import Recommended
from ratesight.optimizer.request import TuneRequest
from ratesight.optimizer.tune import tune_events

from .machine import describe_machine

RESULTS = Path(__file__).parent / "results" / "speed.json"
CLIP = "street_people_720p.mp4"
_SECONDS = 5.0


def main() -> None:
    """Times the tune, then tunes a long clip in a process of its own for its memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with clips/ and weights/")
    parser.add_argument("--memory-of", type=Path, help="only tune this clip, print peak memory")
    arguments = parser.parse_args()
    if arguments.memory_of:
        _tune(arguments.data, arguments.memory_of, num_trials=3, max_seconds=60.0)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
        print(json.dumps({"peak_gigabytes": peak}))
        return
    clip = arguments.data / "clips" / CLIP
    recommendation = _tune(arguments.data, clip, num_trials=25, max_seconds=_SECONDS)
    results = {
        "clip": CLIP,
        "clip_seconds": _SECONDS,
        "codec": recommendation.recommendation.codec,
        "preset": recommendation.recommendation.preset,
        "num_trials": recommendation.recommendation.num_trials,
        "num_encodes": recommendation.recommendation.num_encodes,
        "num_jobs": recommendation.recommendation.provenance["num_jobs"],
        "seconds": recommendation.recommendation.seconds,
        "memory": _memory(arguments.data, clip),
        "machine": describe_machine(),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results))


def _tune(data: Path, clip: Path, *, num_trials: int, max_seconds: float) -> Recommended:
    with tempfile.TemporaryDirectory() as folder:
        request = TuneRequest(
            clip=clip,
            detector=str(data / "weights" / "yolov8n.pt"),
            num_trials=num_trials,
            max_seconds=max_seconds,
            store=Path(folder) / "store.sqlite",
        )
        for event in tune_events(request):
            if isinstance(event, Recommended):
                return event
    raise AssertionError("a search ends with a recommendation or an error")


def _memory(data: Path, clip: Path) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        long_clip = Path(folder) / "long.mp4"
        _write_long(clip, long_clip)
        command = [sys.executable, "-m", "benchmarks.speed", "--data", str(data)]
        done = subprocess.run(
            [*command, "--memory-of", str(long_clip)], capture_output=True, text=True, check=True
        )
    peak: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return peak


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
    os.environ.setdefault("SVT_LOG", "1")
    main()

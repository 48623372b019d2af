"""Tunes 5 s of real clips with each encoder: what is saved at equal task quality, and the time.

Steered by a detector; by the learned metric in that detector's regions, which verifies the winner;
and by the metric in regions of its own, with no detector at all. Another detector, of another
family of weights, judges the same encodes. ``python -m benchmarks.tuning --data ../shared/data``
takes about three hours on two cores, writes after every run, and goes on where it was stopped.
Times are told of ``results/tuning_times.json``: earlier runs of the clips of 1280x720, which found
the same with less work beside them.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Literal

from ratesight.codecs.errors import CodecError
from ratesight.codecs.table import ENCODERS, Codec
from ratesight.metrics.errors import MetricError
from ratesight.optimizer.errors import OptimizerError
from ratesight.optimizer.events import Recommended
from ratesight.optimizer.measuring.machine_choice import MachineChoice
from ratesight.optimizer.recommendation import Recommendation
from ratesight.optimizer.reports.pictures import draw_curves
from ratesight.optimizer.request import TuneRequest
from ratesight.optimizer.tune import tune_events

from .machine import describe_machine
from .result_file import commit_here, write_results

# What steers the search: YOLOv8n, or the metric ``objects`` in its regions or in built-in ones.
Steering = Literal["detector", "objects", "built_in"]
RESULTS: dict[Steering, Path] = {
    "detector": Path(__file__).parent / "results" / "tuning.json",
    "objects": Path(__file__).parent / "results" / "tuning_objects.json",
    "built_in": Path(__file__).parent / "results" / "tuning_built_in.json",
}

# Streets, a road, people who talk; 320x240 to 1280x720; static and moving cameras.
CLIPS = (
    "bikes_street_272p.mp4",
    "highway_cam_240p.avi",
    "street_people_720p.mp4",
    "face_d6_480.mp4",
    "face_s32_720p.mp4",
)
# Pictures have no frame rate of their own.
FRAME_RATES = {"BasketballPass_416x240_50_png": Fraction(50)}
_SECONDS = 5.0
_TRIALS = 25


def main() -> None:
    """Runs what is missing in the results."""
    run_steered(__doc__, RESULTS, _request, CLIPS)


def _request(
    arguments: argparse.Namespace, steering: Steering, clip: str, codec: Codec
) -> TuneRequest:
    request = steered_request(arguments, steering, clip, codec)
    return replace(request, max_seconds=_SECONDS, num_trials=_TRIALS)


def steered_request(
    arguments: argparse.Namespace, steering: Steering, clip: str, codec: Codec
) -> TuneRequest:
    """Returns what is asked for on a whole clip, by all that steer."""
    weights, store = arguments.data / "weights", arguments.store
    detector = None if steering == "built_in" else str(weights / "yolov8n.pt")
    return TuneRequest(
        clip=arguments.data / "clips" / clip,
        codec=codec,
        machine=MachineChoice(
            asked_metric="detector" if steering == "detector" else "objects", detector=detector
        ),
        second_detector=str(weights / "yolov5n.torchscript"),
        frame_rate=FRAME_RATES.get(clip),
        num_warm_starts=0,  # or rows would depend on the order they were made in
        store=store.with_stem(f"{store.stem}-{steering}"),  # or times would
    )


def run_steered(
    doc: str | None,
    results: Mapping[Steering, Path],
    request: Callable[[argparse.Namespace, Steering, str, Codec], TuneRequest],
    clips: Iterable[str],
) -> None:
    """Runs what is missing in the results of each that steers, as the command line says."""
    arguments = parse_arguments(doc, clips)
    for steering, path in results.items():
        run_missing(path, arguments, partial(request, arguments, steering))


def parse_arguments(doc: str | None, clips: Iterable[str]) -> argparse.Namespace:
    """Returns data, store, clips, codecs, pictures."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--data", type=Path, required=True, help="folder with clips/ and weights/")
    parser.add_argument("--store", type=Path, default=Path("benchmark.sqlite"))
    parser.add_argument("--clips", nargs="+", choices=list(clips), default=list(clips))
    parser.add_argument("--codecs", nargs="+", choices=ENCODERS, default=list(ENCODERS))
    parser.add_argument("--pictures", type=Path, help="folder for a picture of each run")
    return parser.parse_args()


def run_missing(
    path: Path, arguments: argparse.Namespace, request: Callable[[str, Codec], TuneRequest]
) -> None:
    """Runs each clip with each codec unless the results have it; writes after every run."""
    results = json.loads(path.read_text()) if path.exists() else {"runs": []}
    done = {(run["clip"], run["codec"]) for run in results["runs"]}
    commit = commit_here()
    for codec in arguments.codecs:
        for clip in arguments.clips:
            if (clip, codec) in done:
                continue
            found = _run(request(clip, codec), arguments.pictures)
            run = {"clip": clip, "codec": codec, "commit": commit, **found}
            results["runs"].append(run)
            results["machine"] = describe_machine()
            write_results(results, path)
            print(json.dumps({key: run.get(key) for key in _SHOWN}), flush=True)


_SHOWN = ("clip", "codec", "error", "rate_change_percent", "rate_change_interval_percent",
          "bd_rate_percent", "bd_rate_interval_percent", "verified_quality", "seconds")  # fmt: skip


_LEFT_OUT = ("clip", "detector", "second_detector", "verified_frames", "versions", "platform",
             "python")  # fmt: skip


def _run(request: TuneRequest, pictures: Path | None) -> dict[str, object]:
    try:
        for event in tune_events(request):
            if isinstance(event, Recommended):
                if pictures is not None:
                    pictures.mkdir(parents=True, exist_ok=True)
                    name = f"{request.clip.stem}-{request.codec}.png"
                    draw_curves(event.recommendation, pictures / name)
                return _summary(event.recommendation)
    except (CodecError, MetricError, OptimizerError) as error:
        return {"error": str(error).replace(str(request.clip.parent) + os.sep, "")}
    raise AssertionError("a search ends with a recommendation or an error")


def _summary(recommendation: Recommendation) -> dict[str, object]:
    fields = recommendation.to_json()
    del fields["ffmpeg_command"]  # it names this machine's paths
    if isinstance(fields["per_shot"], dict):
        del fields["per_shot"]["ffmpeg_commands"]
    fields["provenance"] = {
        key: value for key, value in recommendation.provenance.items() if key not in _LEFT_OUT
    }
    if isinstance(fields["machines"], dict):
        fields["machines"]["regions_by"] = Path(recommendation.machines.regions_by).name
    if isinstance(fields["regions"], dict):
        fields["regions"]["detector"] = None
    return dict(fields)


if __name__ == "__main__":
    main()

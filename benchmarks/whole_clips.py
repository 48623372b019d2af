"""Tunes whole clips, searched on five pieces of a second each: what is saved on all of a clip.

Steered by the metric ``objects`` in a detector's regions, and by that detector. Another detector,
of another family of weights, judges the same encodes. ``python -m benchmarks.whole_clips --data
../shared/data --codecs x264`` takes about two hours on two cores, writes after every run, and goes
on where it was stopped.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Literal

from ratesight.codecs.table import Codec
from ratesight.optimizer.measuring.machine_choice import MachineChoice
from ratesight.optimizer.request import TuneRequest

from .tuning import CLIPS, parse_arguments, run_missing

Steering = Literal["objects", "detector"]
RESULTS: dict[Steering, Path] = {
    "objects": Path(__file__).parent / "results" / "whole_objects.json",
    "detector": Path(__file__).parent / "results" / "whole_detector.json",
}


def main() -> None:
    """Runs what is missing in the results."""
    arguments = parse_arguments(__doc__, CLIPS)
    for steering, path in RESULTS.items():
        run_missing(path, arguments, partial(_request, arguments, steering))


def _request(
    arguments: argparse.Namespace, steering: Steering, clip: str, codec: Codec
) -> TuneRequest:
    weights, store = arguments.data / "weights", arguments.store
    return TuneRequest(
        clip=arguments.data / "clips" / clip,
        codec=codec,
        machine=MachineChoice(asked_metric=steering, detector=str(weights / "yolov8n.pt")),
        second_detector=str(weights / "yolov5n.torchscript"),
        num_segments=5,
        segment_seconds=1.0,
        num_warm_starts=0,  # or rows would depend on the order they were made in
        store=store.with_stem(f"{store.stem}-{steering}"),  # or times would
    )


if __name__ == "__main__":
    main()

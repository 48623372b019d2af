"""Tunes whole clips, searched on five pieces of a second each: what is saved on all of a clip.

Steered by the metric ``objects`` in a detector's regions, and by that detector. Another detector,
of another family of weights, judges the same encodes. ``python -m benchmarks.whole_clips --data
../shared/data --codecs x264`` takes about two hours on two cores, writes after every run, and goes
on where it was stopped.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from ratesight.codecs.table import Codec
from ratesight.optimizer.request import TuneRequest

from .clip_split import TEST_CLIPS
from .tuning import Steering, run_steered, steered_request

RESULTS: dict[Steering, Path] = {
    "objects": Path(__file__).parent / "results" / "whole_objects.json",
    "detector": Path(__file__).parent / "results" / "whole_detector.json",
}
# Those of the metric's test, shorter ones searched as a whole, and two that it was trained on.
CLIPS = (*TEST_CLIPS, "face_d6_480.mp4", "face_s32_720p.mp4")


def main() -> None:
    """Runs what is missing in the results."""
    run_steered(__doc__, RESULTS, _request, CLIPS)


def _request(
    arguments: argparse.Namespace, steering: Steering, clip: str, codec: Codec
) -> TuneRequest:
    request = steered_request(arguments, steering, clip, codec)
    return replace(request, num_segments=5, segment_seconds=1.0)


if __name__ == "__main__":
    main()

"""Regions of interest on every clip: against the defaults, and against options alone.

``python -m benchmarks.regions --data ../shared/data`` takes about two hours on two cores, writes
after every run, and goes on where it was stopped. A second detector, of another family of weights,
that did not make the regions judges the same encodes.
"""

from __future__ import annotations

from pathlib import Path

from ratesight.codecs.table import Codec
from ratesight.optimizer.measuring.machine_choice import MachineChoice
from ratesight.optimizer.request import TuneRequest

from .tuning import FRAME_RATES, parse_arguments, run_missing

RESULTS = Path(__file__).parent / "results" / "regions.json"

# Seconds of each clip; a room in which the first person shows up after seven, at 10 frames a
# second, gets more.
CLIPS: dict[str, float] = {
    "highway_cam_240p.avi": 3,
    "bikes_street_272p.mp4": 3,
    "indoor_one_by_one_person_432p.mp4": 15,
    "BasketballPass_416x240_50_png": 3,
    "carphone_qcif.mp4": 3,
    "webcam_signer_again_480p.mkv": 3,
    "face_d0_512.mp4": 3,
    "face_d6_480.mp4": 3,
    "street_people_720p.mp4": 3,
    "plaza_crowd_720p.mp4": 3,
    "person_s29_720x1364.mp4": 3,
    "face_s18_720p.mp4": 3,
    "face_s32_720p.mp4": 3,
    "face_d13_720x1280.mp4": 3,
}
_TRIALS, _REGION_TRIALS = 12, 10


def main() -> None:
    """Runs what is missing in the results."""
    arguments = parse_arguments(__doc__, CLIPS)
    weights = arguments.data / "weights"

    def request(clip: str, codec: Codec) -> TuneRequest:
        return TuneRequest(
            clip=arguments.data / "clips" / clip,
            codec=codec,
            machine=MachineChoice(detector=str(weights / "yolov8n.pt")),
            second_detector=str(weights / "yolov5n.torchscript"),
            frame_rate=FRAME_RATES.get(clip),
            max_seconds=CLIPS[clip],
            num_trials=_TRIALS,
            regions="detector",
            num_region_trials=_REGION_TRIALS,
            num_warm_starts=0,  # or rows would depend on the order they were made in
            store=arguments.store,
        )

    run_missing(RESULTS, arguments, request)


if __name__ == "__main__":
    main()

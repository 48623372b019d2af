"""Settings tuned on half of the clips, tried on the other half, and the other way round.

``python -m benchmarks.unseen_clips --data ../shared/data`` takes about an hour an encoder on two
cores, writes after every half, and goes on where it was stopped. Steered by the learned metric,
whose winner a detector verifies, and by that detector itself; the curves on the unseen clips are
judged by what steered and by a detector that took no part.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path

from ratesight.codecs.settings import EncodeSettings
from ratesight.codecs.table import Codec
from ratesight.optimizer.aim import QualityRange
from ratesight.optimizer.compare import Compared, CompareRequest, compare_events
from ratesight.optimizer.contestants import Contestant
from ratesight.optimizer.curves.bd_comparison import Comparison
from ratesight.optimizer.measuring.machine_choice import MachineChoice, MetricName
from ratesight.optimizer.recommendation_file import settings_from_json
from ratesight.optimizer.request import TuneRequest
from ratesight.optimizer.set_recommendation import SetRecommendation
from ratesight.optimizer.tune_set import SetRecommended, tune_set_events

from .machine import describe_machine
from .result_file import commit_here, write_results
from .tuning import parse_arguments

RESULTS = Path(__file__).parent / "results" / "unseen_clips.json"

# Each kind of clip on either side: roads, streets, rooms, single faces, whole persons.
HALVES = (
    (
        "highway_cam_240p.avi",
        "street_people_720p.mp4",
        "face_d13_720x1280.mp4",
        "face_d0_512.mp4",
        "face_s18_720p.mp4",
        "webcam_signer_again_480p.mkv",
    ),
    (
        "bikes_street_272p.mp4",
        "plaza_crowd_720p.mp4",
        "carphone_qcif.mp4",
        "face_d6_480.mp4",
        "face_s32_720p.mp4",
        "person_s29_720x1364.mp4",
    ),
)
_SECONDS, _TRIALS = 2.0, 16
_RANGE = QualityRange(low=0.75, high=0.95, quality=0.9)
_METRICS: tuple[MetricName, ...] = ("objects", "detector")
_OWN, _OUTSIDE = "yolov8n.pt", "yolov5n.torchscript"


def main() -> None:
    """Runs what is missing in the results."""
    arguments = parse_arguments(__doc__, [clip for half in HALVES for clip in half])
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"runs": []}
    done = {(run["codec"], run["metric"], run["tuned_on"]) for run in results["runs"]}
    for codec, metric in itertools.product(arguments.codecs, _METRICS):
        for number, half in enumerate(HALVES):
            if (codec, metric, number) in done:
                continue
            own = MachineChoice(
                asked_metric=metric, detector=str(arguments.data / "weights" / _OWN)
            )
            outside = MachineChoice(detector=str(arguments.data / "weights" / _OUTSIDE))
            tune_on, try_on = (
                [arguments.data / "clips" / clip for clip in clips if clip in arguments.clips]
                for clips in (half, HALVES[1 - number])
            )
            found = _tune(codec, tune_on, own, arguments.store)
            tuned = settings_from_json(found.settings)
            run = {
                "codec": codec,
                "metric": metric,
                "tuned_on": number,
                "commit": commit_here(),
                "keeps_defaults": found.keeps_defaults,
                "settings": found.settings,
                "on_its_own_clips": _numbers(found.comparison),
                **{
                    role: _numbers(
                        None
                        if found.keeps_defaults
                        else _compare(tuned, try_on, machine, arguments.store)
                    )
                    for role, machine in (("steering", own), ("outside", outside))
                },
            }
            results["runs"].append(run)
            results["machine"] = describe_machine()
            write_results(results, RESULTS)
            print(json.dumps(run), flush=True)


def _tune(
    codec: Codec, clips: list[Path], machine: MachineChoice, store: Path
) -> SetRecommendation:
    request = TuneRequest(
        clip=clips[0],
        codec=codec,
        aim=_RANGE,
        machine=machine,
        max_seconds=_SECONDS,
        num_trials=_TRIALS,
        num_warm_starts=0,
        store=store,
    )
    for event in tune_set_events(request, clips):
        if isinstance(event, SetRecommended):
            return event.recommendation
    raise AssertionError("a search ends with a recommendation or an error")


def _compare(
    tuned: EncodeSettings, clips: list[Path], machine: MachineChoice, store: Path
) -> Comparison | None:
    plain = EncodeSettings(codec=tuned.codec, preset=tuned.preset, rate_control=tuned.rate_control)
    request = CompareRequest(
        clips=tuple(clips),
        contestants=(
            Contestant(name="defaults", settings=plain),
            Contestant(name="tuned", settings=tuned),
        ),
        low_quality=_RANGE.low,
        high_quality=_RANGE.high,
        machine=machine,
        max_seconds=_SECONDS,
        store=store,
    )
    for event in compare_events(request):
        if isinstance(event, Compared):
            pairs = {(pair.anchor, pair.test): pair.comparison for pair in event.pairs}
            return pairs["defaults", "tuned"]
    raise AssertionError("a comparison ends with its outcome")


def _numbers(comparison: Comparison | None) -> dict[str, object] | None:
    """Returns what tables need; None where the defaults were kept, and nothing was compared."""
    if comparison is None:
        return None
    return {
        "median_bd_rate_percent": comparison.bd_rate_percent,
        "interval_percent": comparison.interval_percent,
        "quartiles_percent": comparison.quartiles_percent,
        "num_not_available": comparison.num_not_available,
        "clips": {
            one.clip: {
                "bd_rate_percent": None if one.result is None else one.result.percent,
                "interval_percent": one.interval_percent,
            }
            for one in comparison.clips
        },
    }


if __name__ == "__main__":
    main()

"""A ladder for each title against one setting for all titles, on real clips.

``python -m benchmarks.per_title --data ../shared/data`` takes about half an hour on two cores,
writes after every title, and goes on where it was stopped. The single setting is chosen over the
titles that were asked for, so a run of a few titles is a result about these.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from ratesight.optimizer.contestants import ClipSkipped
from ratesight.optimizer.measuring.machine_choice import MachineChoice
from ratesight.optimizer.titles.ladder import PerTitle, TitleLadder
from ratesight.optimizer.titles.per_title import recommend_events
from ratesight.optimizer.titles.picture import draw_ladders
from ratesight.optimizer.titles.request import PerTitleRequest, ladder_contestants

from .machine import describe_machine
from .result_file import commit_here, write_results
from .tuning import parse_arguments

RESULTS = Path(__file__).parent / "results" / "per_title.json"

# All clips that have a frame rate of their own and somebody on them in the first seconds.
CLIPS = (
    "carphone_qcif.mp4",
    "highway_cam_240p.avi",
    "bikes_street_272p.mp4",
    "webcam_signer_again_480p.mkv",
    "face_d0_512.mp4",
    "face_d6_480.mp4",
    "street_people_720p.mp4",
    "plaza_crowd_720p.mp4",
    "face_s18_720p.mp4",
    "face_s32_720p.mp4",
    "face_d13_720x1280.mp4",
    "person_s29_720x1364.mp4",
)
_SECONDS = 3.0
_HEIGHTS = (None, 360)


def main() -> None:
    """Makes the ladders and compares them with one setting for all."""
    arguments = parse_arguments(__doc__, CLIPS)
    request = PerTitleRequest(
        clips=tuple(arguments.data / "clips" / clip for clip in arguments.clips),
        contestants=ladder_contestants(arguments.codecs, []),
        heights=_HEIGHTS,
        machine=MachineChoice(detector=str(arguments.data / "weights" / "yolov8n.pt")),
        max_seconds=_SECONDS,
        store=arguments.store,
    )
    results: dict[str, Any] = {
        "commit": commit_here(),
        "machine": describe_machine(),
        "seconds": _SECONDS,
        "heights": list(_HEIGHTS),
        "codecs": arguments.codecs,
        "titles": [],
        "skipped": [],
        "fixed": [],
        "tolerance": request.tolerance,
    }
    for event in recommend_events(request):
        match event:
            case TitleLadder():
                results["titles"].append(_title(event))
                shown = [(one.target_quality, one.chosen and one.chosen.contestant)
                         for one in event.rungs]  # fmt: skip
                print(json.dumps({"title": event.clip, "rungs": shown}), flush=True)
            case ClipSkipped():
                reason = event.reason.replace(f"{arguments.data / 'clips'}{os.sep}", "")
                results["skipped"].append({"clip": event.clip, "reason": reason})
            case PerTitle():
                results["fixed"] = [dataclasses.asdict(one) for one in event.fixed]
                results["not_fixed"] = event.not_fixed
                if arguments.pictures is not None:
                    arguments.pictures.mkdir(parents=True, exist_ok=True)
                    draw_ladders(event, arguments.pictures / "per_title.png")
            case _:
                continue
        write_results(results, RESULTS)


def _title(ladder: TitleLadder) -> dict[str, Any]:
    fields = dataclasses.asdict(ladder)
    for rung in fields["rungs"]:
        if rung["chosen"] is not None:
            del rung["chosen"]["ffmpeg_command"]  # it names this machine's paths
    return fields


if __name__ == "__main__":
    main()

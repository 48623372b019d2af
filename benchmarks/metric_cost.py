"""Times the learned metrics against the machines they stand for, on the same frames.

``python -m benchmarks.metric_cost --data ../shared/data`` takes some minutes. Detectors that are
not at hand are built with untrained weights: their time does not depend on them. On CPUs the time
is that of the thread, so that what else the machine does counts little. Ratios differ between
processors, so the figures of others stay beside those of this one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from ratesight.codecs.source import load_source
from ratesight.metrics.boxes import Picture
from ratesight.metrics.detector import Detector, load_detector
from ratesight.metrics.face_detector import load_yunet
from ratesight.metrics.face_embedder import load_face_embedder
from ratesight.metrics.faces import FaceMachine
from ratesight.metrics.learned import LearnedReference, load_learned_metric
from ratesight.metrics.plate_reader import load_rapidocr
from ratesight.metrics.plates import PlateMachine
from ratesight.metrics.views import LEARNED_TASKS

from .distortions import resized
from .machine import describe_machine
from .material_faces_plates import read_plate_pictures
from .result_file import write_results

RESULTS = Path(__file__).parent / "results" / "metric_cost.json"
_CLIP, _REPEATS = "street_people_720p.mp4", 5
# As many as the product gives at once: on CUDA all of them see a batch.
_FRAMES = 32 if torch.cuda.is_available() else 4
_SIZES = {"360p": (640, 360), "720p": (1280, 720), "1080p": (1920, 1080)}
_YOLO_SIZES = ("n", "s", "m", "x")


def main() -> None:
    """Times everything at every size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    arguments = parser.parse_args()
    weights = arguments.data / "weights"
    torch.set_num_threads(1)
    with load_source(arguments.data / "clips" / _CLIP, max_seconds=2) as clip:
        step = clip.num_frames // _FRAMES
        originals = [clip.bgr(index * step) for index in range(_FRAMES)]
    plate_photos = _plate_photos(arguments.data)
    detector = load_detector(str(weights / "yolov8n.pt"))
    yunet = load_yunet(weights / "face_detection_yunet.onnx")
    embedder = load_face_embedder(weights / "mobilefacenet.onnx")
    face_machine = FaceMachine(detector=yunet, embedder=embedder)
    plate_machine = PlateMachine(
        detector=load_detector(str(weights / "plate_yolov8n.pt")), reader=load_rapidocr()
    )
    machines = Machines(
        detector=detector,
        faces=face_machine,
        plates=plate_machine,
        yolos={size: _untrained(size) for size in _YOLO_SIZES},
    )
    measured = {"machine": describe_machine(), "device": _device(), "num_frames": _FRAMES}
    rows = []
    for name, (width, height) in _SIZES.items():
        pictures = [resized(one, width, height) for one in originals]
        plates = [resized(one, width, height) for one in plate_photos]
        row = {"size": name, **time_size(pictures, plates, machines)}
        rows.append(row)
        print(json.dumps(row), flush=True)
        # After every size: a machine may be lent for minutes.
        write(measured | {"rows": rows})


def write(measured: dict[str, Any]) -> None:
    """Writes what was measured beside what other machines gave, in place of what this one did."""
    before = json.loads(RESULTS.read_text())["machines"] if RESULTS.exists() else []
    others = [one for one in before if _place(one) != _place(measured)]
    write_results({"machines": [*others, measured]}, RESULTS)


def _place(measured: dict[str, Any]) -> tuple[str, str]:
    return measured["machine"]["processor"], measured["device"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Machines:
    """What the metrics stand for."""

    detector: Detector
    faces: FaceMachine
    plates: PlateMachine
    yolos: dict[str, Callable[[list[Picture]], object]]


def time_size(
    pictures: list[Picture], plate_photos: list[Picture], machines: Machines
) -> dict[str, object]:
    """Returns milliseconds a frame of everything, on frames of one size; plates on photos of it."""
    seen = machines.detector.detect(pictures, 0.4)
    faces = machines.faces.look(pictures)
    plates = machines.plates.look(plate_photos)
    objects = {
        "faces": [one.objects for one in faces],
        "plates": [one.objects for one in plates],
    }
    milliseconds: dict[str, float] = {}
    for task in LEARNED_TASKS:
        shown = plate_photos if task == "plates" else pictures
        metric = load_learned_metric(task, machines.detector)
        plain = [LearnedReference(objects=one) for one in objects.get(task, seen)]
        prepared = metric.prepare(plain, shown)
        milliseconds[f"{task} reference"] = _time(partial(metric.prepare, plain, shown))
        milliseconds[f"{task} distorted"] = _time(partial(metric.losses, prepared, shown))
    for size, look in machines.yolos.items():
        milliseconds[f"yolov8{size}"] = _time(partial(look, pictures))
    milliseconds |= {
        "face detector": _time(partial(machines.faces.detector.detect, pictures, 0.5)),
        "face embedder": _time(partial(machines.faces.losses, faces, pictures)),
        "plate detector": _time(partial(machines.plates.detector.detect, plate_photos, 0.4)),
        "plate reader": _time(partial(machines.plates.losses, plates, plate_photos)),
    }
    return {
        "num_regions": statistics.mean(len(one.class_names) for one in seen),
        "num_faces": statistics.mean(len(one.objects.class_names) for one in faces),
        "num_plates": statistics.mean(len(one.objects.class_names) for one in plates),
        "milliseconds_a_frame": milliseconds,
    }


def _plate_photos(data: Path) -> list[Picture]:
    """Returns photos of cars with a plate each; no clip at hand shows one that can be read."""
    found = read_plate_pictures(data / "plates")
    photos = [one.path for one in found if one.source == "openalpr_eu"]
    return [np.asarray(cv2.imread(str(path)), np.uint8) for path in photos[:_FRAMES]]


def _untrained(size: str) -> Callable[[list[Picture]], object]:
    from ultralytics import YOLO

    model = YOLO(f"yolov8{size}.yaml")
    torch.set_num_threads(1)

    def look(pictures: list[Picture]) -> object:
        torch.set_num_threads(1)
        return model.predict(pictures, imgsz=640, conf=0.25, verbose=False)

    return look


def _device() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu, one thread"


def _time(work: Callable[[], object]) -> float:
    """Returns the median milliseconds a frame, after a first run that warms up."""
    clock = time.perf_counter if torch.cuda.is_available() else time.thread_time
    work()
    taken = []
    for _ in range(_REPEATS):
        started = clock()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        taken.append((clock() - started) * 1000 / _FRAMES)
    return statistics.median(taken)


if __name__ == "__main__":
    main()

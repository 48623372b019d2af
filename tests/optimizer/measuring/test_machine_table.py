"""Kinds of machines: every row of the table keeps the same contract."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pytest
from ratesight.metrics.boxes import Picture
from ratesight.metrics.feature_file import open_feature_file
from ratesight.metrics.views import LEARNED_TASKS, VIEWS, LearnedTask
from ratesight.optimizer.commands.options import MachineName
from ratesight.optimizer.errors import RequestError
from ratesight.optimizer.measuring.machine_choice import MachineChoice
from ratesight.optimizer.measuring.machine_table import (
    MACHINE_KINDS,
    METRIC_NAMES,
    REAL_MACHINES,
    FileOption,
    MetricName,
    metrics_of,
    task_of,
)
from ratesight.optimizer.measuring.machines import load_machines, load_real_machine

# A picture that shows what a kind looks for.
PICTURES: dict[LearnedTask, str] = {
    "objects": "plates/openalpr_eu/eu1.jpg",
    "faces": "faces",
    "plates": "plates/openalpr_eu/eu1.jpg",
    "general": "plates/openalpr_eu/eu1.jpg",
}


@pytest.fixture
def picture(task: LearnedTask, data: Path) -> Picture:
    place = data / PICTURES[task]
    file = place if place.is_file() else min(place.rglob("*.jpg"))
    return np.asarray(cv2.imread(str(file)), np.uint8)


@pytest.fixture
def files(task: LearnedTask, data: Path) -> dict[FileOption, str]:
    """What the real machine of a kind is loaded from."""
    weights = data / "weights"
    known: dict[FileOption, str] = {
        "detector": str(weights / "yolov8n.pt"),
        "face_detector": str(weights / "face_detection_yunet.onnx"),
        "face_embedder": str(weights / "mobilefacenet.onnx"),
        "plate_detector": str(weights / "plate_yolov8n.pt"),
    }
    return {name: known[name] for name in MACHINE_KINDS[task].files}


def choice_of(metric: MetricName, files: dict[FileOption, str]) -> MachineChoice:
    embedder = files.get("face_embedder")
    return MachineChoice(
        asked_metric=metric,
        detector=files.get("detector"),
        face_detector=files.get("face_detector"),
        face_embedder=None if embedder is None else Path(embedder),
        face_levels=None if embedder is None else "imagenet",
        plate_detector=files.get("plate_detector"),
    )


def test_every_metric_has_a_row_and_a_name_on_the_command_line() -> None:
    assert tuple(MACHINE_KINDS) == LEARNED_TASKS == tuple(VIEWS)
    assert {kind.real for kind in MACHINE_KINDS.values()} == set(REAL_MACHINES)
    assert tuple(name.value for name in MachineName) == METRIC_NAMES
    assert all(task_of(name) == name for name in LEARNED_TASKS)
    assert [task_of(name) for name in REAL_MACHINES] == ["objects", "faces", "plates"]


def test_a_file_is_for_the_kinds_that_name_it() -> None:
    for option in get_args(FileOption):
        of = metrics_of(option)
        assert of
        assert {task_of(metric) for metric in of} <= {
            task for task, kind in MACHINE_KINDS.items() if option in kind.files
        }
    assert metrics_of("detector") == ("detector", "objects", "general")
    assert metrics_of("plate_detector") == ("plate-reader", "plates")


@pytest.mark.parametrize("task", MACHINE_KINDS)
def test_a_real_machine_loses_nothing_of_the_original_and_something_of_a_blur(
    task: LearnedTask, picture: Picture, files: dict[FileOption, str]
) -> None:
    blurred = np.asarray(cv2.GaussianBlur(picture, (0, 0), picture.shape[1] / 60), np.uint8)

    machine = load_real_machine(choice_of(MACHINE_KINDS[task].real, files))
    references = machine.look([picture])
    (same,) = machine.losses(references, [picture])
    (lost,) = machine.losses(references, [blurred])

    assert len(same) > 0
    assert same.max() < 0.02
    assert lost.max() > 0.2


@pytest.mark.parametrize("task", MACHINE_KINDS)
@pytest.mark.parametrize("has_files", [True, False], ids=["files", "nothing given"])
def test_a_learned_metric_is_verified_by_the_real_machine_that_is_there(
    task: LearnedTask, has_files: bool, files: dict[FileOption, str]
) -> None:
    kind = MACHINE_KINDS[task]
    choice = choice_of(task, files if has_files else {})

    with open_feature_file() as feature_file:
        machines = load_machines(choice, feature_file)
        alone = load_machines(choice, feature_file, is_verified=False)

    assert choice.has_real_machine == (has_files or not kind.needed)
    assert (machines.real is not None) == choice.has_real_machine
    assert alone.real is None
    assert machines.task == task
    assert (choice.finder is not None) == has_files


@pytest.mark.parametrize("task", [task for task, kind in MACHINE_KINDS.items() if kind.needed])
def test_a_real_machine_says_what_it_needs(task: LearnedTask) -> None:
    kind = MACHINE_KINDS[task]
    with pytest.raises(RequestError, match=f"metric {kind.real} needs a {kind.needed[0]}"):
        MachineChoice(asked_metric=kind.real)

"""Which machines a run loads, all of them real."""

from __future__ import annotations

from pathlib import Path

import pytest
from ratesight.metrics.feature_file import open_feature_file
from ratesight.optimizer.measuring.machine_choice import MachineChoice, MetricName
from ratesight.optimizer.measuring.machines import load_machines


@pytest.mark.parametrize("metric", ["plates", "plate-reader"])
def test_the_real_machine_is_loaded_where_it_is_asked(data: Path, metric: MetricName) -> None:
    choice = MachineChoice(
        asked_metric=metric, plate_detector=str(data / "weights" / "plate_yolov8n.pt")
    )

    with open_feature_file() as file:
        verified = load_machines(choice, file)
        alone = load_machines(choice, file, is_verified=False)

    is_learned = metric == "plates"
    assert (verified.real is not None) == is_learned
    assert alone.real is None
    assert alone.own.version == verified.own.version
    assert ("rapidocr" in alone.own.version) != is_learned

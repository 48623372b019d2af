"""A tuning run without any weights but our own."""

from __future__ import annotations

from pathlib import Path

from ratesight.optimizer.aim import TargetQuality
from ratesight.optimizer.events import Recommended
from ratesight.optimizer.request import TuneRequest
from ratesight.optimizer.tune import tune_events


def test_without_a_detector_our_own_proposals_find_the_regions(clips: Path, tmp_path: Path) -> None:
    request = TuneRequest(
        clip=clips / "carphone_qcif.mp4",
        aim=TargetQuality(quality=0.9),
        preset="veryfast",
        num_trials=2,
        max_seconds=0.5,
        frames_per_second=6.0,
        num_jobs=2,
        store=tmp_path / "store.sqlite",
    )

    *_, last = tune_events(request)

    assert isinstance(last, Recommended)
    found = last.recommendation
    assert found.machines.metric == "objects"
    assert found.machines.regions_by == "built-in proposals"
    assert found.machines.regions_sha256
    assert (found.machines.real_machine, found.real) == (None, None)
    assert (found.winner.real_quality, found.winner.map50) == (None, None)
    assert found.is_verified == (found.quality_gap >= -found.tolerance)
    assert any("No machine verified this but the metric objects" in one for one in found.notes)

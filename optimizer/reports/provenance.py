"""What a result depended on: machines, regions, versions, seeds."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ...codecs.address import shown_clip
from ...codecs.encoder import encoder_version
from ...codecs.settings import EncodeSettings
from ..measuring.bench import Bench, Benches
from ..measuring.machine_choice import MachineChoice
from ..measuring.machines import Machines
from ..measuring.measure import Measurer
from ..measuring.store import Json
from ..recommendation import MachinesUsed, RegionsUsed
from ..request import TuneRequest, num_jobs_here

if TYPE_CHECKING:
    from ..compare import CompareRequest
    from ..titles.request import PerTitleRequest

_DISTRIBUTIONS = (
    "ratesight", "av", "torch", "torchvision", "ultralytics", "optuna", "numpy", "scipy",
)  # fmt: skip


def machines_used(request: TuneRequest, machines: Machines, benches: Benches) -> MachinesUsed:
    """Returns what a search went by, and what verified it."""
    choice = request.machine
    return MachinesUsed(
        metric=choice.metric,
        metric_sha256=machines.metric_sha256,
        regions_by=choice.finder or "built-in proposals",
        regions_sha256=machines.finder.weights_sha256,
        real_machine=None if benches.real is None else benches.real.machine.version,
    )


def regions_used(
    request: TuneRequest, settings: EncodeSettings, weights_sha256: str
) -> RegionsUsed | None:
    """Returns where the regions of settings come from; None where they have none."""
    if settings.regions is None:
        return None
    file = str(request.regions) if isinstance(request.regions, Path) else None
    choice = request.machine
    return RegionsUsed(
        file=file,
        metric=choice.metric,
        detector=choice.finder,
        image_size=request.machine.image_size,
        match_score=request.machine.thresholds.match,
        weights_sha256=weights_sha256 if file is None else None,
    )


def provenance(request: TuneRequest, bench: Bench, measurer: Measurer) -> dict[str, Json]:
    """Returns all that a run depended on, its bench being that of the verification."""
    return {
        "clip": shown_clip(request.clip),
        "clip_content_sha256": bench.source.content_sha256,
        "num_frames": bench.source.num_frames,
        **_frames_asked(request),
        "is_shortened": bench.source.is_shortened,
        "num_segments": request.num_segments,
        "segment_seconds": request.segment_seconds,
        "verified_frames": list(bench.frames),
        "max_verified_frames": request.max_verified_frames,
        "second_detector": request.second_detector,
        "num_objects": bench.num_objects,
        "encoder": encoder_version(request.codec),
        **_machine_asked(request.machine),
        "machine_version": bench.machine.version,
        "annotations": str(request.annotations) if request.annotations else None,
        "min_fps": request.min_fps,
        "num_region_trials": 0 if request.regions is None else request.num_region_trials,
        "sampler": request.search_sampler,
        "seed": request.seed,
        "num_warm_starts": request.num_warm_starts,
        "num_under_way": request.num_under_way,
        "num_jobs": measurer.num_jobs,
        **software(),
    }


def looked_at(
    request: CompareRequest | PerTitleRequest, contents: Mapping[str, str], machine_version: str
) -> dict[str, Json]:
    """Returns what a run over several clips depended on, but for what is its own.

    Args:
        contents: SHA-256 of the decoded frames of each clip.
        machine_version: Of what judged, as the store has it.
    """
    codecs = dict.fromkeys(one.settings.codec for one in request.contestants)
    return {
        "clips": [shown_clip(clip) for clip in request.clips],
        "clips_content_sha256": dict(contents),
        **_frames_asked(request),
        **_machine_asked(request.machine),
        "regions_by": request.machine.finder or "built-in proposals",
        "machine_version": machine_version,
        "encoders": [encoder_version(codec) for codec in codecs],
        **software(),
    }


def _frames_asked(request: TuneRequest | CompareRequest | PerTitleRequest) -> dict[str, Json]:
    return {
        "frame_rate": None if request.frame_rate is None else str(request.frame_rate),
        "max_seconds": request.max_seconds,
        "frames_per_second": request.frames_per_second,
    }


def _machine_asked(choice: MachineChoice) -> dict[str, Json]:
    return {
        "metric": choice.metric,
        "detector": choice.detector,
        "face_detector": choice.face_detector,
        "face_embedder": None if choice.face_embedder is None else str(choice.face_embedder),
        "face_levels": choice.face_levels,
        "plate_detector": choice.plate_detector,
        "image_size": choice.image_size,
        "reference_score": choice.thresholds.reference,
        "match_score": choice.thresholds.match,
    }


def software() -> dict[str, Json]:
    """Returns when this is, on what, and the versions of all that a result depends on."""
    return {
        "created_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "num_cores": num_jobs_here(0),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: importlib.metadata.version(name) for name in _DISTRIBUTIONS},
    }

"""Applies a recommendation to a whole file, regions included."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

from ..codecs.container import open_container
from ..codecs.frames import FrameReader
from ..codecs.limits import USUAL_LIMITS, ClipLimits
from ..codecs.planes import video_frame
from ..codecs.region import ClipRegions, read_regions
from ..codecs.settings import EncodeSettings
from ..codecs.shots import ShotCrf
from ..codecs.source import to_bgr
from ..codecs.table import ENCODERS
from ..codecs.transcode import Transcoded, check_target, transcode
from ..metrics.boxes import Detections, Picture
from ..metrics.detector import Detector
from .measuring.machine_table import task_of
from .measuring.regions import RegionSource, own_regions, region_step, seen_regions, shape_regions
from .recommendation import RegionsUsed


def apply_settings(
    settings: EncodeSettings,
    used: RegionsUsed | None,
    clip: Path,
    target: Path,
    *,
    shots: Sequence[ShotCrf] | None = None,
    frame_rate: Fraction | None = None,
    limits: ClipLimits = USUAL_LIMITS,
    progress: Callable[[str, int], None] | None = None,
) -> Transcoded:
    """Encodes a whole clip into a file; where settings have regions, looks for objects first.

    Args:
        settings: Of a recommendation.
        used: How to find the regions, where the settings have any.
        shots: Of this very clip, each with its CRF; the one CRF of the settings where None.
        frame_rate: Overrides the clip's own.
        limits: What the clip may cost.
        progress: Called with what is being done and the number of frames read.

    Raises:
        ClipError, TargetError, EncodeError: As of ``transcode``.
        SettingsError: The shots are not those of the clip.
        RegionError: A file of regions is malformed or another clip's.
        WeightsError: The detector cannot be loaded, or is not that of the search.
    """

    def report(what: str) -> Callable[[int], None] | None:
        return None if progress is None else lambda count: progress(what, count)

    regions = None
    check_target(settings, clip, target)  # before a detector has looked through all of the clip
    if settings.regions is not None and used is not None:
        regions = _make_regions(settings, used, clip, frame_rate, limits, report("looking"))
    return transcode(
        settings,
        clip,
        target,
        frame_rate=frame_rate,
        limits=limits,
        regions=regions,
        shots=shots,
        progress=report("encoding"),
    )


def _make_regions(
    settings: EncodeSettings,
    used: RegionsUsed,
    clip: Path,
    frame_rate: Fraction | None,
    limits: ClipLimits,
    progress: Callable[[int], None] | None,
) -> ClipRegions:
    """Reads the clip once and returns its regions."""
    # Torch takes seconds to load, and most settings have no regions.
    from .measuring.machine_table import load_finder

    assert settings.regions is not None
    with open_container(clip, frame_rate, limits) as container:
        reader = FrameReader(container, clip, frame_rate=frame_rate, limits=limits)
        if used.file is None:
            detector = load_finder(task_of(used.metric), used.detector, image_size=used.image_size)
            used.require_weights(detector.weights_sha256, used.detector)
            source = _look(reader, detector, used.match_score, progress)
        else:
            source = own_regions(read_regions(Path(used.file)), reader.frame_rate)
    return shape_regions(source, settings.regions, ENCODERS[settings.codec].roi_block)


def _look(
    reader: FrameReader,
    detector: Detector,
    min_score: float,
    progress: Callable[[int], None] | None,
) -> RegionSource:
    """Looks for objects all along a clip, as the search did, without a copy of it."""

    def pictures() -> Iterator[Picture]:
        for index, planes in enumerate(reader):
            if index % region_step(reader.frame_rate) == 0:
                yield to_bgr(video_frame(planes, reader, index), reader.color_space)
            if progress is not None:
                progress(index + 1)

    coming, seen = pictures(), list[Detections]()
    while batch := list(itertools.islice(coming, detector.batch_size)):
        seen += detector.detect(batch, min_score)
    return seen_regions(seen, reader, len(reader.timestamps))

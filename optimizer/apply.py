"""Applies a recommendation to a whole file, regions included."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from ..codecs.container import open_container
from ..codecs.frames import FrameReader, video_frame
from ..codecs.region import ClipRegions, read_regions
from ..codecs.settings import EncodeSettings
from ..codecs.source import to_bgr
from ..codecs.table import ENCODERS
from ..codecs.transcode import Transcoded, transcode
from ..metrics.boxes import Detections
from ..metrics.detector import Detector, Picture, load_detector
from ..metrics.tracks import link
from .recommendation import RegionsUsed
from .regions import RegionSource, region_step, shape_regions, tracks_of


def apply_settings(
    settings: EncodeSettings,
    used: RegionsUsed | None,
    clip: Path,
    target: Path,
    *,
    frame_rate: Fraction | None = None,
    progress: Callable[[str, int], None] | None = None,
) -> Transcoded:
    """Encodes a whole clip into a file; where settings have regions, looks for objects first.

    Args:
        settings: Of a recommendation.
        used: How to find the regions, where the settings have any.
        frame_rate: Overrides the clip's own.
        progress: Called with what is being done and the number of frames read.

    Raises:
        ClipError, TargetError, EncodeError: As of ``transcode``.
        RegionError: A file of regions is malformed or another clip's.
        WeightsError: The detector cannot be loaded.
    """

    def report(what: str) -> Callable[[int], None] | None:
        return None if progress is None else lambda count: progress(what, count)

    regions = None
    if settings.regions is not None and used is not None:
        regions = _make_regions(settings, used, clip, frame_rate, report("looking"))
    return transcode(
        settings,
        clip,
        target,
        frame_rate=frame_rate,
        regions=regions,
        progress=report("encoding"),
    )


def _make_regions(
    settings: EncodeSettings,
    used: RegionsUsed,
    clip: Path,
    frame_rate: Fraction | None,
    progress: Callable[[int], None] | None,
) -> ClipRegions:
    """Reads the clip once and returns its regions."""
    assert settings.regions is not None
    given = None if used.file is None else read_regions(Path(used.file))
    with open_container(clip, frame_rate) as container:
        reader = FrameReader(container, clip, frame_rate=frame_rate)
        if given is None:
            source = _look(reader, load_detector(used.detector, image_size=used.image_size),
                           used.match_score, progress)  # fmt: skip
            width, height, num_frames = reader.width, reader.height, len(reader.timestamps)
        else:
            source = RegionSource(tracks=tracks_of(given), step_frames=1, key=None)
            width, height, num_frames = given.width, given.height, len(given.frames)
        return shape_regions(
            source,
            settings.regions,
            width=width,
            height=height,
            num_frames=num_frames,
            frame_rate=reader.frame_rate,
            block=ENCODERS[settings.codec].roi_block,
        )


def _look(
    reader: FrameReader,
    detector: Detector,
    min_score: float,
    progress: Callable[[int], None] | None,
) -> RegionSource:
    """Looks for objects all along a clip, as the search did."""
    step = region_step(reader.frame_rate)
    frames: list[int] = []
    pictures: list[Picture] = []
    seen: list[Detections] = []
    for index, planes in enumerate(reader):
        if index % step == 0:
            frames.append(index)
            pictures.append(to_bgr(video_frame(planes, reader, index), reader.color_space))
        if len(pictures) == detector.batch_size:
            seen += detector.detect(pictures, min_score)
            pictures.clear()
        if progress is not None:
            progress(index + 1)
    if pictures:
        seen += detector.detect(pictures, min_score)
    return RegionSource(tracks=link(frames, seen), step_frames=step, key=None)

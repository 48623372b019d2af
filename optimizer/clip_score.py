"""What one clip keeps of another: values of regions, of frames, and of the clip."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np

from ..metrics.boxes import Floats
from .measuring.footage import Array
from .measuring.machine_table import METRIC_NAMES
from .measuring.store import Json

SignalName = Literal["psnr", "ssim", "xpsnr"]
# Each with its field of Fidelity.
SIGNALS: dict[SignalName, str] = {"psnr": "psnr_db", "ssim": "ssim", "xpsnr": "xpsnr_db"}
METRICS: tuple[str, ...] = (*METRIC_NAMES, *SIGNALS)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionScore:
    """What is kept of one region of one frame.

    Attributes:
        box: x0 y0 x1 y1 in pixels.
        class_name: Empty where nobody gave one.
        weight: In (0, 1], its share in the frame's value.
        value: In [0, 1]; 1 is nothing lost.
    """

    box: tuple[float, float, float, float]
    class_name: str
    weight: float
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameScore:
    """One frame by one metric.

    Attributes:
        frame: Index in the clip.
        regions: That the value is the weighted mean of; none for a metric of the whole frame.
    """

    frame: int
    time_seconds: float
    value: float
    regions: tuple[RegionScore, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricScore:
    """A clip by one metric; higher is better.

    Attributes:
        value: Over all frames. Of machines the mean over regions by weight, in [0, 1]; of
            PSNR and XPSNR from the mean error, in dB, at most 100; of SSIM the mean, at most 1.
        frames: Those that have a value: all for PSNR, SSIM and XPSNR; for others, the frames
            looked at that have a region.
        num_frames_looked_at: Whether they have a region or not.
    """

    metric: str
    value: float
    frames: tuple[FrameScore, ...]
    num_frames_looked_at: int

    @property
    def p5(self) -> float:
        """5th percentile over frames."""
        return float(np.percentile([one.value for one in self.frames], 5))

    @property
    def min(self) -> float:
        """Of the worst frame."""
        return self.worst.value

    @property
    def worst(self) -> FrameScore:
        """The frame of the lowest value."""
        return min(self.frames, key=lambda one: one.value)

    @property
    def num_regions(self) -> int | None:
        """Over all frames; None for a metric of the whole frame."""
        if self.metric in SIGNALS:
            return None
        return sum(len(one.regions) for one in self.frames)

    def to_json(self) -> dict[str, Json]:
        """Returns plain JSON values, regions but no frames."""
        return {
            "value": self.value,
            "p5": self.p5,
            "min": self.min,
            "min_frame": self.worst.frame,
            "num_frames": len(self.frames),
            "num_frames_looked_at": self.num_frames_looked_at,
            "num_regions": self.num_regions,
            "regions": None if self.num_regions is None else list(self._regions()),
        }

    def _regions(self) -> Iterator[dict[str, Json]]:
        for frame in self.frames:
            for region in frame.regions:
                yield {
                    "frame": frame.frame,
                    "box": list(region.box),
                    "class": region.class_name or None,
                    "weight": region.weight,
                    "value": region.value,
                }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeatMap:
    """Where a machine loses sight, on the worst frame.

    Attributes:
        picture: The distorted frame, (height, width, 3) BGR.
        losses: (rows, columns) in [0, 1] that divide the picture evenly; 0 is nothing lost.
    """

    metric: str
    score: FrameScore
    picture: Array
    losses: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What one clip keeps of another.

    Attributes:
        metrics: In the order they were asked for.
        heat_map: Of the first learned metric, where it was asked for.
        notes: What was changed on the way in, in words.
    """

    width: int
    height: int
    frame_rate: Fraction
    num_frames: int
    metrics: tuple[MetricScore, ...]
    heat_map: HeatMap | None
    notes: tuple[str, ...]

    def __getitem__(self, metric: str) -> MetricScore:
        """Returns one metric by its name."""
        for one in self.metrics:
            if one.metric == metric:
                return one
        raise KeyError(metric)

    def to_json(self) -> dict[str, Json]:
        """Returns plain JSON values: ``metrics`` by name, and what was compared."""
        return {
            "width": self.width,
            "height": self.height,
            "frame_rate": str(self.frame_rate),
            "num_frames": self.num_frames,
            "metrics": {one.metric: one.to_json() for one in self.metrics},
            "heat_map": None
            if self.heat_map is None
            else {"metric": self.heat_map.metric, "frame": self.heat_map.score.frame},
            "notes": list(self.notes),
        }

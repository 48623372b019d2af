"""What a search is after: the lowest rate at a quality or over many, the best quality at a rate."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .curves.curve import RdCurve, Reading
from .errors import RequestError

# What lies nearer to an end of (0, 1) than any measurement can tell.
_RESOLUTION = 1e-6


def clipped_quality(quality: float) -> float:
    """Returns the nearest quality that may be a target."""
    return min(max(quality, _RESOLUTION), 1 - _RESOLUTION)


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetQuality:
    """The lowest rate that keeps a quality in (0, 1).

    Attributes:
        or_less: Nobody named this quality: where a clip cannot have it, less will do.
    """

    quality: float
    or_less: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.quality < 1:
            raise RequestError(f"target_quality must be between 0 and 1, got {self.quality:g}")

    def rate_on(self, curve: RdCurve) -> Reading:
        """Returns the rate in kbit/s at which a curve meets the aim."""
        return curve.rate_at(self.quality)


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRate:
    """The best quality within a rate."""

    rate_kbps: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.rate_kbps) and self.rate_kbps > 0):
            raise RequestError(f"target_rate must be above 0 kbit/s, got {self.rate_kbps:g}")

    def rate_on(self, curve: RdCurve) -> Reading:
        """Returns the rate in kbit/s at which a curve meets the aim."""
        low, high = math.exp(curve.log_rates[0]), math.exp(curve.log_rates[-1])
        if self.rate_kbps < low:
            return Reading(value=low, end="low")
        if self.rate_kbps > high:
            return Reading(value=high, end="high")
        return Reading(value=self.rate_kbps)


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityRange:
    """The lowest rate over a range of qualities in (0, 1): BD-rate.

    Attributes:
        quality: In the range; what the recommended CRF is chosen for.
    """

    low: float = 0.8
    high: float = 0.97
    quality: float = 0.95

    def __post_init__(self) -> None:
        if not 0 < self.low < self.high < 1:
            raise RequestError(
                f"quality_range must be low and high between 0 and 1, got {self.low:g} and "
                f"{self.high:g}"
            )
        if not self.low <= self.quality <= self.high:
            raise RequestError(
                f"target_quality must lie in the quality_range {self.low:g} to {self.high:g}, "
                f"got {self.quality:g}"
            )

    def rate_on(self, curve: RdCurve) -> Reading:
        """Returns the rate in kbit/s at which a curve has the quality to recommend."""
        return curve.rate_at(self.quality)


Aim = TargetQuality | TargetRate | QualityRange

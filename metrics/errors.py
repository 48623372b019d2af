"""What can go wrong with detectors, annotations and scores."""

from __future__ import annotations

from ..errors import RatesightError


class MetricError(RatesightError):
    """Root of this package's errors."""


class WeightsError(MetricError, ValueError):
    """A model's weights are missing, damaged, or of the wrong kind."""


class AnnotationError(MetricError, ValueError):
    """An annotation file does not describe the clip."""


class NoObjectsError(MetricError, ValueError):
    """There is nothing to see on the original, so nothing can be lost."""


class FeatureFileError(MetricError, OSError):
    """There is no room for the features of the original."""

"""What can go wrong with a search and its store."""

from __future__ import annotations

from ..errors import RatesightError


class OptimizerError(RatesightError):
    """Root of this package's errors."""


class RequestError(OptimizerError, ValueError):
    """What was asked for makes no sense."""


class UnreachableError(OptimizerError, ValueError):
    """The encoder's defaults cannot reach the target on this clip at all."""


class CurveError(OptimizerError, ValueError):
    """A rate-quality curve, or a pair of them, that no honest BD-rate can be made of."""


class StoreError(OptimizerError, OSError):
    """The store cannot be opened, read or written; what it holds is kept."""


class ClusterError(OptimizerError, RuntimeError):
    """The machines of a cluster cannot be reached, or would not measure what this one does."""


class OutputError(OptimizerError, OSError):
    """A result cannot be written."""


class RecommendationError(OptimizerError, ValueError):
    """A file is not a recommendation of ours."""

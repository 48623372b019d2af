"""Rules that several requests have in common."""

from __future__ import annotations

import math

from .errors import RequestError


def check_above_0(**values: float | None) -> None:
    """Refuses values that are not above 0 and finite; None is none that was given.

    Raises:
        RequestError: One is not.
    """
    for name, value in values.items():
        if value is not None and not 0 < value < math.inf:
            raise RequestError(f"{name} must be above 0 and finite, got {value:g}")


def check_not_negative(**counts: int) -> None:
    """Refuses negative counts.

    Raises:
        RequestError: One is.
    """
    for name, count in counts.items():
        if count < 0:
            raise RequestError(f"{name} must not be negative, got {count}")

"""The root of all errors that ratesight raises on purpose."""

from __future__ import annotations


class RatesightError(Exception):
    """What was asked for cannot be done; the text says why, in one line."""

"""Whether frames are shown as the rate of their clip says."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

# A rate that a clip states may be rounded by so much.
_RATE_TOLERANCE = 0.01


def is_uneven(
    timestamps: list[int | None], time_base: Fraction | None, frame_rate: Fraction
) -> bool:
    """Returns whether frames are spaced unevenly, or otherwise than the rate says.

    Half a frame, from one to the next or from where an even clock has it, is far above the rounding
    of a millisecond time base at any usual rate. From there on ffmpeg drops or doubles frames.
    """
    known = sorted(pts for pts in timestamps if pts is not None)
    if time_base is None or len(known) < 3:
        return False
    frame_units = float(1 / (frame_rate * time_base))
    if np.any(np.abs(np.diff(known) - frame_units) > frame_units / 2):
        return True
    even = known[0] + frame_units * np.arange(len(known))
    return len(known) == len(timestamps) and bool(np.any(np.abs(known - even) > frame_units / 2))


def rate_otherwise_shown(
    timestamps: list[int | None], time_base: Fraction | None, frame_rate: Fraction
) -> float | None:
    """Returns how many frames a second are shown where that is not the rate that is told.

    None where it is, where frames are missing from it, and where nobody knows.
    """
    steps = np.diff(sorted(pts for pts in timestamps if pts is not None))
    if time_base is None or not len(steps):
        return None
    usual = steps[np.abs(steps - np.median(steps)) < np.median(steps) / 2]
    told = float(1 / (frame_rate * time_base))
    if any(abs(one.mean() / told - 1) <= _RATE_TOLERANCE for one in (steps, usual) if len(one)):
        return None
    return float(1 / (usual.mean() * float(time_base))) if len(usual) else None

"""Bootstrap over frames and over clips, and from how many of them on it says something."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.stats import binom, norm, t

Floats = npt.NDArray[np.float64]

# Fewer make too few different resamples: the interval would be a point, or nearly so.
FEWEST_FRAMES = 4
# The median of five clips lies outside of all their values with a probability of 2 / 2^5 = 6 %.
LEAST_CLIPS = 6
NUM_RESAMPLES = 2000


def circular_blocks(
    num_frames: int, block_frames: int, num_resamples: int, rng: np.random.Generator
) -> npt.NDArray[np.intp]:
    """Returns (resamples, frames) indices, drawn in circular blocks of a quarter at most.

    Source: Politis and Romano, "A circular block-resampling procedure for stationary data", 1992.
    """
    block = _block(num_frames, block_frames)
    starts = rng.integers(0, num_frames, (num_resamples, -(-num_frames // block)))
    drawn = (starts[:, :, None] + np.arange(block)).reshape(num_resamples, -1)
    picked: npt.NDArray[np.intp] = drawn[:, :num_frames] % num_frames
    return picked


def _block(num_frames: int, block_frames: int) -> int:
    return min(max(1, block_frames), max(1, num_frames // 4))


def over_frames(
    percent: float, resampled: Floats, num_frames: int, block_frames: int
) -> tuple[float, float]:
    """Returns the 95 % interval of a change in percent, from what circular blocks of frames gave.

    Resampling b blocks finds b - 1 parts in b of the variance, and the ends of a normal
    distribution where Student's are due: both are made up for, about the change, in log ratios. How
    often the truth is held by that: ``benchmarks.interval_coverage``.
    """
    return _widened(percent, resampled, num_frames / _block(num_frames, block_frames))


def over_clips(
    percent_of: Callable[[npt.NDArray[np.intp]], float], num_clips: int
) -> tuple[float, float] | None:
    """Returns the 95 % interval of a change in percent over clips; None of fewer than six.

    Widened as that over frames is. How often the truth is held: ``benchmarks.interval_coverage``.

    Args:
        percent_of: The change of the clips of some indices, each of which may come repeatedly.
    """
    if num_clips < LEAST_CLIPS:
        return None
    draws = np.random.default_rng(0).integers(0, num_clips, (NUM_RESAMPLES, num_clips))
    resampled = np.array([percent_of(picked) for picked in draws])
    return _widened(percent_of(np.arange(num_clips)), resampled, num_clips)


def _widened(percent: float, resampled: Floats, num_blocks: float) -> tuple[float, float]:
    wider = t.ppf(0.975, num_blocks - 1) / norm.ppf(0.975)
    wider *= np.sqrt(num_blocks / (num_blocks - 1))
    middle = np.log1p(percent / 100)
    log_ends = np.log1p(np.array(ends(resampled)) / 100)
    low, high = np.expm1(middle + wider * (log_ends - middle)) * 100
    return float(low), float(high)


def median_interval(values: Floats) -> tuple[float, float] | None:
    """Returns the 95 % interval of a median over clips; None of fewer than six.

    Between two of the values, such that at least 95 % of samples of any continuous distribution
    have its median there: resampled medians of seven clips have it in 87.5 %.

    Source: Conover, "Practical Nonparametric Statistics", 1999, section 3.2.
    """
    if len(values) < LEAST_CLIPS:
        return None
    num_beyond = int(binom.ppf(0.025, len(values), 0.5)) - 1
    ordered = np.sort(values)
    return float(ordered[num_beyond]), float(ordered[-1 - num_beyond])


def ends(resampled: Floats) -> tuple[float, float]:
    """Returns the ends of the 95 % interval of what resamples gave."""
    low, high = np.percentile(resampled, [2.5, 97.5])
    return float(low), float(high)

"""What to expect of measured changes of many clips, some of which were chosen for what they say."""

from __future__ import annotations

import numpy as np

from .bootstrap import Floats


def expected_percents(percents: Floats, deviations: Floats) -> Floats:
    """Returns what to expect of changes that were measured with errors, in percent.

    True changes are taken for normally distributed about a common mean, in log ratios; each
    measured one is drawn to that mean by as much as its error makes of what clips differ by. Such
    expectations stay true of clips that are chosen by what was measured of them; what was measured
    does not: among many, those with the luckiest errors are chosen.

    Sources: DerSimonian and Kacker, "Random-effects model for meta-analysis of clinical trials: an
    update", 2007, two-step estimate of the variance of the true changes, which one clip that is
    known very well does not rule; Efron, "Tweedie's formula and selection bias", 2011. How far they
    are right: ``benchmarks.interval_coverage``.

    Args:
        percents: (clips,) measured, above -100; at least one.
        deviations: (clips,) standard deviation of the error of each, in log ratios, above 0.
    """
    measured, variances = np.log1p(percents / 100), deviations**2
    spread = _variance_between(measured, variances, np.ones_like(measured))
    spread = _variance_between(measured, variances, 1 / (variances + spread))
    common = np.average(measured, weights=1 / (variances + spread))
    kept = spread / (variances + spread)
    # Of a log-normal distribution: its mean is above that of its logarithm.
    expected = common + kept * (measured - common) + kept * variances / 2
    found: Floats = np.expm1(expected) * 100
    return found


def _variance_between(measured: Floats, variances: Floats, weights: Floats) -> float:
    """Returns by how much more the measured values vary than their errors make them."""
    shares = weights / weights.sum()
    scale = 1 - float(shares @ shares)
    if scale <= 0:  # one clip
        return 0.0
    scatter = float(shares @ (measured - shares @ measured) ** 2)
    return max(0.0, (scatter - float(shares @ (variances * (1 - shares)))) / scale)

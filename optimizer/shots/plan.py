"""Shares bits over the shots of a clip at equal slope.

Of all ways to choose a CRF for each shot, those at which a bit saves the same loss in every shot
cannot be bettered: no other choice has less loss at as few bits. They are found by walking down
the lower convex hulls of all shots together, the steepest step first.

Source: Shoham and Gersho, "Efficient bit allocation for an arbitrary set of quantizers", IEEE
Trans. ASSP 36, 1988; shots instead of blocks as in Katsavounidis, "Dynamic optimizer: a perceptual
video encoding optimization framework", Netflix, 2018.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from ..curves.curve import RdCurve
from ..curves.hull import lower_hull

Floats = npt.NDArray[np.float64]

# A plan's CRFs are multiples of this, which every encoder takes.
_CRF_STEP = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotCurve:
    """What a shot costs and what it loses at each CRF that a plan may choose.

    Attributes:
        crfs: (n,) falling.
        kilobits: (n,) of the whole shot, rising.
        losses: (n,) not rising; the losses of shots add up to that of the clip.
        weight: Of what there is to lose; 0 where there is nothing.
    """

    num_frames: int
    crfs: Floats
    kilobits: Floats
    losses: Floats
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A CRF for each shot.

    Attributes:
        choices: Index into the curve of each shot.
        crfs: The CRF of each shot.
        mean_crf: Over the frames of the shots that have something to lose.
        kilobits, loss: Of all shots, as their curves say.
    """

    choices: tuple[int, ...]
    crfs: tuple[float, ...]
    mean_crf: float
    kilobits: float
    loss: float


def shot_curve(
    curve: RdCurve, *, num_frames: int, frame_rate: Fraction, weight: float
) -> ShotCurve:
    """Returns a shot's curve at every CRF between the lowest and the highest one measured.

    Args:
        curve: Of the shot, monotone.
        weight: The loss of the shot at quality 0.
    """
    low, high = math.ceil(curve.crfs[-1] / _CRF_STEP), math.floor(curve.crfs[0] / _CRF_STEP)
    crfs = np.arange(max(low, high), low - 1, -1) * _CRF_STEP
    # np.interp wants rising positions; where a fit is flat in CRF any of its rates is right.
    log_rates = np.interp(crfs, curve.crfs[::-1], curve.log_rates[::-1])
    return ShotCurve(
        num_frames=num_frames,
        crfs=crfs,
        kilobits=np.exp(log_rates) * float(num_frames / frame_rate),
        losses=weight * (1 - curve.qualities_at(log_rates)),
        weight=weight,
    )


def equal_slope_plans(curves: Sequence[ShotCurve]) -> list[Plan]:
    """Returns the plans of equal slope for the curves of all shots, from the smallest on."""
    hulls = [lower_hull(curve.kilobits, curve.losses) for curve in curves]
    steps = [
        (
            (curve.losses[after] - curve.losses[before])
            / (curve.kilobits[after] - curve.kilobits[before]),
            shot,
            after,
        )
        for shot, (curve, hull) in enumerate(zip(curves, hulls, strict=True))
        for before, after in itertools.pairwise(hull)
    ]
    choices = [hull[0] for hull in hulls]
    plans = [_plan(curves, choices)]
    # Slopes are below 0 and rise along a hull, so that the steps of a shot stay in order.
    for _, shot, after in sorted(steps):
        choices[shot] = after
        plans.append(_plan(curves, choices))
    return plans


def cheapest_plan(curves: Sequence[ShotCurve], max_loss: float) -> Plan:
    """Returns the smallest plan within a loss; the one of least loss where none is.

    A step down a hull may be a long one: the last is taken only as far as it must be.
    """
    plans = equal_slope_plans(curves)
    after = next((number for number, plan in enumerate(plans) if plan.loss <= max_loss), None)
    if after is None:
        return plans[-1]
    within = [plan for plan in _between(curves, plans, after) if plan.loss <= max_loss]
    return min([*within, plans[after]], key=lambda plan: plan.kilobits)


def best_plan(curves: Sequence[ShotCurve], max_kilobits: float) -> Plan:
    """Returns the plan of least loss within a size; the smallest where none is."""
    plans = equal_slope_plans(curves)
    after = next((at for at, plan in enumerate(plans) if plan.kilobits > max_kilobits), len(plans))
    if after == 0:
        return plans[0]
    within = [plan for plan in _between(curves, plans, after) if plan.kilobits <= max_kilobits]
    return min([plans[after - 1], *within], key=lambda plan: plan.loss)


def _between(curves: Sequence[ShotCurve], plans: Sequence[Plan], after: int) -> list[Plan]:
    """Returns the plans on the way from one of equal slope to the next, which is one shot's."""
    if not 0 < after < len(plans):
        return []
    before, goal = plans[after - 1].choices, plans[after].choices
    shot = next(n for n, (one, other) in enumerate(zip(before, goal, strict=True)) if one != other)
    return [
        _plan(curves, [*before[:shot], choice, *before[shot + 1 :]])
        for choice in range(before[shot] + 1, goal[shot])
    ]


def _plan(curves: Sequence[ShotCurve], choices: Sequence[int]) -> Plan:
    chosen = list(zip(curves, choices, strict=True))
    crfs = tuple(float(curve.crfs[choice]) for curve, choice in chosen)
    frames = [curve.num_frames if curve.weight > 0 else 0 for curve in curves]
    return Plan(
        choices=tuple(choices),
        crfs=crfs,
        mean_crf=float(np.average(crfs, weights=frames if any(frames) else None)),
        kilobits=float(sum(curve.kilobits[choice] for curve, choice in chosen)),
        loss=float(sum(curve.losses[choice] for curve, choice in chosen)),
    )

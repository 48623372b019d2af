"""Face verification: are two pictures of one person, and what does compression change in that?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .boxes import Floats

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationChange:
    """What compression changes in the accuracy of face verification.

    Attributes:
        original: Accuracy on the originals, in [0, 1].
        distorted: On the distorted pictures, at the thresholds of the originals: what a machine
            in use sees.
        refitted: The same with thresholds fitted to distorted pictures: what is left to see.
        low, high: 95 % interval of ``change``, from resampled pairs.
    """

    original: float
    distorted: float
    refitted: float
    low: float
    high: float

    @property
    def change(self) -> float:
        """Accuracy on the distorted pictures minus that on the originals; negative is a loss."""
        return self.distorted - self.original


def verification_change(
    original: Floats,
    distorted: Floats,
    is_same: Bools,
    folds: Ints,
    random: np.random.Generator,
    *,
    num_resamples: int = 1000,
) -> VerificationChange:
    """Returns the accuracy before and after compression, and the interval of its change.

    Args:
        original: (n,) cosines of the pairs' embeddings on the originals.
        distorted: (n,) of the same pairs on the distorted pictures.
        is_same: (n,) whether a pair is of one person.
        folds: (n,) number of the fold that a pair is in.
        random: For the interval; pairs are drawn anew within each fold, and thresholds fitted anew.

    Raises:
        ValueError: Shapes differ, or there are fewer than two folds.
    """
    if original.shape != distorted.shape:
        raise ValueError(
            f"original and distorted must be of the same pairs, got {original.shape} and "
            f"{distorted.shape}"
        )

    def accuracies(chosen: Ints) -> tuple[float, float]:
        labels = is_same[chosen], folds[chosen]
        before = verification_accuracy(original[chosen], *labels)
        after = verification_accuracy(distorted[chosen], *labels, fitted_on=original[chosen])
        return before, after

    before, after = accuracies(np.arange(len(folds)))
    members = [np.flatnonzero(folds == number) for number in np.unique(folds)]
    changes = np.empty(num_resamples)
    for index in range(num_resamples):
        drawn = accuracies(np.concatenate([random.choice(one, len(one)) for one in members]))
        changes[index] = drawn[1] - drawn[0]
    low, high = np.quantile(changes, [0.025, 0.975])
    return VerificationChange(
        original=before,
        distorted=after,
        refitted=verification_accuracy(distorted, is_same, folds),
        low=float(low),
        high=float(high),
    )


def verification_accuracy(
    cosines: Floats, is_same: Bools, folds: Ints, *, fitted_on: Floats | None = None
) -> float:
    """Returns the share of pairs told right, each fold by the best threshold of all others.

    Args:
        cosines: (n,) of the pairs' embeddings; higher is more alike.
        is_same: (n,) whether a pair is of one person.
        folds: (n,) number of the fold that a pair is in; no person should be in two.
        fitted_on: (n,) cosines of the same pairs that thresholds are fitted to, such as those of
            the originals; ``cosines`` where None.

    Returns:
        In [0, 1]; higher is better, 0.5 is chance where half of the pairs are of one person.

    Raises:
        ValueError: Shapes differ, or there are fewer than two folds.

    Source: Huang et al., "Labeled Faces in the Wild", UM-CS 07-49, View 2.
    """
    fitted = cosines if fitted_on is None else fitted_on
    if not cosines.shape == is_same.shape == folds.shape == fitted.shape or cosines.ndim != 1:
        raise ValueError(
            f"cosines, is_same, folds and fitted_on must be (n,), got {cosines.shape}, "
            f"{is_same.shape}, {folds.shape}, {fitted.shape}"
        )
    numbers = np.unique(folds)
    if len(numbers) < 2:
        raise ValueError(f"folds must be at least two, got {len(numbers)}")
    num_right = 0
    for number in numbers:
        is_in = folds == number
        threshold = best_threshold(fitted[~is_in], is_same[~is_in])
        num_right += int(((cosines[is_in] > threshold) == is_same[is_in]).sum())
    return num_right / len(cosines)


def best_threshold(cosines: Floats, is_same: Bools) -> float:
    """Returns the cosine that tells most pairs right; the middle one of several such.

    Args:
        cosines: (n,), n > 0.
        is_same: (n,).
    """
    values = np.unique(cosines)
    between = np.concatenate([[values[0] - 1], (values[1:] + values[:-1]) / 2, [values[-1] + 1]])
    num_right = ((cosines > between[:, None]) == is_same).sum(axis=1)
    best = between[num_right == num_right.max()]
    return float(best[len(best) // 2])

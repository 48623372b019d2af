"""Face verification: are two pictures of one person?"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .boxes import Floats


def verification_accuracy(
    cosines: Floats, is_same: npt.NDArray[np.bool_], folds: npt.NDArray[np.int64]
) -> float:
    """Returns the share of pairs told right, each fold by the best threshold of all others.

    Args:
        cosines: (n,) of the pairs' embeddings; higher is more alike.
        is_same: (n,) whether a pair is of one person.
        folds: (n,) number of the fold that a pair is in; no person should be in two.

    Returns:
        In [0, 1]; higher is better, 0.5 is chance where half of the pairs are of one person.

    Raises:
        ValueError: Shapes differ, or there are fewer than two folds.

    Source: Huang et al., "Labeled Faces in the Wild", UM-CS 07-49, View 2.
    """
    if not cosines.shape == is_same.shape == folds.shape or cosines.ndim != 1:
        raise ValueError(
            f"cosines, is_same and folds must be (n,), got {cosines.shape}, {is_same.shape}, "
            f"{folds.shape}"
        )
    numbers = np.unique(folds)
    if len(numbers) < 2:
        raise ValueError(f"folds must be at least two, got {len(numbers)}")
    num_right = 0
    for number in numbers:
        is_in = folds == number
        threshold = best_threshold(cosines[~is_in], is_same[~is_in])
        num_right += int(((cosines[is_in] > threshold) == is_same[is_in]).sum())
    return num_right / len(cosines)


def best_threshold(cosines: Floats, is_same: npt.NDArray[np.bool_]) -> float:
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

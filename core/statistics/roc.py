"""The area under the ROC curve of each class against the rest, and an interval of their mean.

Notation: M examples, K scored classes, n of a class's M examples.
    S (M, K)   scores; column k says how much an example looks like class k
    A_k        the share of pairs of an example i of class k and another one j with S_ik > S_jk;
               ties count half
    A          the mean of A_k

A is nearly a sum over examples: example i of class k moves it by the share of the others that it
beats, and the others' areas by the share of their examples that beat it. The variance of this sum
is estimated class by class. For two classes this is DeLong's estimate.
Source: DeLong, DeLong & Clarke-Pearson (1988), Biometrics 44, 837-845.
"""

from __future__ import annotations

from math import exp, log
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from core.statistics.probabilities import Probabilities, column_blocks
from core.statistics.proportions import Interval

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.intp]


class Area(NamedTuple):
    """The mean area A, and its standard error."""

    mean: float
    standard_error: float

    def interval(self, confidence: float = 0.95) -> Interval | None:
        """Return an interval that is symmetric in logit A, so that it stays within (0, 1).

        It is None where the standard error is zero, as without any error in the order: then these
        examples do not say how much lower the area may be.
        Source: Pepe (2003), The Statistical Evaluation of Medical Tests, section 5.2.
        """
        from scipy.stats import norm  # The import takes most of a second.

        A, error = self
        if error == 0 or not 0 < A < 1:
            return None
        reach = float(norm.isf((1 - confidence) / 2)) * error / (A * (1 - A))
        low, high = (1 / (1 + exp(-(log(A / (1 - A)) + side))) for side in (-reach, reach))
        return Interval(low, high)


def mean_area(S: Probabilities, y: Labels) -> Area:
    """Return the mean area for scores S (M, K) and labels y (M,) in 0..K-1.

    For two classes it is the one area, whichever of the two is scored. S is read in blocks of
    classes.

    Raises ValueError unless every class has an example.
    """
    M, K = S.shape
    sizes = np.bincount(y, minlength=K)
    if K < 2 or not sizes.all():
        raise ValueError(f"an area needs examples of two classes and of each, not {sizes.tolist()}")
    areas, moves = np.empty(K), np.zeros(M)
    for columns in column_blocks((M, K)):
        block = np.asfortranarray(S[:, columns])
        for column, k in zip(block.T, range(columns.start, columns.stop), strict=True):
            inside = y == k
            mine, others = column[inside], column[~inside]
            own, other = np.sort(mine), np.sort(others)
            beaten = _below(other, mine) / (M - sizes[k])  # of others, by each of the class
            beating = 1 - _below(own, others) / sizes[k]  # of the class, each of the others
            areas[k] = beaten.mean()
            moves[inside] += beaten / sizes[k]
            moves[~inside] += beating / (M - sizes[k])
    variance = 0.0
    for k, n in enumerate(sizes.tolist()):
        if n > 1:
            variance += n * float((moves[y == k] / K).var(ddof=1))
    return Area(float(areas.mean()), variance**0.5)


def _below(ordered: Floats, values: Floats) -> Floats:
    """Return how many of the ordered numbers are below each value, (len(values),); ties half."""
    left = np.searchsorted(ordered, values, side="left")
    return (left + np.searchsorted(ordered, values, side="right")) / 2

"""Statistics of proportions: intervals of one and of a mean of several; McNemar's test of two.

SciPy is imported inside functions, because the import of scipy.stats takes most of a second.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.integer[Any]]


class Interval(NamedTuple):
    """A confidence interval that includes both ends."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class McNemar:
    """The result of McNemar's test of two classifiers on the same examples.

    The counts are of the examples that only one classifier has right. ``p_value`` is two-sided,
    under the hypothesis that both classifiers have the same error rate.
    """

    only_first_correct: int
    only_second_correct: int
    p_value: float


def wilson_interval(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Return Wilson's two-sided score interval of a proportion.

    Unlike the normal approximation, it stays within [0, 1], and its width is above zero even for 0
    or ``n`` successes.
    Source: Wilson (1927), JASA 22(158), 209-212.

    Raises ValueError unless 0 <= successes <= n, n >= 1 and 0 < confidence < 1.
    """
    from scipy.special import ndtri

    if not (0 <= successes <= n and n >= 1):
        raise ValueError(f"successes must lie in 0..n with n >= 1, got {successes} of {n}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
    z, p = float(ndtri(0.5 + 0.5 * confidence)), successes / n
    weight = 2 * (n + z**2)
    middle = (2 * n * p + z**2) / weight
    reach = z / weight * math.sqrt(4 * n * p * (1 - p) + z**2)
    return Interval(
        middle - reach if successes > 0 else 0.0, middle + reach if successes < n else 1.0
    )


def mean_interval(
    successes: Sequence[int], sizes: Sequence[int], confidence: float = 0.95
) -> Interval:
    """Return an interval of the unweighted mean of k proportions from independent samples.

    It is the normal one after 2/k successes and 2/k failures were added to each sample, so that
    its width is above zero even without a failure. For one sample it is nearly Wilson's.
    Source: Price & Bonett (2004), Comput. Stat. Data Anal. 45, 449-456.

    Raises ValueError unless there is a sample and 0 <= successes <= size, size >= 1 for each.
    """
    from scipy.stats import norm

    x, n = np.array(successes, np.float64), np.array(sizes, np.float64)
    k = len(n)
    if k == 0 or x.shape != n.shape or not ((x >= 0) & (x <= n) & (n >= 1)).all():
        raise ValueError(f"{k} samples with {successes} successes of {sizes} have no mean")
    shares, added = (x + 2 / k) / (n + 4 / k), n + 4 / k
    error = float(np.sqrt((shares * (1 - shares) / added).sum())) / k
    reach = float(norm.isf((1 - confidence) / 2)) * error
    middle, mean = float(shares.mean()), float((x / n).mean())
    low, high = min(middle - reach, mean), max(middle + reach, mean)
    return Interval(max(0.0, low), min(1.0, high))


def mcnemar(only_first_correct: int, only_second_correct: int, mid_p: bool = False) -> McNemar:
    """Return McNemar's exact test of two counts of discordant examples; see `mcnemar_p_values`.

    Raises ValueError if a count is negative.
    """
    counts = np.array([only_first_correct]), np.array([only_second_correct])
    (p_value,) = mcnemar_p_values(*counts, mid_p=mid_p).tolist()
    return McNemar(only_first_correct, only_second_correct, p_value)


def mcnemar_p_values(
    only_first_correct: Counts, only_second_correct: Counts, mid_p: bool = False
) -> npt.NDArray[np.float64]:
    """Return the p values, (K,), of K exact tests with the discordant counts b and c, (K,) each.

    Under the hypothesis, b ~ Bin(b + c, ½). A p value is the probability of a division at least as
    uneven as b : c. With ``mid_p``, divisions that are exactly as uneven count half, which is less
    conservative. Without discordant examples, p = 1.
    Source: Fagerland, Lydersen & Laake (2013), BMC Med. Res. Methodol. 13:91.

    Raises ValueError if a count is negative.
    """
    from scipy.stats import binom

    smaller = np.minimum(only_first_correct, only_second_correct)
    if (smaller < 0).any():
        raise ValueError(f"counts must not be negative, got {smaller.min()}")
    n = only_first_correct + only_second_correct
    # A tail is limited to one half, because if b = c, both tails would have the middle term.
    tail = np.minimum(binom.cdf(smaller, n, 0.5), 0.5)
    other_tail = binom.cdf(smaller - 1, n, 0.5) if mid_p else tail
    return np.where(n == 0, 1.0, tail + other_tail)

"""Statistics of choosing between classifiers: intervals and paired tests, as pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import NamedTuple


class Interval(NamedTuple):
    """A confidence interval, both ends included."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class McNemar:
    """McNemar's test of two classifiers on the same examples.

    The counts are the discordant examples; ``p_value`` is two-sided, under the hypothesis that
    both classifiers have the same error rate.
    """

    only_first_correct: int
    only_second_correct: int
    p_value: float


def wilson_interval(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of a proportion, two-sided.

    Unlike the normal approximation it stays within [0, 1] and has width at 0 and ``n`` successes.
    Source: Wilson (1927), JASA 22(158), 209-212.

    Raises ValueError unless 0 <= successes <= n, n >= 1 and 0 < confidence < 1.
    """
    if not (0 <= successes <= n and n >= 1):
        raise ValueError(f"successes must lie in 0..n with n >= 1, got {successes} of {n}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    p = successes / n
    shrink = 1 + z**2 / n
    centre = (p + z**2 / (2 * n)) / shrink
    radius = z * sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / shrink
    # At the extremes an end equals 0 or 1 exactly, which rounding would miss.
    return Interval(
        low=0.0 if successes == 0 else centre - radius,
        high=1.0 if successes == n else centre + radius,
    )


def mcnemar(only_first_correct: int, only_second_correct: int, mid_p: bool = False) -> McNemar:
    """McNemar's exact test from the discordant counts b, c: under the hypothesis b ~ Bin(b + c, ½).

    The p value is the probability of a division at least as uneven as b : c; with ``mid_p``,
    those exactly as uneven count half, which is less conservative. Without discordant examples
    nothing speaks against the hypothesis: p = 1.
    Source: Fagerland, Lydersen & Laake (2013), BMC Med. Res. Methodol. 13:91.

    Raises ValueError if a count is negative.
    """
    smaller, larger = sorted((only_first_correct, only_second_correct))
    if smaller < 0:
        raise ValueError(f"counts must not be negative, got {smaller}")
    n = smaller + larger
    if n == 0:
        return McNemar(0, 0, 1.0)
    # In units of 2^-(n+1), as exact integers: binomial terms below 2^-1074 have no float.
    ways, more_uneven = 1, 0
    for k in range(smaller):
        more_uneven += 2 * ways
        ways = ways * (n - k) // (k + 1)
    as_uneven = ways if smaller == larger else 2 * ways
    favourable = 2 * more_uneven + (1 if mid_p else 2) * as_uneven
    return McNemar(only_first_correct, only_second_correct, favourable / 2 ** (n + 1))

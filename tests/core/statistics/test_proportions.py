from __future__ import annotations

from fractions import Fraction
from itertools import product
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.statistics.proportions import mcnemar, mean_interval, wilson_interval


@pytest.mark.parametrize(
    ("successes", "n", "confidence", "low", "high"),
    # statsmodels 0.15.0, proportion_confint(successes, n, 1 - confidence, method="wilson").
    [
        (0, 10, 0.95, 0.0, 0.27753279986288926),
        (10, 10, 0.95, 0.7224672001371106, 1.0),
        (5, 10, 0.99, 0.1842255182472355, 0.8157744817527646),
        (1, 3, 0.90, 0.07826572633372836, 0.746466131718776),
        (1946, 1968, 0.95, 0.9831315796067428, 0.9926060951405429),
    ],
)
def test_wilson_golden(successes: int, n: int, confidence: float, low: float, high: float) -> None:
    assert wilson_interval(successes, n, confidence) == pytest.approx((low, high), abs=1e-13)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_covers_the_proportion_and_mirrors(counts: tuple[int, int]) -> None:
    successes, n = counts
    low, high = wilson_interval(successes, n)
    assert 0 <= low <= successes / n <= high <= 1
    assert low < high
    mirrored = wilson_interval(n - successes, n)
    assert (1 - mirrored.high, 1 - mirrored.low) == pytest.approx((low, high), abs=1e-12)


@pytest.mark.parametrize(
    ("successes", "n", "confidence"), [(-1, 5, 0.9), (6, 5, 0.9), (0, 0, 0.9), (1, 2, 0), (1, 2, 1)]
)
def test_wilson_refuses(successes: int, n: int, confidence: float) -> None:
    with pytest.raises(ValueError, match="must lie"):
        wilson_interval(successes, n, confidence)


def enumerated(b: int, c: int, mid_p: bool) -> Fraction:
    """Every way in which b + c fair coins fall, weighed by how uneven it is."""
    if b == c == 0:
        return Fraction(1)  # by convention, where the mid-p formula would say ½
    total = Fraction(0)
    for coins in product((0, 1), repeat=b + c):
        unevenness = abs(2 * sum(coins) - (b + c))
        if unevenness > abs(b - c):
            total += 1
        elif unevenness == abs(b - c):
            total += Fraction(1, 2) if mid_p else 1
    return total / (1 << (b + c))


@given(b=st.integers(0, 6), c=st.integers(0, 6), mid_p=st.booleans())
def test_mcnemar_is_the_enumeration(b: int, c: int, mid_p: bool) -> None:
    result = mcnemar(b, c, mid_p)
    assert result.p_value == float(enumerated(b, c, mid_p))
    assert (result.only_first_correct, result.only_second_correct) == (b, c)
    assert mcnemar(c, b, mid_p).p_value == result.p_value


@pytest.mark.parametrize(
    ("b", "c", "p_value"),
    # statsmodels 0.15.0, mcnemar([[0, b], [c, 0]], exact=True).
    [(1, 7, 0.0703125), (10, 22, 0.050102459732443094), (121, 59, 4.4344492637551645e-06)],
)
def test_mcnemar_golden(b: int, c: int, p_value: float) -> None:
    assert mcnemar(b, c).p_value == pytest.approx(p_value, rel=1e-12)


def test_mcnemar_mid_p_published() -> None:
    # Fagerland et al. (2013), the airway data of their Table 1: 1 and 7 discordant pairs.
    assert mcnemar(1, 7, mid_p=True).p_value == pytest.approx(0.039, abs=5e-4)


def test_mcnemar_of_many_examples_does_not_overflow() -> None:
    assert mcnemar(20_000, 20_000).p_value == 1
    assert mcnemar(0, 5_000).p_value == 0
    assert 0 < mcnemar(4_800, 5_200).p_value < 1e-4


@pytest.mark.parametrize(
    ("b", "c", "sides"), [(1, 990, 2), (450, 550, 2), (4_800, 5_200, 2), (3_000, 3_000, 1)]
)
def test_mcnemar_of_thousands_has_the_value_of_exact_integers(b: int, c: int, sides: int) -> None:
    """sides: how many counts are as uneven as b, itself and the other side's."""
    n = b + c
    below, equal = 0, 1  # ways to choose fewer than k of n, and k
    for k in range(min(b, c)):
        below, equal = below + equal, equal * (n - k) // (k + 1)
    assert equal == comb(n, b)
    for mid_p, weight in ((False, Fraction(1)), (True, Fraction(1, 2))):
        expected = float((2 * below + weight * sides * equal) / 2**n)
        assert mcnemar(b, c, mid_p).p_value == pytest.approx(expected, rel=1e-12)


def test_mcnemar_refuses_negative_counts() -> None:
    with pytest.raises(ValueError, match="-1"):
        mcnemar(3, -1)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_mean_of_one_proportion_is_nearly_wilsons(counts: tuple[int, int]) -> None:
    """The normal interval with two of each added is wider, and has the same middle nearly."""
    (successes, n), (low, high) = counts, wilson_interval(*counts)
    found = mean_interval([successes], [n])
    assert found.low <= low + 0.003
    assert found.high >= high - 0.003
    assert found == pytest.approx((low, high), abs=0.06)


def test_the_mean_of_two_proportions_by_the_formula() -> None:
    """p = (7 + 1)/(10 + 2) and (18 + 1)/(20 + 2); variance Σ p (1 - p) / (n + 2) / 4."""
    error = 1.959963984540054 * (8 / 12 * 4 / 12 / 12 + 19 / 22 * 3 / 22 / 22) ** 0.5 / 2
    middle = (8 / 12 + 19 / 22) / 2
    assert mean_interval([7, 18], [10, 20]) == pytest.approx((middle - error, middle + error))


@pytest.mark.parametrize("shares", [(0.5, 0.9), (0.97, 0.99, 0.9), (0.05,) * 40])
@pytest.mark.parametrize("size", [10, 60])
def test_the_mean_is_covered_as_often_as_it_says(shares: tuple[float, ...], size: int) -> None:
    sizes = [size + 3 * k for k in range(len(shares))]
    hits = np.random.default_rng(0).binomial(sizes, shares, size=(2000, len(shares)))
    intervals = [mean_interval(row, sizes) for row in hits.tolist()]
    mean = sum(shares) / len(shares)
    assert 0.93 <= np.mean([low <= mean <= high for low, high in intervals]) <= 0.995


@pytest.mark.parametrize(("successes", "sizes"), [([], []), ([1], [0]), ([-1], [2]), ([3], [2])])
def test_a_mean_of_impossible_counts_is_refused(successes: list[int], sizes: list[int]) -> None:
    with pytest.raises(ValueError, match="have no mean"):
        mean_interval(successes, sizes)

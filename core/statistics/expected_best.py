"""How good the best of n random trials is expected to be, from the scores of N that were run.

This answers whether a smaller search would have been enough. If n trials are drawn at random, with
replacement, from the N scores, the distribution of their best V_n is known exactly (Dodge et al.
2019, "Show Your Work", EMNLP, section 3.1).

Notation: v_1 ≤ … ≤ v_N are the scores, sorted from best to worst; lower is better. At least one of
n draws is among the i best unless all n are among the N - i others:

    P(V_n ≤ v_i) = 1 - (1 - i/N)^n
    E[V_n] = Σ_i v_i (P(V_n ≤ v_i) - P(V_n ≤ v_{i-1}))
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class ExpectedBest(NamedTuple):
    """The distribution of the best of n trials, for B values of n.

    draws: the values of n. mean: E[V_n]. low, high: quantiles of V_n. Each is (B,).
    """

    draws: npt.NDArray[np.intp]
    mean: Floats
    low: Floats
    high: Floats


def expected_best(
    scores: npt.NDArray[np.floating[Any]],
    draws: Sequence[int],
    quantiles: tuple[float, float] = (0.1, 0.9),
) -> ExpectedBest:
    """Return the mean and two quantiles of the best of n trials, for each n in ``draws``.

    scores: (N,), finite; lower is better. draws: the values of n, each at least 1.

    Raises ValueError if there are no scores, one is not finite, or a number of draws is below 1.
    """
    v = np.sort(scores.astype(np.float64))
    n = np.asarray(draws, np.intp)
    if len(v) == 0 or not np.isfinite(v).all():
        raise ValueError(f"expected {len(v)} scores to be at least one, and finite")
    if n.min(initial=1) < 1:
        raise ValueError(f"{n.min()} draws have no best")
    beyond = 1 - np.arange(1, len(v) + 1) / len(v)  # 1 - i/N, (N,)
    reached = 1 - beyond[:, None] ** n  # P(V_n ≤ v_i), (N, B)
    mean = (v[:, None] * np.diff(reached, axis=0, prepend=0)).sum(axis=0)
    low, high = (v[np.argmax(reached >= q, axis=0)] for q in quantiles)
    return ExpectedBest(n, mean, low, high)


def best_of_some(scores: npt.NDArray[np.floating[Any]], sizes: Sequence[int]) -> Floats:
    """Return the mean of the best of n of the N scores, for each n in ``sizes``, (B,).

    Unlike in `expected_best`, none is drawn twice, so that the best of N is the best of all:
    E = Σ_i v_i C(N - i, n - 1) / C(N, n).

    Raises ValueError if a size is not from 1 to N, or a score is not finite.
    """
    v = np.sort(scores.astype(np.float64))
    N = len(v)
    if not np.isfinite(v).all() or not all(1 <= n <= N for n in sizes):
        raise ValueError(f"there are no best of {sizes} of {N} finite scores")
    means = []
    for n in sizes:
        # P(the best is v_i) = P(it is one of i, …, N) n / (N - i + 1), from the best downwards.
        left, mean = 1.0, 0.0
        for i in range(N - n + 1):
            share = n / (N - i)
            mean += left * share * v[i]
            left *= 1 - share
        means.append(mean)
    return np.array(means)


def draws_needed(scores: npt.NDArray[np.floating[Any]], target: float) -> int | None:
    """Return the smallest n with E[V_n] ≤ target, or None if no number of draws is enough.

    Raises ValueError as `expected_best` does.
    """
    limit = float(np.min(scores, initial=np.inf))
    if not target > limit and not expected_best(scores, [1]).mean[0] <= target:
        return None
    least, most = 0, 1  # E[V_n] falls with n, towards the limit.
    while expected_best(scores, [most]).mean[0] > target:
        least, most = most, 2 * most
    while most - least > 1:
        middle = (least + most) // 2
        if expected_best(scores, [middle]).mean[0] > target:
            least = middle
        else:
            most = middle
    return most

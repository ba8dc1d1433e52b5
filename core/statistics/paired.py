"""Paired comparisons of K trials that were scored on the same M examples.

Examples differ far more in difficulty than good trials differ in skill. Comparing the trials
example by example removes the difficulty.

Notation: S (K, M) scores, a row per trial, lower is better: cross-entropies, or errors as 0 and 1.
    d_k = S_k - S_r (M,)       differences to the reference r
    D_k, s_k                   their mean, and its standard error, std(d_k) / √M
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import stdtr

from core.statistics.proportions import mcnemar_p_values

Scores = npt.NDArray[np.floating[Any] | np.bool_]
Floats = npt.NDArray[np.float64]
NEGLIGIBLE = 0.01  # the share of the reference's standard error that does not matter
_ROWS = 256  # the number of rows of S that are converted to float64 at a time


class Means(NamedTuple):
    """The mean over the examples for each trial, and its standard error, (K,) each."""

    mean: Floats
    standard_error: Floats


def means(S: Scores) -> Means:
    """Return each trial's mean score. Raises ValueError unless S is (K, M) with M >= 2."""
    return _means(S, None)


def differences(S: Scores, reference: int = 0) -> Means:
    """Return D and s against the trial in row ``reference``; for that row itself, both are 0.

    Raises ValueError unless S is (K, M) with M >= 2.
    """
    return _means(S, reference)


def _means(S: Scores, reference: int | None) -> Means:
    """Return the means of the scores, or of their differences to the reference's scores."""
    if S.ndim != 2 or S.shape[1] < 2:
        raise ValueError(f"scores must have the shape (K, M) with M >= 2, not {S.shape}")
    K, M = S.shape
    subtracted = 0.0 if reference is None else S[reference].astype(np.float64)
    mean, spread = np.empty(K), np.empty(K)
    for start in range(0, K, _ROWS):
        rows = slice(start, start + _ROWS)
        d = S[rows].astype(np.float64) - subtracted
        mean[rows], spread[rows] = d.mean(axis=1), d.std(axis=1, ddof=1)
    return Means(mean, spread / np.sqrt(M))


def t_test(difference: Means, examples: int) -> Floats:
    """Return two-sided p values, (K,), of Student's paired t test over ``examples`` examples.

    The hypotheses are that the true differences are zero. A mean difference of zero has p = 1.
    """
    D, s = difference
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(D == 0, 0.0, np.abs(D) / s)
    return np.asarray(2 * stdtr(examples - 1, -t), dtype=np.float64)


def mcnemar_tests(errors: npt.NDArray[np.bool_], reference: int = 0) -> Floats:
    """Return mid-p values, (K,), of McNemar's test of each trial against the reference.

    errors: (K, M), whether a trial is wrong on an example.
    """
    # These count the examples that only the reference, or only the other trial, has right.
    only_reference = (errors & ~errors[reference]).sum(axis=1)
    only_other = (~errors & errors[reference]).sum(axis=1)
    return mcnemar_p_values(only_reference, only_other, mid_p=True)


def holm(p_values: Floats) -> Floats:
    """Return n p values, (n,), adjusted by Holm's method.

    If every hypothesis with an adjusted value of at most α is rejected, the chance of any false
    rejection is at most α, however the tests depend on each other. SciPy has no such function; it
    only controls the false discovery rate.
    Source: Holm (1979), Scand. J. Statist. 6(2), 65-70.
    """
    n = len(p_values)
    order = np.argsort(p_values, kind="stable")
    steps = np.maximum.accumulate(p_values[order] * np.arange(n, 0, -1))
    adjusted = np.empty(n)
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


def negligible(difference: Means, own_error: float) -> npt.NDArray[np.bool_]:
    """Return whether |D_k| is too small to matter, (K,).

    The limit is a hundredth of ``own_error``, the standard error of the reference's own score.
    Neighbours on a fine grid differ very little, but on nearly every example in the same direction,
    which a paired test finds significant.
    """
    return np.abs(difference.mean) <= NEGLIGIBLE * own_error


def within_one_standard_error(difference: Means) -> npt.NDArray[np.bool_]:
    """Return whether D_k <= s_k, (K,): whether a trial is worse by at most one standard error.

    The standard error is that of the difference. The one of the reference's own score would accept
    trials that are worse on nearly every example.
    Source: Breiman et al. (1984), Classification and Regression Trees, section 3.4.3, paired.
    """
    return difference.mean <= difference.standard_error

"""How much better the best of K trials looks on the examples it was chosen by than it is.

The lowest of K scores is low by skill and by luck. To tell the two apart, the choice itself is
repeated on bootstrap samples: each chooses a trial, which is judged on the examples that the sample
left out (about M/e of them).

Source: Tsamardinos, Greasidou & Borboudakis (2018), Machine Learning 107, 1895-1922: "bootstrap
bias corrected" estimation, here of one held-out split instead of pooled folds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from core.selection import Interval

Scores = npt.NDArray[np.floating[Any] | np.bool_]

RESAMPLES = 500
_AT_ONCE = 100  # resamples whose counts are held in memory


@dataclass(frozen=True, slots=True)
class Optimism:
    """apparent: the best trial's score on the examples that it was chosen by. corrected: what to
    expect of a trial chosen like this, with its 95 % interval. chosen_again: how often the
    bootstrap's choice was the same trial, in [0, 1]."""

    apparent: float
    corrected: float
    interval: Interval
    chosen_again: float

    @property
    def amount(self) -> float:
        """By how much the apparent score is too good; 0 where the estimate falls below that."""
        return max(self.corrected - self.apparent, 0.0)


def optimism(S: Scores, seed: int, resamples: int = RESAMPLES) -> Optimism:
    """The optimism of the lowest mean among scores S, (K, M), lower is better, rows in order of
    preference: the first of equals is chosen.

    Raises ValueError unless K >= 1, M >= 2 and resamples >= 1.
    """
    if S.ndim != 2 or S.shape[0] < 1 or S.shape[1] < 2 or resamples < 1:
        raise ValueError(f"{resamples} resamples of scores of shape {S.shape} say nothing")
    M = S.shape[1]
    S = S.astype(np.float32, copy=False)
    rng = np.random.default_rng(seed)
    best = int(S.mean(axis=1, dtype=np.float64).argmin())
    chosen = np.empty(resamples, np.intp)
    outside = np.full(resamples, np.nan)
    for start in range(0, resamples, _AT_ONCE):
        stop = min(start + _AT_ONCE, resamples)
        counts = rng.multinomial(M, np.full(M, 1 / M), size=stop - start)  # (b, M)
        inside = S @ counts.T.astype(np.float32)  # (K, b), M times the resampled means
        chosen[start:stop] = inside.argmin(axis=0)
        left_out = counts == 0
        sums = np.where(left_out, S[chosen[start:stop]], 0).sum(axis=1, dtype=np.float64)
        with np.errstate(invalid="ignore"):  # a sample of very few examples may leave none out
            outside[start:stop] = sums / left_out.sum(axis=1)
    kept = outside[~np.isnan(outside)]
    apparent = float(S[best].mean(dtype=np.float64))
    if not len(kept):
        kept = np.array([apparent])
    low, high = np.quantile(kept, [0.025, 0.975])
    return Optimism(
        apparent=apparent,
        corrected=float(kept.mean()),
        interval=Interval(float(low), float(high)),
        chosen_again=float((chosen == best).mean()),
    )

"""How much better the best of K trials looks on the examples that it was chosen by than it is.

The lowest of K scores is low by skill and by luck. To estimate the luck, the choice is repeated on
bootstrap samples of the examples. All examples stand for the population, and the optimism is how
much better the chosen trial looks on the sample than on all examples.

Source: Efron (1983), JASA 78(382), 316-331, the bootstrap estimate of a rule's optimism; the rule
here is "take the lowest mean". If K trials are equally good and unrelated, it finds only about 0.7
of their optimism, because the luck in the examples themselves remains. The alternative, to judge
each choice on the examples that its sample left out (Tsamardinos et al. 2018), errs in the other
direction. For cross-entropies, which a few examples dominate, it errs by a factor of two, because
a sample without these examples leads to a poor choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.floating[Any] | np.bool_]

RESAMPLES = 500
_AT_ONCE = 100  # the number of resamples whose counts are in memory together


@dataclass(frozen=True, slots=True)
class Optimism:
    """The optimism of a choice: how much too low the best trial's mean score is.

    apparent: the best trial's mean score on the examples that it was chosen by.
    amount: by how much ``apparent`` is too low.
    chosen_again: the fraction of bootstrap samples that chose the same trial.
    shares: the fraction of bootstrap samples that chose each trial, K of them.
    """

    apparent: float
    amount: float
    chosen_again: float
    shares: tuple[float, ...]

    @property
    def corrected(self) -> float:
        """The mean score to expect on other examples."""
        return self.apparent + self.amount


def optimism(S: Scores, seed: int, resamples: int = RESAMPLES) -> Optimism:
    """Return the optimism of choosing the row with the lowest mean of the scores S (K, M).

    Of equal rows, the first one is chosen.

    Raises ValueError unless K, M and resamples are at least 1.
    """
    if S.ndim != 2 or 0 in S.shape or resamples < 1:
        raise ValueError(f"{resamples} resamples of scores of shape {S.shape} say nothing")
    M = S.shape[1]
    S = S.astype(np.float32, copy=False)
    on_all = S.mean(axis=1, dtype=np.float64)
    best = int(on_all.argmin())
    rng = np.random.default_rng(seed)
    total, often = 0.0, np.zeros(len(S), np.intp)
    for start in range(0, resamples, _AT_ONCE):
        size = min(_AT_ONCE, resamples - start)
        counts = rng.multinomial(M, np.full(M, 1 / M), size=size).T.astype(np.float32)  # (M, b)
        on_sample = (S @ counts) / M  # (K, b)
        chosen = on_sample.argmin(axis=0)
        total += float((on_all[chosen] - on_sample.min(axis=0)).sum())
        often += np.bincount(chosen, minlength=len(S))
    shares = tuple((often / resamples).tolist())
    return Optimism(float(on_all[best]), max(total / resamples, 0.0), shares[best], shares)

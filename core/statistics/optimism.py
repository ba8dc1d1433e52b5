"""How much better the best of K trials looks on the examples it was chosen by than it is.

The lowest of K scores is low by skill and by luck. To tell the two apart, the choice itself is
repeated on bootstrap samples of the examples: by how much does the chosen trial look better on the
sample than on all examples, which stand for the population?

Source: Efron (1983), JASA 78(382), 316-331, the bootstrap estimate of a rule's optimism; here the
rule is "take the lowest mean". Where K trials are equally good and unrelated, it finds about 0.7 of
their optimism, since the examples' own luck stays in. Judging each choice on the examples that its
sample left out instead (Tsamardinos et al. 2018) errs the other way, and for cross-entropies, which
a few examples dominate, by a factor of two: a sample that lacks them chooses recklessly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.floating[Any] | np.bool_]

RESAMPLES = 500
_AT_ONCE = 100  # resamples whose counts are held in memory


@dataclass(frozen=True, slots=True)
class Optimism:
    """apparent: the best trial's mean score on the examples that it was chosen by. amount: by how
    much that is too low. chosen_again: how often a bootstrap sample chose the same trial, 0 to 1.
    """

    apparent: float
    amount: float
    chosen_again: float

    @property
    def corrected(self) -> float:
        """What to expect on other examples."""
        return self.apparent + self.amount


def optimism(S: Scores, seed: int, resamples: int = RESAMPLES) -> Optimism:
    """The optimism of the lowest mean among scores S, (K, M), lower is better; of equals the first
    row is chosen.

    Raises ValueError unless K, M and resamples are at least 1.
    """
    if S.ndim != 2 or 0 in S.shape or resamples < 1:
        raise ValueError(f"{resamples} resamples of scores of shape {S.shape} say nothing")
    M = S.shape[1]
    S = S.astype(np.float32, copy=False)
    on_all = S.mean(axis=1, dtype=np.float64)
    best = int(on_all.argmin())
    rng = np.random.default_rng(seed)
    total, again = 0.0, 0
    for start in range(0, resamples, _AT_ONCE):
        size = min(_AT_ONCE, resamples - start)
        counts = rng.multinomial(M, np.full(M, 1 / M), size=size).T.astype(np.float32)  # (M, b)
        on_sample = (S @ counts) / M  # (K, b)
        chosen = on_sample.argmin(axis=0)
        total += float((on_all[chosen] - on_sample.min(axis=0)).sum())
        again += int((chosen == best).sum())
    return Optimism(float(on_all[best]), max(total / resamples, 0.0), again / resamples)

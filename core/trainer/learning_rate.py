"""How the learning rate changes while a trial trains.

Notation: step t counts iterations from 0; n steps are an epoch; T = n · (epochs of the whole
training) and U = n · (epochs of warm-up). The learning rate of step t is η f(t):

    f(t) = (t + 1) / U                              while t < U  (linear warm-up)
    f(t) = 1                                        afterwards, "constant"
    f(t) = ½ (1 + cos(π (t - U) / (T - U)))         afterwards, "cosine" (Loshchilov & Hutter 2017)
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class Schedule(StrEnum):
    """The shape of the learning rate after the warm-up."""

    CONSTANT = "constant"
    COSINE = "cosine"


def rate_factors(
    schedule: Schedule, *, first: int, last: int, warmup_steps: int, total_steps: int
) -> Floats:
    """Return f(t) for the steps first ≤ t < last, (last - first,), each above 0.

    Steps at or after ``total_steps`` have the factor of the last step before it.
    """
    t = np.minimum(np.arange(first, last), max(total_steps - 1, 0))
    after = np.maximum(t - warmup_steps, 0)
    if schedule is Schedule.COSINE:
        factors = 0.5 * (1 + np.cos(np.pi * after / max(total_steps - warmup_steps, 1)))
    else:
        factors = np.ones(len(t))
    return np.where(t < warmup_steps, (t + 1) / max(warmup_steps, 1), factors)

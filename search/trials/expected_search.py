"""What a shorter search would have found, as `findings` computes it and `figures` draws it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class ExpectedSearch:
    """The expected result of a shorter search.

    scores: (N,) losses or error rates; a diverged trial counts as the worst.
    needed: the number of trials whose best is expected to be near that of all, None if no number is
        enough.
    near: what "near" means, in words.
    resampled: what the scores are a sample of, in words.
    epochs_per_trial: the epochs that a trial trained on average, summed over its seeds.
    """

    scores: npt.NDArray[np.float64]
    needed: int | None
    near: str
    resampled: str
    epochs_per_trial: float

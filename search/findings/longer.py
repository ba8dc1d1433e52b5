"""Estimate what a longer search would bring, from what its last doublings brought."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from core.statistics.expected_best import best_of_some
from core.trainer.result import Status
from search.spec.study_spec import StudySpec
from search.trials.finished_trial import FinishedTrial
from search.trials.repeats import exhausted

LEAST = 20  # With fewer trials, there is too little to go by.


class Longer(NamedTuple):
    """What a search of twice as many trials would be expected to bring.

    gain: by how much the best would become better, as a loss or an error rate.
    last, before: what the last doubling of the number of trials brought, and the one before it.
    """

    gain: float
    last: float
    before: float


def longer(spec: StudySpec, trials: Sequence[FinishedTrial]) -> Longer | None:
    """Return what a longer search would bring, None for a grid, or if it cannot be said.

    trials: the finished ones, in order of number.

    Each doubling is taken to bring less than the one before it by the same factor, as with scores
    whose best falls as a power of their number; so a search that brought nothing is not expected to
    bring anything. Trials that were drawn at random are taken in every order, others in the one in
    which they were tried.
    """
    if spec.search.sampler == "grid" or exhausted(spec, trials) is not None or len(trials) < LEAST:
        return None
    objective = spec.search.objective
    scores = np.array(
        [
            trial.badness(objective) if trial.status is Status.COMPLETED else np.nan
            for trial in trials
        ]
    )
    finite = np.isfinite(scores)
    n = len(scores)
    sizes = [n // 4, n // 2, n]
    if spec.search.sampler == "random" and spec.search.pruner == "none":
        if not finite.any():
            return None
        first, half, all_ = best_of_some(np.where(finite, scores, scores[finite].max()), sizes)
    else:
        if not finite[: sizes[0]].any():
            return None
        first, half, all_ = (float(np.nanmin(scores[:size])) for size in sizes)
    before, last = float(first - half), float(half - all_)
    gain = last if before <= last else last**2 / before
    return Longer(gain, last, before)


def sentence(found: Longer, spec: StudySpec) -> str:
    """Return the finding as a sentence."""
    amount = spec.search.objective.amount
    if found.last == 0:
        return (
            "longer   the second half of the trials brought nothing better, so twice as many are "
            "not expected to bring much"
        )
    return (
        f"longer   twice as many trials would be expected to bring about {amount(found.gain)} more "
        f"(the last doubling brought {amount(found.last)}, the one before it "
        f"{amount(found.before)})"
    )

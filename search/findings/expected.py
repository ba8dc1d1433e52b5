"""Estimate how good the best of fewer trials would have been."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.statistics.expected_best import draws_needed, expected_best
from search.spec.study_spec import StudySpec
from search.trials.expected_search import ExpectedSearch
from search.trials.finished_trial import FinishedTrial

FEW = 20  # the number of trials in a typical search by hand
NEAR_LOSS, NEAR_ACCURACY = 0.05, 0.001  # the distance from the best: relative, and absolute
DRAWN = {
    "random": "drawn at random, as these were",
    "grid": "drawn at random from this grid",
}
RESAMPLED = "resampled from these, which were not drawn independently"


def expected_search(spec: StudySpec, trials: Sequence[FinishedTrial]) -> ExpectedSearch | None:
    """Return what fewer trials would have found, or None if fewer than two scores are finite."""
    search, objective = spec.search, spec.search.objective
    scores = np.array([trial.badness(objective) for trial in trials])
    finite = np.isfinite(scores)
    if finite.sum() < 2:
        return None
    scores = np.where(finite, scores, scores[finite].max())
    best = float(scores.min())
    if objective.is_loss:
        target, near = best * (1 + NEAR_LOSS), f"within {100 * NEAR_LOSS:g} % of it"
    else:
        target = best + NEAR_ACCURACY
        near = f"within {100 * NEAR_ACCURACY:g} percentage points of it"
    epochs = sum(trial.stopped_epoch for trial in trials) / len(trials)
    unpruned = search.pruner == "none"
    return ExpectedSearch(
        scores=scores,
        needed=draws_needed(scores, target),
        near=near,
        resampled=DRAWN.get(search.sampler, RESAMPLED) if unpruned else RESAMPLED,
        epochs_per_trial=search.replicates * epochs,
    )


def sentence(expected: ExpectedSearch, spec: StudySpec) -> str | None:
    """Return the finding as a sentence, or None if there are at most `FEW` trials or they are not
    like independent draws."""
    search, scores = spec.search, expected.scores
    if search.sampler not in DRAWN or search.pruner != "none" or len(scores) <= FEW:
        return None
    few = float(expected_best(scores, [FEW]).mean[0])
    best = float(scores.min())
    reached = f"{search.objective.text(few)} (best {search.objective.digits(best)})"
    more = "" if expected.needed is None else f"; {expected.needed:,} come {expected.near}"
    where = "this grid" if search.sampler == "grid" else "this space"
    return f"budget   {FEW} random trials of {where} would be expected to reach {reached}{more}"

"""Every trial's score on every validation example, computed from the weights that its run keeps.

Reading weights back costs less than a millisecond a trial; storing scores would cost as much again
as the weights do.

Notation: K trials, M validation examples, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from core.datasets.dataset import Dataset
from search.errors import LockstepError
from search.trials.finished_trial import FinishedTrial
from search.trials.results import Results

_AT_ONCE = 64  # trials whose weights and logits are held in memory


@dataclass(frozen=True, slots=True)
class ValidationScores:
    """trials: best first, K of them. losses: (K, M) float32, cross-entropies in nats. errors:
    (K, M). missing: trials whose runs have lost their weights, which are in none of these."""

    trials: list[FinishedTrial]
    losses: npt.NDArray[np.float32]
    errors: npt.NDArray[np.bool_]
    missing: list[FinishedTrial]


def validation_scores(
    ranking: Sequence[FinishedTrial], results: Results, validation: Dataset
) -> ValidationScores:
    """ranking: completed trials, best first. Raises LockstepError when no run has its weights."""
    trials: list[FinishedTrial] = []
    missing: list[FinishedTrial] = []
    losses = np.empty((len(ranking), len(validation)), np.float32)
    errors = np.empty(losses.shape, np.bool_)
    for start in range(0, len(ranking), _AT_ONCE):
        block = ranking[start : start + _AT_ONCE]
        read = list(zip(block, results.of(block), strict=True))
        missing += [trial for trial, result in read if result is None]
        found = [(trial, result.weights) for trial, result in read if result is not None]
        if found:
            rows = slice(len(trials), len(trials) + len(found))
            losses[rows], errors[rows] = _scored([each for _, each in found], validation)
            trials += [trial for trial, _ in found]
    if not trials:
        raise LockstepError(
            "no run of this study has its weights any more: the MLflow store was emptied; "
            "`lockstep sync` on its file writes them again"
        )
    return ValidationScores(trials, losses[: len(trials)], errors[: len(trials)], missing)


def _scored(
    weights: Sequence[npt.NDArray[np.float32]], data: Dataset
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Losses and errors of these (D, C) weights, each (k, M): one product for all of them."""
    k, C = len(weights), len(data.class_names)
    Z = (data.X @ np.concatenate(weights, axis=1)).reshape(len(data), k, C)
    errors = Z.argmax(axis=2) != data.y[:, None]
    Z -= Z.max(axis=2, keepdims=True)
    own = np.take_along_axis(Z, data.y[:, None, None], axis=2)[:, :, 0]
    losses = np.log(np.exp(Z).sum(axis=2)) - own
    return losses.T, errors.T

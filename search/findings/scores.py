"""Score every trial on every validation example, with the weights that its run keeps.

Reading weights back takes less than a millisecond per trial, while storing the scores would take as
much space again as the weights.

Notation: K trials, M validation examples, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from core.datasets.dataset import Dataset, Labels, Matrix
from core.datasets.splits import Splits
from search.errors import LockstepError
from search.spec.model_spec import ModelSpec
from search.spec.objective import Objective
from search.trials.finished_trial import FinishedTrial
from search.trials.results import Results

_AT_ONCE = 64  # the number of trials whose weights and logits are in memory together


@dataclass(frozen=True, slots=True)
class ValidationScores:
    """The scores of K trials on M validation examples.

    trials: the trials, best first.
    losses: (K, M) float32, cross-entropies in nats, multiplied by the weights of the examples'
        classes if the study gives them any.
    errors: (K, M), whether an example is classified wrongly.
    missing: trials whose runs have lost their weights; the other fields leave them out.
    labels: (M,) the classes of the examples.
    """

    trials: list[FinishedTrial]
    losses: npt.NDArray[np.float32]
    errors: npt.NDArray[np.bool_]
    missing: list[FinishedTrial]
    labels: Labels

    def of(self, objective: Objective) -> npt.NDArray[Any]:
        """Return the scores, (K, M), whose means over the examples are the objective's badness.

        An error counts more in the balanced accuracy, the fewer examples its class has.
        """
        match objective:
            case Objective.LOSS:
                return self.losses
            case Objective.ACCURACY:
                return self.errors
        counts = np.bincount(self.labels)
        weights = len(self.labels) / (np.count_nonzero(counts) * np.maximum(counts, 1))
        return self.errors * weights[self.labels].astype(np.float32)


def validation_scores(
    ranking: Sequence[FinishedTrial], results: Results, data: Splits, model: ModelSpec
) -> ValidationScores:
    """Return the scores of the trials on each validation example.

    ranking: completed trials, best first. Raises LockstepError if no run has its weights.
    """
    validation = data.validation
    weights = model.example_weights(data.train, validation)
    trials: list[FinishedTrial] = []
    missing: list[FinishedTrial] = []
    losses = np.empty((len(ranking), len(validation)), np.float32)
    errors = np.empty(losses.shape, np.bool_)
    for start in range(0, len(ranking), _AT_ONCE):
        block = ranking[start : start + _AT_ONCE]
        read = list(zip(block, results.of(block), strict=True))
        missing += [trial for trial, result in read if result is None]
        found = [(trial, result) for trial, result in read if result is not None]
        if found:
            rows = slice(len(trials), len(trials) + len(found))
            start_of_part = 0
            for fold, (_, held_out) in enumerate(data.folds):
                part = slice(start_of_part, start_of_part + len(held_out))
                own = [each.by_fold[fold] for _, each in found]
                losses[rows, part], errors[rows, part] = _scored(own, held_out)
                start_of_part = part.stop
            trials += [trial for trial, _ in found]
    if not trials:
        raise LockstepError(
            "no run of this study has its weights any more: the MLflow store was emptied; "
            "`lockstep sync` on its file writes them again"
        )
    if weights is not None:
        losses *= weights.astype(np.float32)
    return ValidationScores(
        trials, losses[: len(trials)], errors[: len(trials)], missing, validation.y
    )


def _scored(
    models: Sequence[tuple[Matrix, Matrix]], data: Dataset
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Return losses and errors of k models, weights (D, C) and biases (C,), as two arrays (k, M).

    One matrix product computes the logits of all of them.
    """
    k, C = len(models), len(data.class_names)
    W = np.concatenate([weights for weights, _ in models], axis=1)
    b = np.concatenate([bias for _, bias in models])
    Z = (data.X @ W + b).reshape(len(data), k, C)
    errors = Z.argmax(axis=2) != data.y[:, None]
    Z -= Z.max(axis=2, keepdims=True)
    own = np.take_along_axis(Z, data.y[:, None, None], axis=2)[:, :, 0]
    losses = np.log(np.exp(Z).sum(axis=2)) - own
    return losses.T, errors.T

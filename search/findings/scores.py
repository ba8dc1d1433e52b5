"""Score every trial on every validation example, with the weights that its run keeps.

Reading weights back takes less than a millisecond per trial, while storing the scores would take as
much space again as the weights.

Notation: K trials, M validation examples, C classes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from core.datasets.dataset import Dataset, Labels, Matrix
from core.datasets.study_data import StudyData
from core.statistics.classification import TOP, TOP_CLASSES
from core.statistics.probabilities import among_top
from search.errors import LockstepError
from search.spec.model_spec import ModelSpec
from search.spec.objective import Objective
from search.trials.finished_trial import FinishedTrial
from search.trials.results import Result, Results

_AT_ONCE = 64  # the most trials that are scored together
_WEIGHTS = 1 << 24  # about how many weights are multiplied together
_LOGITS = 1 << 22  # about how many logits are in memory together


@dataclass(frozen=True, slots=True)
class ValidationScores:
    """The scores of K trials on M validation examples.

    trials: the trials, best first.
    losses: (K, M) float32, cross-entropies in nats, multiplied by the weights of the examples'
        classes if the study gives them any.
    errors: (K, M), whether an example is classified wrongly.
    missing: trials whose runs have lost their weights; the other fields leave them out.
    labels: (M,) the classes of the examples.
    not_kept: trials whose weights are not kept, because they are not among the best; the other
        fields leave them out too.
    """

    trials: list[FinishedTrial]
    losses: npt.NDArray[np.float32]
    errors: npt.NDArray[np.bool_]
    missing: list[FinishedTrial]
    labels: Labels
    not_kept: list[FinishedTrial] = field(default_factory=list)

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
    ranking: Sequence[FinishedTrial], results: Results, data: StudyData, model: ModelSpec
) -> ValidationScores:
    """Return the scores of the trials on each validation example.

    ranking: completed trials, best first. Raises LockstepError if no run has its weights.
    """
    validation = data.validation
    weights = model.example_weights(data.train, validation)
    trials: list[FinishedTrial] = []
    missing: list[FinishedTrial] = []
    not_kept: list[FinishedTrial] = []
    losses = np.empty((len(ranking), len(validation)), np.float32)
    errors = np.empty(losses.shape, np.bool_)
    at_once = _trials_at_once(data)
    for start in range(0, len(ranking), at_once):
        block = ranking[start : start + at_once]
        read = list(zip(block, results.of(block), strict=True))
        missing += [trial for trial, result in read if result is None]
        not_kept += [trial for trial, result in read if result and not result.by_fold]
        found = [(trial, result) for trial, result in read if result and result.by_fold]
        if found:
            rows = slice(len(trials), len(trials) + len(found))
            losses[rows], errors[rows] = _block(found, data)
            trials += [trial for trial, _ in found]
    if not trials:
        raise LockstepError(
            "no run of this study has its weights any more: the MLflow store was emptied; "
            "`lockstep sync` on its file writes them again"
        )
    if weights is not None:
        losses *= weights.astype(np.float32)
    return ValidationScores(
        trials, losses[: len(trials)], errors[: len(trials)], missing, validation.y, not_kept
    )


def top_accuracies(
    trials: Sequence[FinishedTrial], results: Results, data: StudyData
) -> dict[int, float]:
    """Return the share of validation examples whose class is among the `TOP` most probable ones, by
    the number of each of these trials whose weights are kept.

    There is none with fewer than `TOP_CLASSES` classes, of which it says nothing.
    """
    found: dict[int, float] = {}
    if len(data.train.class_names) < TOP_CLASSES:
        return found
    for trial in trials:
        result = results.get(trial)
        if result is None or not result.by_fold:
            continue
        hits, folds = 0, data.of(trial.hyperparameters.features).folds
        for model, (_, held_out) in zip(result.by_fold, folds, strict=True):
            for rows, Z in _logits([model], held_out):
                hits += int(among_top(Z[:, 0], held_out.y[rows], TOP).sum())
        found[trial.number] = hits / len(data.validation)
    return found


def _trials_at_once(data: StudyData) -> int:
    """Return how many trials are scored together: fewer, the larger their weights are."""
    widest = max(data.of(name).train.X.shape[1] for name in data.names)
    own: int = widest * len(data.train.class_names) * len(data.first.folds)
    return min(_AT_ONCE, max(1, _WEIGHTS // own))


def _block(
    found: Sequence[tuple[FinishedTrial, Result]], data: StudyData
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Return losses and errors of k trials on all held-out examples, as two arrays (k, M)."""
    losses = np.empty((len(found), len(data.validation)), np.float32)
    errors = np.empty(losses.shape, np.bool_)
    by_features: dict[str, list[int]] = defaultdict(list)
    for index, (trial, _) in enumerate(found):
        by_features[trial.hyperparameters.features].append(index)
    for features, indices in by_features.items():
        start = 0
        for fold, (_, held_out) in enumerate(data.of(features).folds):
            own = [found[index][1].by_fold[fold] for index in indices]
            for rows, part_losses, part_errors in _scored(own, held_out):
                part = slice(start + rows.start, start + rows.stop)
                losses[indices, part], errors[indices, part] = part_losses, part_errors
            start += len(held_out)
    return losses, errors


def _scored(
    models: Sequence[tuple[Matrix, Matrix]], data: Dataset
) -> Iterator[tuple[slice, npt.NDArray[np.float32], npt.NDArray[np.bool_]]]:
    """Yield losses and errors of k models, weights (D, C) and biases (C,), for blocks of examples.

    Each is (k, m) for the m examples in the slice.
    """
    for rows, Z in _logits(models, data):
        y = data.y[rows]
        errors = Z.argmax(axis=2) != y[:, None]
        Z -= Z.max(axis=2, keepdims=True)
        own = np.take_along_axis(Z, y[:, None, None], axis=2)[:, :, 0]
        losses = np.log(np.exp(Z, out=Z).sum(axis=2)) - own
        yield rows, losses.T, errors.T


def _logits(
    models: Sequence[tuple[Matrix, Matrix]], data: Dataset
) -> Iterator[tuple[slice, npt.NDArray[np.float32]]]:
    """Yield the logits of k models, (m, k, C), for the m examples in each slice.

    One matrix product computes those of all models.
    """
    k, C = len(models), len(data.class_names)
    W = np.concatenate([weights for weights, _ in models], axis=1)
    b = np.concatenate([bias for _, bias in models])
    step = max(1, _LOGITS // (k * C))
    for start in range(0, len(data), step):
        rows = slice(start, min(start + step, len(data)))
        Z: npt.NDArray[np.float32] = data.X[rows] @ W
        Z += b
        yield rows, Z.reshape(-1, k, C)

"""Fitting chosen configurations on train + validation, and what the test set says of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from core.data import Dataset
from core.proportions import Interval, McNemar, mcnemar, wilson_interval
from core.result import Hyperparameters, Status, TrainingResult
from core.softmax import logits, predictions
from core.stack import Stack, tile_trials
from core.training_data import TrainingData
from search.errors import LockstepError
from search.finished_trial import FinishedTrial
from search.spec import StudySpec

Labels = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Fit:
    """One configuration, trained on train + validation."""

    result: TrainingResult
    iterations: npt.NDArray[np.float64]  # (2, iterations): loss and accuracy of each batch
    predicted: Labels  # on the test set
    correct: npt.NDArray[np.bool_]

    @property
    def errors(self) -> int:
        return int((~self.correct).sum())

    @property
    def test_accuracy(self) -> float:
        return float(self.correct.mean())

    @property
    def train_accuracy(self) -> float:
        """Over the last epoch, before each update."""
        return float(self.result.curves.train_accuracy[-1])

    @property
    def interval(self) -> Interval:
        """95 %, Wilson."""
        return wilson_interval(int(self.correct.sum()), len(self.correct))

    def confusion(self, test: Dataset) -> Labels:
        """Test examples by true (row) and predicted (column) class, (C, C)."""
        C = len(test.class_names)
        counts = np.zeros((C, C), np.intp)
        np.add.at(counts, (test.y, self.predicted), 1)
        return counts


def fit(
    spec: StudySpec,
    tried: Hyperparameters,
    epochs: int,
    seed: int,
    train: Dataset,
    test: Dataset,
    on_epoch: Callable[[int], None],
) -> Fit:
    """Train on all of ``train``; predict the test set with the weights of the last epoch.

    seed: of the order of the examples. Raises LockstepError when the training diverges.
    """
    data = TrainingData.of(train)
    tile = tile_trials(1, data.n_classes)
    stack = Stack((tried,), spec.model.penalty, seed, tile, record_steps=True)
    with threadpool_limits(1):
        stack.advance(data, epochs, on_epoch)
        result = stack.results(data)[0]
        predicted = predictions(logits(test.X, result.weights))
    if result.status is Status.DIVERGED:
        raise LockstepError(
            f"the configuration diverged in epoch {result.stopped_epoch} on train + validation: "
            "choose another one with --trial"
        )
    iterations = np.array(stack.steps)[:, :, 0].T
    return Fit(result, iterations, predicted, predicted == test.y)


def epochs_by_validation(trial: FinishedTrial, loss_error: float) -> int:
    """The epochs to train the trial for on more data: those of the study, or its best epoch where
    the validation loss was lower there by more than one standard error, ``loss_error``."""
    earlier_is_better = trial.val_loss - trial.best_val_loss > loss_error
    return trial.best_epoch if earlier_is_better else trial.stopped_epoch


def compared(first: Fit, second: Fit) -> McNemar:
    """McNemar's mid-p test of two fits on the test set."""
    return mcnemar(
        int((first.correct & ~second.correct).sum()),
        int((~first.correct & second.correct).sum()),
        mid_p=True,
    )

"""Train chosen configurations on train + validation, and evaluate them on the test set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from core.datasets.dataset import Dataset, Labels
from core.statistics.proportions import Interval, McNemar, mcnemar, wilson_interval
from core.trainer.result import Hyperparameters, Status, TrainingResult
from core.trainer.softmax import logits, predictions
from core.trainer.stack import Stack
from core.trainer.training_data import TrainingData
from search.errors import LockstepError
from search.spec.study_spec import StudySpec
from search.trials.finished_trial import FinishedTrial


@dataclass(frozen=True, slots=True)
class Fit:
    """A configuration that was trained on train + validation and evaluated on M test examples.

    iterations: the loss and the accuracy of each of T batches, (2, T).
    predicted: the predicted class of each test example, (M,).
    correct: whether that is its label, (M,).
    """

    result: TrainingResult
    iterations: npt.NDArray[np.float64]
    predicted: Labels
    correct: npt.NDArray[np.bool_]

    @property
    def errors(self) -> int:
        """The number of test examples that are classified wrongly."""
        return int((~self.correct).sum())

    @property
    def test_accuracy(self) -> float:
        """The share of test examples that are classified correctly."""
        return float(self.correct.mean())

    @property
    def train_accuracy(self) -> float:
        """The training accuracy of the last epoch, measured on each batch before its update."""
        return float(self.result.curves.train_accuracy[-1])

    @property
    def interval(self) -> Interval:
        """The 95 % Wilson interval of the test accuracy."""
        return wilson_interval(int(self.correct.sum()), len(self.correct))

    def confusion(self, test: Dataset) -> npt.NDArray[np.intp]:
        """Return the number of test examples by true (row) and predicted (column) class, (C, C)."""
        C = len(test.class_names)
        counts = np.zeros((C, C), np.intp)
        np.add.at(counts, (test.y, self.predicted), 1)
        return counts


class Fitter:
    """A trainer of single configurations on a whole dataset, which evaluates them on a test set.

    on_epoch: called with 1 after each epoch; if it returns true, training stops there.
    """

    def __init__(
        self, spec: StudySpec, train: Dataset, test: Dataset, on_epoch: Callable[[int], object]
    ) -> None:
        self._penalty = spec.model.penalty
        self._data = TrainingData.of(train)
        self._test = test
        self._on_epoch = on_epoch

    def fit(self, tried: Hyperparameters, epochs: int, seed: int) -> Fit:
        """Train a configuration, and predict the test set with the weights of the last epoch.

        seed: decides the order of the examples. Raises LockstepError if the training diverges.
        """
        stack = Stack((tried,), self._penalty, seed, record_steps=True)
        with threadpool_limits(1):
            stack.advance(self._data, epochs, self._on_epoch)
            result = stack.results(self._data)[0]
            predicted = predictions(logits(self._test.X, result.weights))
        if result.status is Status.DIVERGED:
            raise LockstepError(
                f"the configuration diverged in epoch {result.stopped_epoch} on train + "
                "validation: choose another one with --trial"
            )
        iterations = np.array(stack.steps)[:, :, 0].T
        return Fit(result, iterations, predicted, predicted == self._test.y)


def epochs_by_validation(trial: FinishedTrial, loss_error: float) -> int:
    """Return how many epochs to train the configuration of a trial on more data.

    These are the epochs that the trial trained in the study, or its best epoch if the validation
    loss was lower there by more than one standard error, ``loss_error``.
    """
    earlier_is_better = trial.val_loss - trial.best_val_loss > loss_error
    return trial.best_epoch if earlier_is_better else trial.stopped_epoch


def compared(first: Fit, second: Fit) -> McNemar:
    """Return McNemar's mid-p test of two fits on the test set."""
    return mcnemar(
        int((first.correct & ~second.correct).sum()),
        int((~first.correct & second.correct).sum()),
        mid_p=True,
    )

"""Train chosen configurations on train + validation, and evaluate them on the test set."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from core.datasets.dataset import Dataset
from core.datasets.npz import HELD_BYTES
from core.statistics.probabilities import Probabilities
from core.statistics.proportions import McNemar, mcnemar
from core.trainer.order import Order
from core.trainer.result import Hyperparameters, Status, TrainingResult
from core.trainer.stack import Stack
from search.blas import one_blas_thread
from search.errors import LockstepError
from search.model.judged import Judged
from search.model.softmax_probabilities import SoftmaxProbabilities
from search.spec.study_spec import StudySpec
from search.trials.finished_trial import FinishedTrial


@dataclass(frozen=True, slots=True)
class Fit(Judged):
    """A configuration that was trained on train + validation and judged on M test examples.

    iterations: the loss and the accuracy of each of T batches, (2, T).
    """

    result: TrainingResult
    iterations: npt.NDArray[np.float64]

    kind: ClassVar[str] = "configuration"

    @property
    def train_accuracy(self) -> float:
        """The training accuracy of the last epoch, measured on each batch before its update."""
        return float(self.result.curves.train_accuracy[-1])

    def probabilities(self, test: Dataset) -> Probabilities:
        """Return the probability of each class for each test example, (M, C), in blocks."""
        return SoftmaxProbabilities(test.X, self.result.weights, self.result.bias)


@dataclass(frozen=True, slots=True)
class Trained:
    """A configuration that was trained on train + validation, and has not seen the test set.

    seconds: how long the training took. iterations: as in `Fit`.
    """

    result: TrainingResult
    iterations: npt.NDArray[np.float64]
    seconds: float

    @property
    def weights(self) -> npt.NDArray[np.float32]:
        """The weights of the last epoch, (D, C)."""
        return self.result.weights

    def judged(self, test: Dataset) -> Fit:
        """Predict the test set with the weights of the last epoch, and return the predictions."""
        with one_blas_thread():
            P = SoftmaxProbabilities(test.X, self.result.weights, self.result.bias)
            predicted = P.most_probable()
        correct = predicted == test.y
        return Fit(predicted, correct, self.seconds, self.result, self.iterations)


class Fitter:
    """A trainer of single configurations on a whole dataset.

    on_epoch: called with 1 after each epoch; if it returns true, training stops there.
    """

    def __init__(
        self,
        spec: StudySpec,
        train: Dataset,
        on_epoch: Callable[[int], object],
        order: Order = Order.EXACT,
    ) -> None:
        self._model = spec.model
        data = spec.model.training_data(train, order=order)
        self._data = data.in_memory() if data.nbytes <= HELD_BYTES else data
        self._on_epoch = on_epoch

    def fit(self, tried: Hyperparameters, epochs: int, seed: int) -> Trained:
        """Train a configuration.

        seed: decides the order of the examples. Raises LockstepError if the training diverges.
        """
        model = self._model
        stack = Stack((tried,), model.penalty, seed, model.epochs, record_steps=True)
        started = time.perf_counter()
        with one_blas_thread():
            stack.advance(self._data, epochs, self._on_epoch)
            result = stack.results(self._data)[0]
        seconds = time.perf_counter() - started
        if result.status is Status.DIVERGED:
            raise LockstepError(
                f"the configuration diverged in epoch {result.stopped_epoch} on train + "
                "validation: choose another one with --trial"
            )
        return Trained(result, np.array(stack.steps)[:, :, 0].T, seconds)


def epochs_by_validation(trial: FinishedTrial, loss_error: float) -> int:
    """Return how many epochs to train the configuration of a trial on more data.

    These are the epochs that the trial trained in the study, or its best epoch if the validation
    loss was lower there by more than one standard error, ``loss_error``.
    """
    earlier_is_better = trial.val_loss - trial.best_val_loss > loss_error
    return trial.best_epoch if earlier_is_better else trial.stopped_epoch


def compared(first: Judged, second: Judged) -> McNemar:
    """Return McNemar's mid-p test of two models on the same test set."""
    return mcnemar(
        int((first.correct & ~second.correct).sum()),
        int((~first.correct & second.correct).sum()),
        mid_p=True,
    )

"""What one would write first: one trial, one float32 NumPy step after the other.

The algorithm of `core/trainer/stack.py` (no bias, the norm not squared, full batches of the
same shuffled order, running train metrics, validation after the epoch), with all D features and all
C columns.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from core.trainer.result import Hyperparameters

Matrix = npt.NDArray[np.float32]
Labels = npt.NDArray[np.intp]


def log_softmax(Z: Matrix) -> Matrix:
    shifted: Matrix = Z - Z.max(axis=1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted


def metrics(log_P: Matrix, y: Labels) -> tuple[float, float]:
    """Mean cross-entropy and accuracy."""
    own = log_P[np.arange(len(y)), y]
    return float(-own.mean()), float((log_P.argmax(axis=1) == y).mean())


class PlainTrial:
    """One trial in training."""

    def __init__(self, trial: Hyperparameters, n_features: int, n_classes: int, seed: int) -> None:
        self.W = np.zeros((n_features, n_classes), np.float32)
        self.val_loss = float("nan")
        self._size = trial.batch_size
        self._rate = np.float32(trial.learning_rate)
        self._decay = np.float32(trial.weight_decay)
        self._seed = seed
        self._epoch = 0

    def train_epoch(self, X: Matrix, y: Labels, X_val: Matrix, y_val: Labels) -> None:
        order = np.random.default_rng((self._seed, self._epoch)).permutation(len(y))
        losses, accuracies = [], []
        for start in range(0, len(y) - self._size + 1, self._size):
            rows = order[start : start + self._size]
            xb, yb = X[rows], y[rows]
            log_P = log_softmax(xb @ self.W)
            loss, accuracy = metrics(log_P, yb)
            losses.append(loss)
            accuracies.append(accuracy)
            residual = np.exp(log_P)
            residual[np.arange(len(yb)), yb] -= 1
            residual /= len(yb)
            gradient = xb.T @ residual
            norm = np.linalg.norm(self.W)
            if norm > 0:
                gradient += (self._decay / norm) * self.W
            self.W -= self._rate * gradient
        self.train_loss, self.train_accuracy = float(np.mean(losses)), float(np.mean(accuracies))
        self.val_loss, self.val_accuracy = metrics(log_softmax(X_val @ self.W), y_val)
        self._epoch += 1

"""One trial trained by the definition, in float64, and stacks to compare with it."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
from strategies import Problem, diverging_trial, make_problem, stable_trials

from core.datasets.dataset import Dataset
from core.trainer import tile
from core.trainer.result import Hyperparameters, Status, TrainingResult
from core.trainer.softmax import Penalty
from core.trainer.stack import Stack
from core.trainer.training_data import TrainingData


class Reference(NamedTuple):
    """One trial trained by the definition, in float64."""

    W: np.ndarray  # (D, C)
    curves: np.ndarray  # (4, E): train loss, train accuracy, validation loss and accuracy
    steps: np.ndarray  # (2, iterations): loss and accuracy of each batch
    norms: np.ndarray  # (E,) ‖W‖₂ after each epoch


def evaluate(X: np.ndarray, y: np.ndarray, W: np.ndarray) -> tuple[float, float, np.ndarray]:
    """Mean cross-entropy, accuracy, and P - Y."""
    Z = X @ W
    Z = Z - Z.max(axis=1)[:, None]
    P = np.exp(Z) / np.exp(Z).sum(axis=1)[:, None]
    rows = np.arange(len(y))
    loss = np.mean(np.log(np.exp(Z).sum(axis=1)) - Z[rows, y])
    accuracy = np.mean(Z.argmax(axis=1) == y)
    P[rows, y] -= 1
    return float(loss), float(accuracy), P


def reference(
    train_part: Dataset,
    validation: Dataset,
    trial: Hyperparameters,
    penalty: Penalty,
    epochs: int,
    seed: int,
) -> Reference:
    X, X_val = train_part.X.astype(np.float64), validation.X.astype(np.float64)
    B, eta, lam = trial.batch_size, trial.learning_rate, trial.weight_decay
    W = np.zeros((X.shape[1], len(train_part.class_names)))
    curves, steps, norms = [], [], []
    for epoch in range(epochs):
        order = np.random.default_rng((seed, epoch)).permutation(len(X))
        batches = [order[start : start + B] for start in range(0, len(X) - B + 1, B)]
        for rows in batches:
            loss, accuracy, difference = evaluate(X[rows], train_part.y[rows], W)
            steps.append((loss, accuracy))
            norm = np.sqrt((W**2).sum())
            length = {Penalty.SQUARED: 1.0, Penalty.NORM: norm if norm > 0 else np.inf}[penalty]
            W = W - eta * (X[rows].T @ difference / B + lam * W / length)
        of_epoch = np.array(steps[-len(batches) :]).mean(axis=0)
        curves.append((*of_epoch, *evaluate(X_val, validation.y, W)[:2]))
        norms.append(np.sqrt((W**2).sum()))
    return Reference(W, np.array(curves).T, np.array(steps).T, np.array(norms))


@contextmanager
def tiles_of(most: int, n_classes: int) -> Iterator[None]:
    """Let a tile hold so many trials at most: problems this small would otherwise fill one."""
    rows = most * (n_classes - 1)
    with patch.object(tile, "ROWS_BINARY", rows), patch.object(tile, "ROWS_MULTICLASS", rows):
        yield


def run(
    data: TrainingData,
    trials: Sequence[Hyperparameters],
    *,
    most: int = 4,
    epochs: int = 3,
    penalty: Penalty = Penalty.NORM,
    seed: int = 7,
) -> list[TrainingResult]:
    stack = Stack(tuple(trials), penalty, seed)
    advance(stack, data, epochs, most)
    return stack.results(data)


def advance(stack: Stack, data: TrainingData, epochs: int, most: int = 4) -> None:
    with tiles_of(most, data.n_classes):
        stack.advance(data, epochs)


def curves_of(result: TrainingResult) -> np.ndarray:
    """(4, E)."""
    return np.array(list(result.curves.by_name().values()))


def same_bits(first: TrainingResult, second: TrainingResult) -> bool:
    return (
        first.hyperparameters == second.hyperparameters
        and first.weights.tobytes() == second.weights.tobytes()
        and np.array_equal(curves_of(first), curves_of(second), equal_nan=True)
        and first.status is second.status
        and first.stopped_epoch == second.stopped_epoch
    )


def assert_same_bits(first: Sequence[TrainingResult], second: Sequence[TrainingResult]) -> None:
    assert [same_bits(*pair) for pair in zip(first, second, strict=True)] == [True] * len(first)


def assert_close(first: Sequence[TrainingResult], second: Sequence[TrainingResult]) -> None:
    """Alike up to the rounding of other places in other stacks, unless it is amplified."""
    for one, other in zip(first, second, strict=True):
        assert (one.hyperparameters, one.status) == (other.hyperparameters, other.status)
        assert abs(one.stopped_epoch - other.stopped_epoch) <= (one.status is Status.DIVERGED)
        if one.hyperparameters.learning_rate * one.hyperparameters.weight_decay > 1:
            continue  # a step overshoots zero: the penalty alone amplifies rounding
        assert relative_error(one.weights, other.weights) < 1e-5
        for name in ("train_loss", "val_loss"):
            losses = getattr(one.curves, name), getattr(other.curves, name)
            np.testing.assert_allclose(*losses, rtol=1e-5)


def same(stack: Stack) -> Stack:
    return stack


def pickled(stack: Stack) -> Stack:
    copied: Stack = pickle.loads(pickle.dumps(stack))
    return copied


def relative_error(W: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(W - expected) / (np.linalg.norm(expected) or 1))


@cache
def problem(n_classes: int) -> Problem:
    return make_problem(n_classes)


N_TRIALS = 11
DIVERGING = (2, 6, 7)  # places among the trials, under the squared penalty


@cache
def mixed_trials(batch_size: int = 20) -> tuple[Hyperparameters, ...]:
    """Stable ones, and some that diverge and leave, each at another epoch."""
    trials = stable_trials(N_TRIALS, batch_size)
    for place, factor in zip(DIVERGING, (-1e5, -50.0, -9.0), strict=True):
        trials[place] = diverging_trial(batch_size, factor)
    return tuple(trials)


@cache
def together(n_classes: int, most: int, penalty: Penalty) -> list[TrainingResult]:
    return run(problem(n_classes).data, mixed_trials(), most=most, epochs=7, penalty=penalty)

"""Tiny data and made-up results, for tests in which nothing need be trained."""

from __future__ import annotations

import math

import numpy as np

from core.datasets.dataset import Dataset
from core.datasets.splits import Splits
from core.trainer.result import Curves, Hyperparameters, Status, TrainingResult
from search.spec.objective import Objective


def make_splits(class_names: tuple[str, ...] = ("3", "6"), seed: int = 0) -> Splits:
    """Noisy linear classes over 2 x 3 pixels: 60 rows to train on, 24 to validate, 12 to test."""
    rng = np.random.default_rng((seed, len(class_names)))
    X = rng.random((96, 6))
    scores = X @ rng.normal(size=(6, len(class_names))) + 0.1 * rng.gumbel(
        size=(96, len(class_names))
    )
    y = scores.argmax(axis=1)
    everything = Dataset.of(X, y, class_names, (2, 3))
    train, validation, test = (
        everything.take(np.arange(*rows)) for rows in ((0, 60), (60, 84), (84, 96))
    )
    return Splits.of(train, validation, test)


def make_result(
    tried: Hyperparameters,
    status: Status = Status.COMPLETED,
    epochs: int = 5,
    n_classes: int = 2,
    objective: Objective = Objective.LOSS,
) -> TrainingResult:
    """A result whose numbers depend on the hyperparameters alone."""
    distance = abs(math.log10(tried.learning_rate) + 1) + tried.weight_decay
    loss = 0.1 + distance + 1 / np.arange(1.0, epochs + 1)
    balanced = 1 / (1.2 + loss) if objective is Objective.BALANCED_ACCURACY else None
    curves = Curves(loss, 1 / (1 + loss), loss + 0.01, 1 / (1.1 + loss), balanced)
    if status is Status.DIVERGED:
        for values in curves.by_name().values():
            values[-1] = math.nan
        curves.train_loss[-1] = math.inf
    seed = [round(1e9 * tried.learning_rate), tried.batch_size]
    weights = np.random.default_rng(seed).normal(size=(6, n_classes)).astype(np.float32)
    return TrainingResult(tried, weights, np.zeros(n_classes, np.float32), curves, status, epochs)

"""Problems and hypothesis strategies that several test files share."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from core.datasets.dataset import Dataset
from core.trainer.result import Hyperparameters
from core.trainer.training_data import TrainingData

seeds = st.integers(0, 2**32 - 1)
class_counts = st.sampled_from([2, 3, 10])


class Problem(NamedTuple):
    train: Dataset
    validation: Dataset
    data: TrainingData


def make_problem(
    n_classes: int,
    n_train: int = 83,
    n_validation: int = 37,
    n_features: int = 23,
    seed: int = 0,
) -> Problem:
    """Noisy linear classes over sparse features in [0, 1].

    As in images, some features are zero in all training rows, though not in the validation rows,
    and some rows are zero in all features.
    """
    rng = np.random.default_rng((seed, n_classes))
    n = n_train + n_validation
    X = rng.random((n, n_features)) * (rng.random((n, n_features)) < 0.6)
    templates = rng.normal(size=(n_features, n_classes))
    y = (X @ templates + 0.5 * rng.gumbel(size=(n, n_classes))).argmax(axis=1)
    X[:n_train, ::5] = 0
    X[::11] = 0
    names = tuple(f"class {c}" for c in range(n_classes))
    train = Dataset.of(X[:n_train], y[:n_train], names)
    validation = Dataset.of(X[n_train:], y[n_train:], names)
    return Problem(train, validation, TrainingData.of(train, validation))


def stable_trials(n: int, batch_size: int, seed: int = 0) -> list[Hyperparameters]:
    """Trials that converge under either penalty, all different."""
    rng = np.random.default_rng(seed)
    return [
        Hyperparameters(float(rate), float(decay), batch_size)
        for rate, decay in 10.0 ** rng.uniform((-3, -5), (-0.5, -1), (n, 2))
    ]


def diverging_trial(batch_size: int, factor: float = -99.0) -> Hyperparameters:
    """Under the squared penalty its weights are multiplied by ``factor`` at every step."""
    return Hyperparameters(0.5, (1 - factor) / 0.5, batch_size)

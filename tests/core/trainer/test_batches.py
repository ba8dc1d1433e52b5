"""Batches from memory and from files, in both orders: the rows that the order names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.datasets.dataset import DataError, Dataset
from core.datasets.loaded import Loaded
from core.datasets.npz import map_npy
from core.datasets.scaling import Scale
from core.datasets.splits import prepare
from core.datasets.survey import surveyed
from core.trainer.batches import batches
from core.trainer.order import Shuffle
from core.trainer.result import Hyperparameters
from core.trainer.softmax import Penalty
from core.trainer.stack import Stack, train
from core.trainer.training_data import TrainingData

N, D = 1000, 6


def in_file(folder: Path, n_classes: int) -> TrainingData:
    rng = np.random.default_rng(0)
    y = np.sort(np.arange(N) % n_classes)
    X = (rng.normal(size=(N, D)) + y[:, None]).astype(np.float16)
    X[:, 3] = 1
    np.save(folder / "X.npy", X)
    rows = map_npy(folder / "X.npy", always=True)
    assert rows is not None
    whole = Dataset.of(rows, y, tuple(map(str, range(n_classes))))
    parts = surveyed(prepare(Loaded(whole), validation_fraction=0.2, seed=0), lambda _: None)
    scaled = parts.scaled(Scale.STANDARD)
    return TrainingData.of(scaled.train, scaled.validation, bias=True)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("shuffle", [Shuffle(), Shuffle(7, 70), Shuffle(5, 20), Shuffle(1, 10**6)])
@pytest.mark.parametrize("batch_size", [1, 32, 64, 640])
def test_a_batch_has_the_rows_of_the_order(
    tmp_path: Path, n_classes: int, shuffle: Shuffle, batch_size: int
) -> None:
    data = replace(in_file(tmp_path, n_classes), shuffle=shuffle)
    held = data.in_memory()
    assert isinstance(held.X, np.ndarray)
    assert data.active.tolist() == [0, 1, 2, 4, 5]
    out = np.empty((batch_size, data.columns), np.float32)
    n = len(data.y)
    order = shuffle.rows(n, 3, 1)
    seen = []
    for rows in batches(data, batch_size, 3, 1, out):
        np.testing.assert_array_equal(out, held.X[rows])
        seen.append(rows)
    np.testing.assert_array_equal(np.concatenate(seen), order[: n // batch_size * batch_size])


@pytest.mark.parametrize("shuffle", [Shuffle(), Shuffle(7, 70)])
def test_a_file_is_trained_as_its_array_is(tmp_path: Path, shuffle: Shuffle) -> None:
    """Bit for bit: both hand the same numbers to the same products."""
    data = replace(in_file(tmp_path, 3), shuffle=shuffle)
    trials = [Hyperparameters(rate, 1e-3, 16, bias=True) for rate in (0.01, 0.1, 1)]
    mine, its = (
        train(each, trials, penalty=Penalty.NORM, epochs=3, seed=5)
        for each in (data, data.in_memory())
    )
    for one, other in zip(mine, its, strict=True):
        np.testing.assert_array_equal(one.weights, other.weights)
        np.testing.assert_array_equal(one.curves.val_loss, other.curves.val_loss)


def test_training_resumes_at_any_epoch(tmp_path: Path) -> None:
    data = replace(in_file(tmp_path, 3), shuffle=Shuffle(7, 70))
    trials = (Hyperparameters(0.1, 0, 16, bias=True),)
    once, twice = Stack(trials, Penalty.NORM, 0), Stack(trials, Penalty.NORM, 0)
    once.advance(data, 3)
    twice.advance(data, 1)
    twice.advance(data, 2)
    np.testing.assert_array_equal(once.weights, twice.weights)


def test_a_file_that_changes_between_epochs(tmp_path: Path) -> None:
    data = in_file(tmp_path, 3)
    stack = Stack((Hyperparameters(0.1, 0, 16, bias=True),), Penalty.NORM, 0)
    stack.advance(data, 1)
    np.save(tmp_path / "X.npy", np.zeros((N, D), np.float16))
    with pytest.raises(DataError, match="has changed since it was first read"):
        stack.advance(data, 1)

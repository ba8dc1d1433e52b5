from __future__ import annotations

import pickle

import numpy as np
from hypothesis import given
from strategies import make_problem, seeds, stable_trials

from core.datasets.dataset import Dataset
from core.trainer.softmax import Penalty
from core.trainer.stack import train
from core.trainer.training_data import TrainingData


def dataset(X: np.ndarray) -> Dataset:
    return Dataset.of(X, np.arange(len(X)) % 2, ("a", "b"))


def test_features_that_are_zero_in_all_training_rows_are_dropped() -> None:
    X = np.array([[0, 1, 0, 0, -2], [0, 0, 0, 1e-30, 2], [0, 3, 0, 0, 0]])
    X_val = np.array([[7, 0, 8, 0, 9], [0, 1, 0, 2, 0]], np.float32)
    data = TrainingData.of(dataset(X), dataset(X_val))
    assert data.active.tolist() == [1, 3, 4]
    # Of two classes, the examples of class 0 are negated.
    np.testing.assert_array_equal(data.X, signs([0, 1, 0]) * X[:, [1, 3, 4]].astype(np.float32))
    expected = signs([0, 1]) * X_val[:, [1, 3, 4]]  # although 7 and 8 are not 0
    np.testing.assert_array_equal(data.X_val, expected)
    assert data.X.flags.c_contiguous
    assert data.X_val.flags.c_contiguous
    assert data.X.dtype == data.X_val.dtype == np.float32
    assert data.y.tolist() == [0, 1, 0]
    assert data.y_val.tolist() == [0, 1]
    assert (data.n_features, data.n_classes) == (5, 2)


def test_constant_features_are_kept() -> None:
    X = np.column_stack((np.full(4, 3.0), np.zeros(4), np.full(4, -1e-3)))
    assert TrainingData.of(dataset(X)).active.tolist() == [0, 2]


def test_the_datasets_are_left_as_they_are() -> None:
    train_part, validation = dataset(np.ones((4, 3))), dataset(np.ones((2, 3)))
    data = TrainingData.of(train_part, validation)
    assert data.active.tolist() == [0, 1, 2]
    assert data.X.min() == data.X_val.min() == -1
    assert train_part.X.min() == validation.X.min() == 1


def test_more_classes_keep_their_signs() -> None:
    X = np.arange(12.0).reshape(4, 3) + 1
    data = TrainingData.of(Dataset.of(X, np.array([0, 1, 2, 0]), ("a", "b", "c")))
    np.testing.assert_array_equal(data.X, X.astype(np.float32))


def signs(y: list[int]) -> np.ndarray:
    return np.where(np.array(y) == 1, 1, -1)[:, None]


def test_without_validation() -> None:
    for X in (np.ones((4, 3)), np.eye(4)[:, :3] * [1, 0, 1]):
        data = TrainingData.of(dataset(X))
        assert data.X_val.shape == (0, len(data.active))
        assert data.y_val.shape == (0,)
        (result,) = train(data, stable_trials(1, 2), penalty=Penalty.NORM, epochs=2, seed=0)
        assert np.isnan(result.curves.val_loss).all()
        assert np.isnan(result.curves.val_accuracy).all()
        assert np.isfinite(result.curves.train_loss).all()
        assert len(result.curves.val_loss) == len(result.curves.train_loss) == 2


def test_the_number_of_classes_is_that_of_the_names() -> None:
    data = TrainingData.of(Dataset.of(np.ones((2, 1)), np.zeros(2, int), ("a", "b", "c")))
    assert data.n_classes == 3


@given(seed=seeds)
def test_dropped_features_come_back_as_exact_zeros(seed: int) -> None:
    train_part, _, data = make_problem(3, n_features=11, seed=seed)
    dead = ~train_part.X.any(axis=0)
    assert dead.any()
    results = train(data, stable_trials(3, 20, seed), penalty=Penalty.NORM, epochs=2, seed=1)
    for result in results:
        assert result.weights.shape == (11, 3)
        assert not result.weights[dead].any()
        assert result.weights[~dead].any(axis=1).all()


def test_dropping_changes_nothing_but_the_width() -> None:
    """Training with the dead features in place gives the same weights, but for rounding."""
    train_part, validation, data = make_problem(3)
    kept = TrainingData(
        train_part.X,
        train_part.y,
        validation.X,
        validation.y,
        np.arange(data.n_features),
        data.n_features,
        data.n_classes,
    )
    trials = stable_trials(3, 20)
    settings = {"penalty": Penalty.NORM, "epochs": 3, "seed": 1}
    pairs = zip(train(data, trials, **settings), train(kept, trials, **settings), strict=True)
    for fast, slow in pairs:
        np.testing.assert_allclose(fast.weights, slow.weights, rtol=1e-4, atol=1e-7)
        np.testing.assert_allclose(fast.curves.val_loss, slow.curves.val_loss, rtol=1e-5)


def test_all_features_dead() -> None:
    data = TrainingData.of(dataset(np.zeros((6, 3))), dataset(np.ones((4, 3))))
    assert data.active.tolist() == []
    (result,) = train(data, stable_trials(1, 2), penalty=Penalty.NORM, epochs=2, seed=0)
    np.testing.assert_array_equal(result.weights, np.zeros((3, 2)))
    np.testing.assert_allclose(result.curves.train_loss, np.log(2), rtol=1e-6)
    np.testing.assert_allclose(result.curves.val_loss, np.log(2), rtol=1e-6)
    np.testing.assert_array_equal(result.curves.val_accuracy, 0.5)


def test_arrays_that_came_out_of_a_buffer_at_an_odd_place_are_aligned() -> None:
    """As from a network: the trainer would be ten times slower."""
    data = make_problem(3).data
    buffers: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(data, protocol=5, buffer_callback=buffers.append)
    odd = [memoryview(bytearray(b"." + each.raw()))[1:] for each in buffers]
    received = pickle.loads(pickled, buffers=odd)
    assert len(odd) >= 3
    for name in ("X", "y", "X_val", "y_val", "active"):
        array = getattr(received, name)
        assert array.flags.aligned, name
        np.testing.assert_array_equal(array, getattr(data, name), strict=True)
    assert (received.n_features, received.n_classes) == (data.n_features, data.n_classes)

"""What is told of the data: repeated rows, and features that say nothing."""

from __future__ import annotations

import numpy as np

from core.datasets.dataset import Dataset
from core.datasets.remarks import (
    alike_classes,
    constant_features,
    equal_features,
    missing_classes,
    remarks,
    repeated_rows,
)
from core.datasets.splits import Splits

rng = np.random.default_rng(0)
X = rng.normal(size=(90, 4)).astype(np.float32)


def dataset_of(X: np.ndarray, names: tuple[str, ...] | None = None) -> Dataset:
    return Dataset.of(X, np.arange(len(X)) % 2, ("a", "b"), None, names)


def parts(train: np.ndarray, validation: np.ndarray, test: np.ndarray) -> Splits:
    return Splits.of(dataset_of(train), dataset_of(validation), dataset_of(test))


def test_rows_in_two_parts_are_counted() -> None:
    apart = parts(X[:50], X[50:70], X[70:])
    assert repeated_rows(apart) == []
    assert remarks(apart, "mine.npz") == []
    both = parts(X[:50], X[48:70], X[66:])
    assert repeated_rows(both) == [
        "2 of 22 validation rows and 4 of 24 test rows are also in an earlier part, where training "
        "sees them"
    ]
    zero = np.zeros((3, 4), np.float32)
    (said,) = repeated_rows(parts(np.concatenate((zero, X[:50])), X[50:70], -zero))
    assert said.startswith("3 of 3 test rows")


def test_features_that_say_nothing() -> None:
    wide = np.concatenate(
        (X, X[:, 1:2], np.full((90, 1), 0.1), X[:, :1], np.zeros((90, 1))), axis=1
    )
    named = dataset_of(wide, tuple("abcdefgh"))
    assert constant_features(named, "my.csv") == [
        "2 features have one value in the training part of my.csv, and say nothing: f, h"
    ]
    assert equal_features(named, "my.csv") == [
        "2 features equal earlier ones in the training part of my.csv: e = b, g = a"
    ]
    assert equal_features(dataset_of(wide[:, :5]), "my.npz") == [
        "1 feature equals an earlier one in the training part of my.npz: X[:, 4] = X[:, 1]"
    ]
    almost = wide[:, :5].copy()
    almost[1, 4] += 1
    assert equal_features(dataset_of(almost), "my.npz") == []


def test_pixels_may_be_alike() -> None:
    images = Dataset.of(np.zeros((20, 4)), np.arange(20) % 2, ("a", "b"), (2, 2))
    said = remarks(Splits.of(images, images, images), "digits")
    assert len(said) == 1
    assert "validation rows" in said[0]


def test_classes_that_look_alike() -> None:
    (told,) = alike_classes(("cat", "cat ", "Dog", "dog", "e\u0301te", "\u00e9te", "eel"))
    assert "'cat' and 'cat ', 'Dog' and 'dog', " in told
    assert "eel" not in told
    assert alike_classes(("a", "b", "A b")) == []


def test_a_part_without_a_class_is_told() -> None:
    X, y = np.arange(24.0).reshape(12, 2), np.arange(12) % 3
    whole = Dataset.of(X, y, ("a", "b", "c"))
    parts = Splits.of(whole, whole.take(y != 1), whole.take(y == 2))
    assert missing_classes(parts) == [
        "the validation part has no example of class b, of which its scores say nothing",
        "the test part has no example of classes a, b, of which its scores say nothing",
    ]

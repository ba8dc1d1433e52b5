"""The data sets that scikit-learn brings: digits, iris, wine and breast cancer."""

from __future__ import annotations

import functools

import numpy as np

from core.datasets.raw import Part, Raw

TABLES = {"iris": "load_iris", "wine": "load_wine", "breast-cancer": "load_breast_cancer"}


@functools.cache
def read_digits() -> Raw:
    """Return scikit-learn's digits, 8 x 8 pixels. They are read once, and cannot be changed."""
    from sklearn.datasets import load_digits  # This import takes a second.

    bunch = load_digits()
    X = bunch.data.astype(np.uint8)  # The floats are whole numbers.
    for array in (X, bunch.target):
        array.flags.writeable = False
    return Raw(Part(X, bunch.target), image_shape=(8, 8), white=16)


def read_embedded_table(name: str) -> Raw:
    """Return one of `TABLES`, with the names of its features and classes."""
    from sklearn import datasets

    bunch = getattr(datasets, TABLES[name])()
    labels = np.array([str(each) for each in bunch.target_names])[bunch.target]
    return Raw(Part(bunch.data, labels), feature_names=tuple(map(str, bunch.feature_names)))

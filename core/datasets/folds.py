"""Folds: a division of all examples, each of which is held out once.

Notation: N examples, C classes, k folds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from core.datasets.dataset import DataError, Dataset, Labels
from core.datasets.groups import Groups, assign

Array = npt.NDArray[Any]


def folds(dataset: Dataset, k: int, seed: int, groups: Array | None = None) -> tuple[Labels, ...]:
    """Return the rows that each of k folds holds out, ascending; each row is in one fold.

    All folds have the same proportions of classes, as nearly as they can, and each class. groups:
    (N,) integers or strings; the rows of a group are in one fold. Without groups, the sizes of
    folds, and those of a class in them, differ by at most 1. ``seed`` (non-negative) decides which
    rows, on every platform alike.

    Raises DataError if there are fewer than 2 folds, if a class has fewer examples than folds, or
    if the groups leave a fold without a class.
    """
    if k < 2:
        raise DataError(f"At least 2 folds are needed, not {k}.")
    counts = dataset.counts()
    if counts.min() < k:
        scarce = dataset.class_names[int(counts.argmin())]
        raise DataError(
            f"Class {scarce!r} has {counts.min()} example(s), fewer than the {k} folds: give fewer "
            "folds, or leave the class out."
        )
    # Other random numbers than those of the splits: see `splits.prepare`.
    if groups is not None:
        of_row = assign(dataset, Groups.of(dataset, groups), [counts / k] * k, (seed, 2))
    else:
        keys = np.random.PCG64((seed, 2)).random_raw(len(dataset))
        order = np.lexsort((keys, dataset.y))  # class by class, each in random order
        of_row = np.empty(len(dataset), np.intp)
        of_row[order] = np.arange(len(dataset)) % k
    return tuple(np.flatnonzero(of_row == fold) for fold in range(k))

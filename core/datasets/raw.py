"""The data of a source as it was read, before classes are chosen and features become floats.

Notation: N examples, D features.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from core.datasets.dataset import DataError, ImageShape
from core.datasets.file_rows import FileRows

Array = npt.NDArray[Any]

PARTS = ("train", "validation", "test")  # the values of a split column
# What people call them. "dev" and "eval" are left out: they mean either of two parts.
_SPELLINGS = {"training": "train", "val": "validation", "valid": "validation", "testing": "test"}


class Part(NamedTuple):
    """The train, validation or test part of a source.

    X: (N, D), any integer or floating type, or rows that stay in their file. y: (N,), integers or
    strings. groups: (N,), integers or strings, if rows belong to groups.
    """

    X: Array | FileRows
    y: Array
    groups: Array | None = None


class Raw(NamedTuple):
    """The parts of a source; those that it has not are None.

    white: the feature value that becomes 1. feature_names: D of them, if the features have names.
    """

    train: Part
    validation: Part | None = None
    test: Part | None = None
    image_shape: ImageShape | None = None
    white: int = 1
    feature_names: tuple[str, ...] | None = None


def names_part(text: str) -> bool:
    """Return whether a text names one of the parts, in one of its spellings."""
    low = text.strip().lower()
    return _SPELLINGS.get(low, low) in PARTS


def divided(raw: Raw, split: Array | None, where: str) -> Raw:
    """Return a source of one part, divided as ``split`` (N,) says: train, validation or test.

    where: what the split is called in a message. Raises DataError if a value is none of these, if
    no row is for training, or if all are.
    """
    if split is None:
        return raw
    names, place = np.unique(split.astype(str), return_inverse=True)
    meant = [_SPELLINGS.get(low := name.strip().lower(), low) for name in names.tolist()]
    for number, (name, part) in enumerate(zip(names.tolist(), meant, strict=True)):
        if part not in PARTS:
            row = int((place == number).argmax()) + 1
            raise DataError(
                f"{where} has the value {name[:40]!r} in row {row}: each must be train, "
                "validation or test."
            )
    of_row = np.array(meant)[place]
    X, y, groups = raw.train
    parts = {}
    for part in PARTS:
        rows = of_row == part
        if rows.any():
            own = X.take(rows) if isinstance(X, FileRows) else X[rows]
            parts[part] = Part(own, y[rows], None if groups is None else groups[rows])
    if "train" not in parts or len(parts) == 1:
        raise DataError(
            f"{where} puts rows only into {' and '.join(parts)}: some must be for training, and "
            "some for validation or test."
        )
    return raw._replace(
        train=parts["train"], validation=parts.get("validation"), test=parts.get("test")
    )

"""Loading of data by the name of its source, with the classes that are asked for.

Notation: N examples, D features.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from core.datasets.arrays import read_npy_source, read_npz_source
from core.datasets.checks import listed, shown_name
from core.datasets.columns import read_columns
from core.datasets.dataset import DataError, Dataset
from core.datasets.embedded import TABLES, read_digits, read_embedded_table
from core.datasets.file_rows import FileRows
from core.datasets.loaded import Loaded
from core.datasets.mnist import OPENML_NAMES, read_mnist_like
from core.datasets.raw import Part, Raw
from core.datasets.source import Source, suffix_of
from core.datasets.tables import SUFFIXES

Array = npt.NDArray[Any]

_KNOWN = ("digits", *TABLES, *OPENML_NAMES)
_FILES = (".npz", ".npy", *SUFFIXES)


def load_source(
    source: Source,
    classes: Sequence[int | str] | None,
    data_dir: Path | None,
    announce: Callable[[str], None],
    tell: Callable[[str], None],
) -> Loaded:
    """Return the examples of a source, in the parts that it has.

    classes: the labels to keep, compared as strings, in the order that the classes shall have.
    None keeps all labels, sorted.
    data_dir: the folder with the IDX files, or with one folder of them per source, named like it.
    If None, the environment variable LOCKSTEP_DATA names it, and if that is not set, they are
    taken from OpenML.
    announce: called with a sentence before data is fetched from the network.
    tell: called with a sentence about what in the data is not used, or not what it is taken for.

    Pixels of the built-in sources are scaled to [0, 1], and X in unsigned bytes by 1/255. Other
    features stay as they are.

    Raises DataError if the source is unknown or cannot be reached, if its files are not valid, or
    if ``classes`` are fewer than two, repeated or absent.
    """
    raw = _read(source, data_dir, announce, tell)
    names = _choose(source.name, classes, np.unique(raw.train.y))
    for what, part in (("validation", raw.validation), ("test", raw.test)):
        if part and (unseen := np.setdiff1d(part.y.astype(str), raw.train.y.astype(str)).tolist()):
            raise DataError(
                f"The {what} part of {source.name} has labels that the training part has not: "
                f"{listed(unseen)}."
            )
    _check_groups(raw, source)
    groups = raw.train.groups
    if groups is not None:
        groups = groups[np.isin(raw.train.y.astype(str), names)]
    return Loaded(
        train=_dataset(raw, raw.train, names),
        validation=None if raw.validation is None else _dataset(raw, raw.validation, names),
        test=None if raw.test is None else _dataset(raw, raw.test, names),
        groups=groups,
    )


def _read(
    source: Source,
    data_dir: Path | None,
    announce: Callable[[str], None],
    tell: Callable[[str], None],
) -> Raw:
    """Return the data of a source as its reader gives them; see `load_source`."""
    name = source.name
    match suffix_of(name):
        case ".npz":
            return read_npz_source(source, tell)
        case ".npy":
            return read_npy_source(source)
        case suffix if suffix in SUFFIXES:
            return read_columns(source)
    if name == "digits":
        return read_digits()
    if name in TABLES:
        return read_embedded_table(name)
    if name in OPENML_NAMES:
        return read_mnist_like(name, data_dir, announce, tell)
    raise DataError(_unknown(name))


def _unknown(name: str) -> str:
    """Return what is said of a name that no source has."""
    if os.path.isdir(Path(name).expanduser()):
        return (
            f"Unknown data source {name!r}, which is a folder here: give one file, such as .npz "
            "with X of the shape (N, H, W) or (N, H, W, 3) for pictures, and labels y."
        )
    known = (
        f"Unknown data source {name!r}: known are {', '.join(_KNOWN)} and paths that end in "
        f"{', '.join(_FILES)}"
    )
    close = get_close_matches(name, _KNOWN, n=1)
    if close and close[0] in name:  # such as "kmnist", which is other data
        return f"{known}. Save other data as .npz with X and y."
    return f"{known}; did you mean {close[0]}?" if close else f"{known}."


def _choose(source: str, classes: Sequence[int | str] | None, labels: Array) -> tuple[str, ...]:
    """Return the class names. Raises DataError if they are fewer than two, repeated or absent."""
    present = [str(label) for label in labels]
    chosen = present if classes is None else [str(label) for label in classes]
    if len(chosen) < 2:
        raise DataError(f"At least two classes are needed, got {listed(chosen)} of {source}.")
    if repeated := [name for name, count in Counter(chosen).items() if count > 1]:
        raise DataError(f"Classes are repeated: {listed(repeated)}.")
    if absent := sorted(set(chosen) - set(present)):
        raise DataError(
            f"Classes {listed(absent)} are not in {source}, whose labels are {listed(present)}."
        )
    return tuple(chosen)


def _check_groups(raw: Raw, source: Source) -> None:
    """Raise DataError if the source's own division puts a group on two sides."""
    parts = {"train": raw.train, "validation": raw.validation, "test": raw.test}
    seen: dict[str, str] = {}
    for what, part in parts.items():
        if part is None or part.groups is None:
            continue
        for group in np.unique(part.groups.astype(str)).tolist():
            if (other := seen.setdefault(group, what)) != what:
                raise DataError(
                    f"{source.name} has rows of group {shown_name(group)!r} ({source.groups}) both "
                    f"in {other} and in {what}: give all rows of a group one part."
                )


def _dataset(raw: Raw, part: Part, names: tuple[str, ...]) -> Dataset:
    """Return the examples of the chosen classes.

    They are chosen before the conversion, because floats need four times as much memory.
    """
    class_of = {name: c for c, name in enumerate(names)}
    labels, inverse = np.unique(part.y, return_inverse=True)
    y = np.array([class_of.get(str(label), -1) for label in labels], dtype=np.intp)[inverse]
    X = part.X
    if (y < 0).any():
        chosen = y >= 0
        X, y = X.take(chosen) if isinstance(X, FileRows) else X[chosen], y[chosen]
    if isinstance(X, FileRows):
        return Dataset.of(X, y, names, raw.image_shape, raw.feature_names)
    if raw.white != 1:
        X = np.divide(X, raw.white, dtype=np.float32)
    return Dataset.of(X, y, names, raw.image_shape, raw.feature_names)

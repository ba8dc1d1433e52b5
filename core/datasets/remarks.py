"""What a user should know of the data: rows that stand in two parts, features that say nothing.

Notation: N examples, D features.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

from core.datasets.checks import listed
from core.datasets.dataset import Dataset, Matrix
from core.datasets.file_rows import FileRows
from core.datasets.splits import Splits

_SAMPLE = 64  # rows by which features are first compared


def remarks(data: Splits, source: str) -> list[str]:
    """Return sentences about the unscaled data; source: what it is called in them."""
    found = alike_classes(data.train.class_names) + missing_classes(data)
    if isinstance(data.train.X, FileRows):  # To compare all rows or features would take too long.
        return found + constant_features(data.train, source)
    found += repeated_rows(data)
    if data.train.image_shape is None:  # pixels at the edge are often alike
        found += constant_features(data.train, source) + equal_features(data.train, source)
    return found


def alike_classes(names: Sequence[str]) -> list[str]:
    """Return a sentence on classes whose names look alike, if there are any."""
    alike: dict[str, list[str]] = {}
    for name in names:
        plain = unicodedata.normalize("NFKC", " ".join(name.split())).casefold()
        alike.setdefault(plain, []).append(name)
    groups = [" and ".join(map(repr, group)) for group in alike.values() if len(group) > 1]
    if not groups:
        return []
    return [
        f"classes differ only in spaces, capitals or letter forms: {listed(groups, 5)}; where they "
        "mean the same, give their rows one label"
    ]


def missing_classes(data: Splits) -> list[str]:
    """Return a sentence for each part that has no example of some classes."""
    found = []
    for name, part in (("validation", data.validation), ("test", data.test)):
        absent = [part.class_names[c] for c in np.flatnonzero(part.counts() == 0)]
        if absent:
            what = "class" if len(absent) == 1 else "classes"
            found.append(
                f"the {name} part has no example of {what} {listed(absent, 5)}, of which its "
                "scores say nothing"
            )
    return found


def repeated_rows(data: Splits) -> list[str]:
    """Return a sentence on rows that stand in two parts, if there are any.

    Rows are the same if all features are, whatever their labels.
    """
    train, test = _rows(data.train), _rows(data.test)
    validation = [] if data.fold_parts else _rows(data.validation)  # folds hold out every row
    seen = set(train)
    of_validation = sum(row in seen for row in validation)
    seen.update(validation)
    of_test = sum(row in seen for row in test)
    parts = [
        f"{count:,} of {len(rows):,} {name} rows"
        for count, rows, name in (
            (of_validation, validation, "validation"),
            (of_test, test, "test"),
        )
        if count
    ]
    if not parts:
        return []
    return [f"{' and '.join(parts)} are also in an earlier part, where training sees them"]


def constant_features(train: Dataset, source: str) -> list[str]:
    """Return a sentence on features that have one value in training, if there are any."""
    if isinstance(train.X, FileRows):
        known = train.X.statistics
        constant = np.flatnonzero(known.constant) if known else np.arange(0)
    else:
        constant = np.flatnonzero(train.X.min(axis=0) == train.X.max(axis=0))
    if not len(constant):
        return []
    one = len(constant) == 1
    what, say = ("feature has one value", "says") if one else ("features have one value", "say")
    return [
        f"{len(constant):,} {what} in the training part of {source}, and {say} nothing: "
        f"{_names(train, constant.tolist())}"
    ]


def equal_features(train: Dataset, source: str) -> list[str]:
    """Return a sentence on features that equal an earlier one in training, if there are any.

    Constant ones are left out.
    """
    X = train.X[:]
    varies = np.flatnonzero(X.min(axis=0) != X.max(axis=0))
    rows = np.linspace(0, len(X) - 1, min(_SAMPLE, len(X))).astype(np.intp)
    sample = np.ascontiguousarray(X[np.ix_(rows, varies)].T)
    alike: dict[bytes, list[int]] = {}
    for place, column in zip(varies.tolist(), sample, strict=True):
        alike.setdefault(column.tobytes(), []).append(place)
    twins: dict[int, int] = {}
    for places in alike.values():
        first: dict[bytes, int] = {}
        for place in places if len(places) > 1 else ():
            whole = blake2b(X[:, place].tobytes(), digest_size=16).digest()
            if (earlier := first.setdefault(whole, place)) != place:
                twins[place] = earlier
    if not twins:
        return []
    pairs = [f"{_names(train, [b])} = {_names(train, [a])}" for b, a in sorted(twins.items())]
    what = "feature equals an earlier one" if len(twins) == 1 else "features equal earlier ones"
    return [f"{len(twins):,} {what} in the training part of {source}: {listed(pairs, 5)}"]


def _names(dataset: Dataset, places: Sequence[int]) -> str:
    """Return the names of features, or their numbers, for a message."""
    names = dataset.feature_names
    return listed([names[place] if names else f"X[:, {place}]" for place in places], 10)


def _rows(dataset: Dataset) -> list[bytes]:
    """Return a key for each row, the same for the same features."""
    X: Matrix = dataset.X[:] + np.float32(0)  # -0 becomes 0
    return [blake2b(row, digest_size=16).digest() for row in X]

"""A set of labelled examples, with its digest. No file is opened here (see `sources.py`).

Notation: N examples, D features, C classes.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from core.datasets.errors import DataError as DataError  # from here on, also for other modules
from core.datasets.file_rows import FileRows
from core.datasets.scaling import Matrix as Matrix

Rows = Matrix | FileRows  # features in memory, or in a file
Labels = npt.NDArray[np.intp]  # classes in 0..C-1
ImageShape = tuple[int, ...]  # (H, W), or (H, W, 3) in colour
Seed = int | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Dataset:
    """Immutable labelled examples, which are made by `Dataset.of` and compared by digest.

    X: (N, D) float32, C-contiguous, read-only; or rows in a file, which are read when needed.
    y: (N,) intp in 0..C-1, read-only.
    class_names: C labels, in class order.
    image_shape: (H, W) with H W = D, row-major, if the examples are images; (H, W, 3) with
        3 H W = D if they are in colour, the three channels of a pixel side by side.
    feature_names: D names, in the order of the columns of X, if the features have names.
    digest: SHA-256 of all of the above as they were loaded, hexadecimal, the same on every
        platform. A scaled copy (`scaled.py`) keeps it: it has the same examples. It is empty for
        rows in a file that was not read through yet (see `survey.py`).
    """

    X: Rows = field(compare=False, repr=False)
    y: Labels = field(compare=False, repr=False)
    class_names: tuple[str, ...] = field(compare=False)
    image_shape: ImageShape | None = field(compare=False)
    digest: str
    feature_names: tuple[str, ...] | None = field(default=None, compare=False)

    @classmethod
    def of(
        cls,
        X: npt.NDArray[Any] | FileRows,
        y: npt.NDArray[Any],
        class_names: tuple[str, ...],
        image_shape: ImageShape | None = None,
        feature_names: tuple[str, ...] | None = None,
    ) -> Self:
        """Return a dataset of these arrays. Arrays that have the right types are not copied.

        Raises DataError if the shapes or the number of names disagree, or a label lies outside
        0..C-1.
        """
        if len(X.shape) != 2 or y.shape != X.shape[:1]:
            raise DataError(
                f"Examples and labels must have the shapes (N, D) and (N,), not {X.shape} and "
                f"{y.shape}."
            )
        if image_shape is not None and prod(image_shape) != X.shape[1]:
            raise DataError(
                f"Images of {' x '.join(map(str, image_shape))} pixels need "
                f"{prod(image_shape)} features, not {X.shape[1]}."
            )
        if feature_names is not None and len(feature_names) != X.shape[1]:
            raise DataError(f"{len(feature_names)} names are given to {X.shape[1]} features.")
        if len(y) and not 0 <= y.min() <= y.max() < len(class_names):
            raise DataError(
                f"Labels must lie in 0..{len(class_names) - 1}, not {y.min()}..{y.max()}."
            )
        y = np.ascontiguousarray(y, dtype=np.intp).view()
        y.flags.writeable = False  # so that the digest stays true
        if isinstance(X, FileRows):
            return cls(X, y, class_names, image_shape, "", feature_names)
        X = np.ascontiguousarray(X, dtype=np.float32).view()
        X.flags.writeable = False
        digest = _digest(X, y, class_names, image_shape, feature_names)
        return cls(X, y, class_names, image_shape, digest, feature_names)

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> Dataset:
        """Return the examples of these rows, in this order (indices, or a mask of shape (N,))."""
        if isinstance(self.X, FileRows):
            chosen = np.arange(len(self))[rows]
            digest = self.digest and _digest_of_rows(self.digest, chosen)
            return replace(self, X=self.X.take(chosen), y=self.y[chosen], digest=digest)
        return Dataset.of(
            self.X[rows], self.y[rows], self.class_names, self.image_shape, self.feature_names
        )

    def counts(self) -> npt.NDArray[np.intp]:
        """Return the number of examples of each class, (C,)."""
        return np.bincount(self.y, minlength=len(self.class_names))


def concatenate(first: Dataset, second: Dataset) -> Dataset:
    """Return the examples of both, in order.

    Raises DataError as `check_alike` does.
    """
    check_alike(first, second)
    if isinstance(first.X, FileRows) and isinstance(second.X, FileRows):
        both = f"{first.digest}\n{second.digest}"
        y = np.concatenate((first.y, second.y))
        digest = hashlib.sha256(both.encode()).hexdigest()
        return replace(first, X=first.X.joined(second.X), y=y, digest=digest)
    return Dataset.of(
        np.concatenate((first.X[:], second.X[:])),
        np.concatenate((first.y, second.y)),
        first.class_names,
        first.image_shape,
        first.feature_names,
    )


def check_alike(first: Dataset, second: Dataset) -> None:
    """Raise DataError if classes, numbers or names of features, or image shapes differ."""
    for what, a, b in (
        ("classes", first.class_names, second.class_names),
        ("numbers of features", first.X.shape[1], second.X.shape[1]),
        ("image shapes", first.image_shape, second.image_shape),
        ("names of features", first.feature_names, second.feature_names),
    ):
        if a != b:
            raise DataError(f"Two parts of the data have different {what}: {a} and {b}.")


class Digest:
    """The SHA-256 of a dataset; the byte order is fixed, so all platforms agree.

    Names of features came later, so data without them keep the digest that older studies stored.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        class_names: tuple[str, ...],
        image_shape: ImageShape | None,
        feature_names: tuple[str, ...] | None,
    ) -> None:
        named = [] if feature_names is None else [feature_names]
        header = json.dumps([shape, class_names, image_shape, *named])
        self._sha256 = hashlib.sha256(header.encode())

    def update(self, X: Matrix) -> None:
        """Take in the next rows of features."""
        self._sha256.update(np.ascontiguousarray(X, "<f4").data)

    def end(self, y: Labels) -> str:
        """Take in the labels, after all rows, and return the digest, hexadecimal."""
        self._sha256.update(y.astype("<i8", copy=False).data)
        return self._sha256.hexdigest()


def _digest(
    X: Matrix,
    y: Labels,
    class_names: tuple[str, ...],
    image_shape: ImageShape | None,
    feature_names: tuple[str, ...] | None,
) -> str:
    """Return the digest of a dataset in memory."""
    digest = Digest(X.shape, class_names, image_shape, feature_names)
    digest.update(X)
    return digest.end(y)


def _digest_of_rows(digest: str, rows: npt.NDArray[np.intp]) -> str:
    """Return the digest of some rows of a dataset that has this digest, without reading them."""
    sha256 = hashlib.sha256(digest.encode())
    sha256.update(rows.astype("<i8", copy=False).tobytes())
    return sha256.hexdigest()

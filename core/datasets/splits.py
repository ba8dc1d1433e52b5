"""Division of the examples into train, validation and test parts. No file is read here.

Notation: N examples, C classes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from core.datasets.dataset import DataError, Dataset, Labels, Seed, check_alike, concatenate
from core.datasets.file_rows import FileRows
from core.datasets.folds import folds
from core.datasets.groups import Groups, assign
from core.datasets.loaded import Loaded
from core.datasets.scaled import scaled, scaling_of
from core.datasets.scaling import UNSCALED, Scale, Scaling

Array = npt.NDArray[Any]
Part = tuple[Dataset, Dataset]  # what is trained on, and what is held out


@dataclass(frozen=True, slots=True)
class Splits:
    """The parts of a study's data, scaled; ``digest`` is computed from the unscaled parts.

    train, validation, test: with folds, train has every example but those of test, and validation
        has them too, in the order in which the folds hold them out, each scaled as in its fold
        unless the rows stay in their file.
    scaling: what was done to all parts, with folds to train and test. raw: the parts before that.
    fold_parts: for each fold what it is trained on, and what it holds out; empty without folds.
    """

    train: Dataset = field(compare=False)
    validation: Dataset = field(compare=False)
    test: Dataset = field(compare=False)
    digest: str
    scaling: Scaling = field(compare=False, default=UNSCALED)
    raw: tuple[Dataset, Dataset, Dataset] | None = field(compare=False, default=None, repr=False)
    fold_parts: tuple[Part, ...] = field(compare=False, default=(), repr=False)

    @classmethod
    def of(cls, train: Dataset, validation: Dataset, test: Dataset) -> Self:
        """Return the splits of these three parts."""
        digests = "\n".join(part.digest for part in (train, validation, test))
        return cls(train, validation, test, hashlib.sha256(digests.encode()).hexdigest())

    @classmethod
    def of_folds(cls, everything: Dataset, rows: Sequence[Labels], test: Dataset) -> Self:
        """Return the splits of folds. rows: those of ``everything`` that each fold holds out."""
        parts = []
        for held in rows:
            kept = np.setdiff1d(np.arange(len(everything)), held)
            parts.append((everything.take(kept), everything.take(held)))
        validation = everything.take(np.concatenate(rows))
        digest = digest_of_folds(everything, rows, test)
        return cls(everything, validation, test, digest, fold_parts=tuple(parts))

    @property
    def folds(self) -> tuple[Part, ...]:
        """What each fold is trained on and holds out; one pair if a part is held out instead."""
        return self.fold_parts or ((self.train, self.validation),)

    def scaled(self, scale: Scale) -> Splits:
        """Return these unscaled parts, scaled by statistics of the training part, same digest.

        Raises DataError as `scaled.scaled` does.
        """
        if scale is Scale.NONE:
            return self
        scaling, parts = scaling_of(self.train, scale), (self.train, self.validation, self.test)
        train, validation, test = (scaled(part, scaling) for part in parts)
        folds = []
        for kept, held in self.fold_parts:
            of_fold = scaling_of(kept, scale)
            folds.append((scaled(kept, of_fold), scaled(held, of_fold)))
        if folds and not isinstance(validation.X, FileRows):
            X = np.concatenate([held.X[:] for _, held in folds])
            X.flags.writeable = False
            validation = replace(validation, X=X)
        return Splits(train, validation, test, self.digest, scaling, parts, tuple(folds))

    @property
    def raw_test(self) -> Dataset:
        """The test part before it was scaled."""
        return self.test if self.raw is None else self.raw[2]

    def merged(self) -> Merged:
        """Return train + validation and test, scaled again by statistics of train + validation."""
        train, validation, test = self.raw or (self.train, self.validation, self.test)
        everything = train if self.fold_parts else concatenate(train, validation)
        scaling = scaling_of(everything, self.scaling.scale)
        return Merged(scaled(everything, scaling), scaled(test, scaling), scaling, everything)


def digest_of_folds(everything: Dataset, rows: Sequence[Labels], test: Dataset) -> str:
    """Return the digest of folds. rows: those of ``everything`` that each fold holds out."""
    sha256 = hashlib.sha256(f"{everything.digest}\n{test.digest}".encode())
    for held in rows:
        sha256.update(held.astype("<i8").tobytes())
    return sha256.hexdigest()


@dataclass(frozen=True, slots=True)
class Merged:
    """Train + validation as one training part, and the test part, both scaled.

    scaling: what was done to both. raw: the training part before that.
    """

    train: Dataset
    test: Dataset
    scaling: Scaling
    raw: Dataset


def prepare(
    loaded: Loaded,
    *,
    validation_fraction: float,
    seed: int,
    test_fraction: float = 0.2,
    n_folds: int | None = None,
) -> Splits:
    """Split off a validation part and a test part, unless the source has them.

    With ``n_folds``, all examples but those of the test part are divided into folds instead.

    If there is no test part, ``test_fraction`` of the examples are held out as one first.
    ``validation_fraction`` is a fraction of the train part that is left. Both splits are
    stratified, and depend only on the data, the fractions, the groups and ``seed``. No group is
    divided.

    Raises DataError as `stratified_split` and `assign` do, if a part of the source is empty, or if
    its classes, features or image shape differ from those of the train part.
    """
    train, validation, test = loaded.train, loaded.validation, loaded.test
    groups = loaded.groups
    if test is None:
        # The two splits need different random streams. With one stream for both, rows that the
        # first split keeps could get the same keys in the second one and be kept again.
        held = _held_out(train, test_fraction, (seed, 1), groups)
        test = train.take(held)
        train, groups = train.take(~held), None if groups is None else groups[~held]
    if n_folds is not None:
        _check_part("test", test, train)
        return Splits.of_folds(train, folds(train, n_folds, seed, groups), test)
    if validation is None:
        held = _held_out(train, validation_fraction, seed, groups)
        train, validation = train.take(~held), train.take(held)
    _check_part("test", test, train)
    _check_part("validation", validation, train)
    return Splits.of(train, validation, test)


def _check_part(name: str, part: Dataset, train: Dataset) -> None:
    """Raise DataError if a part is empty or unlike the training part."""
    if len(part) == 0:
        raise DataError(f"The {name} part has no example of the chosen classes.")
    check_alike(train, part)


def _held_out(
    dataset: Dataset, fraction: float, seed: Seed, groups: Array | None
) -> npt.NDArray[np.bool_]:
    """Return which rows are held out, (N,), with no group on both sides if there are groups."""
    if groups is None:
        return held_out(dataset, fraction, seed)
    shares = _shares(dataset, fraction)
    targets = (dataset.counts() - shares, shares)
    held: npt.NDArray[np.bool_] = assign(dataset, Groups.of(dataset, groups), targets, seed) == 1
    return held


def stratified_split(dataset: Dataset, fraction: float, seed: Seed) -> tuple[Dataset, Dataset]:
    """Return the examples as (rest, held out), with the same proportions of classes in both.

    round(fraction N) examples are held out. They are divided among the classes by largest
    remainder, but each class has at least one example on either side. ``seed`` (non-negative)
    decides which examples, on every platform and with every NumPy version alike. The rows stay in
    their original order.

    Raises DataError if ``fraction`` is not in (0, 1) or a class cannot be on both sides.
    """
    held = held_out(dataset, fraction, seed)
    return dataset.take(~held), dataset.take(held)


def held_out(dataset: Dataset, fraction: float, seed: Seed) -> npt.NDArray[np.bool_]:
    """Return which rows `stratified_split` holds out, (N,). Raises DataError as it does."""
    shares = _shares(dataset, fraction)
    # NumPy promises that raw bits never change, but not the results of `Generator.permutation`.
    keys = np.random.PCG64(seed).random_raw(len(dataset))
    held = np.zeros(len(dataset), dtype=np.bool_)
    for label, size in enumerate(shares):
        rows = np.flatnonzero(dataset.y == label)
        held[rows[np.argsort(keys[rows], kind="stable")[:size]]] = True
    return held


def _shares(dataset: Dataset, fraction: float) -> npt.NDArray[np.intp]:
    """Return how many examples of each class are held out, (C,); see `stratified_split`."""
    if not 0 < fraction < 1:
        raise DataError(f"A held-out fraction must lie between 0 and 1, not {fraction}.")
    counts, total = dataset.counts(), round(fraction * len(dataset))
    if counts.min() < 2:
        scarce = dataset.class_names[int(counts.argmin())]
        raise DataError(
            f"Class {scarce!r} has {counts.min()} example(s), and a split needs at least 2 of each "
            "class: add examples, or leave it out (classes)."
        )
    if not len(counts) <= total <= len(dataset) - len(counts):
        raise DataError(
            f"A held-out fraction of {fraction} puts {total} of {len(dataset)} examples on one "
            f"side, which must be from {len(counts)} to {len(dataset) - len(counts)} so that each "
            f"of {len(counts)} classes is on both sides."
        )
    return _allot(counts, total)


def _allot(counts: npt.NDArray[np.intp], total: int) -> npt.NDArray[np.intp]:
    """Divide ``total`` in proportion to ``counts``, (C,); each share is in 1..counts-1.

    This is the method of largest remainders (Hamilton's method) in exact integers. Of equal
    remainders, the first class wins.
    """
    n = int(counts.sum())
    shares = np.maximum(total * counts // n, 1)
    while (missing := total - shares.sum()) != 0:
        step = 1 if missing > 0 else -1
        movable = shares < counts - 1 if step == 1 else shares > 1
        remainders = step * (total * counts - shares * n)
        candidates = np.flatnonzero(movable)
        shares[candidates[remainders[candidates].argmax()]] += step
    return np.asarray(shares, dtype=np.intp)

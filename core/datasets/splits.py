"""Division of the examples into train, validation and test parts. No file is read here.

Notation: N examples, C classes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import numpy.typing as npt

from core.datasets.dataset import DataError, Dataset, Seed, check_alike


@dataclass(frozen=True, slots=True)
class Splits:
    """The three parts of a study's data; ``digest`` is computed from their three digests."""

    train: Dataset = field(compare=False)
    validation: Dataset = field(compare=False)
    test: Dataset = field(compare=False)
    digest: str

    @classmethod
    def of(cls, train: Dataset, validation: Dataset, test: Dataset) -> Self:
        """Return the splits of these three parts."""
        digests = "\n".join(part.digest for part in (train, validation, test))
        return cls(train, validation, test, hashlib.sha256(digests.encode()).hexdigest())


def prepare(
    train: Dataset,
    test: Dataset | None,
    *,
    validation_fraction: float,
    seed: int,
    test_fraction: float = 0.2,
) -> Splits:
    """Split off a validation part, and a test part if the source has none.

    If ``test`` is None, ``test_fraction`` of the examples are held out as the test part first.
    ``validation_fraction`` is a fraction of the train part that is left. Both splits are
    stratified, and depend only on the data, the fractions and ``seed``.

    Raises DataError as `stratified_split` does, if ``test`` is empty, or if its classes, number of
    features or image shape differ from those of ``train``.
    """
    if test is None:
        # The two splits need different random streams. With one stream for both, rows that the
        # first split keeps could get the same keys in the second one and be kept again.
        train, test = stratified_split(train, test_fraction, (seed, 1))
    if len(test) == 0:
        raise DataError("The test part has no example of the chosen classes.")
    check_alike(train, test)
    return Splits.of(*stratified_split(train, validation_fraction, seed), test)


def stratified_split(dataset: Dataset, fraction: float, seed: Seed) -> tuple[Dataset, Dataset]:
    """Return the examples as (rest, held out), with the same proportions of classes in both.

    round(fraction N) examples are held out. They are divided among the classes by largest
    remainder, but each class has at least one example on either side. ``seed`` (non-negative)
    decides which examples, on every platform and with every NumPy version alike. The rows stay in
    their original order.

    Raises DataError if ``fraction`` is not in (0, 1) or a class cannot be on both sides.
    """
    if not 0 < fraction < 1:
        raise DataError(f"A held-out fraction must lie between 0 and 1, not {fraction}.")
    counts, total = dataset.counts(), round(fraction * len(dataset))
    if counts.min() < 2:
        scarce = dataset.class_names[int(counts.argmin())]
        raise DataError(
            f"Class {scarce!r} has {counts.min()} example(s), and a split needs at least 2 of each "
            "class."
        )
    if not len(counts) <= total <= len(dataset) - len(counts):
        raise DataError(
            f"A held-out fraction of {fraction} puts {total} of {len(dataset)} examples on one "
            f"side, which must be from {len(counts)} to {len(dataset) - len(counts)} so that each "
            f"of {len(counts)} classes is on both sides."
        )
    # NumPy promises that raw bits never change, but not the results of `Generator.permutation`.
    keys = np.random.PCG64(seed).random_raw(len(dataset))
    held = np.zeros(len(dataset), dtype=np.bool_)
    for label, size in enumerate(_allot(counts, total)):
        rows = np.flatnonzero(dataset.y == label)
        held[rows[np.argsort(keys[rows], kind="stable")[:size]]] = True
    return dataset.take(~held), dataset.take(held)


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

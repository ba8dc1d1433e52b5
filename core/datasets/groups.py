"""Division of examples in groups: no group on two sides, every class on all, and alike.

Notation: N examples, G groups, C classes, B bins (the sides of a split, or folds).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from core.datasets.dataset import DataError, Dataset, Labels, Seed

Array = npt.NDArray[Any]

_PASSES = 50  # over all groups; a few are enough, and the last one changes nothing


class Groups(NamedTuple):
    """Groups with their classes.

    of_row: (N,) the group of each row, 0 to G - 1. names: G of them. classes, counts: for each
    group, the classes that it has, and how many examples of each.
    """

    of_row: Labels
    names: list[str]
    classes: list[list[int]]
    counts: list[list[int]]

    @classmethod
    def of(cls, dataset: Dataset, groups: Array) -> Groups:
        """Return the groups of the examples; groups: (N,) integers or strings."""
        names, of_row = np.unique(groups, return_inverse=True)
        C = len(dataset.class_names)
        pairs, counts = np.unique(of_row * C + dataset.y, return_counts=True)
        starts = np.searchsorted(pairs // C, np.arange(1, len(names)))
        return cls(
            of_row=np.asarray(of_row, dtype=np.intp),
            names=[str(name) for name in names],
            classes=[each.tolist() for each in np.split(pairs % C, starts)],
            counts=[each.tolist() for each in np.split(counts, starts)],
        )


class _Bins:
    """Bins that are filled with groups, and how far each is from its target.

    held: how many examples of each class are in each bin.
    """

    def __init__(self, dataset: Dataset, groups: Groups, targets: Sequence[Array]) -> None:
        self._groups = groups
        self._sizes = dataset.counts().tolist()
        self._wanted = [target.tolist() for target in targets]
        self._heavy = float(len(dataset)) ** 2
        self.held = [[0] * len(self._sizes) for _ in targets]

    def cost(self, of_bin: int, group: int, sign: int) -> float:
        """Return by how much the distance grows if a group is put in (1) or taken out (-1)."""
        held, wanted, terms = self.held[of_bin], self._wanted[of_bin], []
        for c, n in zip(self._groups.classes[group], self._groups.counts[group], strict=True):
            before = held[c]
            after = before + sign * n
            off, was = after - wanted[c], before - wanted[c]
            terms.append((off * off - was * was) / self._sizes[c])
            terms.append(self._heavy * ((after == 0) - (before == 0)))
        return fsum(terms)

    def put(self, of_bin: int, group: int, sign: int) -> None:
        """Put a group in (1), or take it out (-1)."""
        for c, n in zip(self._groups.classes[group], self._groups.counts[group], strict=True):
            self.held[of_bin][c] += sign * n


def assign(dataset: Dataset, groups: Groups, targets: Sequence[Array], seed: Seed) -> Labels:
    """Return the bin of each row, (N,), such that each group is in one bin.

    targets: for each of the B bins, how many examples of each class it should have, (C,). Groups
    are put, the largest first, where they bring the counts nearest to the targets; the squared
    distance counts relative to the class's size. Then single groups are moved while that helps. A
    class that a bin lacks weighs more than any distance. ``seed`` decides between groups of one
    size, on every platform alike.

    Raises DataError if a bin lacks a class in the end.
    """
    B, bins = len(targets), _Bins(dataset, groups, targets)
    # NumPy promises that raw bits never change, but not the results of `Generator.permutation`.
    keys = np.random.PCG64(seed).random_raw(len(groups.names))
    totals = np.array([sum(counts) for counts in groups.counts])
    order = np.lexsort((keys, -totals)).tolist()
    places = [0] * len(order)
    for group in order:
        places[group] = min(range(B), key=lambda b: (bins.cost(b, group, 1), b))
        bins.put(places[group], group, 1)
    for _ in range(_PASSES):
        moved = False
        for group in order:
            old = places[group]
            saved = bins.cost(old, group, -1)
            others = (b for b in range(B) if b != old)
            best = min(others, key=lambda b: (bins.cost(b, group, 1), b))
            if bins.cost(best, group, 1) + saved < -1e-9:
                bins.put(old, group, -1)
                bins.put(best, group, 1)
                places[group], moved = best, True
        if not moved:
            break
    _check_classes(dataset, groups, bins.held)
    return np.array(places, dtype=np.intp)[groups.of_row]


def _check_classes(dataset: Dataset, groups: Groups, held: Sequence[Sequence[int]]) -> None:
    """Raise DataError if a bin lacks a class. held: the counts of each class in each bin."""
    for c, name in enumerate(dataset.class_names):
        if any(counts[c] == 0 for counts in held):
            having = [g for g, classes in enumerate(groups.classes) if c in classes]
            raise DataError(
                f"The groups cannot be divided into {len(held)} parts that each have class "
                f"{name!r}: it is in {len(having)} of {len(groups.names)} groups"
                + (f" ({groups.names[having[0]]!r})" if len(having) == 1 else "")
                + "; smaller groups, or another fraction, may help."
            )

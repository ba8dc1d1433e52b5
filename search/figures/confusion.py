"""Draw a confusion matrix as PNG bytes.

Notation: M examples, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from core.datasets.dataset import Labels
from search.figures.style import (
    INK,
    png,
    style,
)

MAX_ANNOTATED = 20  # the most classes with which counts are still readable
MAX_CLASSES = 30  # the most classes whose names are still readable


def most_confused(y: Labels, predicted: Labels, C: int, most: int) -> Labels:
    """Return up to ``most`` of C classes, ascending: those of the pairs that are most often
    confused.

    y, predicted: (M,) true and predicted classes. How often two classes are confused is the sum of
    both their errors. Of pairs that are confused equally often, the first is taken.
    """
    wrong = y != predicted
    first, second = np.minimum(y, predicted)[wrong], np.maximum(y, predicted)[wrong]
    pairs, errors = np.unique(first * C + second, return_counts=True)
    ordered = pairs[np.argsort(-errors, kind="stable")][: most * most]
    # The classes in the order in which the pairs name them, each once; then the others.
    by_pair = np.stack([ordered // C, ordered % C], axis=1).ravel()
    named = dict.fromkeys([*by_pair.tolist(), *range(min(C, most))])
    return np.sort(np.array(list(named)[:most], np.intp))


class _Counted(NamedTuple):
    """The matrix that is drawn, of K of the classes.

    names: of these classes, shortened. counts: (K, K), by true and predicted class. shares: the
    same in per cent of the true class, whatever it was taken for.
    """

    title: str
    names: list[str]
    counts: npt.NDArray[np.intp]
    shares: npt.NDArray[np.float64]

    @classmethod
    def of(cls, y: Labels, predicted: Labels, class_names: Sequence[str]) -> Self:
        """Count the examples of the classes that are shown; see `confusion_matrix`."""
        C = len(class_names)
        top = max(y.max(initial=-1), predicted.max(initial=-1))
        if y.ndim != 1 or y.shape != predicted.shape or top >= C or C == 0:
            raise ValueError(
                f"labels of shape {y.shape} and predictions of shape {predicted.shape} up to {top} "
                f"do not fit {C} classes"
            )
        right, total = int((y == predicted).sum()), len(y)
        title = f"{right:,} of {total:,} correct ({100 * right / max(total, 1):.2f} %)"
        chosen = np.arange(C)
        if C > MAX_CLASSES:
            chosen = most_confused(y, predicted, C, MAX_ANNOTATED)
        places = np.full(C, -1)
        places[chosen] = np.arange(len(chosen))
        row, column = places[y], places[predicted]
        shown = (row >= 0) & (column >= 0)
        counts = np.zeros((len(chosen), len(chosen)), np.intp)
        np.add.at(counts, (row[shown], column[shown]), 1)
        sizes = np.bincount(y, minlength=C)[chosen]
        shares = 100 * counts / np.maximum(sizes[:, None], 1)
        if C > MAX_CLASSES:
            errors = int(counts.sum() - np.trace(counts))
            title += (
                f"\n{MAX_ANNOTATED} of {C:,} classes, those most often confused with each other:"
                f"\n{errors:,} of {total - right:,} errors"
            )
        shown_names = [class_names[int(c)] for c in chosen]
        names = [name if len(name) <= 16 else f"{name[:15]}…" for name in shown_names]
        return cls(title, names, counts, shares)


@style()
def confusion_matrix(y: Labels, predicted: Labels, class_names: Sequence[str]) -> bytes:
    """Return a PNG of the confusion matrix of M examples; rows are true classes, columns predicted
    ones.

    Cells are coloured by their share of the row, on a square-root scale that keeps rare errors
    visible. Up to `MAX_ANNOTATED` classes also show the counts. Of more than `MAX_CLASSES`, so many
    are shown, those that are most often confused, and the title says so.

    y, predicted: (M,) true and predicted classes. Raises ValueError if the shapes disagree, there
    is no class, or a class has no name.
    """
    from matplotlib.colors import PowerNorm
    from matplotlib.figure import Figure

    counted = _Counted.of(y, predicted, class_names)
    C, names, shares = len(counted.names), counted.names, counted.shares
    side = min(max(0.45 * C, 2.6), 8.0)
    longest = max(map(len, names))
    upright = longest > 3  # the names below the columns, which then need more height
    lines = counted.title.count("\n")
    height = 1.0 + 0.2 * lines + (0.05 * longest if upright and C > 5 else 0)
    figure = Figure(figsize=(side + 1.9, side + height))
    ax: Any = figure.subplots()
    ax.grid(False)
    drawn = ax.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, 0, 100))
    ax.set_xticks(range(C), names, rotation=90 if upright else 0)
    ax.set_yticks(range(C), names)
    if C <= MAX_ANNOTATED:
        for (row, column), share in np.ndenumerate(shares):
            count = counted.counts[row, column]
            ink = "white" if share > 35 else INK if count else "#B0B0B0"
            ax.text(column, row, f"{count}", ha="center", va="center", color=ink)
    ax.set(xlabel="predicted class", ylabel="true class")
    ax.set_title(counted.title)
    bar = figure.colorbar(drawn, ax=ax, shrink=0.8, ticks=[0, 1, 5, 20, 50, 100])
    bar.set_label("share of the true class (%)")
    return png(figure)

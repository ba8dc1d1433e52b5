"""Draw a confusion matrix as PNG bytes.

Notation: C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from search.figures.style import (
    INK,
    png,
    style,
)

MAX_ANNOTATED = 20  # the most classes with which counts are still readable
MAX_CLASSES = 30  # the most classes whose names are still readable


def most_confused(counts: npt.NDArray[np.integer[Any]], most: int) -> npt.NDArray[np.intp]:
    """Return up to ``most`` classes, ascending: those of the pairs that are most often confused.

    counts: (C, C), by true and predicted class. How often two classes are confused is the sum of
    both their errors. Of pairs that are confused equally often, the first is taken.
    """
    C = len(counts)
    if most >= C:
        return np.arange(C)
    first, second = np.triu_indices(C, 1)
    errors = (counts + counts.T)[first, second]
    pairs = np.argsort(-errors.astype(np.int64), kind="stable")
    # The classes in the order in which the pairs name them, each once.
    named, places = np.unique(np.stack([first, second])[:, pairs].T.ravel(), return_index=True)
    return np.sort(named[np.argsort(places)][:most])


@style()
def confusion_matrix(counts: npt.NDArray[np.integer[Any]], class_names: Sequence[str]) -> bytes:
    """Return a PNG of counts (C, C); rows are true classes, columns predicted ones.

    Cells are coloured by their share of the row, on a square-root scale that keeps rare errors
    visible. Up to `MAX_ANNOTATED` classes also show the counts. Of more than `MAX_CLASSES`, so many
    are shown, those that are most often confused, and the title says so.

    Raises ValueError if the shapes disagree or there is no class.
    """
    from matplotlib.colors import PowerNorm
    from matplotlib.figure import Figure

    C = len(class_names)
    if counts.shape != (C, C) or C == 0:
        raise ValueError(f"{C} classes need counts of shape ({C}, {C}), not {counts.shape}.")
    right, total = int(np.trace(counts)), int(counts.sum())
    title = f"{right:,} of {total:,} correct ({100 * right / max(total, 1):.2f} %)"
    shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    if C > MAX_CLASSES:
        chosen = most_confused(counts, MAX_ANNOTATED)
        title += f"\n{MAX_ANNOTATED} of {C:,} classes: those most often confused with each other"
        shares, counts = shares[np.ix_(chosen, chosen)], counts[np.ix_(chosen, chosen)]
        class_names, C = [class_names[c] for c in chosen], MAX_ANNOTATED
    side = min(max(0.45 * C, 2.6), 8.0)
    figure = Figure(figsize=(side + 1.9, side + 1.0))
    ax: Any = figure.subplots()
    ax.grid(False)
    drawn = ax.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, 0, 100))
    names = [name if len(name) <= 16 else f"{name[:15]}…" for name in class_names]
    ax.set_xticks(range(C), names, rotation=90 if max(map(len, names)) > 3 else 0)
    ax.set_yticks(range(C), names)
    if C <= MAX_ANNOTATED:
        for (row, column), share in np.ndenumerate(shares):
            ink = "white" if share > 35 else INK if counts[row, column] else "#B0B0B0"
            ax.text(column, row, f"{counts[row, column]}", ha="center", va="center", color=ink)
    ax.set(xlabel="predicted class", ylabel="true class")
    ax.set_title(title)
    bar = figure.colorbar(drawn, ax=ax, shrink=0.8, ticks=[0, 1, 5, 20, 50, 100])
    bar.set_label("share of the true class (%)")
    return png(figure)

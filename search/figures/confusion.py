"""Draw a confusion matrix as PNG bytes.

Notation: C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt

from search.figures.style import (
    INK,
    png,
    style,
)

MAX_ANNOTATED = 20  # the most classes with which counts are still readable


@style()
def confusion_matrix(counts: npt.NDArray[np.integer[Any]], class_names: Sequence[str]) -> bytes:
    """Return a PNG of counts (C, C); rows are true classes, columns predicted ones.

    Cells are coloured by their share of the row, on a square-root scale that keeps rare errors
    visible. Up to `MAX_ANNOTATED` classes also show the counts.

    Raises ValueError if the shapes disagree or there is no class.
    """
    from matplotlib.colors import PowerNorm
    from matplotlib.figure import Figure

    C = len(class_names)
    if counts.shape != (C, C) or C == 0:
        raise ValueError(f"{C} classes need counts of shape ({C}, {C}), not {counts.shape}.")
    shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(max(0.45 * C, 2.6), 8.0)
    figure = Figure(figsize=(side + 1.9, side + 1.0))
    ax: Any = figure.subplots()
    ax.grid(False)
    drawn = ax.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, 0, 100))
    shown = list(range(0, C, ceil(C / 25)))
    names = [n if len(n := class_names[c]) <= 16 else f"{n[:15]}…" for c in shown]
    ax.set_xticks(shown, names, rotation=90 if max(map(len, names)) > 3 else 0)
    ax.set_yticks(shown, names)
    if C <= MAX_ANNOTATED:
        for (row, column), share in np.ndenumerate(shares):
            ink = "white" if share > 35 else INK if counts[row, column] else "#B0B0B0"
            ax.text(column, row, f"{counts[row, column]}", ha="center", va="center", color=ink)
    right, total = int(np.trace(counts)), int(counts.sum())
    ax.set(xlabel="predicted class", ylabel="true class")
    ax.set_title(f"{right:,} of {total:,} correct ({100 * right / max(total, 1):.2f} %)")
    bar = figure.colorbar(drawn, ax=ax, shrink=0.8, ticks=[0, 1, 5, 20, 50, 100])
    bar.set_label("share of the true class (%)")
    return png(figure)

"""Draw the importance of each hyperparameter as PNG bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from search.figures.style import (
    BLUE,
    INK,
    need,
    png,
    style,
)
from search.spec.objective import Objective


@style()
def importances_figure(
    shares: Mapping[str, float], objective: Objective, trials: int, epochs: int
) -> bytes:
    """Return a PNG of each hyperparameter's share of the objective's variance, the largest on top.

    trials: the number of trials that have a score.
    epochs: the epoch after which their scores were taken.

    Raises ValueError if there are no shares.
    """
    from matplotlib.figure import Figure

    need(shares, "hyperparameter")
    figure = Figure(figsize=(6.0, 0.9 + 0.45 * len(shares)))
    ax: Any = figure.subplots()
    names = [name.replace("_", " ") for name in shares]
    bars = ax.barh(names, [100 * share for share in shares.values()], color=BLUE, height=0.6)
    ax.bar_label(bars, fmt="%.0f %%", padding=4, fontsize=9, color=INK)
    ax.invert_yaxis()
    ax.grid(visible=False, axis="y")
    score = f"log {objective.in_words}" if objective.is_loss else objective.in_words
    ax.set(
        xlim=(0, 115 * max(shares.values())),
        xlabel=f"share of the variance of {score} (%)\n"
        f"functional ANOVA over {trials:,} trials, by their scores after epoch {epochs:,}",
    )
    return png(figure)

"""Draw the expected best score by number of trials as PNG bytes.

Notation: N trials.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from core.statistics.expected_best import expected_best
from search.figures.style import (
    BLUE,
    VERMILION,
    Values,
    png,
    scale_losses,
    style,
)
from search.spec.objective import Objective


@style()
def expected_best_figure(
    scores: Values,
    objective: Objective,
    *,
    epochs_per_trial: float,
    resampled: str,
    needed: int | None,
    near: str,
) -> bytes:
    """Return a PNG of the expected best score of n trials (see `core/statistics/expected_best.py`).

    scores: (N,) losses, or error rates.
    epochs_per_trial: the scale of the upper axis.
    resampled: what the scores are a sample of, in words.
    needed: the number of trials whose expected best is near that of all, None if no number is
        enough.
    near: what "near" means, in words.

    Raises ValueError as `expected_best` does.
    """
    from matplotlib.figure import Figure

    N = len(scores)
    draws = np.unique(np.geomspace(1, max(N, 2), 120).round().astype(int))
    found = expected_best(scores, draws.tolist())
    is_loss = objective.is_loss

    figure = Figure(figsize=(7.0, 4.2))
    ax: Any = figure.subplots()
    low, high = objective.on_axis(found.low), objective.on_axis(found.high)
    ax.fill_between(draws, low, high, color="#A9CFE8", alpha=0.6, lw=0, label="four times of five")
    ax.plot(draws, objective.on_axis(found.mean), color=BLUE, lw=2.0, label="expected")
    best = float(objective.on_axis(scores.min()))
    ax.axhline(best, color=VERMILION, lw=1.2, ls="--", label=f"best of all {N:,}")
    if needed is not None and needed <= N:
        at = objective.on_axis(expected_best(scores, [needed]).mean)[0]
        ax.plot(needed, at, "D", ms=8, mfc=VERMILION, mec="white", zorder=4,
                label=f"{needed:,} trials: {near}")  # fmt: skip
    ax.set_xscale("log")
    if is_loss:
        scale_losses(ax, np.concatenate([found.mean, found.low]))
    ax.set(xlabel=f"trials ({resampled})", ylabel=f"best {objective.axis_label}")
    upper = ax.secondary_xaxis(
        "top", functions=(lambda n: n * epochs_per_trial, lambda e: e / epochs_per_trial)
    )
    upper.set_xlabel("epochs trained, all trials together")
    for axis in (ax.xaxis, upper.xaxis):
        axis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    ax.legend(loc="upper right" if is_loss else "lower right")
    return png(figure)

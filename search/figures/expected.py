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
    cap_accuracies,
    png,
    scale_losses,
    style,
)
from search.spec.objective import Objective
from search.trials.expected_search import ExpectedSearch
from search.wording import counted


@style()
def expected_best_figure(expected: ExpectedSearch, objective: Objective) -> bytes:
    """Return a PNG of the expected best score of n trials (see `core/statistics/expected_best.py`).

    The upper axis shows how many epochs n trials take on average. A mark shows how many trials come
    near the best, if any number does.

    Raises ValueError as `expected_best` does.
    """
    from matplotlib.figure import Figure

    scores, needed, N = expected.scores, expected.needed, len(expected.scores)
    draws = np.unique(np.geomspace(1, max(N, 2), 120).round().astype(int))
    found = expected_best(scores, draws.tolist())

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
                label=f"{counted(needed, 'trial')}: {expected.near}")  # fmt: skip
    ax.set_xscale("log")
    if objective.is_loss:
        scale_losses(ax, np.concatenate([found.mean, found.low]))
    else:
        cap_accuracies(ax)
    ax.set(xlabel=f"trials ({expected.resampled})", ylabel=f"best {objective.axis_label}")
    each = expected.epochs_per_trial
    upper = ax.secondary_xaxis("top", functions=(lambda n: n * each, lambda e: e / each))
    upper.set_xlabel("epochs trained, all trials together")
    for axis in (ax.xaxis, upper.xaxis):
        axis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    ax.legend(loc="upper right" if objective.is_loss else "lower right")
    return png(figure)

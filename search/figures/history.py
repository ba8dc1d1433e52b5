"""Draw the objective by trial number as PNG bytes."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any

import numpy as np
import numpy.typing as npt

from core.trainer.result import Status
from search.figures.style import (
    BLUE,
    MUTED,
    VERMILION,
    Values,
    cap_accuracies,
    need,
    png,
    scale_losses,
    style,
)
from search.spec.objective import Objective
from search.trials.finished_trial import FinishedTrial


@style()
def optimisation_history(
    points: Sequence[FinishedTrial], objective: Objective = Objective.LOSS
) -> bytes:
    """Return a PNG of the objective by trial number, with the best score so far as a line.

    Scores far worse than most (Tukey's fence) and diverged trials are drawn at the edge.

    Raises ValueError if there are no points.
    """
    from matplotlib.figure import Figure

    need(points, "trial")
    points = sorted(points, key=lambda point: point.number)
    number = np.array([point.number for point in points])
    badness = np.array([point.badness(objective) for point in points])
    done = np.array([point.status is Status.COMPLETED for point in points]) & ~np.isnan(badness)
    limit = _upper_fence(badness)
    inside, beyond, diverged = badness <= limit, badness > limit, np.isnan(badness)
    is_loss = objective.is_loss
    shown = objective.on_axis(badness)
    figure = Figure(figsize=(8.0, 3.8))
    ax: Any = figure.subplots()
    ax.set(xlabel="trial", ylabel=objective.axis_label)
    for mask, fill, label in (
        (done & inside, BLUE, "completed"),
        (~done & inside, "white", "stopped early"),
    ):
        if mask.any():
            ax.plot(number[mask], shown[mask], "o", ms=5, mfc=fill, mec=BLUE, mew=0.8, label=label)
    if done.any():
        best = (np.minimum if is_loss else np.maximum).accumulate(shown[done])
        ax.step([*number[done], number[-1]], [*best, best[-1]], where="post", color=VERMILION,
                lw=1.8, label="best so far")  # fmt: skip
    word = "above" if is_loss else "below"
    _draw_at_edge(ax, number[beyond], "^" if is_loss else "v", f"{word} the axis", is_loss)
    _draw_at_edge(ax, number[diverged], "x", "diverged", is_loss)
    ax.margins(y=0.12)
    ax.xaxis.get_major_locator().set_params(integer=True)
    if is_loss:
        scale_losses(ax, badness[inside])
    else:
        cap_accuracies(ax)
    if diverged.all():
        ax.set_yticks([])
    figure.legend(loc="outside right upper")
    return png(figure)


def _draw_at_edge(
    ax: Any, numbers: npt.NDArray[np.intp], marker: str, label: str, is_loss: bool
) -> None:
    """Draw trials that have no place on the axis along the edge where the worst would be."""
    if numbers.size:
        edge = np.full(numbers.size, 0.97 if is_loss else 0.03)
        label = f"{label} ({numbers.size})"
        along = ax.get_xaxis_transform()
        ax.plot(numbers, edge, marker, ms=5, color=MUTED, label=label, transform=along)


def _upper_fence(values: Values) -> float:
    """Return Tukey's upper fence on logarithms, but at least twice the upper quartile."""
    positive = values[values > 0]
    if not positive.size:
        return inf
    low, high = np.quantile(np.log(positive), [0.25, 0.75])
    return float(np.exp(high + max(1.5 * (high - low), np.log(2))))

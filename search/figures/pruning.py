"""Draw how far trials trained before they were stopped, as PNG bytes.

Notation: E epochs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from core.trainer.result import Status
from search.figures.style import (
    BLUE,
    GREY,
    MUTED,
    VERMILION,
    Values,
    mark,
    need,
    png,
    scale_losses,
    style,
)
from search.spec.objective import Objective

# For trials that ended early: how, in words, and the marker at their end with its size.
_EARLY_ENDS = {Status.PRUNED: ("stopped early", "o", 3.0), Status.DIVERGED: ("diverged", "x", 4.0)}


@dataclass(frozen=True, slots=True)
class Course:
    """The course of one trial.

    values: the objective after each epoch, (E,).
    status: how the trial ended.
    best: whether it is the best trial.
    """

    values: Values
    status: Status
    best: bool = False


@style()
def pruning_figure(
    courses: Sequence[Course],
    rung_epochs: Sequence[int],
    reached: Sequence[int],
    counts: Mapping[Status, int],
    objective: Objective,
) -> bytes:
    """Return a PNG of the validation objective by epoch.

    courses: those of the trials that are drawn.
    rung_epochs: the epochs at which trials were compared; the last one is their full training.
    reached: how many trials trained as far as each rung.
    counts: the number of trials by how they ended, including those that are not drawn.

    Lines end where trials were stopped or diverged. Accuracies are drawn as error rates, so that
    the best ones can be told apart.

    Raises ValueError if there are no courses.
    """
    from matplotlib.figure import Figure

    need(courses, "trial")
    scaled = [
        replace(each, values=objective.unit_factor * objective.badness(each.values))
        for each in courses
    ]
    figure = Figure(figsize=(9.6, 4.4))
    ax: Any = figure.subplots()
    marks = [
        *_draw_ended(ax, scaled, Status.PRUNED, counts),
        *_draw_ended(ax, scaled, Status.DIVERGED, counts),
        *_draw_completed(ax, scaled, counts),
    ]
    _draw_rungs(ax, rung_epochs, reached)
    ax.set(xlabel="epoch (marked where trials are compared)", ylabel=objective.axis_label)
    ax.set_title("trials that trained so far", fontsize=8, color=MUTED, loc="left", pad=18)
    values = np.concatenate([each.values for each in scaled])
    _fit(ax, values, rung_epochs[-1], objective.is_loss)
    # The legend is outside on the right, because lines may be anywhere inside.
    figure.legend(handles=marks, loc="outside right upper")
    return png(figure)


def _draw_ended(
    ax: Any, courses: Sequence[Course], status: Status, counts: Mapping[Status, int]
) -> list[Any]:
    """Draw the trials that ended early in this way; return their entry of the legend, if any."""
    word, marker, size = _EARLY_ENDS[status]
    ended = [each.values for each in courses if each.status is status]
    _draw_lines(ax, ended, colors="#B5B5B5", linewidths=0.6, alpha=0.7)
    if ended:
        ends = [(len(values), values[-1]) for values in ended]
        ax.plot(*zip(*ends, strict=True), marker, ms=size, color="#8A8A8A", zorder=3)
    count = counts.get(status, 0)
    if not count:
        return []
    some = f", {len(ended):,} shown" if len(ended) < count else ""
    look: Any = {"color": "#8A8A8A", "lw": 0.8, "marker": marker, "ms": size}
    return [mark(f"{word} ({count:,}{some})", **look)]


def _draw_completed(ax: Any, courses: Sequence[Course], counts: Mapping[Status, int]) -> list[Any]:
    """Draw the completed trials, the best one on top; return their entries of the legend."""
    completed = [each for each in courses if each.status is Status.COMPLETED]
    others = [each.values for each in completed if not each.best]
    _draw_lines(ax, others, colors=BLUE, linewidths=0.9)
    count = counts.get(Status.COMPLETED, 0)
    marks = [mark(f"trained to the end ({count:,})", color=BLUE, lw=1.2)]
    if best := [each.values for each in completed if each.best]:
        _draw_lines(ax, best, colors=VERMILION, linewidths=2.0)
        marks.append(mark("best", color=VERMILION, lw=2.0))
    return marks


def _draw_lines(ax: Any, courses: Sequence[Values], **look: Any) -> None:
    """Draw a line by epoch for each course, (E,)."""
    from matplotlib.collections import LineCollection

    lines = [np.column_stack([np.arange(1, len(each) + 1), each]) for each in courses]
    ax.add_collection(LineCollection(lines, **look), autolim=False)
    for line in lines:
        if len(line) == 1:  # a line of one point would be invisible
            ax.plot(*line[0], ".", ms=3, color=look["colors"])


def _draw_rungs(ax: Any, rung_epochs: Sequence[int], reached: Sequence[int]) -> None:
    """Mark the rungs on a logarithmic axis of epochs, and write how many trials reached each."""
    for epoch, count in zip(rung_epochs, reached, strict=True):
        ax.axvline(epoch, color=GREY, lw=1.0, zorder=0)
        ax.annotate(
            f"{count:,}", (epoch, 1.01), xycoords=("data", "axes fraction"), ha="center",
            fontsize=8, color=MUTED,
        )  # fmt: skip
    ax.set_xscale("log")
    ax.set_xticks(rung_epochs, [f"{epoch:,}" for epoch in rung_epochs], minor=False)
    ax.minorticks_off()


def _fit(ax: Any, values: Values, last: int, is_loss: bool) -> None:
    """Set axes that leave out what is far worse than most.

    values: losses, or error rates in per cent; last: the epochs of a full training.
    """
    values = values[np.isfinite(values)]
    ax.set_xlim(0.9, last * 1.1)
    top = np.percentile(values, 97)
    scale_losses(ax, values[values <= top], always=not is_loss)
    ax.set_ylim(values.min() / 1.05, top * 1.05)
    if not is_loss:
        ax.invert_yaxis()
        ax.yaxis.set_major_formatter(lambda rate, _: f"{100 - rate:.4g}")

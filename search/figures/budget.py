"""What a search's budget bought, as PNG bytes: importances, pruning, the expected best.

Notation: N trials, E epochs that a trial trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.statistics.expected_best import expected_best
from core.trainer.result import Status
from search.figures.style import (
    BLUE,
    GREY,
    INK,
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


@style()
def importances_figure(
    shares: Mapping[str, float], objective: Objective, trials: int, epochs: int
) -> bytes:
    """A PNG of each hyperparameter's share of the objective's variance, the largest on top.

    trials: how many were looked at; epochs: after which.

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


@dataclass(frozen=True, slots=True)
class Course:
    """How far a trial came: the objective after each epoch, (E,); whether it is the best."""

    values: Values
    status: Status
    best: bool = False


@style()
def pruning_figure(
    courses: Sequence[Course],
    rungs: Sequence[int],
    reached: Sequence[int],
    counts: Mapping[Status, int],
    objective: Objective,
) -> bytes:
    """A PNG of the validation objective by epoch. ``courses`` are those of some trials; counts: how
    all of them ended.

    rungs: epochs at which trials were compared, the last one their full training; reached: how many
    trials trained as far as each. Lines end where trials were stopped, or diverged. Accuracies are
    drawn as error rates, so that the best can be told apart.

    Raises ValueError if there are no courses.
    """
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure

    need(courses, "trial")
    is_loss = objective.is_loss
    drawn = [(each, objective.unit_factor * objective.badness(each.values)) for each in courses]
    figure = Figure(figsize=(9.6, 4.4))
    ax: Any = figure.subplots()

    def lines(chosen: Sequence[Values], **look: Any) -> None:
        points = [np.column_stack([np.arange(1, len(each) + 1), each]) for each in chosen]
        ax.add_collection(LineCollection(points, **look), autolim=False)
        for path in points:
            if len(path) == 1:  # a line of one point shows nothing
                ax.plot(*path[0], ".", ms=3, color=look["colors"])

    handles = []
    for status, word, marker, size in (
        (Status.PRUNED, "stopped early", "o", 3.0),
        (Status.DIVERGED, "diverged", "x", 4.0),
    ):
        ended = [values for each, values in drawn if each.status is status]
        lines(ended, colors="#B5B5B5", linewidths=0.6, alpha=0.7)
        if ended:
            ends = [(len(values), values[-1]) for values in ended]
            ax.plot(*zip(*ends, strict=True), marker, ms=size, color="#8A8A8A", zorder=3)
        if count := counts.get(status, 0):
            some = f", {len(ended):,} shown" if len(ended) < count else ""
            look: Any = {"color": "#8A8A8A", "lw": 0.8, "marker": marker, "ms": size}
            handles.append(mark(f"{word} ({count:,}{some})", **look))
    whole = [each for each in drawn if each[0].status is Status.COMPLETED]
    lines([values for each, values in whole if not each.best], colors=BLUE, linewidths=0.9)
    handles.append(
        mark(f"trained to the end ({counts.get(Status.COMPLETED, 0):,})", color=BLUE, lw=1.2)
    )
    if best := [values for each, values in whole if each.best]:
        lines(best, colors=VERMILION, linewidths=2.0)
        handles.append(mark("best", color=VERMILION, lw=2.0))
    for rung, count in zip(rungs, reached, strict=True):
        ax.axvline(rung, color=GREY, lw=1.0, zorder=0)
        ax.annotate(
            f"{count:,}", (rung, 1.01), xycoords=("data", "axes fraction"), ha="center",
            fontsize=8, color=MUTED,
        )  # fmt: skip
    ax.set_xscale("log")
    ax.set_xticks(rungs, [f"{rung:,}" for rung in rungs], minor=False)
    ax.minorticks_off()
    ax.set(xlabel="epoch (marked where trials are compared)", ylabel=objective.axis_label)
    ax.set_title("trials that trained so far", fontsize=8, color=MUTED, loc="left", pad=18)
    _fit(ax, np.concatenate([values for _, values in drawn]), rungs[-1], is_loss)
    # To the right of all, as lines may lie anywhere.
    figure.legend(handles=handles, loc="outside right upper")
    return png(figure)


def _fit(ax: Any, values: Values, last: int, is_loss: bool) -> None:
    """Axes that leave out what is far worse than most; values: losses, or error rates in %."""
    values = values[np.isfinite(values)]
    ax.set_xlim(0.9, last * 1.1)
    top = np.percentile(values, 97)
    scale_losses(ax, values[values <= top], always=not is_loss)
    ax.set_ylim(values.min() / 1.05, top * 1.05)
    if not is_loss:
        ax.invert_yaxis()
        ax.yaxis.set_major_formatter(lambda rate, _: f"{100 - rate:.4g}")


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
    """A PNG of how good the best of n trials is expected to be (see core/expected_best.py).

    scores: (N,) losses, or error rates. epochs_per_trial: for the upper axis. resampled: what the
    scores are a sample of, in words. needed: trials after which the expectation is ``near``.

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

"""What a search's budget bought, as PNG bytes: importances, pruning, the expected best.

Notation: N trials, E epochs that a trial trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.expected_best import expected_best
from core.result import Status
from search.figure_style import (
    BLUE,
    GREY,
    INK,
    MUTED,
    VERMILION,
    Objective,
    Values,
    axis_label,
    mark,
    need,
    png,
    scale_losses,
    style,
)


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
    score = "log validation loss" if objective == "val_loss" else "validation accuracy"
    ax.set(
        xlim=(0, 115 * max(shares.values())),
        xlabel=f"share of the variance of {score} (%)\n"
        f"functional ANOVA over {trials:,} trials, by their scores after epoch {epochs:,}",
    )
    return png(figure)


@dataclass(frozen=True, slots=True)
class Course:
    """How far a trial came: the objective after each epoch, (E,)."""

    values: Values
    status: Status


@style()
def pruning_figure(
    courses: Sequence[Course],
    rungs: Sequence[int],
    reached: Sequence[int],
    completed: int,
    trials: int,
    objective: Objective,
) -> bytes:
    """A PNG of the validation objective by epoch, best trial first in ``courses``, which are those
    of some of all trials.

    rungs: epochs at which trials were compared, the last one their full training; reached: how many
    trials trained as far as each. Lines end where trials were stopped.

    Raises ValueError if there are no courses.
    """
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure

    need(courses, "trial")
    factor = 1.0 if objective == "val_loss" else 100.0
    figure = Figure(figsize=(8.0, 4.4))
    ax: Any = figure.subplots()

    def lines(chosen: Sequence[Course], **look: Any) -> None:
        points = [
            np.column_stack([np.arange(1, len(each.values) + 1), factor * each.values])
            for each in chosen
        ]
        ax.add_collection(LineCollection(points, **look), autolim=False)
        for path in points:
            if len(path) == 1:  # a line of one point shows nothing
                ax.plot(*path[0], ".", ms=3, color=look["colors"])

    stopped = [each for each in courses if each.status is not Status.COMPLETED]
    whole = [each for each in courses if each.status is Status.COMPLETED]
    lines(stopped, colors="#B5B5B5", linewidths=0.6, alpha=0.7)
    ends = [(len(each.values), factor * each.values[-1]) for each in stopped]
    if ends:
        ax.plot(*zip(*ends, strict=True), "o", ms=2.5, color="#8A8A8A", zorder=3)
    lines(whole[1:], colors=BLUE, linewidths=0.9, alpha=0.8)
    lines(whole[:1], colors=VERMILION, linewidths=2.0)
    for rung, count in zip(rungs, reached, strict=True):
        ax.axvline(rung, color=GREY, lw=1.0, zorder=0)
        ax.annotate(
            f"{count:,}", (rung, 1.01), xycoords=("data", "axes fraction"), ha="center",
            fontsize=8, color=MUTED,
        )  # fmt: skip
    ax.set_xscale("log")
    ax.set_xticks(rungs, [f"{rung:,}" for rung in rungs], minor=False)
    ax.minorticks_off()
    ax.set(xlabel="epoch (marked where trials are compared)", ylabel=axis_label(objective))
    ax.set_title("trials that trained so far", fontsize=8, color=MUTED, loc="left", pad=18)
    _fit(ax, [factor * each.values for each in courses], rungs[-1], objective)
    some = f", {len(stopped):,} shown" if len(courses) < trials else ""
    handles = [
        mark(
            f"stopped early ({trials - completed:,}{some})",
            color="#8A8A8A",
            lw=0.8,
            marker="o",
            ms=3,
        ),
        mark(f"trained to the end ({completed:,})", color=BLUE, lw=1.2),
        mark("best", color=VERMILION, lw=2.0),
    ]
    ax.legend(handles=handles, loc="upper right" if objective == "val_loss" else "lower right")
    return png(figure)


def _fit(ax: Any, curves: Sequence[Values], last: int, objective: Objective) -> None:
    """Axes that leave out what is far worse than most."""
    values = np.concatenate(curves)
    values = values[np.isfinite(values)]
    ax.set_xlim(0.9, last * 1.1)
    if objective == "val_loss":
        top = np.percentile(values, 97)
        scale_losses(ax, values[values <= top])
        ax.set_ylim(values.min() / 1.05, top * 1.05)
    else:
        low = np.percentile(values, 5)
        ax.set_ylim(low, values.max() + 0.03 * (values.max() - low))


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
    is_loss = objective == "val_loss"

    def shown(values: Values) -> Values:
        return values if is_loss else 100 * (1 - values)

    figure = Figure(figsize=(7.0, 4.2))
    ax: Any = figure.subplots()
    ax.fill_between(draws, shown(found.low), shown(found.high), color="#A9CFE8", alpha=0.6, lw=0,
                    label="four times of five")  # fmt: skip
    ax.plot(draws, shown(found.mean), color=BLUE, lw=2.0, label="expected")
    best = float(shown(np.array([scores.min()]))[0])
    ax.axhline(best, color=VERMILION, lw=1.2, ls="--", label=f"best of all {N:,}")
    if needed is not None and needed <= N:
        at = shown(expected_best(scores, [needed]).mean)[0]
        ax.plot(needed, at, "D", ms=8, mfc=VERMILION, mec="white", zorder=4,
                label=f"{needed:,} trials: {near}")  # fmt: skip
    ax.set_xscale("log")
    if is_loss:
        scale_losses(ax, np.concatenate([found.mean, found.low]))
    ax.set(xlabel=f"trials ({resampled})", ylabel=f"best {axis_label(objective)}")
    upper = ax.secondary_xaxis(
        "top", functions=(lambda n: n * epochs_per_trial, lambda e: e / epochs_per_trial)
    )
    upper.set_xlabel("epochs trained, all trials together")
    for axis in (ax.xaxis, upper.xaxis):
        axis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    ax.legend(loc="upper right" if is_loss else "lower right")
    return png(figure)

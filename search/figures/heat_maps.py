"""Draw the objective over learning rate and weight decay as heat maps, as PNG bytes."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, log10
from typing import Any, NamedTuple

import numpy as np

from core.trainer.result import Status
from search.figures.style import (
    GREY,
    INK,
    MUTED,
    VERMILION,
    mark,
    need,
    plain,
    png,
    style,
)
from search.spec.objective import Objective
from search.trials.finished_trial import FinishedTrial, ranked

MAX_PANELS = 12  # the most batch sizes that get a panel each
COLOURS = "viridis_r"  # better scores are brighter
STAR = {"marker": "*", "mfc": VERMILION, "mec": "white"}


@style()
def heat_maps(points: Sequence[FinishedTrial], objective: Objective = Objective.LOSS) -> bytes:
    """Return a PNG of the objective over learning rate and weight decay, with one panel per batch
    size.

    All panels share one colour scale, which is logarithmic in the loss or the error rate. Trials on
    a grid are cells, others are dots on logarithmic axes. Diverged trials are hatched cells or
    crosses, trials stopped early have a dot, and the best completed trial is a star. More than
    `MAX_PANELS` batch sizes share one panel.

    Raises ValueError if there are no points.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    need(points, "trial")
    sizes = sorted({point.hyperparameters.batch_size for point in points})
    apart = len(sizes) <= MAX_PANELS
    groups = (
        [[p for p in points if p.hyperparameters.batch_size == size] for size in sizes]
        if apart
        else [points]
    )
    rates, decays = (
        [p.hyperparameters.learning_rate for p in points],
        [p.hyperparameters.weight_decay for p in points],
    )
    grid = _on_grid(points)
    x, y = _Axis.of(rates, grid), _Axis.of(decays, grid)
    badness = [point.badness(objective) for point in points]
    scores = [each for each in badness if each > 0] or [1e-3]
    # The colour scale leaves out the worst fifth if it is ten times as bad as the best.
    top = min(max(scores), max(float(np.quantile(scores, 0.8)), 10 * min(scores)))
    norm: Any = LogNorm(min(scores), max(top, 1.05 * min(scores)), clip=True)

    rows = ceil(len(groups) / (5 if len(groups) > 6 else 3))
    columns = ceil(len(groups) / rows)
    side = 3.6 if columns == 1 else 2.4
    tall = min(max(len(y.at) / len(x.at), 0.35), 1.0) if grid else 1.0
    failed = int(np.isnan(badness).sum())
    stopped = any(point.status is Status.PRUNED for point in points)
    lines = 1 if columns > 3 else 1 + (failed > 0) + stopped
    height = rows * (side * tall + 0.3) + 0.19 * lines + 1.0
    figure = Figure(figsize=(max(columns * side + 1.6, 6.0), height))
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for place, (ax, group) in enumerate(zip(axes, groups, strict=False)):
        _draw_trials(ax, group, x, y, norm, grid, objective)
        ax.set_title(f"batch size {sizes[place]}" if apart else f"{len(sizes)} batch sizes")
        ax.set(box_aspect=tall, xlim=x.limits, ylim=y.limits)
        below, left = place + columns >= len(groups), place % columns == 0
        ax.set_xticks(x.ticks, x.labels if below else [""] * len(x.ticks), rotation=90)
        ax.set_yticks(y.ticks, y.labels if left else [""] * len(y.ticks))
    for ax in axes[len(groups) :]:
        ax.remove()
    figure.supxlabel("learning rate", fontsize=9.5, color=INK)
    figure.supylabel("weight decay", fontsize=9.5, color=INK)

    marks: list[Any] = []
    if ranking := ranked(points, objective):
        best = ranking[0]
        tried = best.hyperparameters
        ax = axes[sizes.index(tried.batch_size) if apart else 0]
        at = [x.at[tried.learning_rate]], [y.at[tried.weight_decay]]
        ax.plot(*at, ms=15, zorder=5, clip_on=False, **STAR)
        told = (
            f"best: #{best.number}, {objective.in_words} "
            f"{objective.short(best.badness(objective))} at learning rate "
            f"{plain(tried.learning_rate)}, weight decay {plain(tried.weight_decay)}, "
            f"batch size {tried.batch_size}"
        )
        marks.append(mark(told, ls="", ms=12, **STAR))
    if failed:
        hatched = Patch(fc=GREY, ec=MUTED, hatch="/////", lw=0, label=f"diverged ({failed})")
        cross = mark(f"diverged ({failed})", ls="", marker="x", mec=MUTED)
        marks.append(hatched if grid else cross)
    if stopped:
        marks.append(mark("stopped early", ls="", marker="o", ms=4, mfc=INK, mec="white"))
    if failed < len(points):
        bar = figure.colorbar(
            ScalarMappable(norm, COLOURS),
            ax=axes[: len(groups)],
            extend="max" if max(scores) > top else "neither",
            label=objective.axis_label,
            aspect=25,
        )
        ticks = _round_values(min(scores), top)
        bar.set_ticks(ticks, labels=[objective.short(tick) for tick in ticks])
        bar.minorticks_off()
        if not objective.is_loss:
            bar.ax.invert_yaxis()  # it shows error rates, labelled as accuracies
    figure.legend(handles=marks, loc="outside upper left", ncols=len(marks) if lines == 1 else 1)
    return png(figure)


class _Axis(NamedTuple):
    """The places of values on an axis.

    They are numbered in order on a grid. Otherwise they lie at their logarithms, with 0 one decade
    below the smallest.
    """

    at: dict[float, float]
    ticks: list[float]
    labels: list[str]
    limits: tuple[float, float]

    @classmethod
    def of(cls, values: Sequence[float], grid: bool) -> _Axis:
        """Return the axis of these values."""
        known = sorted(set(values))
        if grid:
            at = {value: float(place) for place, value in enumerate(known)}
            shown, margin = known[:: ceil(len(known) / 10)], 0.5
        else:
            positive = [value for value in known if value > 0] or [1.0]
            zero = floor(log10(positive[0])) - 1.0
            shown = _round_values(positive[0], positive[-1]) if known[-1] > 0 else []
            shown += [0.0] if known[0] == 0 else []
            at = {value: log10(value) if value > 0 else zero for value in (*known, *shown)}
            margin = 0.06 * (at[known[-1]] - at[known[0]]) or 0.5
        limits = at[known[0]] - margin, at[known[-1]] + margin
        return cls(at, [at[v] for v in shown], [plain(v) for v in shown], limits)


def _on_grid(points: Sequence[FinishedTrial]) -> bool:
    """Return whether trials are on a grid: more than two fifths of all combinations are present."""
    triples = {
        (
            p.hyperparameters.learning_rate,
            p.hyperparameters.weight_decay,
            p.hyperparameters.batch_size,
        )
        for p in points
    }
    sides = [len(set(values)) for values in zip(*triples, strict=True)]
    return max(sides[:2]) <= 60 and len(triples) > 0.4 * sides[0] * sides[1] * sides[2]


def _draw_trials(
    ax: Any,
    points: Sequence[FinishedTrial],
    x: _Axis,
    y: _Axis,
    norm: Any,
    grid: bool,
    objective: Objective,
) -> None:
    """Draw the trials, better ones later, so that they are on top where trials coincide."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    badness = np.array([point.badness(objective) for point in points])
    order = np.argsort(-np.nan_to_num(badness, nan=np.inf), kind="stable")
    at = np.array(
        [
            (x.at[p.hyperparameters.learning_rate], y.at[p.hyperparameters.weight_decay])
            for p in points
        ]
    )[order]
    badness = badness[order]
    stopped = np.array([points[place].status is Status.PRUNED for place in order])
    bad = np.isnan(badness)
    if grid:
        ax.grid(False)
        crossed, plain = (
            PatchCollection([Rectangle((a - 0.5, b - 0.5), 1, 1) for a, b in at[mask]], lw=0)
            for mask in (bad, ~bad)
        )
        crossed.set(facecolor=GREY, edgecolor=MUTED, hatch="/////")
        plain.set(array=badness[~bad], cmap=COLOURS, norm=norm, antialiased=False)
        ax.add_collection(crossed)
        ax.add_collection(plain)
    else:
        ax.scatter(*at[bad].T, marker="x", s=28, color=MUTED, lw=1)
        ax.scatter(*at[~bad].T, c=badness[~bad], cmap=COLOURS, norm=norm, s=34, ec=MUTED, lw=0.4)
    ax.plot(*at[stopped & ~bad].T, "o", ms=3, mfc=INK, mec="white", mew=0.4)


def _round_values(low: float, high: float) -> list[float]:
    """Return about two to eight round values from low to high, both positive.

    If fewer than two are in between, return low and high themselves.
    """
    decades = range(floor(log10(low)), ceil(log10(high)) + 1)
    for digits in ((1, 2, 5), (1,)) if len(decades) <= 4 else ((1,),):
        found = [v for k in decades for d in digits if low <= (v := float(f"{d}e{k}")) <= high]
        if len(found) >= 2:
            return found[:: ceil(len(found) / 8)]
    return sorted({low, high})

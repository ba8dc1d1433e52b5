"""Draw the objective over learning rate and weight decay as heat maps, as PNG bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, floor, isnan, log10
from typing import Any, NamedTuple

import numpy as np

from core.trainer.result import Status
from search.figures.heat_panels import LONGEST, panels_of
from search.figures.style import (
    GREY,
    INK,
    MUTED,
    VERMILION,
    cut,
    mark,
    need,
    plain,
    png,
    style,
)
from search.spec.objective import Objective
from search.trials.finished_trial import FinishedTrial, ranked

COLOURS = "viridis_r"  # better scores are brighter
STAR = {"marker": "*", "mfc": VERMILION, "mec": "white"}


@style()
def heat_maps(
    points: Sequence[FinishedTrial],
    objective: Objective = Objective.LOSS,
    features: Sequence[str] = (),
) -> bytes:
    """Return a PNG of the objective over learning rate and weight decay, with one panel per batch
    size.

    features: the names of several sets of features, in order; each has panels of its own. If that
    were more than `MAX_PANELS`, there are those of the best trial's features, and one panel of all.

    All panels share one colour scale, which is logarithmic in the loss or the error rate. Trials on
    a grid are cells, others are dots on logarithmic axes. Diverged trials are hatched cells or
    crosses, trials stopped early have a dot, and the best completed trial is a star. More than
    `MAX_PANELS` batch sizes share one panel.

    Raises ValueError if there are no points.
    """
    from matplotlib.figure import Figure

    need(points, "trial")
    panels = panels_of(points, objective, features)
    plane, colours = _Plane.of(points), _Colours.of(points, objective)
    marks = _legend_marks(points, plane, objective, several=len(features) > 1)

    rows = ceil(len(panels) / (5 if len(panels) > 6 else 3))
    columns = ceil(len(panels) / rows)
    width = 3.6 if columns == 1 else 2.4
    legend_rows = 1 if columns > 3 else max(len(marks), 1)
    height = rows * (width * plane.aspect + 0.3) + 0.19 * legend_rows + 1.0
    figure = Figure(figsize=(max(columns * width + 1.6, 6.0), height))
    every = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in every[len(panels) :]:
        ax.remove()
    axes = every[: len(panels)]
    for index, (ax, panel) in enumerate(zip(axes, panels, strict=True)):
        _draw_trials(ax, panel.points, plane, colours, objective)
        ax.set_title(panel.title)
        plane.frame(ax, is_lowest=index + columns >= len(panels), is_leftmost=index % columns == 0)
    figure.supxlabel("learning rate", fontsize=9.5, color=INK)
    figure.supylabel("weight decay", fontsize=9.5, color=INK)

    for best in ranked(points, objective)[:1]:
        for ax, panel in zip(axes, panels, strict=True):
            if best in panel.points:
                ax.plot(*plane.at(best), ms=15, zorder=5, clip_on=False, **STAR)
    if not all(isnan(point.badness(objective)) for point in points):
        _add_colour_bar(figure, axes, colours, objective)
    across = len(marks) if legend_rows == 1 else 1
    figure.legend(handles=marks, loc="outside upper left", ncols=across)
    return png(figure)


class _Axis(NamedTuple):
    """The positions of values on an axis.

    They are numbered in order on a grid. Otherwise they lie at their logarithms, with 0 one decade
    below the smallest.
    """

    at: dict[float, float]
    ticks: list[float]
    labels: list[str]
    limits: tuple[float, float]

    @classmethod
    def of(cls, values: Sequence[float], is_grid: bool) -> _Axis:
        """Return the axis of these values."""
        known = sorted(set(values))
        if is_grid:
            at = {value: float(index) for index, value in enumerate(known)}
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

    def label(self, set_ticks: Callable[..., object], is_outer: bool, **look: Any) -> None:
        """Set the ticks of a panel, which are only labelled if it has no neighbour on that side."""
        set_ticks(self.ticks, self.labels if is_outer else [""] * len(self.ticks), **look)


class _Plane(NamedTuple):
    """The plane that all panels show: learning rates to the right, weight decays upwards."""

    x: _Axis
    y: _Axis
    is_grid: bool

    @classmethod
    def of(cls, points: Sequence[FinishedTrial]) -> _Plane:
        """Return the plane that has all these trials."""
        is_grid = _on_grid(points)
        rates = [point.hyperparameters.learning_rate for point in points]
        decays = [point.hyperparameters.weight_decay for point in points]
        return cls(_Axis.of(rates, is_grid), _Axis.of(decays, is_grid), is_grid)

    def at(self, point: FinishedTrial) -> tuple[float, float]:
        """Return the position of a trial."""
        tried = point.hyperparameters
        return self.x.at[tried.learning_rate], self.y.at[tried.weight_decay]

    def frame(self, ax: Any, *, is_lowest: bool, is_leftmost: bool) -> None:
        """Give a panel its shape and axes, which are labelled at the edges of the figure only."""
        ax.set(box_aspect=self.aspect, xlim=self.x.limits, ylim=self.y.limits)
        self.x.label(ax.set_xticks, is_lowest, rotation=90)
        self.y.label(ax.set_yticks, is_leftmost)

    @property
    def aspect(self) -> float:
        """The height of a panel as a share of its width, so that cells are about square."""
        return min(max(len(self.y.at) / len(self.x.at), 0.35), 1.0) if self.is_grid else 1.0


def _on_grid(points: Sequence[FinishedTrial]) -> bool:
    """Return whether trials are on a grid: more than two fifths of all combinations are present."""
    triples = {
        (
            p.hyperparameters.learning_rate,
            p.hyperparameters.weight_decay,
            p.hyperparameters.shared,
        )
        for p in points
    }
    sides = [len(set(values)) for values in zip(*triples, strict=True)]
    return max(sides[:2]) <= 60 and len(triples) > 0.4 * sides[0] * sides[1] * sides[2]


class _Colours(NamedTuple):
    """The colour scale of losses or error rates, which is logarithmic.

    norm: Matplotlib's form of the scale. low, high: the ends of the scale. is_clipped: whether some
    trials are worse than its end, and have the colour of the end.
    """

    norm: Any
    low: float
    high: float
    is_clipped: bool

    @classmethod
    def of(cls, points: Sequence[FinishedTrial], objective: Objective) -> _Colours:
        """Return a scale that leaves out the worst fifth if it is ten times as bad as the best."""
        from matplotlib.colors import LogNorm

        scores = [score for point in points if (score := point.badness(objective)) > 0] or [1e-3]
        low, worst = min(scores), max(scores)
        high = min(worst, max(float(np.quantile(scores, 0.8)), 10 * low))
        return cls(LogNorm(low, max(high, 1.05 * low), clip=True), low, high, worst > high)


def _draw_trials(
    ax: Any,
    points: Sequence[FinishedTrial],
    plane: _Plane,
    colours: _Colours,
    objective: Objective,
) -> None:
    """Draw the trials, better ones later, so that they are on top where trials coincide."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    badness = np.array([point.badness(objective) for point in points])
    order = np.argsort(-np.nan_to_num(badness, nan=np.inf), kind="stable")
    at = np.array([plane.at(point) for point in points])[order]
    badness = badness[order]
    stopped = np.array([points[index].status is Status.PRUNED for index in order])
    bad = np.isnan(badness)
    shades = {"cmap": COLOURS, "norm": colours.norm}
    if plane.is_grid:
        ax.grid(False)
        crossed, coloured = (
            PatchCollection([Rectangle((a - 0.5, b - 0.5), 1, 1) for a, b in at[mask]], lw=0)
            for mask in (bad, ~bad)
        )
        crossed.set(facecolor=GREY, edgecolor=MUTED, hatch="/////")
        coloured.set(array=badness[~bad], antialiased=False, **shades)
        ax.add_collection(crossed)
        ax.add_collection(coloured)
    else:
        ax.scatter(*at[bad].T, marker="x", s=28, color=MUTED, lw=1)
        ax.scatter(*at[~bad].T, c=badness[~bad], s=34, ec=MUTED, lw=0.4, **shades)
    ax.plot(*at[stopped & ~bad].T, "o", ms=3, mfc=INK, mec="white", mew=0.4)


def _legend_marks(
    points: Sequence[FinishedTrial], plane: _Plane, objective: Objective, *, several: bool
) -> list[Any]:
    """Return the entries of the legend, for what can be seen: the best trial, failures, stops.

    several: whether there are several sets of features.
    """
    from matplotlib.patches import Patch

    marks: list[Any] = []
    for best in ranked(points, objective)[:1]:
        tried = best.hyperparameters
        named = f"{cut(tried.features, LONGEST)}, " if several else ""
        told = (
            f"best: #{best.number}, {objective.in_words} "
            f"{objective.short(best.badness(objective))} at {named}learning rate "
            f"{plain(tried.learning_rate)}, weight decay {plain(tried.weight_decay)}, "
            f"batch size {tried.batch_size}"
        )
        marks.append(mark(told, ls="", ms=12, **STAR))
    if failed := sum(isnan(point.badness(objective)) for point in points):
        hatched = Patch(fc=GREY, ec=MUTED, hatch="/////", lw=0, label=f"diverged ({failed})")
        cross = mark(f"diverged ({failed})", ls="", marker="x", mec=MUTED)
        marks.append(hatched if plane.is_grid else cross)
    if any(point.status is Status.PRUNED for point in points):
        marks.append(mark("stopped early", ls="", marker="o", ms=4, mfc=INK, mec="white"))
    return marks


def _add_colour_bar(figure: Any, axes: Any, colours: _Colours, objective: Objective) -> None:
    """Add the colour scale at the right of these panels."""
    from matplotlib.cm import ScalarMappable

    bar = figure.colorbar(
        ScalarMappable(colours.norm, COLOURS),
        ax=axes,
        extend="max" if colours.is_clipped else "neither",
        label=objective.axis_label,
        aspect=25,
    )
    ticks = _round_values(colours.low, colours.high)
    bar.set_ticks(ticks, labels=[objective.short(tick) for tick in ticks])
    bar.minorticks_off()
    if not objective.is_loss:
        bar.ax.invert_yaxis()  # it shows error rates, labelled as accuracies


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

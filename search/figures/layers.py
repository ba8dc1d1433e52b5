"""Draw the best validation score of each set of features, such as each layer, as PNG bytes."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any

import numpy as np

from search.figures.style import (
    BLUE,
    MUTED,
    VERMILION,
    cap_accuracies,
    cut,
    mark,
    need,
    png,
    scale_losses,
    style,
)
from search.spec.objective import Objective
from search.trials.layers import Layers

MAX_NAMES = 60  # the most names on the axis; of more sets, every second, third … has its name
LONGEST = 28  # characters of a name on the axis
_LEVEL = 6  # names stand level if there are at most so many, and they are short
_STAR = {"marker": "*", "mfc": VERMILION, "mec": "white", "ms": 15}
_TIED = {"marker": "o", "mfc": BLUE, "mec": BLUE, "ms": 6}
_WORSE = {"marker": "o", "mfc": "white", "mec": MUTED, "ms": 6}
_INTERVAL: Any = {"color": MUTED, "lw": 1.3}
_FIRST: Any = {"color": BLUE, "lw": 1.0, "ls": ":"}
_WIDE = 5  # error rates that differ by more than this factor get a logarithmic axis
_RATES = [d * 10.0**k for k in range(-5, 0) for d in (1, 2, 5)]  # marked on a logarithmic axis


@style()
def layers_figure(layers: Layers, names: Sequence[str]) -> bytes:
    """Return a PNG of the best score of each set of features, with its 95 % interval.

    The sets stand in the order of the study file, and those without a score have an empty place.
    The best is a star, those that tie with it are filled, and a line marks the first to reach the
    accuracy of the best. If trials are ranked by their loss, a second panel shows their accuracies.

    names: those of all sets, in the order of the study file. Raises ValueError if there are none.
    """
    from matplotlib.figure import Figure

    need(layers.found, "set of features")
    panels = [layers.objective]
    if layers.objective.is_loss:
        panels.append(Objective.ACCURACY)
    shown = [cut(name, LONGEST) for name in names]
    level = len(names) <= _LEVEL and max(map(len, shown)) <= 12
    below = 0.3 if level else 0.075 * max(map(len, shown)) + 0.1
    width = min(max(5.4, 1.6 + 0.2 * len(names)), 13.5)
    figure = Figure(figsize=(width, 0.9 + 2.5 * len(panels) + below))
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for ax, score in zip(axes, panels, strict=True):
        _draw(ax, layers, score)
    step = ceil(len(names) / MAX_NAMES)
    ticks = list(range(1, len(names) + 1, step))
    small = {"fontsize": 7} if len(names) > 30 else {}
    axes[-1].set_xticks(ticks, shown[::step], rotation=0 if level else 90, **small)
    axes[-1].set_xlim(0.4, len(names) + 0.6)
    figure.legend(handles=_legend(layers), loc="outside upper left", ncols=1)
    return png(figure)


def _draw(ax: Any, layers: Layers, score: Objective) -> None:
    """Draw one score of the best trial of each set, with its interval and marks.

    A set is marked as tied if it is in this score. Where error rates differ much, their axis is
    logarithmic, so that the best ones can be told apart.
    """
    found = layers.found
    if score is layers.objective:
        values = np.array([layer.badness for layer in found])
        low, high = np.array([layer.interval for layer in found]).T
        tied = [layer.is_tied for layer in found]
    else:
        values = np.array([layer.error_rate for layer in found])
        low, high = np.array([layer.error_interval for layer in found]).T
        tied = [layer.is_as_accurate for layer in found]
    wide = not score.is_loss and values.min() > 0 and values.max() > _WIDE * values.min()
    if not wide:
        values, low, high = (score.on_axis(each) for each in (values, low, high))
    places = np.array([layer.place for layer in found])
    best = found.index(layers.best)
    ax.plot(places, values, color=MUTED, lw=0.8, alpha=0.6, zorder=1)
    ax.axhspan(*sorted((low[best], high[best])), color=VERMILION, alpha=0.08, lw=0, zorder=0)
    ax.vlines(places, np.minimum(low, high), np.maximum(low, high), zorder=2, **_INTERVAL)
    for layer, is_tied, x, y in zip(found, tied, places, values, strict=True):
        look = _STAR if layer is layers.best else _TIED if is_tied else _WORSE
        ax.plot(x, y, ls="", zorder=4 if layer is layers.best else 3, **look)
    if layers.first is not layers.best:
        ax.axvline(layers.first.place, zorder=0, **_FIRST)
    ax.grid(visible=False, axis="x")
    if score.is_loss:
        scale_losses(ax, np.concatenate([values, low]))
    elif wide:
        ax.set_yscale("log")
        ax.invert_yaxis()
        rates = [rate for rate in _RATES if low.min() <= rate <= high.max()]
        ax.set_yticks(rates, labels=[f"{100 * (1 - rate):.6g}" for rate in rates])
        ax.minorticks_off()
    else:
        cap_accuracies(ax)
    ax.set_ylabel(score.axis_label)


def _legend(layers: Layers) -> list[Any]:
    """Return the entries of the legend, for what can be seen."""
    best, first = layers.best, layers.first
    score = layers.objective.short(best.badness)
    entries = [
        mark(
            f"best: {cut(best.name, LONGEST)}, {layers.objective.in_words} {score}",
            ls="", **_STAR,
        )
    ]  # fmt: skip
    if layers.tied:
        entries.append(mark("ties with the best (paired tests, Holm, 5 %)", ls="", **_TIED))
    if len(layers.found) > len(layers.tied) + 1:
        entries.append(mark("worse", ls="", **_WORSE))
    entries.append(mark("95 % interval", **_INTERVAL))
    if first is not best:
        told = f"first to reach the accuracy of the best: {cut(first.name, LONGEST)}"
        entries.append(mark(told, **_FIRST))
    return entries

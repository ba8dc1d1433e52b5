"""Curves and tables of a study and of a retrained model, as PNG bytes.

Notation: E epochs, C classes. Losses are in nats, accuracies in [0, 1] and drawn in per cent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, inf, isfinite
from typing import Any

import numpy as np
import numpy.typing as npt

from core.trainer.result import Curves, Status
from search.figures.style import (
    BLUE,
    INK,
    MUTED,
    UNITS,
    VERMILION,
    mark,
    need,
    png,
    scale_losses,
    style,
)
from search.spec.objective import Objective
from search.trials.finished_trial import FinishedTrial

Values = npt.NDArray[np.floating[Any]]

MAX_CURVES = 10  # trials whose curves can be told apart
MAX_BATCHES = 2000  # of a curve with one value each
PALE_BLUE = "#A9CFE8"
MAX_ANNOTATED = 20  # classes of a confusion matrix whose counts can be read


@style()
def optimisation_history(
    points: Sequence[FinishedTrial], objective: Objective = Objective.LOSS
) -> bytes:
    """A PNG of the objective by trial number, with the best so far as a line.

    Scores far worse than most (Tukey's fence) are drawn at the edge, as are diverged trials.

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
    for mask, marker, label in (
        (beyond, "^" if is_loss else "v", f"{'above' if is_loss else 'below'} the axis"),
        (diverged, "x", "diverged"),
    ):
        if mask.any():  # along the edge where the worst would be
            edge = np.full(mask.sum(), 0.97 if is_loss else 0.03)
            ax.plot(number[mask], edge, marker, ms=5, color=MUTED, label=f"{label} ({mask.sum()})",
                    transform=ax.get_xaxis_transform())  # fmt: skip
    ax.margins(y=0.12)
    ax.xaxis.get_major_locator().set_params(integer=True)
    if is_loss:
        scale_losses(ax, badness[inside])
    if diverged.all():
        ax.set_yticks([])
    figure.legend(loc="outside right upper")
    return png(figure)


@style()
def learning_curves(curves_by_label: Mapping[str, Curves], *, best: str) -> bytes:
    """A PNG of loss and accuracy by epoch: validation solid, train dashed.

    The trial with the label ``best`` is emphasised, if it is there; the first `MAX_CURVES` are
    drawn. Accuracies below the worst of validation are left out: training starts lower.

    Raises ValueError if there are no curves.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    need(curves_by_label, "learning curve")
    chosen = dict(list(curves_by_label.items())[:MAX_CURVES])
    others = [label for label in chosen if label != best]
    shades: dict[str, Any] = dict(
        zip(others, colormaps["viridis"](np.linspace(0.1, 0.9, max(len(others), 1))), strict=False)
    )
    shades[best] = VERMILION
    widths = {label: 2.4 if label == best else 1.1 for label in chosen}
    figure = Figure(figsize=(10.5, 3.8))
    panels: Any = figure.subplots(1, 2)
    for place, (label, curves) in enumerate(chosen.items()):
        epochs = np.arange(1, len(curves) + 1)
        style = {"color": shades[label], "lw": widths[label], "zorder": 3 - 0.1 * place}
        style |= {"marker": "o", "ms": 4} if len(curves) == 1 else {}
        panels[0].plot(epochs, _finite(curves.val_loss), **style)
        panels[1].plot(epochs, _finite(100 * curves.val_accuracy), **style)
        style["lw"] *= 0.6
        panels[0].plot(epochs, _finite(curves.train_loss), "--", **style)
        panels[1].plot(epochs, _finite(100 * curves.train_accuracy), "--", **style)
    for ax, name in zip(panels, ("loss", "accuracy"), strict=True):
        ax.set(xlabel="epoch", ylabel=UNITS[name])
        ax.xaxis.get_major_locator().set_params(integer=True)
    losses = [values for c in chosen.values() for values in (c.train_loss, c.val_loss)]
    scale_losses(panels[0], np.concatenate(losses))
    accuracies = 100 * np.concatenate([curves.val_accuracy for curves in chosen.values()])
    if np.isfinite(accuracies).any():
        floor = float(np.nanmin(accuracies))
        panels[1].set_ylim(bottom=floor - max(0.08 * (100 - floor), 0.1))
    marks = [
        mark(f"{label} (best)" if label == best else label, color=shades[label], lw=widths[label])
        for label in chosen
    ]
    marks += [mark("validation", color=INK), mark("train", color=INK, lw=0.8, ls="--")]
    figure.legend(handles=marks, loc="outside right upper")
    return png(figure)


@style()
def retrain_curves(
    batch_loss: Values,
    batch_accuracy: Values,
    train_loss: Values,
    train_accuracy: Values,
    *,
    test_loss: float | None = None,
    test_accuracy: float | None = None,
) -> bytes:
    """A PNG of accuracy and loss by iteration, with epochs on the upper axis.

    ``batch_loss`` and ``batch_accuracy`` are (T,), of each iteration's batch; ``train_loss`` and
    ``train_accuracy`` (E,), their means over each epoch of T / E iterations. The test values,
    measured once after the last epoch, are single marks at the end.

    Raises ValueError if there is no epoch, or the lengths do not fit together.
    """
    from matplotlib.figure import Figure

    T, E = len(batch_loss), len(train_loss)
    if E == 0 or T == 0 or T % E or (len(batch_accuracy), len(train_accuracy)) != (T, E):
        raise ValueError(
            f"Curves of {T} and {len(batch_accuracy)} iterations and {E} and "
            f"{len(train_accuracy)} epochs are not of one training."
        )
    steps = T // E
    figure = Figure(figsize=(10.0, 4.0))
    for ax, label, values, epochs, test in zip(
        figure.subplots(1, 2),
        (UNITS["accuracy"], UNITS["loss"]),
        (100 * batch_accuracy, batch_loss),
        (100 * train_accuracy, train_loss),
        (None if test_accuracy is None else 100 * test_accuracy, test_loss),
        strict=True,
    ):
        ax.set(xlabel="iteration", ylabel=label)
        drawn = _draw_batches(ax, _finite(values))
        # A mean belongs to the middle of its epoch.
        middles = steps * (np.arange(E) + 0.5)
        ax.plot(middles, _finite(epochs), color=BLUE, lw=1.8, marker=".", label="train, epoch mean",
                ms=0 if E > 30 else 6)  # fmt: skip
        if test is not None and isfinite(test):
            told = f"test, once at the end: {test:.4g}{' %' if '%' in label else ''}"
            ax.plot(T, test, "D", ms=8, mfc=VERMILION, mec="white", zorder=4, label=told)
        upper = ax.secondary_xaxis("top", functions=(lambda t: t / steps, lambda e: e * steps))
        upper.set_xlabel("epoch")
        if values is batch_loss:
            scale_losses(ax, drawn)
        else:
            _scale_accuracies(ax, drawn, T)
        place = "upper right" if values is batch_loss else "lower right"
        ax.legend(loc=place, frameon=True, framealpha=0.9, edgecolor="none")
    return png(figure)


def _draw_batches(ax: Any, values: Values) -> Values:
    """One value a batch; of too many to be told apart, the band that nine of ten lie in, over
    stretches of equal length. Returns what was drawn."""
    T = len(values)
    if T <= MAX_BATCHES:
        ax.plot(np.arange(1, T + 1), values, color=PALE_BLUE, lw=0.7, label="train, batch")
        return values
    stretches = np.array_split(values, MAX_BATCHES // 5)
    finite = [each[np.isfinite(each)] for each in stretches]
    known = [each if len(each) else np.array([np.nan]) for each in finite]
    band = np.array([np.percentile(each, (5, 95)) for each in known]).T
    ends = np.cumsum([len(each) for each in stretches])
    ax.fill_between(ends, *band, color=PALE_BLUE, lw=0, label="train, nine of ten batches")
    return band.ravel()


def _scale_accuracies(ax: Any, values: Values, n_batches: int) -> None:
    """Leave the rare bad batches of the beginning below the axis, and say how many they are if
    values has one for each."""
    shown = _finite(values)[np.isfinite(values)]
    floor = float(np.percentile(shown, 0.5))
    below = int((shown < floor).sum())
    margin = max(0.05 * (100 - floor), 0.1)
    ax.set_ylim(floor - margin, 100 + margin)
    if below and len(values) == n_batches:
        ax.annotate(
            f"{below:,} of {len(shown):,} batches lie lower", (0.02, 0.02), color=MUTED,
            xycoords="axes fraction", fontsize=8,
        )  # fmt: skip


@style()
def confusion_matrix(counts: npt.NDArray[np.integer[Any]], class_names: Sequence[str]) -> bytes:
    """A PNG of counts (C, C), rows true classes, columns predicted ones.

    Coloured by the share of the row, on a square-root scale that keeps rare errors visible; up to
    `MAX_ANNOTATED` classes also show the counts.

    Raises ValueError if the shapes disagree or there is no class.
    """
    from matplotlib.colors import PowerNorm
    from matplotlib.figure import Figure

    C = len(class_names)
    if counts.shape != (C, C) or C == 0:
        raise ValueError(f"{C} classes need counts of shape ({C}, {C}), not {counts.shape}.")
    shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(max(0.45 * C, 2.6), 8.0)
    figure = Figure(figsize=(side + 1.9, side + 1.0))
    ax: Any = figure.subplots()
    ax.grid(False)
    drawn = ax.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, 0, 100))
    places = list(range(0, C, ceil(C / 25)))
    names = [n if len(n := class_names[place]) <= 16 else f"{n[:15]}…" for place in places]
    ax.set_xticks(places, names, rotation=90 if max(map(len, names)) > 3 else 0)
    ax.set_yticks(places, names)
    if C <= MAX_ANNOTATED:
        for (row, column), share in np.ndenumerate(shares):
            ink = "white" if share > 35 else INK if counts[row, column] else "#B0B0B0"
            ax.text(column, row, f"{counts[row, column]}", ha="center", va="center", color=ink)
    right, total = int(np.trace(counts)), int(counts.sum())
    ax.set(xlabel="predicted class", ylabel="true class")
    ax.set_title(f"{right:,} of {total:,} correct ({100 * right / max(total, 1):.2f} %)")
    bar = figure.colorbar(drawn, ax=ax, shrink=0.8, ticks=[0, 1, 5, 20, 50, 100])
    bar.set_label("share of the true class (%)")
    return png(figure)


def _upper_fence(values: Values) -> float:
    """Tukey's, on logarithms, yet never below twice the upper quartile."""
    positive = values[values > 0]
    if not positive.size:
        return inf
    low, high = np.quantile(np.log(positive), [0.25, 0.75])
    return float(np.exp(high + max(1.5 * (high - low), np.log(2))))


def _finite(values: Values) -> Values:
    """With gaps where values are not finite."""
    return np.where(np.isfinite(values), values, np.nan)

"""Draw learning curves of trials and of a retrained model as PNG bytes.

Notation: E epochs, T iterations, each of which trains on one batch. Losses are in nats;
accuracies are in [0, 1] and drawn in per cent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from core.trainer.result import Curves
from search.figures.style import (
    BLUE,
    INK,
    MUTED,
    UNITS,
    VERMILION,
    Values,
    cap_accuracies,
    mark,
    need,
    png,
    scale_losses,
    style,
)

MAX_CURVES = 10  # the most trials whose curves can be told apart
MAX_BATCHES = 2000  # the most batches that are drawn one by one
PALE_BLUE = "#A9CFE8"


@style()
def learning_curves(curves_by_label: Mapping[str, Curves], *, best: str) -> bytes:
    """Return a PNG of loss and accuracy by epoch, with solid lines for validation and dashed ones
    for training.

    The first `MAX_CURVES` trials are drawn, and the one with the label ``best``, if it is among
    them, is emphasised. The accuracy axis begins near the worst validation accuracy, because
    training starts much lower.

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
    for index, (label, curves) in enumerate(chosen.items()):
        epochs = np.arange(1, len(curves) + 1)
        style = {"color": shades[label], "lw": widths[label], "zorder": 3 - 0.1 * index}
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
        cap_accuracies(panels[1])
    marks = [
        mark(f"{label} (best)" if label == best else label, color=shades[label], lw=widths[label])
        for label in chosen
    ]
    marks += [mark("validation", color=INK), mark("train", color=INK, lw=0.8, ls="--")]
    figure.legend(handles=marks, loc="outside right upper")
    return png(figure)


@style()
def retrain_curves(iterations: Values, curves: Curves, test_accuracy: float | None = None) -> bytes:
    """Return a PNG of accuracy and loss by iteration, with epochs on the upper axis.

    iterations: (2, T), the loss and the accuracy of each iteration's batch.
    curves: those of the same training; their train values are means over the T / E iterations of
        each epoch.
    test_accuracy: measured once after the last epoch, and drawn as a single mark at the end.

    Raises ValueError if there is no epoch, or if the lengths do not fit together.
    """
    from matplotlib.figure import Figure

    E, (_, T) = len(curves), iterations.shape
    if E == 0 or T == 0 or T % E:
        raise ValueError(f"Curves of {T} iterations and {E} epochs are not of one training.")
    figure = Figure(figsize=(10.0, 4.0))
    left, right = figure.subplots(1, 2)
    batch_loss, batch_accuracy = iterations
    drawn = _draw_training(left, 100 * batch_accuracy, 100 * curves.train_accuracy)
    left.set(ylabel=UNITS["accuracy"])
    _scale_accuracies(left, drawn, T)
    if test_accuracy is not None:
        told = f"test, once at the end: {100 * test_accuracy:.4g} %"
        left.plot(T, 100 * test_accuracy, "D", ms=8, mfc=VERMILION, mec="white", zorder=4,
                  label=told)  # fmt: skip
    drawn = _draw_training(right, batch_loss, curves.train_loss)
    right.set(ylabel=UNITS["loss"])
    scale_losses(right, drawn)
    for ax, corner in ((left, "lower right"), (right, "upper right")):
        ax.legend(loc=corner, frameon=True, framealpha=0.9, edgecolor="none")
    return png(figure)


def _draw_training(ax: Any, batches: Values, epochs: Values) -> Values:
    """Draw a value of each batch, (T,), and its means over the epochs, (E,).

    Return the values drawn of the batches.
    """
    E, steps = len(epochs), len(batches) // len(epochs)
    drawn = _draw_batches(ax, _finite(batches))
    middles = steps * (np.arange(E) + 0.5)  # A mean belongs to the middle of its epoch.
    ax.plot(middles, _finite(epochs), color=BLUE, lw=1.8, marker=".", label="train, epoch mean",
            ms=0 if E > 30 else 6)  # fmt: skip
    ax.set_xlabel("iteration")
    upper = ax.secondary_xaxis("top", functions=(lambda t: t / steps, lambda e: e * steps))
    upper.set_xlabel("epoch")
    return drawn


def _draw_batches(ax: Any, values: Values) -> Values:
    """Draw one value per batch, and return the values drawn.

    If there are more than `MAX_BATCHES`, draw instead a band from the 5th to the 95th percentile
    over stretches of equal length.
    """
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
    """Leave the few worst batches below the axis.

    If ``values`` has one value per batch, a note in the figure says how many lie lower.
    """
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


def _finite(values: Values) -> Values:
    """Return the values with NaN, which is drawn as a gap, where they are not finite."""
    return np.where(np.isfinite(values), values, np.nan)

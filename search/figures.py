"""Figures of a study and of a retrained model, as PNG bytes.

Matplotlib's objects only, since pyplot keeps global state; imported inside functions, since that
takes half a second.

Notation: E epochs, C classes. Losses are in nats, accuracies in [0, 1] and drawn in per cent.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil, floor, inf, isfinite, log10, nan
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from core.result import Curves, Status

Objective = Literal["val_loss", "val_accuracy"]
Values = npt.NDArray[np.floating[Any]]

MAX_PANELS = 12  # batch sizes that are drawn apart
MAX_CURVES = 10  # trials whose curves can be told apart
MAX_ANNOTATED = 20  # classes of a confusion matrix whose counts can be read

# Of Okabe and Ito: told apart by every kind of colour vision.
BLUE, VERMILION, INK, MUTED, GREY = "#0072B2", "#D55E00", "#222222", "#6E6E6E", "#DDDDDD"
COLOURS = "viridis_r"  # the better, the brighter
STAR = {"marker": "*", "mfc": VERMILION, "mec": "white"}
STYLE: Any = {
    "figure.dpi": 110, "figure.constrained_layout.use": True, "savefig.facecolor": "white",
    "savefig.dpi": "figure",
    "font.family": "DejaVu Sans", "font.size": 9, "text.usetex": False,
    "text.parse_math": False,  # class names may hold dollars
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": MUTED,
    "axes.labelsize": 9.5, "axes.labelcolor": INK, "axes.titlesize": 9.5,
    "axes.grid": True, "axes.axisbelow": True, "grid.color": "#EEEEEE", "grid.linewidth": 0.8,
    "xtick.color": MUTED, "ytick.color": MUTED, "xtick.labelsize": 8, "ytick.labelsize": 8,
    "legend.frameon": False, "legend.fontsize": 8.5, "hatch.linewidth": 0.6,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TrialPoint:
    """What a study's figures show of a trial; the scores may be inf or nan if it diverged."""

    number: int
    learning_rate: float
    weight_decay: float
    batch_size: int
    val_loss: float
    val_accuracy: float
    status: Status

    def badness(self, objective: Objective) -> float:
        """Validation loss or error rate, nan if it diverged."""
        value = self.val_loss if objective == "val_loss" else 1 - self.val_accuracy
        return value if isfinite(value) and self.status is not Status.DIVERGED else nan


@contextmanager
def _style() -> Iterator[None]:
    """Decorates what draws: this module's style, whatever the user's matplotlibrc says."""
    from matplotlib import rc_context

    with rc_context(STYLE), warnings.catch_warnings():
        # Class names may be in scripts that the font lacks: boxes then, but no failure.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


@_style()
def heat_maps(points: Sequence[TrialPoint], objective: Objective = "val_loss") -> bytes:
    """A PNG of the objective over learning rate and weight decay, one panel a batch size.

    One colour scale for all, logarithmic in the loss or in the error rate. Trials on a grid are
    cells, others dots on logarithmic axes. Diverged ones are hatched cells or crosses; those
    stopped early carry a dot; the best of the completed ones is a star. More than `MAX_PANELS`
    batch sizes share one panel.

    Raises ValueError if there are no points.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    _need(points, "trial")
    sizes = sorted({point.batch_size for point in points})
    apart = len(sizes) <= MAX_PANELS
    groups = [[p for p in points if p.batch_size == size] for size in sizes] if apart else [points]
    rates, decays = [p.learning_rate for p in points], [p.weight_decay for p in points]
    grid = _on_grid(points)
    x, y = _Axis.of(rates, grid), _Axis.of(decays, grid)
    badness = [point.badness(objective) for point in points]
    scores = [each for each in badness if each > 0] or [1e-3]
    # The worst fifth is of no interest once it is ten times as bad as the best.
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
    if best := _best(points, objective):
        ax = axes[sizes.index(best.batch_size) if apart else 0]
        at = [x.at[best.learning_rate]], [y.at[best.weight_decay]]
        ax.plot(*at, ms=15, zorder=5, clip_on=False, **STAR)
        told = (
            f"best: #{best.number}, {_label(objective).split(' (')[0]} "
            f"{_score(best.badness(objective), objective)} at learning rate "
            f"{_value(best.learning_rate)}, weight decay {_value(best.weight_decay)}, "
            f"batch size {best.batch_size}"
        )
        marks.append(_mark(told, ls="", ms=12, **STAR))
    if failed:
        hatched = Patch(fc=GREY, ec=MUTED, hatch="/////", lw=0, label=f"diverged ({failed})")
        cross = _mark(f"diverged ({failed})", ls="", marker="x", mec=MUTED)
        marks.append(hatched if grid else cross)
    if stopped:
        marks.append(_mark("stopped early", ls="", marker="o", ms=4, mfc=INK, mec="white"))
    if failed < len(points):
        bar = figure.colorbar(
            ScalarMappable(norm, COLOURS),
            ax=axes[: len(groups)],
            extend="max" if max(scores) > top else "neither",
            label=_label(objective),
            aspect=25,
        )
        ticks = _round_values(min(scores), top)
        bar.set_ticks(ticks, labels=[_score(tick, objective) for tick in ticks])
        bar.minorticks_off()
        if objective == "val_accuracy":
            bar.ax.invert_yaxis()  # an axis of error rates, labelled with accuracies
    figure.legend(handles=marks, loc="outside upper left", ncols=len(marks) if lines == 1 else 1)
    return _png(figure)


class _Axis(NamedTuple):
    """Where values lie: in order on a grid, else at their logarithms, with 0 a decade below."""

    at: dict[float, float]
    ticks: list[float]
    labels: list[str]
    limits: tuple[float, float]

    @classmethod
    def of(cls, values: Sequence[float], grid: bool) -> _Axis:
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
        return cls(at, [at[v] for v in shown], [_value(v) for v in shown], limits)


def _on_grid(points: Sequence[TrialPoint]) -> bool:
    """Whether the values recur: more than two fifths of their combinations are there."""
    triples = {(p.learning_rate, p.weight_decay, p.batch_size) for p in points}
    sides = [len(set(values)) for values in zip(*triples, strict=True)]
    return max(sides[:2]) <= 60 and len(triples) > 0.4 * sides[0] * sides[1] * sides[2]


def _draw_trials(
    ax: Any,
    points: Sequence[TrialPoint],
    x: _Axis,
    y: _Axis,
    norm: Any,
    grid: bool,
    objective: Objective,
) -> None:
    """The better the later, hence on top where trials coincide."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    badness = np.array([point.badness(objective) for point in points])
    order = np.argsort(-np.nan_to_num(badness, nan=np.inf), kind="stable")
    at = np.array([(x.at[p.learning_rate], y.at[p.weight_decay]) for p in points])[order]
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


@_style()
def optimisation_history(points: Sequence[TrialPoint], objective: Objective = "val_loss") -> bytes:
    """A PNG of the objective by trial number, with the best so far as a line.

    Scores far worse than most (Tukey's fence) are drawn at the edge, as are diverged trials.

    Raises ValueError if there are no points.
    """
    from matplotlib.figure import Figure

    _need(points, "trial")
    points = sorted(points, key=lambda point: point.number)
    number = np.array([point.number for point in points])
    badness = np.array([point.badness(objective) for point in points])
    done = np.array([point.status is Status.COMPLETED for point in points]) & ~np.isnan(badness)
    limit = _upper_fence(badness)
    inside, beyond, diverged = badness <= limit, badness > limit, np.isnan(badness)
    is_loss = objective == "val_loss"
    shown = badness if is_loss else 100 * (1 - badness)
    figure = Figure(figsize=(8.0, 3.8))
    ax: Any = figure.subplots()
    ax.set(xlabel="trial", ylabel=_label(objective))
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
        _scale_losses(ax, badness[inside])
    if diverged.all():
        ax.set_yticks([])
    figure.legend(loc="outside right upper")
    return _png(figure)


@_style()
def learning_curves(curves_by_label: Mapping[str, Curves]) -> bytes:
    """A PNG of loss and accuracy by epoch: validation solid, train dashed.

    The first label is the best trial's, which is emphasised; the first `MAX_CURVES` are drawn.

    Raises ValueError if there are no curves.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    _need(curves_by_label, "learning curve")
    chosen = dict(list(curves_by_label.items())[:MAX_CURVES])
    shades = [VERMILION, *colormaps["viridis"](np.linspace(0.1, 0.9, max(len(chosen) - 1, 1)))]
    figure = Figure(figsize=(10.5, 3.8))
    panels: Any = figure.subplots(1, 2)
    for place, curves in enumerate(chosen.values()):
        epochs = np.arange(1, len(curves) + 1)
        style = {"color": shades[place], "lw": 1.1 if place else 2.4, "zorder": 3 - 0.1 * place}
        style |= {"marker": "o", "ms": 4} if len(curves) == 1 else {}
        panels[0].plot(epochs, _finite(curves.val_loss), **style)
        panels[1].plot(epochs, _finite(100 * curves.val_accuracy), **style)
        style["lw"] *= 0.6
        panels[0].plot(epochs, _finite(curves.train_loss), "--", **style)
        panels[1].plot(epochs, _finite(100 * curves.train_accuracy), "--", **style)
    for ax, objective in zip(panels, ("loss", "accuracy"), strict=True):
        ax.set(xlabel="epoch", ylabel=_UNITS[objective])
        ax.xaxis.get_major_locator().set_params(integer=True)
    _scale_losses(panels[0], np.concatenate([curves.val_loss for curves in chosen.values()]))
    marks = [
        _mark(label if place else f"{label} (best)", color=shades[place], lw=1.1 if place else 2.4)
        for place, label in enumerate(chosen)
    ]
    marks += [_mark("validation", color=INK), _mark("train", color=INK, lw=0.8, ls="--")]
    figure.legend(handles=marks, loc="outside right upper")
    return _png(figure)


@_style()
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
        (_UNITS["accuracy"], _UNITS["loss"]),
        (100 * batch_accuracy, batch_loss),
        (100 * train_accuracy, train_loss),
        (None if test_accuracy is None else 100 * test_accuracy, test_loss),
        strict=True,
    ):
        ax.set(xlabel="iteration", ylabel=label)
        ax.plot(np.arange(1, T + 1), _finite(values), color="#A9CFE8", lw=0.7, label="train, batch")
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
            _scale_losses(ax, batch_loss)
        ax.legend(loc="best")
    return _png(figure)


@_style()
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
    return _png(figure)


def _png(figure: Any) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})  # the same in any version
    return stream.getvalue()


_UNITS = {"loss": "loss (nats)", "accuracy": "accuracy (%)"}


def _label(objective: Objective) -> str:
    return f"validation {_UNITS[objective.removeprefix('val_')]}"


def _need(things: Sized, what: str) -> None:
    if len(things) == 0:
        raise ValueError(f"A figure needs at least one {what}.")


def _best(points: Sequence[TrialPoint], objective: Objective) -> TrialPoint | None:
    """The best completed trial; ties go to the lower loss, then to the lower number."""
    scored = [p for p in points if p.status is Status.COMPLETED and isfinite(p.badness(objective))]
    return min(scored, key=lambda p: (p.badness(objective), p.val_loss, p.number), default=None)


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


def _scale_losses(ax: Any, losses: Values) -> None:
    """A logarithmic axis where losses, (n,), span more than a decade; ticks are plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    losses = losses[np.isfinite(losses)]
    if losses.size and losses.min() > 0 and losses.max() > 10 * losses.min():
        subs = (1, 2, 5) if losses.max() < 1000 * losses.min() else (1,)
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=subs))
        ax.yaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _value(value)))


def _round_values(low: float, high: float) -> list[float]:
    """About two to eight round values from low to high, both positive; else the two themselves."""
    decades = range(floor(log10(low)), ceil(log10(high)) + 1)
    for digits in ((1, 2, 5), (1,)) if len(decades) <= 4 else ((1,),):
        found = [v for k in decades for d in digits if low <= (v := float(f"{d}e{k}")) <= high]
        if len(found) >= 2:
            return found[:: ceil(len(found) / 8)]
    return sorted({low, high})


def _value(value: float) -> str:
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def _score(badness: float, objective: Objective) -> str:
    return f"{badness:.4g}" if objective == "val_loss" else f"{100 * (1 - badness):.4g} %"


def _mark(label: str, **style: Any) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], label=label, **style)

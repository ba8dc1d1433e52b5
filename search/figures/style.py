"""What all figures share: their style, their colours, and helpers that draw.

Matplotlib's objects are used directly, because pyplot keeps global state. They are imported inside
functions, because the import takes half a second. Losses are in nats; accuracies are in [0, 1] and
drawn in per cent.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sized
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.floating[Any]]

# The first two are by Okabe and Ito, and can be told apart with every kind of colour vision.
BLUE, VERMILION, INK, MUTED, GREY = "#0072B2", "#D55E00", "#222222", "#6E6E6E", "#DDDDDD"
STYLE: Any = {
    "figure.dpi": 110, "figure.constrained_layout.use": True, "figure.facecolor": "white",
    "font.family": "DejaVu Sans", "font.size": 9, "text.usetex": False,
    "text.parse_math": False,  # class names may hold dollars
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": MUTED,
    "axes.labelsize": 9.5, "axes.labelcolor": INK, "axes.titlesize": 9.5,
    "axes.grid": True, "axes.axisbelow": True, "grid.color": "#EEEEEE", "grid.linewidth": 0.8,
    "xtick.color": MUTED, "ytick.color": MUTED, "xtick.labelsize": 8, "ytick.labelsize": 8,
    "legend.frameon": False, "legend.fontsize": 8.5, "hatch.linewidth": 0.6,
}  # fmt: skip
COMPRESSION = 4  # zlib's level of PNGs; higher ones take twice as long and save a few per cent
UNITS = {"loss": "loss (nats)", "accuracy": "accuracy (%)"}


@contextmanager
def style() -> Iterator[None]:
    """Apply this module's style to a function that draws, whatever the user's matplotlibrc says."""
    from matplotlib import rc_context

    with rc_context(STYLE), warnings.catch_warnings():
        # Class names may have letters that the font lacks; they become boxes, without a warning.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def png(figure: Any) -> bytes:
    """Return a figure as PNG bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    stream = io.BytesIO()
    # `savefig` would draw twice, once to lay the figure out. Matplotlib's version is omitted.
    canvas: Any = FigureCanvasAgg(figure)
    smaller = {"compress_level": COMPRESSION}
    canvas.print_png(stream, metadata={"Software": None}, pil_kwargs=smaller)
    return stream.getvalue()


def need(things: Sized, what: str) -> None:
    """Raise ValueError if there is nothing to draw."""
    if len(things) == 0:
        raise ValueError(f"A figure needs at least one {what}.")


def plain(value: float) -> str:
    """Return a number as text with up to three significant digits."""
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def scale_losses(ax: Any, losses: Values, *, always: bool = False) -> None:
    """Make the y axis logarithmic, with plain numbers as ticks, if the losses, (n,), are positive
    and span more than a decade. With ``always``, positive losses are enough."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    losses = losses[np.isfinite(losses)]
    if losses.size and losses.min() > 0 and (always or losses.max() > 10 * losses.min()):
        subs = (1, 2, 5) if losses.max() < 1000 * losses.min() else (1,)
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=subs))
        ax.yaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: plain(value)))


def cap_accuracies(ax: Any) -> None:
    """Let a y axis of accuracies in per cent end just above 100, since none is higher."""
    low, high = ax.get_ylim()
    if high > 100:
        ax.set_ylim(top=100 + 0.05 * max(100 - low, 0.1))


def mark(label: str, **style: Any) -> Any:
    """Return a line without data, as an entry of a legend."""
    from matplotlib.lines import Line2D

    return Line2D([], [], label=label, **style)


def cut(name: str, most: int) -> str:
    """Return a name of at most so many characters; of a longer one, its end, which says more."""
    return name if len(name) <= most else f"…{name[1 - most :]}"

"""Figures that are put together and then left blank, in tests that do not look at them.

All that is ours happens: a command works out what a figure shows, and fills it with axes, lines and
words. Only Matplotlib does not lay it out and paint it, which would be a third of a small launch.
Commands that are started cold paint, and so do those whose variable says so.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

VARIABLE = "TESTS_FIGURES"
PAINTED = {VARIABLE: "painted"}  # for a command whose figures somebody looks at

_paint = FigureCanvasAgg.print_png


def use() -> None:
    """Leave the figures of this process blank, unless its variable says that they are painted."""
    painted = os.environ.get(VARIABLE) == PAINTED[VARIABLE]
    FigureCanvasAgg.print_png = _paint if painted else _leave_blank


@contextmanager
def painted() -> Iterator[None]:
    """Paint the figures of this process and of the commands that it starts, in a block whose
    figures somebody looks at."""
    before, FigureCanvasAgg.print_png = FigureCanvasAgg.print_png, _paint
    os.environ |= PAINTED
    try:
        yield
    finally:
        FigureCanvasAgg.print_png = before
        os.environ.pop(VARIABLE, None)


def _leave_blank(canvas: FigureCanvasAgg, stream: io.BytesIO, **_: Any) -> None:
    """Write a white PNG of the figure's size."""
    Image.new("L", canvas.get_width_height(), 255).save(stream, "PNG")

"""Draw one class's weights as bars beside the names of their features, for MLflow's image grid."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np
from PIL import Image, ImageDraw

from search.figures.colours import Reals, coloured
from search.figures.page import INK, MUTED, WHITE, Pixels, fitted, font

SIDE = 512  # pixels; MLflow's grid shows half of it, and the whole image on a click
_LETTERS = 26  # pixels, so that names are still readable in half the size
_NAMES = 250  # pixels; the most that names take
_EDGE, _BELOW = 6, 26  # pixels


def bars(values: Reals, names: Sequence[str], scale: float, note: str = "") -> Pixels:
    """Return a square picture of values (F,), the first on top: red to the right, blue to the left.

    scale: the absolute value of the longest bar, which is written below; longer ones are cut.
    note: a few words below the names.

    Raises ValueError if there is not one name for each of at least one value.
    """
    if values.shape != (len(names),) or not names:
        raise ValueError(f"{len(names)} names need as many values, not {values.shape}.")
    height = (SIDE - 2 * _EDGE - _BELOW) // max(len(names), 8)
    letters = font(min(_LETTERS, height - 4))
    shown = [fitted(name, _NAMES, min(_LETTERS, height - 4)) for name in names]
    widths = [*map(letters.getlength, shown), font(22).getlength(note)]
    left = ceil(max(widths)) + 3 * _EDGE
    middle, half = (left + SIDE - _EDGE) // 2, (SIDE - _EDGE - left) // 2
    page = Image.new("RGB", (SIDE, SIDE), (WHITE,) * 3)
    draw = ImageDraw.Draw(page)
    lengths = np.clip(np.nan_to_num(values / (scale or 1.0), nan=0.0), -1, 1) * half
    for row, (name, length, colour) in enumerate(
        zip(shown, lengths, coloured(values, scale), strict=True)
    ):
        top = _EDGE + row * height
        draw.text(
            (left - 2 * _EDGE, top + height // 2),
            name, fill=(INK,) * 3, font=letters, anchor="rm",
        )  # fmt: skip
        ends = sorted((middle, middle + round(float(length))))
        draw.rectangle(
            (ends[0], top + 3, ends[1], top + height - 3),
            fill=tuple(map(int, colour)), outline=(MUTED,) * 3,
        )  # fmt: skip
    bottom = _EDGE + len(names) * height
    draw.line((middle, _EDGE, middle, bottom), fill=(INK,) * 3, width=2)
    for text, at, anchor in (
        (note, left - 2 * _EDGE, "rt"),
        (f"-{scale:.2g}", middle - half, "lt"),
        (f"+{scale:.2g}", middle + half, "rt"),
    ):
        draw.text((at, bottom + 4), text, fill=(MUTED,) * 3, font=font(22), anchor=anchor)
    return np.asarray(page)

"""Draw matrices as coloured cells between the names of their rows and columns, with Pillow.

Several matrices with the same rows stand side by side and share the rows' names. Notation: R rows,
K columns; images are (height, width, 3) uint8 RGB.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from search.figures.colours import Reals, coloured
from search.figures.page import (
    INK,
    LINE,
    WHITE,
    Pixels,
    beside,
    blank,
    fitted,
    framed,
    stacked,
    text_line,
    tiled,
)

MAX_ROW_NAME, MAX_COLUMN_NAME, MAX_CAPTION = 200, 120, 240  # pixels; longer text is cut
_GAP = 6  # pixels between a name and its cells
_BAR = 200  # pixels; the length of the colour bar
_LUMA = (0.2126, 0.7152, 0.0722)


@dataclass(frozen=True, slots=True)
class Matrix:
    """A matrix to draw.

    values: (R, K).
    scale: the absolute value of full colour.
    caption: a line that stands above; empty for none.
    """

    values: Reals
    scale: float
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Cells:
    """How cells are drawn: their size and that of all letters, in pixels.

    decimals: those of the values that are written into the cells, None to write none.
    """

    height: int = 20
    width: int = 20
    letters: int = 12
    decimals: int | None = None


def matrices(
    shown: Sequence[Matrix], rows: Sequence[str], columns: Sequence[str], cells: Cells
) -> Pixels:
    """Return matrices (R, K) side by side: the R names at the left, the K names above each matrix.

    Column names that are wider than a cell stand upright. Without columns, no names are above.

    Raises ValueError if there is no matrix, or one of another shape than the names say.
    """
    if not shown or not rows:
        raise ValueError("A picture of matrices needs at least one matrix with at least one row.")
    for each in shown:
        K = len(columns) or each.values.shape[-1]
        if each.values.shape != (len(rows), K):
            raise ValueError(
                f"{len(rows)} rows and {K} columns need values of this shape, "
                f"not {each.values.shape}."
            )
    above = [_above(columns, cells)] if columns else []
    panels = []
    for each in shown:
        caption = fitted(each.caption, MAX_CAPTION, cells.letters)
        captions = [text_line(caption, cells.letters, INK)] if each.caption else []
        panels.append(stacked([*captions, *above, _body(each, cells)], gap=2))
    return beside([_names(rows, cells), tiled(panels, len(panels), 18)], _GAP)


def colour_bar(scale: float, what: str, letters: int = 12) -> Pixels:
    """Return the bar of the colours from -scale to +scale, with numbers, under what they mean."""
    strip = coloured(np.linspace(-scale, scale, _BAR)[None].repeat(10, axis=0), scale)
    ends = [text_line(text, letters, INK) for text in (f"-{scale:.3g}", "0", f"+{scale:.3g}")]
    edge = max(end.shape[1] for end in ends) // 2 + 1
    numbers = blank(ends[0].shape[0], _BAR + 2 + 2 * edge)
    for share, end in zip((0, 0.5, 1), ends, strict=True):
        left = edge + round(share * _BAR) - end.shape[1] // 2
        numbers[:, left : left + end.shape[1]] = end
    bar = beside([blank(1, edge), framed(strip)], 0)
    return stacked([text_line(what, letters, INK), bar, numbers], gap=2)


def _names(rows: Sequence[str], cells: Cells) -> Pixels:
    """Return the names of the rows, one below the other, aligned right."""
    size = cells.letters
    lines = [text_line(fitted(name, MAX_ROW_NAME * size // 12, size), size, INK) for name in rows]
    page = blank(len(rows) * cells.height + 1, max(line.shape[1] for line in lines))
    for row, line in enumerate(lines):
        top = row * cells.height + (cells.height - line.shape[0] + 2) // 2
        page[top : top + line.shape[0], -line.shape[1] :] = line
    return page


def _above(columns: Sequence[str], cells: Cells) -> Pixels:
    """Return the names of the columns, in the middle of each, upright if one does not fit."""
    size = cells.letters
    most = MAX_COLUMN_NAME * size // 12
    lines = [text_line(fitted(name, most, size), size, INK) for name in columns]
    if any(line.shape[1] > cells.width - 2 for line in lines):
        lines = [np.rot90(line) for line in lines]
    page = blank(max(line.shape[0] for line in lines), len(columns) * cells.width + 1)
    for column, line in enumerate(lines):
        left = column * cells.width + (cells.width - line.shape[1] + 1) // 2
        page[-line.shape[0] :, left : left + line.shape[1]] = line
    return page


def _body(matrix: Matrix, cells: Cells) -> Pixels:
    """Return the cells of a matrix, in a thin frame; larger cells have frames of their own."""
    colours = coloured(matrix.values, matrix.scale)
    large = colours.repeat(cells.height, axis=0).repeat(cells.width, axis=1)
    body = np.full((large.shape[0] + 1, large.shape[1] + 1, 3), LINE, dtype=np.uint8)
    body[:-1, :-1] = large
    every = (cells.height, cells.width) if min(cells.height, cells.width) > 8 else large.shape[:2]
    body[:: every[0]] = LINE
    body[:, :: every[1]] = LINE
    if cells.decimals is not None:
        dark = colours @ _LUMA < 130
        for row, column in np.argwhere(np.isfinite(matrix.values)):
            cell = body[row * cells.height :, column * cells.width :][: cells.height, : cells.width]
            text = f"{matrix.values[row, column]:z.{cells.decimals}f}"
            _write(cell, text, cells.letters, WHITE if dark[row, column] else INK)
    return body


def _write(cell: Pixels, text: str, letters: int, ink: int) -> None:
    """Write a text into the middle of a cell, over its colours, unless it is too long."""
    shape = _ink(text, letters)
    top, left = (cell.shape[0] - shape.shape[0] + 2) // 2, (cell.shape[1] - shape.shape[1] + 1) // 2
    if top >= 0 and left >= 0:
        under = cell[top : top + shape.shape[0], left : left + shape.shape[1]]
        under[:] = np.rint(under + shape * (ink - under.astype(np.float32)))


@lru_cache(maxsize=4096)
def _ink(text: str, letters: int) -> npt.NDArray[np.float32]:
    """Return how much of each pixel is ink in a line of text, (height, width, 1)."""
    line = text_line(text, letters, 0)[:, :, :1]
    return np.float32(1) - line.astype(np.float32) / np.float32(WHITE)

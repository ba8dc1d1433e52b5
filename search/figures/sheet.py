"""Lay out a sheet that shows many trials' weights, from worst to best.

Images are (height, width, 3) uint8 RGB.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from search.figures.matrix import Cells, Matrix, matrices
from search.figures.page import INK, Pixels, blank, paragraphs, png, stacked, text_line, wrapped

WIDTH = 1200  # pixels; the width of a sheet, unless one trial is wider


def listed(names: Sequence[str]) -> str:
    """Return up to 20 names as a list, and of more the first and the last."""
    return ", ".join(names) if len(names) <= 20 else f"{names[0]} to {names[-1]}"


def heading(count: int, notes: Sequence[str], width: int) -> list[Pixels]:
    """Return the title and the notes of a sheet of so many trials, as lines of at most this width,
    but not less than 420 pixels."""
    title = "Weights of 1 trial" if count == 1 else f"Weights of {count:,} trials, worst to best"
    if count > 1:
        notes = ["The worst is at the top left, the best ends the last row.", *notes]
    width = max(width, 420)
    lines = [text_line(line, 18, INK) for line in wrapped(title, width, 18)]
    return [*lines, *paragraphs(notes, width, 12), blank(6, 1)]


def matrix_sheet(
    shown: Sequence[Matrix], rows: Sequence[str], cells: Cells, notes: Sequence[str]
) -> bytes:
    """Return a PNG of many trials' matrices with the same rows, in their order, row by row.

    rows: the names of the matrices' rows, which stand at the left. notes: sentences of the heading.

    Raises ValueError if there is no trial.
    """
    if not shown:
        raise ValueError("A sheet needs at least one trial.")
    across = len(shown)
    while (line := matrices(shown[:across], rows, (), cells)).shape[1] > WIDTH and across > 1:
        across -= 1
    across = ceil(len(shown) / ceil(len(shown) / across))  # so rows have nearly the same length
    lines = [
        matrices(shown[start : start + across], rows, (), cells)
        for start in range(0, len(shown), across)
    ]
    body = stacked(lines, gap=18)
    width = max(body.shape[1], line.shape[1])
    return png(stacked([*heading(len(shown), notes, width), body], 5, 16))

"""The batches of an epoch, in the order that the data asks for.

With the order of blocks, the rows of a window are read from the disk into memory, in order, and
its batches are gathered from there. While they are trained, the system reads the next window ahead.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from core.datasets.dataset import Matrix
from core.datasets.file_rows import FileRows
from core.trainer.training_data import TrainingData

Indices = npt.NDArray[np.intp]


def batches(
    data: TrainingData, batch_size: int, seed: int, epoch: int, out: Matrix
) -> Iterator[Indices]:
    """Write each of the ⌊N/B⌋ full batches of an epoch into ``out`` (B, F), and yield its rows.

    Raises DataError if the examples are in a file that has changed.
    """
    data.check()
    n, B = len(data.y), batch_size
    order = data.shuffle.rows(n, seed, epoch)
    if data.shuffle.window is None or not isinstance(data.X, FileRows):
        for start in range(0, n - B + 1, B):
            rows = order[start : start + B]
            data.gather(rows, out)
            yield rows
        return
    pieces = _pieces(data, data.X, order, B)
    filled = 0
    for piece in pieces:
        data.arrange(piece.values, data.y[piece.rows], out[filled : filled + len(piece.rows)])
        filled += len(piece.rows)
        if filled == B:
            yield order[piece.end - B : piece.end]
            filled = 0


class _Piece(NamedTuple):
    """A batch, or that part of it which is in one window.

    rows: (n,). values: (n, D), as read. end: the place after its last row in the order.
    """

    rows: Indices
    values: Matrix
    end: int


def _pieces(data: TrainingData, X: FileRows, order: Indices, B: int) -> Iterator[_Piece]:
    """Yield the batches in order, each in one piece, or in several if windows end within it."""
    window = data.shuffle.window or len(order)
    last = len(order) // B * B  # The rest is not a full batch.
    X.expect(_runs(order[:window]))
    for start in range(0, last, window):
        ordered = np.sort(order[start : start + window])
        held = X.held(ordered)
        X.release()
        X.expect(_runs(order[start + window : start + 2 * window]))
        end = min(start + window, last)
        cuts = chain([start], range(start + (-start % B or B), end, B), [end])
        before = next(cuts)
        for cut in cuts:
            rows = order[before:cut]
            if len(rows):
                yield _Piece(rows, held[np.searchsorted(ordered, rows)], cut)
            before = cut
        del held  # before the next window is read


def _runs(rows: Indices) -> list[tuple[int, int]]:
    """Return the runs of neighbours among rows: the first row, and the row after the last."""
    if not len(rows):
        return []
    ordered = np.sort(rows)
    ends = np.flatnonzero(np.diff(ordered) != 1)
    firsts = ordered[np.concatenate(([0], ends + 1))]
    lasts = ordered[np.concatenate((ends, [len(ordered) - 1]))]
    return list(zip(firsts.tolist(), (lasts + 1).tolist(), strict=True))

"""The order in which an epoch goes through the examples.

EXACT is a fresh permutation of all examples in every epoch. It needs any row at any time, which is
slow where the rows are on a disk and do not fit in memory.

BLOCKS reads no more of a disk at a time than fits in memory. The rows are cut into blocks of
neighbours, the blocks are put into a fresh order in every epoch, and the rows are then shuffled
within windows of many blocks. A batch is therefore drawn from the blocks of one window, which come
from everywhere in the file. The cuts are elsewhere in every epoch, so that the same rows are not
always neighbours.

Both depend on the seed and the epoch alone, not on the batch size, so training can resume at any
epoch.

Notation: N rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.intp]

BLOCK_BYTES = 1 << 13  # of a block. Longer ones cost score where a file is sorted by class.
WINDOW_BYTES = 1 << 27  # of a window, which is held in memory


class Order(StrEnum):
    """How the examples are shuffled."""

    EXACT = "exact"
    BLOCKS = "blocks"


@dataclass(frozen=True, slots=True)
class Shuffle:
    """The shuffle of N rows.

    block, window: how many rows a block and a window have; None for the exact order.
    """

    block: int | None = None
    window: int | None = None

    @classmethod
    def of(cls, order: Order, row_bytes: int) -> Shuffle:
        """Return the shuffle for rows of this many bytes."""
        if order is Order.EXACT:
            return EXACT
        block = max(1, BLOCK_BYTES // row_bytes)
        return cls(block, block * (WINDOW_BYTES // BLOCK_BYTES))

    def rows(self, n: int, seed: int, epoch: int) -> Indices:
        """Return the order of n rows in an epoch, a permutation of 0..n-1."""
        rng = np.random.default_rng((seed, epoch))
        if self.block is None or self.window is None:
            return rng.permutation(n)
        first = int(rng.integers(min(self.block, n)))
        starts = np.concatenate(([0], np.arange(first or self.block, n, self.block)))
        ends = np.concatenate((starts[1:], [n]))
        shuffled = rng.permutation(len(starts))
        order = np.concatenate([np.arange(starts[b], ends[b]) for b in shuffled])
        for start in range(0, n, self.window):
            rng.shuffle(order[start : start + self.window])
        return order


EXACT = Shuffle()

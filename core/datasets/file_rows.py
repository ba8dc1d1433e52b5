"""Rows of features that stay in their file until they are asked for.

They can stand where an array of features stands: they have a shape and a length, and indexing by a
slice or by row numbers returns an array. Nothing else is done with them as a whole.

Notation: N rows, D features.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from core.datasets.array_file import BLOCK_BYTES, ArrayFile
from core.datasets.column_statistics import ColumnStatistics
from core.datasets.halves import as_float32
from core.datasets.scaling import Matrix, Scaling

Indices = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class FileRows:
    """N rows of D features in files, as float32 and scaled when they are read.

    files: the files, whose rows are counted one file after another.
    rows: (N,) the numbers of the rows.
    scaling: what is done to the rows when they are read; None for nothing.
    statistics: those of the rows before they are scaled; None before the files were read through.
    """

    files: tuple[ArrayFile, ...]
    rows: Indices = field(repr=False)
    scaling: Scaling | None = None
    statistics: ColumnStatistics | None = field(default=None, repr=False)

    @classmethod
    def of(cls, file: ArrayFile) -> FileRows:
        """Return all rows of a file."""
        return cls((file,), np.arange(len(file)))

    @property
    def shape(self) -> tuple[int, int]:
        """The shape (N, D)."""
        return len(self.rows), self.files[0].shape[1]

    @property
    def dtype(self) -> np.dtype[np.float32]:
        """The type of the values when they are read."""
        return np.dtype(np.float32)

    @property
    def nbytes(self) -> int:
        """The size that the rows would have as an array, in bytes."""
        return 4 * self.shape[0] * self.shape[1]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, which: slice | Indices | npt.NDArray[np.bool_]) -> Matrix:
        """Return these of the N rows, (n, D) float32, scaled.

        Raises DataError if a file is not what it was when it was first seen.
        """
        return self._scaled(self._raw(self.rows[which]))

    def held(self, which: Indices) -> HeldRows:
        """Return these of the N rows as they are in the file, in memory."""
        values = self._raw(self.rows[which])
        return HeldRows(values if values.flags.owndata else values.copy(), self)

    def _raw(self, rows: Indices) -> npt.NDArray[Any]:
        """Return rows of the files, as they are there; those of several files as float32."""
        self.check()
        if len(self.files) == 1:
            return self.files[0].take(rows)
        X = np.empty((len(rows), self.shape[1]), np.float32)
        start = 0
        for file in self.files:
            own = (rows >= start) & (rows < start + len(file))
            X[own] = file.take(rows[own] - start)
            start += len(file)
        return X

    def _scaled(self, values: npt.NDArray[Any]) -> Matrix:
        """Return rows as they are in a file as float32, scaled."""
        X = as_float32(values)
        return X if self.scaling is None else self.scaling.in_place(X)

    def take(self, which: Indices | npt.NDArray[np.bool_]) -> FileRows:
        """Return these of the N rows, still in the file. Their statistics are not known."""
        return replace(self, rows=self.rows[which], statistics=None)

    def joined(self, other: FileRows) -> FileRows:
        """Return the rows of both, in order, unscaled."""
        files, rows = self.files, other.rows
        if other.files != self.files:
            files = (*self.files, *other.files)
            rows = rows + sum(map(len, self.files))
        known = self.statistics and other.statistics and self.statistics.merged(other.statistics)
        return FileRows(files, np.concatenate((self.rows, rows)), None, known or None)

    def blocks(self) -> Iterator[tuple[slice, Matrix]]:
        """Yield all rows in order, as many at a time as are worth holding in memory.

        Raises DataError if a file changes meanwhile.
        """
        step = max(1, BLOCK_BYTES // max(1, 4 * self.shape[1]))
        for start in range(0, len(self), step):
            which = slice(start, min(start + step, len(self)))
            yield which, self[which]
            self.release()

    def check(self) -> None:
        """Raise DataError if a file is not what it was when it was first seen."""
        for file in self.files:
            file.check()

    def release(self) -> None:
        """Tell the system that no row of the files is needed soon."""
        for file in self.files:
            file.release(0, len(file))

    def expect(self, runs: Sequence[tuple[int, int]]) -> None:
        """Tell the system that these of the N rows are needed next, so that it reads them ahead.

        runs: the first of some neighbours, and the one after the last.
        """
        for first, end in runs:
            low, high = int(self.rows[first]), int(self.rows[end - 1]) + 1
            start = 0
            for file in self.files:
                if start <= low < start + len(file):
                    file.expect(low - start, min(high - start, len(file)))
                start += len(file)


@dataclass(frozen=True, slots=True, eq=False)
class HeldRows:
    """Rows that were read, as they are in the file, which need less memory than float32.

    values: (n, D). of: the rows that they are some of.
    """

    values: npt.NDArray[Any]
    of: FileRows

    def __getitem__(self, which: Indices) -> Matrix:
        """Return these of the n rows, float32 and scaled."""
        return self.of._scaled(self.values[which])

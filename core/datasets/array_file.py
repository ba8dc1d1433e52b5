"""A matrix of numbers in a file, which is mapped into memory and never read as a whole.

Notation: N rows, D columns.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from core.datasets.errors import DataError

Array = npt.NDArray[Any]

BLOCK_BYTES = 1 << 24  # of float32 that are converted at a time when a file is read through
KINDS = ("<f2", "<f4", "<f8", ">f2", ">f4", ">f8")  # what is mapped; other types are read


class Stamp(NamedTuple):
    """What changes if a file is replaced, shortened or written to: its size and its time."""

    size: int
    modified_ns: int

    @classmethod
    def of(cls, path: str) -> Stamp:
        """Return the stamp that a file has now. Raises DataError if it cannot be found."""
        try:
            found = os.stat(path)
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
        return cls(found.st_size, found.st_mtime_ns)


class ArrayFile:
    """A matrix in a file, row after row.

    It is a plain value that can be sent to other processes, each of which maps the file for itself;
    those of one machine share its pages.

    path: absolute. offset: of the first value, in bytes. shape: (N, D). dtype: one of `KINDS`.
    stamp: that of the file when it was first seen.
    """

    def __init__(
        self, path: Path | str, offset: int, shape: tuple[int, int], dtype: npt.DTypeLike
    ) -> None:
        self.path = str(Path(path).absolute())
        self.offset = offset
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self.stamp = Stamp.of(self.path)
        self._mapped: tuple[mmap.mmap, Array] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_mapped": None}

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def row_bytes(self) -> int:
        """The size of a row in the file."""
        return self.shape[1] * self.dtype.itemsize

    def is_seen(self) -> bool:
        """Return whether this process sees the same file under this path."""
        try:
            return Stamp.of(self.path) == self.stamp
        except DataError:
            return False

    def check(self) -> None:
        """Raise DataError if the file is not what it was when it was first seen."""
        if Stamp.of(self.path) != self.stamp:
            raise DataError(
                f"{self.path} has changed since it was first read: finished trials are kept; put "
                "the original file back, and the same command continues."
            )

    def take(self, rows: npt.NDArray[np.intp]) -> Array:
        """Return these rows as they are in the file, (n, D).

        The file must be as it was; see `check`.
        """
        _, matrix = self._map()
        n = len(rows)
        if n and rows[-1] - rows[0] == n - 1 and (n < 3 or bool((np.diff(rows) == 1).all())):
            return matrix[rows[0] : rows[-1] + 1]
        return np.take(matrix, rows, axis=0, mode="clip")  # much faster than the default mode

    def blocks(self) -> Iterator[tuple[int, Array]]:
        """Yield all rows in order, as many at a time as are worth converting, with the number of
        the first one. Raises DataError if the file changes meanwhile."""
        step = max(1, BLOCK_BYTES // max(1, 4 * self.shape[1]))
        for start in range(0, len(self), step):
            self.check()
            _, matrix = self._map()
            yield start, matrix[start : start + step]
            self.release(start, start + step)

    def release(self, start: int, stop: int) -> None:
        """Tell the system that these rows are not needed soon, so that they do not count as this
        process's memory."""
        self._advise("MADV_DONTNEED", start, stop, whole_pages=True)

    def expect(self, start: int, stop: int) -> None:
        """Tell the system that these rows are needed next, so that it reads them ahead."""
        self._advise("MADV_WILLNEED", start, stop, whole_pages=False)

    def _advise(self, advice: str, start: int, stop: int, *, whole_pages: bool) -> None:
        option = getattr(mmap, advice, None)  # Windows has none of them.
        mapped, _ = self._map()
        if option is None or not hasattr(mapped, "madvise"):
            return
        first = self.offset + start * self.row_bytes
        last = min(self.offset + stop * self.row_bytes, len(mapped))
        page = mmap.PAGESIZE
        first = (-(-first // page) if whole_pages else first // page) * page
        if last > first:
            mapped.madvise(option, first, last - first)

    def _map(self) -> tuple[mmap.mmap, Array]:
        """Return the mapped file and the matrix in it. Raises DataError if it cannot be mapped."""
        if self._mapped is None:
            self.check()
            try:
                with open(self.path, "rb") as file:
                    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or error
                raise DataError(f"{self.path} cannot be mapped: {reason}.") from error
            values = np.frombuffer(
                mapped, self.dtype, self.shape[0] * self.shape[1], offset=self.offset
            )
            self._mapped = mapped, values.reshape(self.shape)
        return self._mapped

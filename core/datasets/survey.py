"""Read a file of features through once: check it, and compute its digest and its statistics.

A file may be larger than memory, so it is read block by block. What is known afterwards is what
would be known of an array: the digests of its parts are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from core.datasets.array_file import ArrayFile
from core.datasets.column_statistics import ColumnStatistics, merged
from core.datasets.dataset import DataError, Dataset, Digest
from core.datasets.file_rows import FileRows
from core.datasets.scaling import Matrix
from core.datasets.splits import Splits, digest_of_folds

_NOBODY = -1


def bytes_in_files(splits: Splits) -> int:
    """Return the size of the features of these parts that are in files, 0 if they are in memory."""
    parts = (splits.train, splits.test) if splits.fold_parts else (
        splits.train, splits.validation, splits.test
    )  # fmt: skip
    files = {id(file): file for part in parts for file in _files(part)}
    return sum(len(file) * file.row_bytes for file in files.values())


def _files(part: Dataset) -> tuple[ArrayFile, ...]:
    """Return the files that have a part's features; none if they are in memory."""
    return part.X.files if isinstance(part.X, FileRows) else ()


def surveyed(splits: Splits, advance: Callable[[int], object]) -> Splits:
    """Return the same unscaled parts with their digests and statistics.

    advance: called now and then with how many more bytes of the files were read.

    Raises DataError if a value is not finite in float32, or if a file changes meanwhile.
    """
    train, validation, test = splits.train, splits.validation, splits.test
    if not splits.fold_parts:
        parts = (train, validation, test)
        known = zip(parts, *_read(parts, parts, advance), strict=True)
        return Splits.of(*(_known(*each) for each in known))
    held_out = [held for _, held in splits.fold_parts]
    digests, statistics = _read((train, test), (*held_out, test), advance)
    of_folds = statistics[:-1]
    train = _known(train, digests[0], merged(of_folds))
    test = _known(test, digests[1], statistics[-1])
    rows = [np.searchsorted(_rows(train), _rows(held)) for held in held_out]
    folds = []
    for fold, held in enumerate(rows):
        others = merged(each for k, each in enumerate(of_folds) if k != fold)
        kept = train.take(np.setdiff1d(np.arange(len(train)), held))
        its = train.take(held)
        folds.append((_known(kept, kept.digest, others), _known(its, its.digest, of_folds[fold])))
    validation = train.take(np.concatenate(rows))
    validation = _known(validation, validation.digest, merged(of_folds))
    return Splits(
        train, validation, test, digest_of_folds(train, rows, test), fold_parts=tuple(folds)
    )


def _read(
    wholes: Sequence[Dataset], cells: Sequence[Dataset], advance: Callable[[int], object]
) -> tuple[list[str], list[ColumnStatistics]]:
    """Read the files of these parts.

    wholes: parts without a common row, whose digests are computed. cells: likewise, whose
    statistics are computed. Return the digests of the wholes and the statistics of the cells.
    """
    digests = [
        Digest(part.X.shape, part.class_names, part.image_shape, part.feature_names)
        for part in wholes
    ]
    statistics: list[ColumnStatistics | None] = [None] * len(cells)
    files = {id(file): file for part in wholes for file in _features(part).files}
    for file in files.values():
        whole_of, cell_of = _owners(file, wholes), _owners(file, cells)
        for start, block in file.blocks():
            with np.errstate(over="ignore"):
                X = np.ascontiguousarray(block, dtype=np.float32)
            owners = whole_of[start : start + len(X)]
            _check(X, owners != _NOBODY, start, file)
            for number, digest in enumerate(digests):
                if (own := _own(X, owners == number)) is not None:
                    digest.update(own)
            owners = cell_of[start : start + len(X)]
            for number, known in enumerate(statistics):
                if (own := _own(X, owners == number)) is not None:
                    found = ColumnStatistics.of(own)
                    statistics[number] = found if known is None else known.merged(found)
            advance(len(X) * file.row_bytes)
    ended = [digest.end(part.y) for digest, part in zip(digests, wholes, strict=True)]
    return ended, [each for each in statistics if each is not None]


def _owners(file: ArrayFile, parts: Sequence[Dataset]) -> npt.NDArray[np.int16]:
    """Return the number of the part to which each row of a file belongs, `_NOBODY` for none."""
    owners = np.full(len(file), _NOBODY, np.int16)
    for number, part in enumerate(parts):
        if file in _features(part).files:
            owners[_rows(part)] = number
    return owners


def _own(X: Matrix, mine: npt.NDArray[np.bool_]) -> Matrix | None:
    """Return the rows that are mine, or None if there is none."""
    if mine.all():
        return X
    return X[mine] if mine.any() else None


def _check(X: Matrix, used: npt.NDArray[np.bool_], start: int, file: ArrayFile) -> None:
    """Raise DataError if a used row of a block has a value that is not finite in float32."""
    if np.isfinite(X.sum(dtype=np.float64)) or not used.any():
        return
    wrong = ~np.isfinite(X)
    wrong[~used] = False
    if not wrong.any():
        return
    row, column = np.unravel_index(int(wrong.argmax()), wrong.shape)
    value = X[row, column]
    raise DataError(
        f"{file.path} must be finite in float32, but has {value} in row {start + int(row)}, column "
        f"{int(column)}, counted from 0: correct it, or leave this row or column out."
    )


def _features(part: Dataset) -> FileRows:
    """Return the features of a part, which are in files."""
    assert isinstance(part.X, FileRows)
    return part.X


def _rows(part: Dataset) -> npt.NDArray[np.intp]:
    """Return the numbers of a part's rows in its file."""
    return _features(part).rows


def _known(part: Dataset, digest: str, statistics: ColumnStatistics) -> Dataset:
    """Return a part with what was found out about it."""
    return replace(part, X=replace(_features(part), statistics=statistics), digest=digest)

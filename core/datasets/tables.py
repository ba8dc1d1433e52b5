"""Reader of tables, .csv, .tsv and .parquet, as pandas' data frames; nothing is unpickled.

Notation: N rows.
"""

from __future__ import annotations

import codecs
import csv
import warnings
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from core.datasets.checks import listed, shown_name
from core.datasets.dataset import DataError
from core.datasets.disguises import disguise_of
from core.datasets.source import suffix_of

SUFFIXES = (".csv", ".tsv", ".parquet")
MAX_BYTES = 8 * 1024**3  # of a file, and of its values as floats of 8 bytes
MISSING = ("", "?", "NA", "N/A", "#N/A", "NaN", "nan", "NULL", "null")  # texts for no value
NAME_LENGTH = 200
_CHUNK = 1024**2

Frame = Any  # a pandas.DataFrame; pandas is imported late, because that takes half a second


def read_table(path: Path, as_text: Collection[str]) -> Frame:
    """Return a table, with a column of numbers, truth values or texts for each column of the file.

    Missing values are NaN or None. as_text: the columns of a text file that are kept as texts even
    if they look like numbers.

    Raises DataError if the file cannot be read, has no rows, is too large, or has columns without
    a name of their own.
    """
    try:
        with path.open("rb") as stream:
            if (size := stream.seek(0, 2)) > MAX_BYTES:
                raise DataError(f"{path} has {size} bytes, more than {MAX_BYTES} allowed.")
        is_parquet = suffix_of(path) == ".parquet"
        if what := disguise_of(path, b"PAR1" if is_parquet else None):
            raise DataError(f"{path} {what}.")
        frame = _read_parquet(path) if is_parquet else _read_text(path, as_text)
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8: save it as UTF-8.") from error
    except Exception as error:  # pandas and pyarrow raise many types for a damaged file
        reason = " ".join(str(error).split()).removeprefix("Error tokenizing data. C error: ")
        shown = "".join(each for each in reason if each.isprintable())[:150].rstrip(".")
        raise DataError(f"{path} is not a valid {path.suffix} file: {shown}.") from error
    if not len(frame):
        raise DataError(f"{path} has no rows.")
    return frame


def _read_text(path: Path, as_text: Collection[str]) -> Frame:
    """Return the table in a .csv or .tsv file; see `read_table`."""
    import pandas as pd

    with path.open("rb") as raw:
        if raw.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            raise DataError(
                f'{path} is UTF-16, which Excel calls "Unicode text": save it as "CSV UTF-8".'
            )
    delimiter = "\t" if suffix_of(path) == ".tsv" else ","
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        names = next(csv.reader(stream, delimiter=delimiter), [])
    if len(names) == 1 and (other := next((c for c in ";\t|," if c in names[0]), None)):
        right = "a comma" if delimiter == "," else "a tab"
        raise DataError(
            f"{path} has one column, {shown_name(names[0])!r}: separate columns by {right}, not by "
            f"{other!r}."
        )
    _check_names(path, names)
    with path.open("rb") as stream:
        lines = 1 + sum(chunk.count(b"\n") for chunk in iter(lambda: stream.read(_CHUNK), b""))
    _check_size(path, lines, len(names))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # pandas only warns of rows that are too long
        frame = pd.read_csv(
            path,
            sep=delimiter,
            names=list(range(len(names))),  # so that pandas renames none
            header=0,
            index_col=False,
            dtype={place: "str" for place, name in enumerate(names) if name in as_text},
            na_values=list(MISSING),
            keep_default_na=False,
            skipinitialspace=True,
            low_memory=False,
            encoding="utf-8",
        )
    # A copy has one block of memory for all columns of a kind: what follows is then quick, also
    # for a hundred thousand columns.
    return frame.set_axis(names, axis=1).copy()


def _read_parquet(path: Path) -> Frame:
    """Return the table in a .parquet file; see `read_table`."""
    import pyarrow as pa
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        schema, about = file.schema_arrow, file.metadata
        _check_names(path, schema.names)
        _check_size(path, about.num_rows, len(schema.names))
        size = sum(about.row_group(each).total_byte_size for each in range(about.num_row_groups))
        if size > MAX_BYTES:
            raise DataError(f"{path} claims {size} bytes, more than {MAX_BYTES} allowed.")
        for name, kind in zip(schema.names, schema.types, strict=True):
            if pa.types.is_nested(kind) or isinstance(kind, pa.BaseExtensionType):
                raise DataError(
                    f"Column {shown_name(name)} in {path} holds {shown_name(kind)}, not one value "
                    "a row: give each value a column, or save X as an .npy file."
                )
        return file.read().to_pandas(ignore_metadata=True)


def _check_names(path: Path, names: Sequence[str]) -> None:
    """Raise DataError unless each column has a printable name of its own."""
    if not names:
        raise DataError(f"{path} is empty: its first row must name the columns.")
    if "" in names:
        raise DataError(
            f"Column {names.index('') + 1} in {path} has no name: give it one. (pandas writes such "
            "a column of row numbers unless index=False.)"
        )
    if odd := [name for name in names if not name.isprintable() or len(name) > NAME_LENGTH]:
        raise DataError(
            f"Column {names.index(odd[0]) + 1} in {path} is named {shown_name(odd[0])!r}: names "
            f"must be printable and of {NAME_LENGTH} characters at most."
        )
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise DataError(f"{path} has more than one column named {listed(repeated, 5)}.")
    if all(map(_is_number, names)):
        raise DataError(
            f"The first row in {path} must name the columns, and has only numbers "
            f"({listed(names, 3)})."
        )


def _check_size(path: Path, rows: int, columns: int) -> None:
    """Raise DataError if so many values would not fit into memory."""
    if 8 * rows * columns > MAX_BYTES:
        raise DataError(
            f"{path} has {rows:,} rows of {columns:,} columns, which take {8 * rows * columns} "
            f"bytes, more than {MAX_BYTES} allowed."
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True

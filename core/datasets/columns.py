"""Columns of a table as features: numbers as they are, texts one-hot if that is asked for.

Notation: N rows, D features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from core.datasets.checks import counts_by_column, listed, shown_name
from core.datasets.dataset import DataError
from core.datasets.labels import read_labels, read_text_labels
from core.datasets.raw import Part, Raw, divided
from core.datasets.source import Source, suffix_of
from core.datasets.tables import Frame, read_table

Array = npt.NDArray[Any]

MOST_VALUES = 1000  # of a column that becomes one-hot


def read_columns(source: Source) -> Raw:
    """Return the data in a table, with one feature for each column that has no other purpose.

    Raises DataError if a column that the source names is not there, or if a feature is no number.
    """
    path = source.path
    special = {
        key: name
        for key in ("label", "split", "groups")
        if (name := getattr(source, key)) is not None
    }
    frame = read_table(path, set(special.values()))
    for key, names in {**{k: (n,) for k, n in special.items()}, "ignore": source.ignore}.items():
        if absent := [name for name in names if name not in frame.columns]:
            raise DataError(
                f"{path} has no column {listed(absent)}, which data.{key} names: its columns are "
                f"{listed(list(frame.columns))}."
            )
    taken = {name: _texts(frame, name, path) for name in special.values()}
    features = frame.drop(columns=[*special.values(), *source.ignore])
    if not features.shape[1]:
        raise DataError(
            f"{path} has no columns of features: its columns are {listed(list(frame.columns))}."
        )
    X, names = as_numbers(features, path, one_hot=source.categorical is not None)
    label = taken[special["label"]]
    where = f"Column {shown_name(source.label)} in {path}"
    read = read_text_labels if label.dtype.kind == "U" else _other_labels
    groups = None if source.groups is None else taken[source.groups]
    raw = Raw(Part(X, read(label, where), groups), feature_names=names)
    split = None if source.split is None else taken[source.split]
    return divided(raw, split, f"Column {shown_name(source.split)} in {path}")


def _other_labels(y: Array, where: str) -> Array:
    return read_labels(y, len(y), where, "the rows")


def _texts(frame: Frame, name: str, path: Path | str) -> Array:
    """Return a column that is no feature: as texts, unless it has numbers or truth values.

    Raises DataError if a value is missing.
    """
    column = frame[name]
    missing = column.isna().to_numpy(bool)
    if missing.any():
        raise DataError(
            f"Column {shown_name(name)} in {path} has no value in {missing.sum():,} of "
            f"{len(missing):,} rows, first in row {int(missing.argmax()) + 1}: fill them in, or "
            "leave these rows out."
        )
    values = column.to_numpy()
    if values.dtype.kind in "iufb":
        return np.asarray(values)
    return np.array([each if isinstance(each, str) else str(each) for each in column.tolist()])


def _check_missing(frame: Frame, path: Path | str) -> None:
    """Raise DataError if values are missing; it counts them by column."""
    missing = frame.isna().to_numpy()
    if missing.any():
        where = counts_by_column(missing, [shown_name(name) for name in frame.columns])
        raise DataError(
            f"{path} has {int(missing.sum()):,} missing values ({where}; first in row "
            f"{int(missing.any(axis=1).argmax()) + 1}): fill them in, leave these rows out, or "
            "leave columns out with ignore."
        )


def as_numbers(frame: Frame, path: Path | str, *, one_hot: bool) -> tuple[Array, tuple[str, ...]]:
    """Return the columns as features, (N, D), with their names.

    one_hot: whether a column of texts becomes a feature "column=text" for each text; the others
    are refused.

    Raises DataError if values are missing, are texts among numbers, or are no numbers.
    """
    _check_missing(frame, path)
    texts = [name for name, kind in frame.dtypes.items() if kind.kind not in "iufb"]
    if not texts:
        X = frame.to_numpy(np.float64)
        _check_columns(X, list(frame.columns), path)
        return X, tuple(frame.columns)
    rest, encoded = [], {}
    for name in texts:
        values = frame[name].tolist()
        numbers = [_number(value) for value in values]
        wrong = [row for row, number in enumerate(numbers) if number is None]
        if not wrong:
            encoded[name] = (np.array(numbers, np.float64)[:, None], [name])
        elif 2 * len(wrong) < len(values):
            others = f", and in {len(wrong) - 1:,} other rows" if len(wrong) > 1 else ""
            raise DataError(
                f"Column {shown_name(name)} in {path} holds numbers, but "
                f"{shown_name(values[wrong[0]])!r} in row {wrong[0] + 1}{others}: correct it, or "
                f'leave the column out with ignore = ["{shown_name(name)}"].'
            )
        elif one_hot:
            encoded[name] = _one_hot(name, [str(value) for value in values], path)
        else:
            rest.append(name)
    if rest:
        first = listed(sorted({str(value) for value in frame[rest[0]].tolist()}), 3)
        raise DataError(
            f"{path} has columns that are not numbers: {listed(rest)} ({shown_name(rest[0])} has "
            f'{first}): encode them with categorical = "one-hot", or leave them out with ignore.'
        )
    blocks, names = [], []
    for name in frame.columns:
        block, its = encoded.get(name) or (frame[name].to_numpy(np.float64)[:, None], [name])
        blocks.append(block)
        names += its
    X = np.concatenate(blocks, axis=1)
    _check_columns(X, names, path)
    return X, tuple(names)


def features_of(path: Path, names: Sequence[str]) -> Array:
    """Return the features with these names from a table, (n, D); other columns are left out.

    A feature "column=text" is 1 where the column has this text and 0 elsewhere.

    Raises DataError if a column is missing or holds something else than in training.
    """
    plain = read_table(path, ())
    known = _encoded(names, plain)
    texts = read_table(path, set(known)) if known and suffix_of(path) != ".parquet" else plain
    return named_features(plain, texts, names, path)


def _encoded(names: Sequence[str], frame: Frame) -> dict[str, set[str]]:
    """Return the columns that were encoded, each with its known texts.

    names: of the features.
    """
    there = set(frame.columns)
    known: dict[str, set[str]] = {}
    for name in names:
        if name not in there and "=" in name:
            column, _, text = name.partition("=")
            known.setdefault(column, set()).add(text)
    return known


def named_features(frame: Frame, texts: Frame, names: Sequence[str], path: Path | str) -> Array:
    """Return the features with these names from a table in memory, (n, D); see `features_of`.

    texts: the same table with the encoded columns as texts. path: what it is called in a message.
    """
    there, known, plain = set(frame.columns), _encoded(names, frame), frame
    if absent := [name for name in (*names, *known) if name not in there and "=" not in name]:
        raise DataError(f"{path} has no column {listed(absent)}, which the model needs.")
    columns = [name for name in names if name in there]
    numbers = dict(zip(columns, as_numbers(plain[columns], path, one_hot=False)[0].T, strict=True))
    values = {column: _texts(texts, column, path).astype(str) for column in known}
    for column, allowed in known.items():
        wrong = ~np.isin(values[column], list(allowed))
        if wrong.any():
            row = int(wrong.argmax())
            raise DataError(
                f"Column {shown_name(column)} in {path} has {shown_name(values[column][row])!r} in "
                f"row {row + 1}, which training never met: known are {listed(sorted(allowed))}."
            )
    each = [numbers[name] if name in numbers else _is(values, name) for name in names]
    return np.stack(each, axis=1)


def _is(values: Mapping[str, Array], name: str) -> Array:
    """Return where the column of a feature "column=text" has this text, as 0 and 1."""
    column, _, text = name.partition("=")
    return np.asarray(values[column] == text, dtype=np.float64)


def _check_columns(X: Array, names: Sequence[str], path: Path | str) -> None:
    """Raise DataError if a value is infinite or too large for float32; it names the column."""
    with np.errstate(over="ignore", invalid="ignore"):
        wrong = ~np.isfinite(X.astype(np.float32))
    if wrong.any():
        row, place = (int(each[0]) for each in wrong.nonzero())
        check = X[row, place]
        raise DataError(
            f"Column {shown_name(names[place])} in {path} has {check:g} in row {row + 1}: values "
            "must be finite in float32, at most 3.4e38."
        )


def _number(value: object) -> float | None:
    """Return a value of a column of texts as a number, or None if it is none."""
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None


def _one_hot(name: str, values: Sequence[str], path: Path | str) -> tuple[Array, list[str]]:
    """Return a column of texts as (N, V) zeros and ones, with names; V: the number of texts."""
    texts, place = np.unique(np.array(values), return_inverse=True)
    if len(texts) > MOST_VALUES or 2 * len(texts) > len(values) > 20:
        raise DataError(
            f"Column {shown_name(name)} in {path} has {len(texts):,} different texts in "
            f"{len(values):,} rows, too many for one-hot: if it tells rows apart, leave it "
            f'out with ignore = ["{shown_name(name)}"].'
        )
    encoded = np.zeros((len(values), len(texts)))
    encoded[np.arange(len(values)), place] = 1
    return encoded, [f"{name}={text}" for text in texts]

"""A user's arrays, from an .npz file or from .npy files, as a source: which is which, and checks.

Notation: N examples, D features.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from core.datasets.checks import check_finite, listed
from core.datasets.dataset import DataError, ImageShape
from core.datasets.file_rows import FileRows
from core.datasets.images import SHAPES, as_rows, checked_shape, shape_of
from core.datasets.labels import read_labels
from core.datasets.npz import map_npy, map_npz, members, read_npy, read_npz
from core.datasets.raw import Part, Raw, divided
from core.datasets.source import Source

Array = npt.NDArray[Any]

# What each array may be called: as scikit-learn's users say, and as Keras does.
_SPELLINGS = {
    "X": ("X", "X_train", "x_train"),
    "y": ("y", "Y", "y_train", "Y_train"),
    "X_val": ("X_val", "x_val"),
    "y_val": ("y_val", "Y_val"),
    "X_test": ("X_test", "x_test"),
    "y_test": ("y_test", "Y_test"),
}
# What the arrays of a file that has neither X nor y may be called: as MedMNIST does, and
# scikit-learn's data sets.
_OTHER_NAMES = (
    {
        "X": "train_images", "y": "train_labels", "X_val": "val_images", "y_val": "val_labels",
        "X_test": "test_images", "y_test": "test_labels",
    },
    *({"X": X, "y": y} for X in ("data", "images", "features") for y in ("target", "labels")),
)  # fmt: skip
_SPARSE = {"indices", "indptr", "format", "shape", "data"}  # the arrays of scipy.sparse.save_npz
_REMEDIES = {
    "c": "save their absolute values, or their real and imaginary parts as features of their own",
    "U": "save numbers, or a table (.csv), whose texts can become one-hot",
    "O": "save numbers",
    "M": "save them as numbers, such as days since a date",
}
_REMEDIES |= {"S": _REMEDIES["U"], "m": _REMEDIES["M"]}
_LOOKS_LIKE_A_PART = re.compile(r"(x|y|data|features?|labels?|targets?)(_.*)?", re.IGNORECASE)


class _Given(NamedTuple):
    """An array of the user's, and what it is called in a message.

    rows: the same, if it stays in its file; ``array`` then has its shape alone, without memory.
    """

    array: Array
    where: str
    rows: FileRows | None = None

    @classmethod
    def in_file(cls, rows: FileRows, where: str) -> _Given:
        """Return rows that stay in their file."""
        return cls(np.broadcast_to(np.float32(0), rows.shape), where, rows)


def read_npz_source(source: Source, announce: Callable[[str], None]) -> Raw:
    """Return the data in an .npz file. Raises DataError if its arrays are missing or not valid."""
    path = source.path
    held = members(path)
    kept = [name for name in held if name not in source.ignore]
    found = _roles(path, kept)
    for key in ("split", "groups"):
        if (name := getattr(source, key)) is not None:
            if name not in kept or name in found.values():
                raise DataError(
                    f"{path} has no array {name!r} that can be data.{key}: it holds {listed(held)}."
                )
            found[key] = name
    if absent := sorted(set(source.ignore) - set(held)):
        raise DataError(
            f"{path} has no array {listed(absent)}, which data.ignore names: it holds "
            f"{listed(held)}."
        )
    others = [name for name in kept if name not in found.values()]
    if odd := [name for name in others if _LOOKS_LIKE_A_PART.fullmatch(name)]:
        known = ", ".join(each for spellings in _SPELLINGS.values() for each in spellings)
        raise DataError(
            f"{path} holds {listed(odd)}, which may be meant as data: known names are {known}; "
            "rename it, or leave it out with ignore."
        )
    if others:
        announce(f"{path} also holds {listed(others)}, which is not used")
    features = {name for role, name in found.items() if role.startswith("X")}
    mapped = map_npz(path, features) or {}
    arrays = read_npz(path, set(found.values()) - mapped.keys())
    given = {
        role: _Given.in_file(mapped[name], f"{name} in {path}")
        if name in mapped
        else _Given(arrays[name], f"{name} in {path}")
        for role, name in found.items()
    }
    return _raw(given, str(path))


def read_npy_source(source: Source) -> Raw:
    """Return the data in a pair of .npy files, X and labels, and the files with split and groups.

    Raises DataError if they are not valid.
    """
    paths = {"X": source.name, "y": source.labels, "split": source.split, "groups": source.groups}
    given = {role: _read(role, path, source) for role, path in paths.items() if path is not None}
    return _raw(given, source.name)


def _read(role: str, name: str, source: Source) -> _Given:
    """Return the array in an .npy file, which is mapped if it has many features.

    Raises DataError if it is not valid, or must be mapped and cannot be.
    """
    path = Path(name).expanduser()
    if role == "X" and (rows := map_npy(path, always=source.mapped)) is not None:
        return _Given.in_file(rows, name)
    array = read_npy(path)
    if role == "X" and source.mapped:
        order = "saved column by column (Fortran order): save np.ascontiguousarray(X)"
        is_column_by_column = array.ndim == 2 and not array.flags.c_contiguous
        raise DataError(
            f"{path} is {order}."
            if is_column_by_column
            else f"{path} must be a matrix (N, D) of float16, float32 or float64, not {array.dtype}"
            f" {array.shape}."
        )
    return _Given(array, name)


def _roles(path: Path, held: list[str]) -> dict[str, str]:
    """Return which array has which role. Raises DataError if one is missing or there twice."""
    found = {}
    for role, spellings in _SPELLINGS.items():
        present = [name for name in spellings if name in held]
        if len(present) > 1:
            raise DataError(
                f"{path} holds both {' and '.join(present)}: keep one of them, or leave one out "
                "with ignore."
            )
        if present:
            found[role] = present[0]
    if not found.keys() & {"X", "y"}:
        for names in _OTHER_NAMES:
            if {names["X"], names["y"]} <= set(held):
                found = {role: name for role, name in names.items() if name in held}
                break
    needed = ["X", "y"]
    for part in ("val", "test"):
        needed += [f"X_{part}", f"y_{part}"] * bool(found.keys() & {f"X_{part}", f"y_{part}"})
    if missing := [name for name in needed if name not in found]:
        if set(held) >= _SPARSE:
            raise DataError(
                f"{path} is a sparse matrix of SciPy without labels: save X=matrix.toarray() and y "
                "with np.savez."
            )
        how = ", ".join(f"{name}=…" for name in needed)
        raise DataError(
            f"{path} must hold {listed(needed)}, but lacks {listed(missing)}: it has "
            f"{listed(held)}. np.savez(file, {how}) saves them."
        )
    if "image_shape" in held:
        found["image_shape"] = "image_shape"
    return found


def _raw(given: Mapping[str, _Given], source: str) -> Raw:
    """Return the data in these arrays, by role. Raises DataError if they are not valid."""
    X = given["X"]
    train = _part(X, given["y"], given.get("groups"))
    are_bytes = train.X.dtype == np.uint8
    parts: dict[str, Part | None] = {"val": None, "test": None}
    for part in parts:
        if (other := given.get(f"X_{part}")) is None:
            continue
        parts[part] = found = _part(other, given[f"y_{part}"], None)
        shape, its_shape = X.array.shape[1:], other.array.shape[1:]
        if its_shape != shape or are_bytes != (found.X.dtype == np.uint8):
            raise DataError(
                f"X and X_{part} in {source} must be alike in shape, and both or neither be uint8, "
                f"which is scaled by 1/255: their rows are {train.X.dtype} {shape} and "
                f"{found.X.dtype} {its_shape}."
            )
    image_shape: ImageShape | None
    if "image_shape" in given:
        given_shape = given["image_shape"]
        image_shape = checked_shape(given_shape.array, X.array, given_shape.where)
    else:
        image_shape = shape_of(X.array)
    for name, each in (("X", train), ("X_val", parts["val"]), ("X_test", parts["test"])):
        if each is None or isinstance(each.X, FileRows):
            continue
        if image_shape is not None and each.X.dtype.kind in "iu":
            low, high = each.X.min(), each.X.max()
            if not 0 <= low <= high <= 255:
                raise DataError(
                    f"{given[name].where} has integer pixels from {low} to {high}: save them as "
                    "uint8 from 0 to 255, or as floats of the scale that you want."
                )
    raw = Raw(train, parts["val"], parts["test"], image_shape, white=255 if are_bytes else 1)
    if (split := given.get("split")) is None:
        return raw
    if raw.validation or raw.test:
        raise DataError(
            f"{split.where} divides the rows, but {source} has X_val or X_test: give one of them."
        )
    of_rows = _column(split, len(train.X), "US", "texts")
    return divided(raw, of_rows, split.where)


def _part(X: _Given, y: _Given, groups: _Given | None) -> Part:
    """Return one part of a user's data. Raises DataError if examples or labels are not valid."""
    array = X.array
    if array.dtype.kind == "b":
        array = array.astype(np.int8)
    if array.dtype.kind in _REMEDIES:
        raise DataError(
            f"{X.where} must be numbers, not {array.dtype}: {_REMEDIES[array.dtype.kind]}."
        )
    right = array.ndim in (2, 3) or (array.ndim == 4 and {1, 3} & {array.shape[1], array.shape[3]})
    if not right or array.size == 0 or array.dtype.kind not in "iuf":
        raise DataError(
            f"{X.where} must be numbers of the shape {SHAPES}, none of these 0, not "
            f"{array.dtype} {array.shape}."
        )
    labels = read_labels(y.array, len(array), y.where, f"the rows of {X.where.split(' in ')[0]}")
    its = None if groups is None else _column(groups, len(array), "iuUSb", "integers or texts")
    if X.rows is not None:  # It is checked when it is read through.
        return Part(X.rows, labels, its)
    check_finite(array, X.where)
    return Part(as_rows(array), labels, its)


def _column(given: _Given, n: int, kinds: str, what: str) -> Array:
    """Return an array with one value for each of n rows. Raises DataError if it has others."""
    array = given.array
    values = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    if values.shape != (n,) or values.dtype.kind not in kinds:
        raise DataError(
            f"{given.where} must be {n} {what}, one for each row of X, not {array.dtype} "
            f"{array.shape}."
        )
    if values.dtype.kind == "S":
        try:
            return np.asarray(np.char.decode(values, "utf-8"))
        except UnicodeDecodeError as error:
            raise DataError(f"{given.where} has bytes that are not UTF-8.") from error
    return values

"""Loading of data: scikit-learn's digits, MNIST from IDX files or OpenML, or a user's .npz file.

Notation: N examples, D features, M test examples, H x W pixels.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from http.client import HTTPException
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from core.datasets.dataset import DataError, Dataset
from core.datasets.idx import read_idx
from core.datasets.npz import read_npz

Array = npt.NDArray[Any]

DATA_DIR_VARIABLE = "LOCKSTEP_DATA"
LABEL_LENGTH = 200
_NPZ_ARRAYS = ("X", "y", "X_test", "y_test", "image_shape")
_IDX_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_OPENML_NAMES = {"mnist": "mnist_784", "fashion-mnist": "Fashion-MNIST"}
_OPENML_TRAIN = 60_000  # OpenML keeps the original order of the 70,000 examples, train part first.
_KNOWN = ("digits", *_OPENML_NAMES)
_MNIST_TRAIN_LABELS = "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13"  # SHA-256


class _Part(NamedTuple):
    """The train or the test part of a source."""

    X: Array  # (N, D), any integer or floating type
    y: Array  # (N,), integers or strings


class _Raw(NamedTuple):
    """The data of a source, before classes are chosen and features become floats."""

    train: _Part
    test: _Part | None
    image_shape: tuple[int, int] | None
    white: int  # the feature value that becomes 1


def load(
    source: str,
    classes: Sequence[int | str] | None,
    data_dir: Path | None,
    announce: Callable[[str], None],
) -> tuple[Dataset, Dataset | None]:
    """Return the train part of a source, and its official test part or None.

    source: ``digits``, ``mnist``, ``fashion-mnist``, or the path of an .npz file with the arrays
        X (N, D) or (N, H, W), y (N,) and optionally X_test, y_test and image_shape (2,).
    classes: the labels to keep, compared as strings, in the order that the classes shall have.
        None keeps all labels, sorted.
    data_dir: the folder with the IDX files, or with one folder of them per source, named like it.
        If None, the environment variable LOCKSTEP_DATA names the folder; OpenML is the last choice.
    announce: called with a sentence before data is fetched from the network.

    Pixels of the built-in sources are scaled to [0, 1], and X in unsigned bytes by 1/255. Other
    features stay as they are.

    Raises DataError if the source is unknown or cannot be reached, if its files are not valid, or
    if ``classes`` are fewer than two, repeated or absent.
    """
    if source.endswith(".npz"):
        raw = _npz(Path(source).expanduser())
    elif source == "digits":
        raw = _digits()
    elif source in _OPENML_NAMES:
        raw = _mnist_like(source, data_dir, announce)
    else:
        close = get_close_matches(source, _KNOWN, n=1)
        hint = f"; did you mean {close[0]}?" if close else "."
        raise DataError(
            f"Unknown data source {source!r}: known are {', '.join(_KNOWN)} and paths that end in "
            f".npz{hint}"
        )
    names = _choose(source, classes, np.unique(raw.train.y))
    train = _dataset(raw, raw.train, names)
    return train, None if raw.test is None else _dataset(raw, raw.test, names)


def _choose(source: str, classes: Sequence[int | str] | None, labels: Array) -> tuple[str, ...]:
    """Return the class names. Raises DataError if they are fewer than two, repeated or absent."""
    present = [str(label) for label in labels]
    chosen = present if classes is None else [str(label) for label in classes]
    if len(chosen) < 2:
        raise DataError(f"At least two classes are needed, got {_listed(chosen)} of {source}.")
    if repeated := [name for name, count in Counter(chosen).items() if count > 1]:
        raise DataError(f"Classes are repeated: {_listed(repeated)}.")
    if absent := sorted(set(chosen) - set(present)):
        raise DataError(
            f"Classes {_listed(absent)} are not in {source}, whose labels are {_listed(present)}."
        )
    return tuple(chosen)


def _listed(names: Sequence[str], most: int = 20) -> str:
    """Return at most so many names as text for a message."""
    shown = ", ".join(names[:most]) or "none"
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _dataset(raw: _Raw, part: _Part, names: tuple[str, ...]) -> Dataset:
    """Return the examples of the chosen classes.

    They are chosen before the conversion, because floats need four times as much memory.
    """
    class_of = {name: c for c, name in enumerate(names)}
    labels, inverse = np.unique(part.y, return_inverse=True)
    y = np.array([class_of.get(str(label), -1) for label in labels], dtype=np.intp)[inverse]
    X = part.X
    if (y < 0).any():
        X, y = X[y >= 0], y[y >= 0]
    if raw.white != 1:
        X = np.divide(X, raw.white, dtype=np.float32)
    return Dataset.of(X, y, names, raw.image_shape)


def _digits() -> _Raw:
    """Return scikit-learn's digits."""
    from sklearn.datasets import load_digits  # This import takes a second.

    bunch = load_digits()
    X = bunch.data.astype(np.uint8)  # The floats are whole numbers.
    return _Raw(_Part(X, bunch.target), None, (8, 8), white=16)


def _mnist_like(source: str, data_dir: Path | None, announce: Callable[[str], None]) -> _Raw:
    """Read a source of MNIST's format from its IDX files, or fetch it from OpenML."""
    folder = data_dir or os.environ.get(DATA_DIR_VARIABLE)
    if folder and (paths := _find_idx(Path(folder).expanduser(), source)):
        return _read_idx_files(source, paths)
    if data_dir:
        raise DataError(
            f"The IDX files {', '.join(_IDX_NAMES)} (plain or .gz) of {source} are neither in "
            f"{data_dir / source} nor in {data_dir}."
        )
    return _fetch_openml(source, announce)


def _find_idx(folder: Path, source: str) -> list[Path] | None:
    """Return the paths of the four IDX files if one folder has them all, or else None.

    Some copies of the files have '.' instead of '-' before 'idx'.
    """
    for place in (folder / source, folder):
        found: list[Path] = []
        for name in _IDX_NAMES:
            spellings = (name, f"{name}.gz", dotted := name.replace("-idx", ".idx"), f"{dotted}.gz")
            # Path.is_file would raise if the folder may not be entered.
            found += [place / each for each in spellings if os.path.isfile(place / each)][:1]
        if len(found) == len(_IDX_NAMES):
            return found
    return None


def _read_idx_files(source: str, paths: Sequence[Path]) -> _Raw:
    """Read four IDX files. Raises DataError if they do not fit together or to the source."""
    parts, shapes = [], []
    for images_path, labels_path in (paths[:2], paths[2:]):
        images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
        if len(images) != len(labels) or images.size == 0:
            raise DataError(
                f"{images_path} and {labels_path} must hold as many images as labels and at least "
                f"one, not {images.shape} and {labels.shape}."
            )
        parts.append(_Part(images.reshape(len(images), -1), labels))
        shapes.append((images.shape[1], images.shape[2]))
    if shapes[0] != shapes[1]:
        raise DataError(f"{paths[0]} and {paths[2]} have images of unlike size: {shapes}.")
    if source != "mnist" and hashlib.sha256(parts[0].y.data).hexdigest() == _MNIST_TRAIN_LABELS:
        raise DataError(f"The files in {paths[1].parent} are MNIST's, not those of {source}.")
    return _Raw(parts[0], parts[1], shapes[0], white=255)


def _fetch_openml(source: str, announce: Callable[[str], None]) -> _Raw:
    """Fetch a source from OpenML. Raises DataError if it cannot be fetched."""
    from sklearn.datasets import fetch_openml, get_data_home

    name = _OPENML_NAMES[source]
    announce(
        f"No IDX files of {source} at hand, so taking {name} from OpenML: downloaded once, then "
        f"kept in {get_data_home()}."
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Each retry warns; the error below says enough.
            # This is the only parser that does not need pandas.
            bunch = fetch_openml(name, version=1, as_frame=False, parser="liac-arff")
        X, y = bunch.data.astype(np.uint8), bunch.target.astype(np.int64)
    except (OSError, EOFError, HTTPException, ValueError) as error:
        raise DataError(
            f"{source} could not be fetched from OpenML ({error}): connect to the internet, or put "
            f"the four IDX files in a folder and name it with --data-dir or {DATA_DIR_VARIABLE}."
        ) from error
    n = _OPENML_TRAIN
    return _Raw(_Part(X[:n], y[:n]), _Part(X[n:], y[n:]), (28, 28), white=255)


def _npz(path: Path) -> _Raw:
    """Read a user's .npz file. Raises DataError if its arrays are missing or not valid."""
    arrays = read_npz(path, _NPZ_ARRAYS)
    needed = ["X", "y"] + ["X_test", "y_test"] * bool(arrays.keys() & {"X_test", "y_test"})
    if missing := [name for name in needed if name not in arrays]:
        raise DataError(f"{path} must hold {_listed(needed)}, but lacks {_listed(missing)}.")
    train = _checked_part(path, arrays, "X", "y")
    are_bytes = train.X.dtype == np.uint8
    test = None
    if "X_test" in arrays:
        test = _checked_part(path, arrays, "X_test", "y_test")
        shape, test_shape = arrays["X"].shape[1:], arrays["X_test"].shape[1:]
        if test_shape != shape or are_bytes != (test.X.dtype == np.uint8):
            raise DataError(
                f"X and X_test in {path} must be alike in shape, and both or neither be uint8, "
                f"which is scaled by 1/255: their rows are {train.X.dtype} {shape} and "
                f"{test.X.dtype} {test_shape}."
            )
        if unseen := np.setdiff1d(test.y.astype(str), train.y.astype(str)).tolist():
            raise DataError(f"y_test in {path} has labels that y has not: {_listed(unseen)}.")
    image_shape = _image_shape(path, arrays)
    for name, part in (("X", train), ("X_test", test)) if image_shape else ():
        if part and part.X.dtype.kind in "iu" and not 0 <= part.X.min() <= part.X.max() <= 255:
            raise DataError(
                f"{name} in {path} has integer pixels from {part.X.min()} to {part.X.max()}: save "
                "them as uint8 from 0 to 255, or as floats of the scale that you want."
            )
    return _Raw(train, test, image_shape, white=255 if are_bytes else 1)


def _image_shape(path: Path, arrays: dict[str, Array]) -> tuple[int, int] | None:
    """Return the shape (H, W) of the images, or None if the examples are not images."""
    shape = arrays["X"].shape[1:]
    if "image_shape" not in arrays:
        return (shape[0], shape[1]) if len(shape) == 2 else None
    given = arrays["image_shape"]
    if given.dtype.kind in "iu" and given.shape == (2,) and given.min() >= 1:
        height, width = given.tolist()
        if height * width == prod(shape) and shape in ((height * width,), (height, width)):
            return height, width
    raise DataError(
        f"image_shape in {path} must be two positive integers (H, W) that fit X of the shape "
        f"{arrays['X'].shape}, not {str(given)[:40]}."
    )


def _checked_part(path: Path, arrays: dict[str, Array], X_name: str, y_name: str) -> _Part:
    """Return one part of a user's data. Raises DataError if examples or labels are not valid."""
    X, y = arrays[X_name], arrays[y_name]
    if X.ndim not in (2, 3) or X.size == 0 or X.dtype.kind not in "iuf":
        raise DataError(
            f"{X_name} in {path} must be numbers of the shape (N, D) or (N, H, W), none of these "
            f"0, not {X.dtype} {X.shape}."
        )
    if y.shape != X.shape[:1] or y.dtype.kind not in "iuU":
        raise DataError(
            f"{y_name} in {path} must be {len(X)} integers or strings like the rows of {X_name}, "
            f"not {y.dtype} {y.shape}."
        )
    labels = map(str, np.unique(y))
    if odd := [label for label in labels if not label.isprintable() or len(label) > LABEL_LENGTH]:
        raise DataError(
            f"{y_name} in {path} has the label {odd[0][:20]!r}: labels must be printable and of "
            f"{LABEL_LENGTH} characters at most."
        )
    with np.errstate(invalid="ignore", over="ignore"):  # The error below says more.
        extremes = np.array([X.min(), X.max()])  # Both are NaN if any value is.
        finite = np.isfinite(extremes.astype(np.float32)).all()
    if not finite:
        raise DataError(
            f"{X_name} in {path} must be finite in float32, but has values from {extremes[0]} to "
            f"{extremes[1]}."
        )
    return _Part(X.reshape(len(X), -1), y)

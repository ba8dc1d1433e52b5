"""A user's arrays: .npz and .npy files, labels and images as people have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from core.datasets.dataset import DataError
from core.datasets.loaded import Loaded
from core.datasets.source import Source
from core.datasets.sources import load_source

X = np.array([[0.0, 2.0], [1.5, -3.0], [0.5, 1.0], [0.0, 0.0]])
Y = np.array(["b", "a", "b", "a"])


def silent(said: str) -> None:
    pytest.fail(said)


def read(folder: Path, keys: dict[str, Any] | None = None, **arrays: Any) -> Loaded:
    path = folder / "mine.npz"
    np.savez(path, **arrays)
    return load_source(Source(str(path), **(keys or {})), None, None, silent, silent)


# -- which array is which ----------------------------------------------------------------------


@pytest.mark.parametrize("names", ["X y X_{} y_{}", "x_train y_train x_{} y_{}"])
def test_parts_of_the_user_s_own(tmp_path: Path, names: str) -> None:
    train_X, train_y, *others = names.split()
    arrays: dict[str, Any] = {train_X: X, train_y: Y}
    for part, rows in (("val", slice(2)), ("test", slice(1, 4))):
        arrays |= {
            name.format(part): array[rows] for name, array in zip(others, (X, Y), strict=True)
        }
    found = read(tmp_path, **arrays)
    assert found.validation is not None
    assert found.test is not None
    assert [len(part) for part in (found.train, found.validation, found.test)] == [4, 2, 3]
    np.testing.assert_array_equal(found.validation.X, X[:2])


def test_what_is_not_used_is_told(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", X=X, y=Y, ids=np.arange(4), model="clip")
    said: list[str] = []
    load_source(Source(str(tmp_path / "mine.npz")), None, None, silent, said.append)
    assert len(said) == 1
    assert said[0].endswith("mine.npz also holds ids, model, which is not used")
    found = read(tmp_path, {"ignore": ("ids", "X_test")}, X=X, y=Y, ids=np.arange(4), X_test=X)
    assert found.test is None


def test_a_split_and_groups_in_the_file(tmp_path: Path) -> None:
    split = np.array([b"train", b"train", b"val", b"test"])
    groups = np.array([[7], [7], [8], [9]])
    keys = {"split": "part", "groups": "who"}
    found = read(tmp_path, keys, X=X, y=Y, part=split, who=groups)
    assert found.validation is not None
    assert found.test is not None
    assert found.groups is not None
    assert found.groups.tolist() == [7, 7]
    assert found.validation.X.tolist() == [[0.5, 1.0]]


def test_groups_of_the_chosen_classes(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    np.savez(path, X=X, y=[3, 1, 2, 1], who=[10, 11, 12, 13])
    found = load_source(Source(str(path), groups="who"), [1, 2], None, silent, silent)
    assert found.groups is not None
    assert found.groups.tolist() == [11, 12, 13]
    assert len(found.train) == 3


def test_npy_files(tmp_path: Path) -> None:
    for name, array in {"X": X, "y": Y, "split": ["train", "train", "val", "val"]}.items():
        np.save(tmp_path / f"{name}.npy", array)
    source = Source(
        str(tmp_path / "X.npy"),
        labels=str(tmp_path / "y.npy"),
        split=str(tmp_path / "split.npy"),
    )
    found = load_source(source, None, None, silent, silent)
    assert found.train.X.tolist() == X[:2].tolist()
    assert found.validation is not None
    assert found.test is None
    np.savez(tmp_path / "both.npz", X=X, y=Y)
    both = load_source(Source(str(tmp_path / "both.npz")), None, None, silent, silent)
    plain = load_source(
        Source(str(tmp_path / "X.npy"), labels=str(tmp_path / "y.npy")), None, None, silent, silent
    )
    assert plain.train == both.train


def test_npy_files_refused(tmp_path: Path) -> None:
    def refused(y: Any, message: str) -> None:
        np.save(tmp_path / "X.npy", X)
        if isinstance(y, bytes):
            (tmp_path / "y.npy").write_bytes(y)
        elif y is not None:
            np.save(tmp_path / "y.npy", y)
        source = Source(str(tmp_path / "X.npy"), labels=str(tmp_path / "y.npy"))
        with pytest.raises(DataError, match=message) as caught:
            load_source(source, None, None, silent, silent)
        assert str(tmp_path / "y.npy") in str(caught.value)

    refused(None, "cannot be read: No such file")
    refused(Y[:3], r"must be 4 integers or strings like the rows of .*X.npy, not <U1 \(3,\)")
    refused(Y.astype(object), "holds Python objects")
    refused(b"nonsense", r"not a valid \.npy file")
    np.save(tmp_path / "y.npy", Y)
    refused((tmp_path / "y.npy").read_bytes()[:-1], "claims 16 bytes of values, but has 15")


ARRAYS_REFUSED: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"x_train": X, "y_train": Y, "x_test": X}, {}, "lacks y_test: it has"),
    ({"X": X, "y": Y, "x_train": X}, {}, "holds both X and x_train: keep one"),
    ({"a": X, "arr_1": Y}, {}, r"it has a, arr_1\. np\.savez\(file, X=…, y=…\) saves them"),
    (dict.fromkeys(("indices", "indptr", "format", "shape", "data"), X), {}, "sparse matrix of S"),
    ({"X": X, "y": ["a", "", "b", " "]}, {}, r"no label \(''\) in 2 of 4 rows, first in row 2"),
    ({"X": X, "y": ["a", "nan", "b", "b"]}, {}, r"no label \('nan'\) in 1 of 4 rows"),
    ({"X": X, "y": Y, "X_valid": X}, {}, "holds X_valid, which may be meant as data: known names"),
    ({"X": X, "y": Y, "labels": Y}, {}, "holds labels, which may be meant as data"),
    ({"X": X, "y": Y}, {"split": "part"}, "no array 'part' that can be data.split: it holds X, y"),
    ({"X": X, "y": Y}, {"groups": "y"}, "no array 'y' that can be data.groups"),
    ({"X": X, "y": Y}, {"ignore": ("ids",)}, "no array ids, which data.ignore names"),
    ({"X": X, "y": Y}, {"ignore": ("y",)}, "must hold X, y, but lacks y"),
    ({"X": X, "y": Y, "s": Y}, {"split": "s"}, "s in .* has the value 'a' in row 2: each must be"),
    ({"X": X, "y": Y, "s": Y[:2]}, {"split": "s"}, r"s in .* must be 4 texts, one for each row"),
    ({"X": X, "y": Y, "s": X[:, 0]}, {"groups": "s"}, "s in .* must be 4 integers or texts"),
    (
        {"X": X, "y": Y, "X_val": X, "y_val": Y, "s": ["train"] * 4},
        {"split": "s"},
        "divides the rows, but .* has X_val or X_test: give one",
    ),
    ({"X": X, "y": Y, "X_val": X[:, :1], "y_val": Y}, {}, "X and X_val in .* must be alike"),
    ({"X": X, "y": Y, "X_val": X, "y_val": ["a", "b", "c", "d"]}, {}, "has not: c, d"),
    ({"X": X, "y": np.arange(4) / 3}, {}, "y in .* has the label 0.333333: floats must be whole"),
    (
        {"X": X, "y": [0.0, 1.0, np.nan, 1.0]},
        {},
        r"no label \(NaN\) in 1 of 4 rows",
    ),
    ({"X": X, "y": [[0, 1], [1, 0], [1, 1], [0, 1]]}, {}, r"one 1 in each row .* row 3 is \[1 1\]"),
    ({"X": X, "y": [[0, 1], [1, 0], [2, -1], [0, 1]]}, {}, "row 3 is"),
    ({"X": X, "y": np.array([b"\xff", b"a", b"b", b"c"])}, {}, "bytes that are not UTF-8"),
    ({"X": X, "y": [1 + 1j] * 4}, {}, "must be 4 integers or strings"),
    ({"X": np.zeros((50, 1)), "y": np.arange(50) / 9}, {}, "this looks like regression"),
    ({"X": np.zeros((4, 2, 2, 2)), "y": Y}, {}, r"must be numbers of the shape \(N, D\)"),
    ({"X": np.zeros((4, 1, 2, 2, 2)), "y": Y}, {}, r"must be numbers of the shape \(N, D\)"),
    ({"X": X, "y": Y, "image_shape": [1, 2, 1]}, {}, "two positive integers"),
]


@pytest.mark.parametrize(
    ("arrays", "keys", "message"), ARRAYS_REFUSED, ids=range(len(ARRAYS_REFUSED))
)
def test_refused(
    tmp_path: Path, arrays: dict[str, Any], keys: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, keys, **arrays)
    assert str(tmp_path / "mine.npz") in str(caught.value)
    assert str(caught.value).isprintable()


# -- labels ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (np.array([True, False, True, True]), ("False", "True")),
        (np.array([b"dog", b"cat", b"dog", b"dog"]), ("cat", "dog")),
        (np.array([10.0, 9.0, 10.0, 10.0], np.float32), ("9", "10")),
        (np.array([[1], [-1], [1], [1]]), ("-1", "1")),
        (np.array([["dog"], ["cat"], ["dog"], ["dog"]]), ("cat", "dog")),
        (np.array([[0, 1], [1, 0], [0, 1], [0, 1]]), ("0", "1")),
        (np.array([[0, 1.0], [1, 0], [0, 1], [0, 1]]), ("0", "1")),
        (np.array([[False, True], [True, False], [False, True], [False, True]]), ("0", "1")),
    ],
    ids=str,
)
def test_labels(tmp_path: Path, labels: npt.NDArray[Any], names: tuple[str, str]) -> None:
    found = read(tmp_path, X=X, y=labels).train
    assert found.class_names == names
    assert found.y.tolist() == [1, 0, 1, 1]


# -- images ------------------------------------------------------------------------------------

COLOUR = np.arange(4 * 5 * 6 * 3, dtype=np.uint8).reshape(4, 5, 6, 3)


@pytest.mark.parametrize(
    ("images", "shape", "rows"),
    [
        (COLOUR, (5, 6, 3), COLOUR),
        (COLOUR.transpose(0, 3, 1, 2), (5, 6, 3), COLOUR),
        (COLOUR[..., :1], (5, 6), COLOUR[..., 0]),
        (COLOUR[..., :1].transpose(0, 3, 1, 2), (5, 6), COLOUR[..., 0]),
        (COLOUR[..., 0], (5, 6), COLOUR[..., 0]),
    ],
    ids=["last", "first", "grey last", "grey first", "grey"],
)
def test_images(tmp_path: Path, images: Any, shape: tuple[int, ...], rows: Any) -> None:
    found = read(tmp_path, X=images, y=Y).train
    assert found.image_shape == shape
    np.testing.assert_array_equal(found.X, np.divide(rows.reshape(4, -1), 255, dtype=np.float32))
    flat = read(tmp_path, X=rows.reshape(4, -1), y=Y, image_shape=shape).train
    assert flat == found


@pytest.mark.parametrize(
    "names",
    [
        ("X", "Y", "x_val", "Y_val", "x_test", "Y_test"),
        ("train_images", "train_labels", "val_images", "val_labels", "test_images", "test_labels"),
        ("data", "target"),
        ("images", "labels"),
    ],
)
def test_names_that_others_give(tmp_path: Path, names: tuple[str, ...]) -> None:
    np.savez(tmp_path / "my.NPZ", **dict(zip(names, (X, Y) * 3, strict=False)))
    (tmp_path / "my.NPZ.npz").rename(tmp_path / "my.NPZ")
    loaded = load_source(Source(str(tmp_path / "my.NPZ")), None, None, silent, silent)
    parts = [loaded.train, loaded.validation, loaded.test]
    assert [part is not None for part in parts] == [True, len(names) > 2, len(names) > 2]
    for part in parts:
        if part is not None:
            np.testing.assert_array_equal(part.X, X)

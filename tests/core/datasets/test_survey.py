"""Features in files: what is read of them is what an array would hold, and a change is noticed."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.datasets import array_file
from core.datasets.array_file import ArrayFile
from core.datasets.column_statistics import ColumnStatistics, merged
from core.datasets.dataset import DataError, Dataset
from core.datasets.file_rows import FileRows
from core.datasets.halves import as_float32
from core.datasets.npz import map_npy, map_npz
from core.datasets.scaled import scaled, scaling_of
from core.datasets.scaling import Scale, Scaling
from core.datasets.splits import Splits, prepare
from core.datasets.survey import bytes_in_files, surveyed

NAMES = ("a", "b", "c")
Parts = dict[str, Any]


def matrix(n: int = 300, d: int = 7, dtype: str = "<f2", seed: int = 0) -> npt.NDArray[Any]:
    rng = np.random.default_rng(seed)
    X = rng.normal(rng.normal(0, 3, d), rng.uniform(0.1, 5, d), (n, d))
    X[:, 2] = 4.5  # constant
    X[:, 4] = 0
    return X.astype(dtype)


def saved(folder: Path, X: npt.NDArray[Any]) -> Path:
    path = folder / "X.npy"
    np.save(path, X)
    return path


def mapped(path: Path) -> FileRows:
    rows = map_npy(path, always=True)
    assert rows is not None
    return rows


def labels(n: int) -> npt.NDArray[np.intp]:
    return np.arange(n) % len(NAMES)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are read in several blocks, although those here are small."""
    monkeypatch.setattr(array_file, "BLOCK_BYTES", 4 * 7 * 64)
    monkeypatch.setattr("core.datasets.file_rows.BLOCK_BYTES", 4 * 7 * 64)


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f2", ">f4", ">f8"])
def test_rows_are_those_of_the_array(tmp_path: Path, dtype: str) -> None:
    X = matrix(dtype=dtype)
    rows = mapped(saved(tmp_path, X))
    assert (rows.shape, len(rows)) == (X.shape, len(X))
    which = np.array([5, 299, 0, 0, 77])
    for chosen in (which, slice(3, 90), slice(None), X[:, 0] > 0):
        found = rows[chosen]
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, X[chosen].astype(np.float32))
    np.testing.assert_array_equal(rows.take(which)[1:3], X[which[1:3]].astype(np.float32))
    blocks = list(rows.blocks())
    assert len(blocks) > 3
    np.testing.assert_array_equal(np.concatenate([b for _, b in blocks]), X.astype(np.float32))
    again = pickle.loads(pickle.dumps(rows))
    np.testing.assert_array_equal(again[which], X[which].astype(np.float32))


def test_rows_of_two_files_are_counted_one_after_the_other(tmp_path: Path) -> None:
    A, B = matrix(seed=1), matrix(50, seed=2)
    (tmp_path / "b").mkdir()
    a, b = mapped(saved(tmp_path, A)), mapped(saved(tmp_path / "b", B))
    both = a.take(np.array([7, 3])).joined(b)
    np.testing.assert_array_equal(both[:], np.concatenate((A[[7, 3]], B)).astype(np.float32))
    np.testing.assert_array_equal(both[np.array([2, 0])], [B[0], A[7]])


@given(st.lists(st.integers(1, 40), min_size=1, max_size=5), st.integers(0, 100))
def test_merged_statistics_are_those_of_all_rows(sizes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    parts = [(1e3 * rng.normal() + rng.normal(size=(n, 3))).astype(np.float32) for n in sizes]
    found, X = merged(map(ColumnStatistics.of, parts)), np.concatenate(parts).astype(np.float64)
    assert found.n == len(X)
    np.testing.assert_allclose(found.mean, X.mean(axis=0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.deviation, X.std(axis=0), rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(found.low, X.min(axis=0))
    np.testing.assert_array_equal(found.high, X.max(axis=0))


def divided(X: npt.NDArray[Any] | FileRows, **how: Any) -> Splits:
    y = labels(len(X))
    given = {"validation_fraction": 0.25, "seed": 3} | how
    return prepare(Dataset.of(X, y, NAMES), None, **given)


@pytest.mark.parametrize("how", [{}, {"n_folds": 3}], ids=["one part", "folds"])
def test_a_file_is_known_as_its_array_is(tmp_path: Path, how: Parts) -> None:
    X = matrix()
    advanced: list[int] = []
    on_disk = surveyed(divided(mapped(saved(tmp_path, X)), **how), advanced.append)
    in_memory = divided(X, **how)
    assert sum(advanced) == X.nbytes == bytes_in_files(on_disk)
    assert on_disk.digest == in_memory.digest
    assert (on_disk.train.digest, on_disk.test.digest) == (
        in_memory.train.digest,
        in_memory.test.digest,
    )
    for scale in Scale:
        mine, its = on_disk.scaled(scale), in_memory.scaled(scale)
        for one, other in zip(mine.folds, its.folds, strict=True):
            for part, reference in zip(one, other, strict=True):
                assert isinstance(part.X, FileRows)
                np.testing.assert_array_equal(part.y, reference.y)
                np.testing.assert_allclose(part.X[:], reference.X, rtol=1e-5, atol=1e-5)
        merged_parts, reference_parts = mine.merged(), its.merged()
        np.testing.assert_array_equal(merged_parts.train.y, reference_parts.train.y)
        for name in ("train", "test"):
            found, right = getattr(merged_parts, name).X, getattr(reference_parts, name).X
            np.testing.assert_allclose(found[:], right[:], rtol=1e-5, atol=1e-5)
        assert merged_parts.train.digest


def test_standardised_rows_have_mean_0_and_deviation_1(tmp_path: Path) -> None:
    splits = surveyed(divided(mapped(saved(tmp_path, matrix()))), lambda _: None)
    X = splits.scaled(Scale.STANDARD).train.X[:].astype(np.float64)
    varies = np.array([0, 1, 3, 5, 6])
    np.testing.assert_allclose(X[:, varies].mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(X[:, varies].std(axis=0), 1, rtol=1e-6)
    assert not X[:, [2, 4]].any(), "constant features say nothing"


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_named(tmp_path: Path, wrong: float) -> None:
    X = matrix()
    X[201, 3] = wrong
    splits = divided(mapped(saved(tmp_path, X)))
    with pytest.raises(DataError, match=r"X\.npy must be finite .* in row 201, column 3"):
        surveyed(splits, lambda _: None)


def test_too_large_for_float32(tmp_path: Path) -> None:
    X = matrix(dtype="<f8")
    X[9, 0] = 1e200
    with pytest.raises(DataError, match="finite in float32, but has inf in row 9, column 0"):
        surveyed(divided(mapped(saved(tmp_path, X))), lambda _: None)


def test_rows_of_other_classes_are_not_checked(tmp_path: Path) -> None:
    X = matrix()
    X[2] = np.nan
    y = labels(len(X)) // 2  # classes 0, 0, 1
    whole = Dataset.of(mapped(saved(tmp_path, X)), y, NAMES[:2])
    kept = whole.take(np.arange(len(X)) != 2)
    surveyed(prepare(kept, None, validation_fraction=0.25, seed=0), lambda _: None)


def shorten(path: Path) -> None:
    os.truncate(path, 500)


def replace_by_another(path: Path) -> None:
    other = path.with_name("other.npy")
    np.save(other, matrix(seed=9)[:200])
    other.replace(path)


def rewrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(200)
        file.write(b"\x01\x02")
    os.utime(path, ns=(1, 1))


@pytest.mark.parametrize("change", [shorten, replace_by_another, rewrite, Path.unlink])
def test_a_file_that_changes_is_noticed(tmp_path: Path, change: Callable[[Path], None]) -> None:
    path = saved(tmp_path, matrix())
    rows = mapped(path)
    blocks = rows.blocks()
    next(blocks)
    change(path)
    with pytest.raises(DataError, match=r"X\.npy (has changed|cannot be read)"):
        next(blocks)
    assert not rows.files[0].is_seen()


def test_members_of_an_unpacked_npz_are_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.datasets.npz.HELD_BYTES", 1000)
    X, X_val = matrix(dtype="<f4"), matrix(100, dtype="<f4", seed=1)
    path = tmp_path / "data.npz"
    np.savez(path, y=labels(300), X=X, X_val=X_val)
    found = map_npz(path, {"X", "X_val"})
    assert found is not None
    np.testing.assert_array_equal(found["X"][:], X)
    np.testing.assert_array_equal(found["X_val"][:], X_val)
    np.savez_compressed(path, X=X, X_val=X_val)
    assert map_npz(path, {"X", "X_val"}) is None
    np.savez(path, X=X[:3])
    assert map_npz(path, {"X"}) is None, "few features are read"


@pytest.mark.parametrize(
    "X",
    [np.asfortranarray(matrix()), np.zeros((3, 2), int), np.zeros((3, 2, 2), "<f4")],
    ids=["by column", "integers", "images"],
)
def test_what_is_not_mapped(tmp_path: Path, X: npt.NDArray[Any]) -> None:
    assert map_npy(saved(tmp_path, X), always=True) is None


def test_a_file_that_is_shorter_than_it_says(tmp_path: Path) -> None:
    path = saved(tmp_path, matrix())
    os.truncate(path, 1000)
    with pytest.raises(DataError, match="claims 4200 bytes of values, but has 872"):
        map_npy(path, always=True)


def test_nothing_is_read_before_it_is_asked_for(tmp_path: Path) -> None:
    """A sparse file larger than any memory can be opened, divided and taken from."""
    path = tmp_path / "huge.npy"
    n, d = 2_000_000, 50_000
    header = np.lib.format.header_data_from_array_1_0(np.zeros((1, 1), "<f4"))
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header | {"shape": (n, d)})
        file.truncate(file.tell() + 4 * n * d)
    rows = mapped(path)
    assert rows.nbytes == 400_000_000_000
    some = Dataset.of(rows, labels(n), NAMES).take(np.array([1, 1_999_999]))
    np.testing.assert_array_equal(some.X[:], np.zeros((2, d), np.float32))


def test_a_scaling_of_extremes_that_float32_cannot_hold(tmp_path: Path) -> None:
    X = np.zeros((300, 2), "<f4")
    X[:, 0] = np.linspace(0, 1e-30, 300)
    X[:, 1] = labels(300)
    splits = surveyed(divided(mapped(saved(tmp_path, X))), lambda _: None)
    far = replace(scaling_of(splits.train, Scale.STANDARD), mean=np.array([1e30, 0.0]))
    with pytest.raises(DataError, match="Feature 0 lies too far from its mean"):
        scaled(splits.train, far)


def test_a_file_keeps_its_place_when_it_is_sent(tmp_path: Path) -> None:
    path = saved(tmp_path, matrix())
    file = mapped(path).files[0]
    file.take(np.array([1]))
    sent: ArrayFile = pickle.loads(pickle.dumps(file))
    assert (sent.path, sent.shape, sent.stamp) == (file.path, file.shape, file.stamp)
    assert len(pickle.dumps(file)) < 1000, "no values are sent"


def test_every_finite_float16_is_converted() -> None:
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    finite = halves[np.isfinite(halves)]
    found = as_float32(finite)
    np.testing.assert_array_equal(found.view(np.uint32), finite.astype(np.float32).view(np.uint32))
    np.testing.assert_array_equal(as_float32(finite.astype(">f2")), finite.astype(np.float32))


@given(st.integers(0, 1000))
def test_scaling_in_place_agrees_with_scaling_in_float64(seed: int) -> None:
    """Also where the mean is much larger than the deviation."""
    rng = np.random.default_rng(seed)
    mean, deviation = rng.normal(0, 1000, 5), 10 ** rng.uniform(-2, 2, 5)
    X = (mean + deviation * rng.normal(size=(20, 5))).astype(np.float32)
    scaling = Scaling(Scale.STANDARD, mean, deviation)
    np.testing.assert_allclose(scaling.in_place(X.copy()), scaling.rows(X), rtol=1e-6, atol=1e-6)


def test_statistics_of_values_whose_squares_float32_cannot_hold() -> None:
    X = np.array([[1e30, -1e30], [3e30, 1e30], [2e30, 0]], np.float32)
    found = ColumnStatistics.of(X)
    np.testing.assert_allclose(found.deviation, X.astype(np.float64).std(axis=0), rtol=1e-6)

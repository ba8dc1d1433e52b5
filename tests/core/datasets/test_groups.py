"""Groups and folds: no group on two sides, every class on all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.datasets.dataset import DataError, Dataset
from core.datasets.folds import folds
from core.datasets.loaded import Loaded
from core.datasets.splits import prepare

Array = npt.NDArray[Any]


def dataset_of(y: Array) -> Dataset:
    """Feature 0 is the row's number, to tell rows apart."""
    C = int(y.max()) + 1
    return Dataset.of(np.arange(len(y))[:, None], y, tuple(f"class {c}" for c in range(C)))


def shuffled(counts: list[int], seed: int) -> Array:
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))


# -- folds -------------------------------------------------------------------------------------


@given(
    counts=st.lists(st.integers(2, 40), min_size=2, max_size=5),
    k=st.integers(2, 8),
    seed=st.integers(0, 2**32 - 1),
)
def test_folds_are_a_stratified_partition(counts: list[int], k: int, seed: int) -> None:
    data = dataset_of(shuffled(counts, seed % 7))
    if min(counts) < k:
        with pytest.raises(DataError, match=f"fewer than the {k} folds"):
            folds(data, k, seed)
        return
    found = folds(data, k, seed)
    assert len(found) == k
    assert sorted(np.concatenate(found).tolist()) == list(range(len(data)))
    sizes = [len(held) for held in found]
    assert max(sizes) - min(sizes) <= 1
    its = np.array([data.take(held).counts() for held in found])
    assert (its.max(axis=0) - its.min(axis=0)).max() <= 1
    assert its.min() >= 1
    for held in found:
        assert held.tolist() == sorted(held.tolist())
        assert (data.counts() - data.take(held).counts()).min() >= 1
    assert [each.tolist() for each in folds(data, k, seed)] == [each.tolist() for each in found]


@given(
    n_groups=st.integers(8, 40),
    C=st.integers(2, 4),
    k=st.integers(2, 4),
    seed=st.integers(0, 2**32 - 1),
    data=st.data(),
)
def test_groups_are_in_one_fold(
    n_groups: int, C: int, k: int, seed: int, data: st.DataObject
) -> None:
    """Each group has each class, so that a division is possible."""
    sizes = data.draw(st.lists(st.integers(1, 9), min_size=n_groups * C, max_size=n_groups * C))
    y = np.repeat(np.tile(np.arange(C), n_groups), sizes)
    groups = np.repeat(np.repeat(np.arange(n_groups), C), sizes)
    whole = dataset_of(y)
    found = folds(whole, k, seed, groups)
    assert sorted(np.concatenate(found).tolist()) == list(range(len(y)))
    of_group = [set(groups[held]) for held in found]
    for place, one in enumerate(of_group):
        assert not any(one & other for other in of_group[place + 1 :])
    its = np.array([whole.take(held).counts() for held in found])
    assert its.min() >= 1
    assert (whole.counts() - its).min() >= 1
    largest = max(np.bincount(groups))
    assert np.abs(its.sum(axis=1) - len(y) / k).max() <= 2 * largest


def test_groups_of_equal_make_are_divided_evenly() -> None:
    """40 groups of one class each, 5 rows a group: as even as can be."""
    groups = np.repeat(np.arange(40), 5)
    data = dataset_of(groups % 2)
    for held in folds(data, 5, 0, groups):
        assert data.take(held).counts().tolist() == [20, 20]


def test_folds_golden_and_seeded() -> None:
    data = dataset_of(np.arange(12) % 2)
    groups = np.array(list("aabbccddeeff"))
    found = [
        [held.tolist() for held in folds(data, 3, seed, its)]
        for seed in (0, 1)
        for its in (None, groups)
    ]
    assert found == GOLDEN
    assert found[0] != found[2]
    assert found[1] != found[3]


# Computed when this was written: the same on every platform and NumPy version.
GOLDEN = [
    [[0, 3, 7, 8], [1, 4, 9, 10], [2, 5, 6, 11]],
    [[0, 1, 10, 11], [2, 3, 8, 9], [4, 5, 6, 7]],
    [[1, 5, 6, 10], [2, 7, 8, 9], [0, 3, 4, 11]],
    [[2, 3, 10, 11], [0, 1, 6, 7], [4, 5, 8, 9]],
]


@pytest.mark.parametrize(
    ("y", "k", "groups", "message"),
    [
        ([0, 1, 0, 1], 1, None, "At least 2 folds are needed, not 1"),
        ([0, 1, 0, 1, 0], 3, None, r"Class 'class 1' has 2 example\(s\), fewer than the 3 folds"),
        (
            [0, 1, 0, 1, 0, 1],
            2,
            list("abcbcb"),
            r"2 parts that each have class 'class 1': it is in 1 of 3 groups \('b'\)",
        ),
    ],
)
def test_folds_refused(y: list[int], k: int, groups: list[str] | None, message: str) -> None:
    with pytest.raises(DataError, match=message):
        folds(dataset_of(np.array(y)), k, 0, None if groups is None else np.array(groups))


# -- splits ------------------------------------------------------------------------------------


@given(
    n_groups=st.integers(12, 60),
    seed=st.integers(0, 2**32 - 1),
    fraction=st.floats(0.15, 0.5),
    data=st.data(),
)
def test_no_group_is_in_two_parts(
    n_groups: int, seed: int, fraction: float, data: st.DataObject
) -> None:
    sizes = data.draw(st.lists(st.integers(1, 5), min_size=2 * n_groups, max_size=2 * n_groups))
    y = np.repeat(np.tile([0, 1], n_groups), sizes)
    groups = np.repeat(np.repeat(np.arange(n_groups), 2), sizes)
    names = np.array([f"patient {group}" for group in groups])
    loaded = Loaded(dataset_of(y), groups=names)
    found = prepare(loaded, validation_fraction=fraction, seed=seed)
    parts = (found.train, found.validation, found.test)
    rows = [part.X[:, 0].astype(int) for part in parts]
    assert sorted(np.concatenate(rows).tolist()) == list(range(len(y)))
    of_group = [set(groups[each]) for each in rows]
    assert not of_group[0] & of_group[1]
    assert not of_group[0] & of_group[2]
    assert not of_group[1] & of_group[2]
    assert all(part.counts().min() >= 1 for part in parts)
    assert abs(len(found.test) - 0.2 * len(y)) <= 2 * 10
    again = prepare(loaded, validation_fraction=fraction, seed=seed)
    assert again == found


def test_a_class_in_one_group_is_refused() -> None:
    y = np.array([0, 1] * 20 + [2] * 10)
    groups = np.array([f"g{i % 8}" for i in range(40)] + ["only"] * 10)
    with pytest.raises(DataError, match=r"class 'class 2': it is in 1 of 9 groups \('only'\)"):
        prepare(Loaded(dataset_of(y), groups=groups), validation_fraction=0.2, seed=0)


def test_parts_of_the_user_s_own_are_kept() -> None:
    y = np.arange(40) % 2
    train, validation, test = (dataset_of(y + 0) for _ in range(3))
    found = prepare(Loaded(train, validation, test), validation_fraction=0.2, seed=0)
    assert found.train is train
    assert found.validation is validation
    assert found.test is test
    empty = validation.take(np.arange(0))
    with pytest.raises(DataError, match="The validation part has no example"):
        prepare(Loaded(train, empty, test), validation_fraction=0.2, seed=0)


def test_many_groups_are_divided_quickly() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 10, 50_000)
    groups = rng.integers(0, 10_000, 50_000)
    data = dataset_of(y)
    for held in folds(data, 5, 0, groups):
        assert np.abs(data.take(held).counts() * 5 / data.counts() - 1).max() < 0.01

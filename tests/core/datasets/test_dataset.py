from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from core.datasets.dataset import DataError, Dataset, concatenate
from core.datasets.loaded import Loaded
from core.datasets.splits import prepare, stratified_split


def dataset_of(counts: list[int], seed: int = 0) -> Dataset:
    """Shuffled classes of these sizes; feature 0 is the row's number, to tell rows apart."""
    y = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    X = np.column_stack((np.arange(len(y)), np.zeros((len(y), 3))))
    return Dataset.of(X, y, tuple(f"class {c}" for c in range(len(counts))), (2, 2))


def rows_of(dataset: Dataset) -> list[int]:
    return [int(value) for value in dataset.X[:, 0]]


def test_arrays_are_converted_and_frozen() -> None:
    X = np.asfortranarray(np.arange(6.0).reshape(3, 2))
    dataset = Dataset.of(X, np.array([0, 1, 1], dtype=np.uint8), ("a", "b"))
    assert dataset.X.dtype == np.float32
    assert dataset.X.flags.c_contiguous
    assert dataset.y.dtype == np.intp
    assert len(dataset) == 3
    assert dataset.counts().tolist() == [1, 2]
    with pytest.raises(ValueError, match="read-only"):
        dataset.X[0, 0] = 1
    assert X.flags.writeable


def test_digest() -> None:
    X, y = np.arange(8, dtype=np.float32).reshape(2, 4), np.array([0, 1])
    dataset = Dataset.of(X, y, ("a", "b"), (2, 2))
    # Computed when this was written: a change of it makes every stored study another one.
    assert dataset.digest == "6b46bbe23ded7b3a044237a432efca3a087a61ec8d3ff7a1c8eda282adf7122a"
    assert dataset == Dataset.of(X.astype(">f8"), y.astype(np.int8), ("a", "b"), (2, 2))
    others = [
        Dataset.of(X + 1, y, ("a", "b"), (2, 2)),
        Dataset.of(X, y[::-1], ("a", "b"), (2, 2)),
        Dataset.of(X, y, ("a", "c"), (2, 2)),
        Dataset.of(X, y, ("a", "b"), (4, 1)),
        Dataset.of(X, y, ("a", "b")),
        Dataset.of(X[:0], y[:0], ("a", "b"), (2, 2)),
    ]
    assert len({each.digest for each in (dataset, *others)}) == 7


def test_pickle_keeps_everything() -> None:
    dataset = dataset_of([3, 4])
    copy = pickle.loads(pickle.dumps(dataset))
    assert copy == dataset
    np.testing.assert_array_equal(copy.X, dataset.X)


@pytest.mark.parametrize(
    ("X", "y", "shape", "message"),
    [
        (np.zeros(3), np.zeros(3, int), None, r"not \(3,\) and \(3,\)"),
        (np.zeros((3, 2)), np.zeros(4, int), None, r"not \(3, 2\) and \(4,\)"),
        (np.zeros((3, 2)), np.array([0, 1, 2]), None, r"must lie in 0\.\.1, not 0\.\.2"),
        (np.zeros((3, 2)), np.array([0, -1, 1]), None, r"not -1\.\.1"),
        (np.zeros((3, 2)), np.zeros(3, int), (2, 2), "2 x 2 pixels need 4 features, not 2"),
    ],
)
def test_inconsistent_arrays_are_refused(
    X: np.ndarray, y: np.ndarray, shape: tuple[int, int] | None, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        Dataset.of(X, y, ("a", "b"), shape)


def test_take_keeps_the_order_given() -> None:
    dataset = dataset_of([3, 4])
    assert rows_of(dataset.take(np.array([5, 0, 2]))) == [5, 0, 2]
    assert rows_of(dataset.take(dataset.X[:, 0] > 4)) == [5, 6]


@given(
    counts=st.lists(st.integers(2, 60), min_size=2, max_size=6),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**40),
)
def test_split_is_a_stratified_partition(counts: list[int], fraction: float, seed: int) -> None:
    n, total = sum(counts), round(fraction * sum(counts))
    assume(len(counts) <= total <= n - len(counts))
    dataset = dataset_of(counts)
    rest, held = stratified_split(dataset, fraction, seed)

    assert len(held) == total
    assert sorted(rows_of(rest) + rows_of(held)) == list(range(n))
    for part in (rest, held):
        assert rows_of(part) == sorted(rows_of(part))
        assert part.counts().min() >= 1
        assert part.y.tolist() == dataset.y[rows_of(part)].tolist()
    quotas = np.array(counts) * total / n
    if quotas.min() >= 1 and (np.array(counts) - quotas).min() >= 1:
        assert np.abs(held.counts() - quotas).max() < 1
    again = stratified_split(dataset, fraction, seed)
    assert again == (rest, held)


@pytest.mark.parametrize(
    ("counts", "fraction", "shares"),
    [
        ([50, 30, 20], 0.1, [5, 3, 2]),
        ([45, 33, 22], 0.1, [5, 3, 2]),  # quotas 4.5, 3.3, 2.2: the largest remainder gets the 10th
        ([10, 10, 10], 0.5, [5, 5, 5]),
        ([10, 10], 0.25, [3, 2]),  # a tie goes to the first
        ([97, 2, 2], 0.1, [8, 1, 1]),  # quotas 9.6, 0.2, 0.2: each class has one at least
        ([2, 2, 97], 0.9, [1, 1, 89]),  # and keeps one
    ],
)
def test_shares(counts: list[int], fraction: float, shares: list[int]) -> None:
    assert stratified_split(dataset_of(counts), fraction, 0)[1].counts().tolist() == shares


def test_split_golden_and_seeded() -> None:
    dataset = Dataset.of(np.arange(12.0)[:, None], np.arange(12) % 2, ("even", "odd"))
    held = [rows_of(stratified_split(dataset, 1 / 3, seed)[1]) for seed in (0, 1)]
    # Computed when this was written: the same on every platform and NumPy version.
    assert held == [[2, 3, 8, 11], [2, 4, 7, 9]]


def test_splits_are_uniform() -> None:
    dataset = dataset_of([10, 10])
    times = np.zeros(20)
    for seed in range(2000):
        times[rows_of(stratified_split(dataset, 0.3, seed)[1])] += 1
    # Binomial(2000, 0.3) has standard deviation 20.5; 5 of them.
    assert np.abs(times - 600).max() < 103


def test_test_and_validation_splits_are_independent() -> None:
    dataset = dataset_of([10, 10])
    first_row = 0
    for seed in range(2000):
        splits = prepare(Loaded(dataset), validation_fraction=0.25, seed=seed, test_fraction=0.2)
        first_row += 0 in rows_of(splits.validation)
    # 0.8 x 0.25; Binomial(2000, 0.2) has standard deviation 17.9; 5 of them.
    assert abs(first_row - 400) < 90


@pytest.mark.parametrize(
    ("counts", "fraction", "message"),
    [
        ([5, 5], 0.0, "between 0 and 1, not 0.0"),
        ([5, 5], 1.0, "between 0 and 1, not 1.0"),
        ([5, 5], float("nan"), "not nan"),
        ([9, 1], 0.5, r"Class 'class 1' has 1 example\(s\)"),
        ([20, 20], 0.01, "puts 0 of 40 examples on one side, which must be from 2 to 38"),
        ([20, 20], 0.99, "puts 40 of 40"),
    ],
)
def test_impossible_splits_are_refused(counts: list[int], fraction: float, message: str) -> None:
    with pytest.raises(DataError, match=message):
        stratified_split(dataset_of(counts), fraction, 0)


def test_prepare_keeps_an_official_test_part() -> None:
    train, test = dataset_of([40, 60]), dataset_of([4, 6], seed=1)
    splits = prepare(Loaded(train, test=test), validation_fraction=0.2, seed=3)
    assert splits.test is test
    assert (splits.train, splits.validation) == stratified_split(train, 0.2, 3)
    assert splits.validation.counts().tolist() == [8, 12]


def test_prepare_makes_a_test_part() -> None:
    splits = prepare(Loaded(dataset_of([40, 60])), validation_fraction=0.25, seed=3)
    parts = (splits.train, splits.validation, splits.test)
    assert [len(part) for part in parts] == [60, 20, 20]
    assert sorted(row for part in parts for row in rows_of(part)) == list(range(100))


def test_prepare_digest_depends_on_every_part() -> None:
    train, test = dataset_of([40, 60]), dataset_of([4, 6], seed=1)
    digests = {
        prepare(Loaded(train, test=test), validation_fraction=0.2, seed=3).digest,
        prepare(Loaded(train, test=test), validation_fraction=0.2, seed=4).digest,
        prepare(Loaded(train, test=test), validation_fraction=0.3, seed=3).digest,
        prepare(
            Loaded(train, test=test.take(np.arange(9))), validation_fraction=0.2, seed=3
        ).digest,
    }
    assert len(digests) == 4
    assert prepare(Loaded(train, test=test), validation_fraction=0.2, seed=3).digest in digests


def test_prepare_refuses_an_unlike_or_empty_test_part() -> None:
    train = dataset_of([5, 5])
    with pytest.raises(DataError, match="different classes"):
        prepare(Loaded(train, test=dataset_of([5, 5, 5])), validation_fraction=0.2, seed=0)
    with pytest.raises(DataError, match="no example"):
        prepare(Loaded(train, test=train.take(np.arange(0))), validation_fraction=0.2, seed=0)


def test_concatenate() -> None:
    first, second = dataset_of([3, 4]), dataset_of([1, 2])
    both = concatenate(first, second)
    assert rows_of(both) == [*range(7), *range(3)]
    assert both.y.tolist() == first.y.tolist() + second.y.tolist()
    assert both.image_shape == (2, 2)
    narrow = Dataset.of(np.zeros((1, 1)), np.zeros(1, int), first.class_names)
    with pytest.raises(DataError, match="different numbers of features: 4 and 1"):
        concatenate(first, narrow)

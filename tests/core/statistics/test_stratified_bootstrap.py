"""Resamples that keep the size of each class, and the intervals from them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from core.statistics import stratified_bootstrap
from core.statistics.proportions import Interval
from core.statistics.stratified_bootstrap import macro_f1s, percentile, reflected, resampled


@given(labels=st.lists(st.integers(0, 4), min_size=1, max_size=40), seed=st.integers(0, 999))
def test_each_class_keeps_its_size(labels: list[int], seed: int) -> None:
    y = np.array(labels)
    (W,) = resampled(y, seed, 20)
    assert W.shape == (20, len(y))
    for c in np.unique(y):
        assert (W[:, y == c].sum(axis=1) == (y == c).sum()).all()
    assert np.array_equal(W, *resampled(y, seed, 20))


def test_every_example_is_drawn_alike() -> None:
    y = np.repeat([0, 1, 2], [5, 20, 75])
    W = np.concatenate(list(resampled(y, 1, 4000)))
    np.testing.assert_allclose(W.mean(axis=0), 1, atol=0.08)
    np.testing.assert_allclose(W[:, y == 1].var(), 1 - 1 / 20, rtol=0.03)


def test_many_resamples_come_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stratified_bootstrap, "_AT_ONCE", 30)
    blocks = list(resampled(np.zeros(10, np.intp), 0, 7))
    assert [len(W) for W in blocks] == [3, 3, 1]


@given(seed=st.integers(0, 2**32 - 1))
def test_macro_f1_of_each_resample_is_scikit_learns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, predicted = rng.integers(4, size=(2, 30))
    (W,) = resampled(y, seed, 3)
    known = np.union1d(y, predicted)
    expected = [
        f1_score(
            np.repeat(y, row.astype(int)), np.repeat(predicted, row.astype(int)),
            average="macro", labels=known, zero_division=0,
        )
        for row in W
    ]  # fmt: skip
    np.testing.assert_allclose(macro_f1s(W, y, predicted, 5), expected, rtol=1e-6)


def test_percentile() -> None:
    assert percentile(np.linspace(0, 1, 1001)) == pytest.approx((0.025, 0.975))
    assert percentile(np.full(10, 0.3)) is None


def test_reflected() -> None:
    values = np.linspace(0.2, 0.4, 1001)
    assert reflected(values, 0.25) == pytest.approx((0.105, 0.295))
    assert reflected(values, 0.1) == Interval(0.0, 0.1)  # all resamples are above the estimate
    assert reflected(np.full(10, 0.3), 0.3) is None

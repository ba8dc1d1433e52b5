"""Probabilities that are computed in blocks, against those that are computed at once."""

from __future__ import annotations

import numpy as np
import pytest

from core.statistics import probabilities as blocks
from core.trainer.softmax import logits, predictions, probabilities
from search.model.softmax_probabilities import SoftmaxProbabilities


@pytest.mark.parametrize("cells", [1, 50, 10**6])
@pytest.mark.parametrize("exponent", [0, 2])
def test_every_block_is_a_part_of_the_whole(
    monkeypatch: pytest.MonkeyPatch, cells: int, exponent: int
) -> None:
    monkeypatch.setattr(blocks, "CELLS", cells)
    rng = np.random.default_rng(cells)
    X = rng.normal(size=(37, 6)).astype(np.float32)
    W = (10.0**exponent * rng.normal(size=(6, 9))).astype(np.float32)
    b = rng.normal(size=9).astype(np.float32)
    Z = logits(X, W, b)
    whole = probabilities(Z.astype(np.float64))
    P = SoftmaxProbabilities(X, W, b)
    assert P.shape == (37, 9)
    for rows in (slice(None), slice(3, 20), slice(36, 37)):
        for columns in (slice(None), slice(0, 4), slice(8, 9)):
            np.testing.assert_allclose(P[rows, columns], whole[rows, columns], rtol=1e-4)
    assert np.array_equal(P.most_probable(), predictions(Z))


def test_rows_are_prepared_and_a_class_may_have_no_probability() -> None:
    X = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    W, b = np.eye(3), np.array([0.0, -np.inf, 1.0])
    P = SoftmaxProbabilities(X, W, b, lambda rows: 2 * rows)
    np.testing.assert_allclose(P[:, :], probabilities((2 * X @ W + b).astype(np.float64)))
    assert not P[:, 1:2].any()
    np.testing.assert_allclose(P[:, 2:], P[:, :][:, 2:], rtol=1e-6)

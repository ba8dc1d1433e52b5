"""The largest curvature: half the largest eigenvalue, and what it says about learning rates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.datasets.curvature import largest_curvature


def by_definition(X: np.ndarray, bias: bool) -> float:
    """Half the largest eigenvalue of the second moments, by LAPACK."""
    wide = np.column_stack([X, np.ones(len(X))]) if bias else X
    wide = wide.astype(np.float64)
    return float(np.linalg.eigvalsh(wide.T @ wide / len(X))[-1]) / 2


@given(
    n=st.integers(1, 60),
    D=st.integers(1, 30),
    spread=st.floats(0, 4),
    offset=st.floats(-10, 10),
    bias=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_it_is_half_the_largest_eigenvalue(
    n: int, D: int, spread: float, offset: float, bias: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    X = rng.normal(offset, np.logspace(-spread, spread, D), (n, D)).astype(np.float32)
    expected = by_definition(X, bias)
    found = largest_curvature(X, bias=bias)
    assert found <= expected * (1 + 1e-9), "it comes from below"
    assert found >= expected * 0.98


def test_many_rows_are_taken_in_parts() -> None:
    X = np.random.default_rng(0).normal(1, 2, (30_000, 50)).astype(np.float32)
    assert largest_curvature(X) == pytest.approx(by_definition(X, True), rel=1e-3)


def test_large_values_do_not_overflow() -> None:
    X = np.full((10, 3), 1e30, np.float32)
    assert largest_curvature(X) == pytest.approx(1.5e60, rel=1e-6)


def test_zeros() -> None:
    assert largest_curvature(np.zeros((5, 3), np.float32), bias=False) == 0
    assert largest_curvature(np.zeros((5, 3), np.float32)) == pytest.approx(0.5)


@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_no_hessian_exceeds_it(n_classes: int) -> None:
    """The Hessian as differences of the gradient, at weights of many sizes."""
    from core.trainer.softmax import Penalty, gradient

    rng = np.random.default_rng(n_classes)
    X, y = rng.normal(1, [1, 3, 0.1], (40, 3)), rng.integers(n_classes, size=40)
    bound = largest_curvature(X.astype(np.float32), bias=False) * (1 + 1e-6)
    largest = 0.0
    for size in (0, 0.1, 1, 10):
        W = size * rng.normal(size=(3, n_classes))
        columns = []
        for place in range(W.size):
            step = np.zeros(W.size)
            step[place] = 1e-5
            ends = [
                gradient(X, y, W + sign * step.reshape(W.shape), 0, Penalty.SQUARED)[0].ravel()
                for sign in (1, -1)
            ]
            columns.append((ends[0] - ends[1]) / 2e-5)
        H = np.array(columns)
        largest = max(largest, float(np.linalg.eigvalsh((H + H.T) / 2)[-1]))
    assert largest <= bound
    assert largest >= bound / n_classes, "and it is of the right size"

"""The mean area under the ROC curve, and whether its interval covers it as often as it says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from core.statistics.roc import Area, mean_area


def scored(rng: np.random.Generator, y: np.ndarray, C: int, skill: float) -> np.ndarray:
    """Probabilities (M, C) that tell the classes apart with this skill."""
    Z = rng.normal(size=(len(y), C))
    Z[np.arange(len(y)), y] += skill
    P = np.exp(Z)
    return np.asarray(P / P.sum(axis=1, keepdims=True))


@given(seed=st.integers(0, 2**32 - 1), C=st.integers(2, 6), digits=st.integers(1, 8))
def test_the_area_is_scikit_learns(seed: int, C: int, digits: int) -> None:
    rng = np.random.default_rng(seed)
    y = np.concatenate((np.arange(C), rng.integers(C, size=30)))
    S = scored(rng, y, C, 1.0).round(digits)  # with ties
    expected = np.mean([roc_auc_score(y == c, S[:, c]) for c in range(C)])
    assert mean_area(S, y).mean == pytest.approx(expected)


def test_of_two_classes_the_error_is_delongs() -> None:
    """By the formula of DeLong et al. (1988), pair by pair."""
    rng = np.random.default_rng(2)
    y = rng.integers(2, size=50)
    S = scored(rng, y, 2, 1.0).round(1)
    own, other = S[y == 1, 1], S[y == 0, 1]
    wins = (own[:, None] > other) + 0.5 * (own[:, None] == other)
    variance = wins.mean(axis=1).var(ddof=1) / len(own) + wins.mean(axis=0).var(ddof=1) / len(other)
    assert mean_area(S, y).standard_error == pytest.approx(variance**0.5)


@pytest.mark.parametrize(("M", "C", "skill"), [(60, 2, 1.0), (300, 3, 1.5), (300, 6, 1.0)])
def test_the_interval_covers_the_true_area(M: int, C: int, skill: float) -> None:
    rng = np.random.default_rng(0)
    y = np.arange(M) % C
    many = np.tile(y, 300)
    true = mean_area(scored(rng, many, C, skill), many).mean
    intervals = [mean_area(scored(rng, y, C, skill), y).interval() for _ in range(500)]
    covered = np.mean([each is not None and each.low <= true <= each.high for each in intervals])
    assert 0.92 <= covered <= 0.98


def test_a_perfect_order_has_no_interval() -> None:
    area = mean_area(np.eye(2)[[0, 0, 1, 1]], np.array([0, 0, 1, 1]))
    assert area == Area(1.0, 0.0)
    assert area.interval() is None


@pytest.mark.parametrize("y", [[0, 0, 1], [2, 2, 2], []])
def test_a_class_without_examples_is_refused(y: list[int]) -> None:
    with pytest.raises(ValueError, match="needs examples"):
        mean_area(np.zeros((len(y), 3)), np.array(y, np.intp))

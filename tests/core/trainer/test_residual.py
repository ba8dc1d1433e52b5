from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp
from strategies import class_counts, seeds

from core.trainer.residual import Residual, residual_for

EPS = float(np.finfo(np.float32).eps)


def trial_residual(y: np.ndarray, n_classes: int) -> Residual:
    """The residual of logits that lie trial by trial, (T, C - 1, B)."""
    residual = residual_for(y, n_classes, np.empty(100_000, np.float32))
    return lambda Z, factor: residual(Z.swapaxes(0, 1), factor)


def all_logits(Z: np.ndarray) -> np.ndarray:
    """(T, C - 1, B) of any type → (T, C, B) float64, the implied class put in its place."""
    trained = Z.astype(np.float64)
    implied = -trained.sum(axis=1, keepdims=True)
    # For two classes the trained column is class 1's; otherwise the last class is implied.
    parts = (implied, trained) if Z.shape[1] == 1 else (trained, implied)
    return np.concatenate(parts, axis=1)


def by_definition(
    Z: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Loss sums (T,), hits (T,), P - Y of the trained classes, and how clear each prediction is."""
    full = all_logits(Z)
    n_classes = full.shape[1]
    normalizer = logsumexp(full, axis=1)  # (T, B)
    own = full[:, y, np.arange(len(y))]
    loss = (normalizer - own).sum(axis=1)
    hits = (full.argmax(axis=1) == y).sum(axis=1)
    difference = np.exp(full - normalizer[:, None]) - np.eye(n_classes)[:, y]
    ordered = np.sort(full, axis=1)
    margins = ordered[:, -1] - ordered[:, -2]
    trained = difference[:, 1:] if n_classes == 2 else difference[:, :-1]
    return loss, hits, trained, margins


def random_logits(
    n_trials: int, n_classes: int, n: int, scale: float, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Z (T, C - 1, B), labels, and a factor for each trial."""
    rng = np.random.default_rng((seed, n_classes))
    Z = (scale * rng.normal(size=(n_trials, n_classes - 1, n))).astype(np.float32)
    factor = (10.0 ** rng.uniform(-6, 0, n_trials)).astype(np.float32)
    return Z, rng.integers(0, n_classes, n), factor


def as_kept(Z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A copy of Z; for two classes as margins, because their examples bear the labels' signs."""
    return Z * np.where(y == 1, 1, -1).astype(np.float32) if Z.shape[1] == 1 else Z.copy()


def check(Z: np.ndarray, y: np.ndarray, n_classes: int, factor: np.ndarray) -> None:
    """Compare with the definition, in float64, within what float32 can hold.

    A logit of size m is known to ε m, and the implied one to ε Σ|z|; with them a loss moves by as
    much, and a probability by no more than a quarter of it.
    """
    loss, hits, difference, margins = by_definition(Z, y)
    known_to = EPS * (1 + np.abs(Z.astype(np.float64)).sum(axis=1).max(axis=1, initial=0.0))  # (T,)
    residual = trial_residual(y, n_classes)

    evaluated_loss, evaluated_hits = residual(as_kept(Z, y), None)
    trained = as_kept(Z, y)
    trained_loss, trained_hits = residual(trained, factor)
    trained = as_kept(trained, y)  # the signs once more take them away

    np.testing.assert_array_equal(evaluated_loss, trained_loss)
    np.testing.assert_array_equal(evaluated_hits, trained_hits)
    assert trained_loss.shape == trained_hits.shape == (len(Z),)
    assert np.all(np.abs(trained_loss - loss) <= 4 * known_to * len(y))
    unclear = (margins <= 4 * known_to[:, None]).sum(axis=1)
    assert np.all(np.abs(trained_hits - hits) <= unclear)
    error = np.abs(trained / factor[:, None, None].astype(np.float64) - difference)
    assert np.all(error <= 4 * known_to[:, None, None])


@given(
    n_trials=st.integers(1, 5),
    n_classes=class_counts,
    n=st.integers(1, 40),
    scale=st.sampled_from([1e-3, 0.1, 1.0, 10.0, 300.0]),
    seed=seeds,
)
def test_against_the_definition(
    n_trials: int, n_classes: int, n: int, scale: float, seed: int
) -> None:
    Z, y, factor = random_logits(n_trials, n_classes, n, scale, seed)
    check(Z, y, n_classes, factor)


@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_many_examples(n_classes: int) -> None:
    Z, y, factor = random_logits(3, n_classes, 5000, 3.0, 0)
    check(Z, y, n_classes, factor)


@given(
    n_classes=class_counts,
    present=st.sets(st.integers(0, 9), min_size=1, max_size=3),
    seed=seeds,
)
def test_classes_absent_from_the_batch(n_classes: int, present: set[int], seed: int) -> None:
    Z, _, factor = random_logits(2, n_classes, 9, 1.0, seed)
    y = np.resize(np.array(sorted({label % n_classes for label in present})), 9)
    check(Z, y, n_classes, factor)


@pytest.mark.parametrize("label", range(3))
@pytest.mark.parametrize("n_classes", [2, 3])
def test_one_class_alone(n_classes: int, label: int) -> None:
    Z, _, factor = random_logits(2, n_classes, 9, 1.0, label)
    check(Z, np.full(9, label % n_classes), n_classes, factor)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_extreme_logits_are_finite(n_classes: int) -> None:
    rng = np.random.default_rng(n_classes)
    Z = rng.choice(np.float32([-1e4, 1e4]), (4, n_classes - 1, 30))
    # Away from exact ties, which have a test of their own.
    Z += rng.uniform(-1, 1, Z.shape).astype(np.float32)
    y = rng.integers(0, n_classes, 30)
    factor = np.ones(4, np.float32)
    check(Z, y, n_classes, factor)
    Z = as_kept(Z, y)
    loss, _ = trial_residual(y, n_classes)(Z, factor)
    assert np.isfinite(loss).all()
    assert np.isfinite(Z).all()
    assert np.abs(Z).max() <= 1
    assert loss.max() > 1e4


@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_where_all_classes_tie_the_first_is_predicted(n_classes: int) -> None:
    y = np.arange(4 * n_classes) % n_classes
    Z = np.zeros((2, n_classes - 1, len(y)), np.float32)
    Z[1, 0, :n_classes] = 9  # class 0, or class 1 of two, is sure of a quarter of the examples
    _, expected, _, _ = by_definition(Z, y)
    assert expected.tolist() == [4, 4]
    assert trial_residual(y, n_classes)(as_kept(Z, y), None)[1].tolist() == [4, 4]


@pytest.mark.parametrize("n_classes", [3, 4, 10])
def test_where_some_classes_tie_the_first_of_them_is_predicted(n_classes: int) -> None:
    y = np.arange(n_classes)
    Z = np.ones((1, n_classes - 1, n_classes), np.float32)
    Z[:, 0] = -2  # classes 1 to C - 2 tie; of three, class 1 and the implied one
    _, expected, _, _ = by_definition(Z, y)
    assert expected.tolist() == [1]
    assert trial_residual(y, n_classes)(as_kept(Z, y), None)[1].tolist() == [1]


@pytest.mark.parametrize("size", [1e-4, 1e-6, 1e-9, 1e-20])
@pytest.mark.parametrize(
    ("signs", "winner"),
    [
        ([1], 1),  # of two classes, the second is trained
        ([-1], 0),
        ([1, 0], 0),
        ([-1, -1], 2),
        ([1, *[0] * 8], 0),
        ([-1] * 9, 9),
    ],
    ids=str,
)
def test_tiny_logits_are_not_ties(signs: list[int], winner: int, size: float) -> None:
    """The normalizer cannot tell the smaller ones from zero: it rounds to C."""
    n_classes = len(signs) + 1
    Z = np.tile(np.array(signs, np.float32)[:, None] * np.float32(size), (1, 1, n_classes))
    for label in range(n_classes):
        y = np.full(n_classes, label)
        expected = n_classes if label == winner else 0
        assert by_definition(Z, y)[1].tolist() == [expected]
        assert trial_residual(y, n_classes)(as_kept(Z, y), None)[1].tolist() == [expected]


@pytest.mark.parametrize("n_classes", [2, 10])
def test_only_the_view_is_written(n_classes: int) -> None:
    """The trainer hands in part of a buffer; the rows behind it are padding."""
    Z, y, factor = random_logits(2, n_classes, 7, 1.0, 0)
    buffer = np.full((4, n_classes - 1, 7), 42, np.float32)
    buffer[:2] = Z
    residual = trial_residual(y, n_classes)
    residual(buffer[:2], factor)
    residual(Z, factor)
    np.testing.assert_array_equal(buffer[:2], Z)
    np.testing.assert_array_equal(buffer[2:], 42)


@pytest.mark.parametrize("n_classes", [2, 10])
def test_trials_do_not_touch_one_another(n_classes: int) -> None:
    Z, y, factor = random_logits(3, n_classes, 7, 1.0, 0)
    Z[1] = np.nan
    residual, alone = trial_residual(y, n_classes), Z[[0, 2]]
    with np.errstate(all="ignore"):
        loss, hits = residual(Z, factor)
    alone_loss, alone_hits = residual(alone, factor[[0, 2]])
    np.testing.assert_array_equal(Z[[0, 2]], alone)
    np.testing.assert_array_equal(loss[[0, 2]], alone_loss)
    np.testing.assert_array_equal(hits[[0, 2]], alone_hits)
    assert np.isnan(loss[1])


@pytest.mark.parametrize("n", [1, 200, 10_000])
def test_binary_loss_of_certain_examples_is_not_negative(n: int) -> None:
    Z = np.full((1, 1, n), 40, np.float32)
    loss, hits = trial_residual(np.ones(n, np.intp), 2)(Z, None)
    assert hits == n
    assert 0 <= loss[0] <= n * EPS

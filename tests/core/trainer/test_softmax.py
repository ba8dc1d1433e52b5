from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special
from sklearn.utils.class_weight import compute_class_weight
from strategies import class_counts, seeds

from core.trainer import softmax
from core.trainer.softmax import Penalty


def problem(n_classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """X (N, D), y (N,) and weights (D, C) in float64; the columns of W do not sum to zero."""
    rng = np.random.default_rng((seed, n_classes))
    X = rng.normal(size=(17, 4))
    return X, rng.integers(0, n_classes, 17), rng.normal(size=(4, n_classes))


@pytest.mark.parametrize("class_weights", [None, "balanced"])
@pytest.mark.parametrize("bias", [None, 0.7])
@pytest.mark.parametrize("kind", Penalty)
@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_gradient_against_five_point_differences(
    n_classes: int, kind: Penalty, bias: float | None, class_weights: str | None
) -> None:
    X, y, W = problem(n_classes)
    given = {
        "b": None if bias is None else bias * np.arange(n_classes),
        "class_weights": class_weights and softmax.balanced_class_weights(y, n_classes),
    }
    weight_decay, h = 0.3, 1e-3

    def differences(name: str, at: np.ndarray) -> np.ndarray:
        def loss_at(place: tuple[int, ...], offset: float) -> float:
            moved = at.copy()
            moved[place] += offset
            arguments = {"W": W, "weight_decay": weight_decay, "kind": kind, **given, name: moved}
            return softmax.loss(X, y, **arguments)

        numeric = np.empty_like(at)
        for place in np.ndindex(*at.shape):
            near = loss_at(place, h) - loss_at(place, -h)
            far = loss_at(place, 2 * h) - loss_at(place, -2 * h)
            numeric[place] = (8 * near - far) / (12 * h)
        return numeric

    of_weights, of_biases = softmax.gradient(X, y, W, weight_decay, kind, **given)
    # Truncation h⁴ L⁽⁵⁾ / 30 and rounding 2e-16 / h are both of the order of 1e-13.
    np.testing.assert_allclose(of_weights, differences("W", W), rtol=0, atol=2e-11)
    if bias is None:
        given["b"] = np.zeros(n_classes)
    np.testing.assert_allclose(of_biases, differences("b", given["b"]), rtol=0, atol=2e-11)


def test_class_weights_are_scikit_learns() -> None:
    y = np.array([0, 0, 0, 2, 1, 0, 2])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=y)
    np.testing.assert_allclose(softmax.balanced_class_weights(y, 3), expected, rtol=1e-15)
    assert softmax.balanced_class_weights(y, 4)[3] == 0


@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_gradient_at_zero_weights(n_classes: int) -> None:
    X, y, W = problem(n_classes)
    zero = np.zeros_like(W)
    gradients = [softmax.gradient(X, y, zero, decay, Penalty.NORM)[0] for decay in (0.0, 5.0)]
    np.testing.assert_array_equal(*gradients)
    one_hot = np.eye(n_classes)[y]
    np.testing.assert_allclose(gradients[0], X.T @ (1 / n_classes - one_hot) / 17, atol=1e-15)
    np.testing.assert_array_equal(softmax.penalty_gradient(zero, Penalty.NORM), zero)
    np.testing.assert_array_equal(softmax.penalty_gradient(zero, Penalty.SQUARED), zero)


def test_gradient_leaves_its_arguments_alone() -> None:
    X, y, W = problem(3)
    before = X.copy(), y.copy(), W.copy()
    for kind in Penalty:
        softmax.gradient(X, y, W, 0.1, kind)
    for kept, array in zip(before, (X, y, W), strict=True):
        np.testing.assert_array_equal(kept, array)


def test_penalties_by_hand() -> None:
    W = np.array([[3.0, 0.0], [0.0, -4.0]])
    assert softmax.penalty(W, Penalty.NORM) == 5
    assert softmax.penalty(W, Penalty.SQUARED) == 12.5
    np.testing.assert_array_equal(softmax.penalty_gradient(W, Penalty.NORM), W / 5)
    np.testing.assert_array_equal(softmax.penalty_gradient(W, Penalty.SQUARED), W)
    assert softmax.penalty(np.full((1, 1), 1e30, np.float32), Penalty.NORM) == pytest.approx(1e30)


def test_loss_by_hand() -> None:
    X, y = np.array([[1.0], [2.0]]), np.array([0, 1])
    W = np.array([[0.0, np.log(3.0)]])
    # Probabilities (1/4, 3/4) and (1/10, 9/10).
    expected = -(np.log(1 / 4) + np.log(9 / 10)) / 2
    assert softmax.loss(X, y, W, 0.0, Penalty.NORM) == pytest.approx(expected, rel=1e-14)
    assert softmax.loss(X, y, W, 2.0, Penalty.NORM) == pytest.approx(
        expected + 2 * np.log(3.0), rel=1e-14
    )


@given(n_classes=class_counts, seed=seeds, scale=st.sampled_from([1e-3, 1.0, 30.0, 1e4]))
def test_cross_entropy_against_scipy(n_classes: int, seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    Z = scale * rng.normal(size=(12, n_classes))
    y = rng.integers(0, n_classes, 12)
    expected = special.log_softmax(Z, axis=1)
    np.testing.assert_allclose(softmax.log_softmax(Z), expected, rtol=1e-13, atol=1e-14 * scale)
    own = -expected[np.arange(12), y]
    np.testing.assert_allclose(softmax.cross_entropies(Z, y), own, rtol=1e-13, atol=1e-14 * scale)
    assert softmax.cross_entropy(Z, y) == pytest.approx(own.mean(), rel=1e-12, abs=1e-14 * scale)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_log_softmax_is_finite_at_large_logits(dtype: type) -> None:
    Z = np.array([[1e4, -1e4, 0], [-1e4, -1e4, -1e4], [1e4, 1e4, 1e4]], dtype)
    result = softmax.log_softmax(Z)
    assert result.dtype == dtype
    third = -np.log(3)
    expected = [[0, -2e4, -1e4], [third] * 3, [third] * 3]
    np.testing.assert_allclose(result, expected, rtol=np.finfo(dtype).eps * 4)
    assert np.isfinite(softmax.cross_entropy(Z, np.array([1, 0, 2])))


@given(seed=seeds, shift=st.floats(-1e3, 1e3))
def test_log_softmax_is_invariant_to_shifts(seed: int, shift: float) -> None:
    Z = np.random.default_rng(seed).normal(size=(5, 4))
    # Rounding of the shifted logits: half a unit in the last place of 1e3.
    np.testing.assert_allclose(softmax.log_softmax(Z + shift), softmax.log_softmax(Z), atol=1e-12)


@given(n_classes=class_counts, seed=seeds, scale=st.sampled_from([0.0, 1.0, 100.0, 1e4]))
def test_probabilities_sum_to_one(n_classes: int, seed: int, scale: float) -> None:
    Z = scale * np.random.default_rng(seed).normal(size=(6, n_classes))
    P = softmax.probabilities(Z)
    assert P.min() >= 0
    np.testing.assert_allclose(P.sum(axis=1), 1, rtol=1e-13)


def test_the_first_of_equal_logits_is_predicted() -> None:
    Z = np.array([[0, 0, 0], [1, 2, 2], [2, 1, 2], [0, 1, 2]], float)
    assert softmax.predictions(Z).tolist() == [0, 1, 0, 2]
    assert softmax.accuracy(Z, np.array([0, 2, 0, 2])) == 0.75
    assert softmax.accuracy(Z[:1], np.array([1])) == 0


def test_logits() -> None:
    X, _, W = problem(3)
    np.testing.assert_allclose(softmax.logits(X, W), np.einsum("nd,dc->nc", X, W), rtol=1e-13)

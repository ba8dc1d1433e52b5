"""Softmax regression, as pure functions: the definitions that `stack.py` makes fast.

Notation: N examples, D features, C classes.
    X (N, D)   examples            W (D, C)   weights, column c the template of class c
    y (N,)     labels in 0..C-1    b (C,)     biases, which do not decay; may be absent
    λ          weight decay        Z (N, C)   logits, Z = X W + b
    a (C,)     class weights       P (N, C)   probabilities, P = softmax(Z)

    L(W, b) = Σ_n a[y_n] (-log P[n, y_n]) / Σ_n a[y_n] + λ R(W)        a = 1 unless they are given
    R(W) = ‖W‖₂ (Frobenius, not squared)   penalty "norm"
    R(W) = ½ ‖W‖₂²                         penalty "squared"
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from core.datasets.dataset import Labels

Array = npt.NDArray[np.floating[Any]]


class Penalty(StrEnum):
    """The penalty R(W), which is multiplied by the weight decay λ."""

    NORM = "norm"
    SQUARED = "squared"


def logits(X: Array, W: Array, b: Array | None = None) -> Array:
    """Return the logits Z = X W + b, (N, C)."""
    Z = X @ W
    return Z if b is None else Z + b


def log_softmax(Z: Array) -> Array:
    """Return log P, (N, C).

    It is finite for any finite Z, because the largest logit is subtracted first.
    """
    shifted = Z - Z.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def probabilities(Z: Array) -> Array:
    """Return P, (N, C), whose rows sum to one."""
    return np.asarray(np.exp(log_softmax(Z)))


def cross_entropies(Z: Array, y: Labels) -> Array:
    """Return -log P[n, y_n] of each example, (N,), in nats."""
    return np.asarray(-log_softmax(Z)[np.arange(len(y)), y])


def cross_entropy(Z: Array, y: Labels) -> float:
    """Return the mean cross-entropy in nats."""
    return float(cross_entropies(Z, y).mean(dtype=np.float64))


def predictions(Z: Array) -> Labels:
    """Return the class of the largest logit of each example, (N,); the first one if several tie."""
    return np.asarray(Z.argmax(axis=1))


def accuracy(Z: Array, y: Labels) -> float:
    """Return the fraction of examples whose predicted class is their label."""
    return float((predictions(Z) == y).mean())


def penalty(W: Array, kind: Penalty) -> float:
    """Return the penalty R(W)."""
    squared_norm = float(np.sum(np.square(W, dtype=np.float64)))
    return squared_norm**0.5 if kind is Penalty.NORM else 0.5 * squared_norm


def penalty_gradient(W: Array, kind: Penalty) -> Array:
    """Return ∂R/∂W, (D, C): W/‖W‖₂ for the norm, W for the squared norm.

    The gradient of the norm at W = 0 is 0 by convention.
    """
    if kind is Penalty.SQUARED:
        return W
    norm = np.linalg.norm(W)
    return W / norm if norm > 0 else np.zeros_like(W)


def balanced_class_weights(y: Labels, n_classes: int) -> npt.NDArray[np.float64]:
    """Return the class weights N / (C n_c), (C,), as scikit-learn's "balanced"; n_c counts class c.

    A class without examples gets the weight 0.
    """
    counts = np.bincount(y, minlength=n_classes)
    return np.divide(len(y), n_classes * counts, out=np.zeros(n_classes), where=counts > 0)


def loss(
    X: Array,
    y: Labels,
    W: Array,
    weight_decay: float,
    kind: Penalty,
    b: Array | None = None,
    class_weights: Array | None = None,
) -> float:
    """Return the loss L(W, b)."""
    each = cross_entropies(logits(X, W, b), y)
    weights = None if class_weights is None else class_weights[y]
    return float(np.average(each, weights=weights)) + weight_decay * penalty(W, kind)


def gradient(
    X: Array,
    y: Labels,
    W: Array,
    weight_decay: float,
    kind: Penalty,
    b: Array | None = None,
    class_weights: Array | None = None,
) -> tuple[Array, Array]:
    """Return ∂L/∂W = Xᵀ G + λ ∂R/∂W, (D, C), and ∂L/∂b, (C,), the column sums of G.

    G = (P - Y) / N, where Y are the one-hot labels; with class weights, row n of P - Y is
    multiplied by a[y_n] and divided by their sum instead.
    """
    residual = probabilities(logits(X, W, b))
    residual[np.arange(len(y)), y] -= 1
    if class_weights is None:
        residual /= len(y)
    else:
        residual *= (class_weights[y] / class_weights[y].sum())[:, None]
    return X.T @ residual + weight_decay * penalty_gradient(W, kind), residual.sum(axis=0)

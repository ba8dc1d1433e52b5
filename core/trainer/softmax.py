"""Softmax regression without a bias, as pure functions: the definitions that `stack.py` makes fast.

Notation: N examples, D features, C classes.
    X (N, D)   examples            W (D, C)   weights, column c the template of class c
    y (N,)     labels in 0..C-1    Z (N, C)   logits, Z = X W
    λ          weight decay        P (N, C)   probabilities, P = softmax(Z)

    L(W) = (1/N) Σ_n -log P[n, y_n] + λ R(W)
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


def logits(X: Array, W: Array) -> Array:
    """Return the logits Z = X W, (N, C)."""
    return X @ W


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


def loss(X: Array, y: Labels, W: Array, weight_decay: float, kind: Penalty) -> float:
    """Return the loss L(W)."""
    return cross_entropy(logits(X, W), y) + weight_decay * penalty(W, kind)


def gradient(X: Array, y: Labels, W: Array, weight_decay: float, kind: Penalty) -> Array:
    """Return ∂L/∂W = (1/N) Xᵀ (P - Y) + λ ∂R/∂W, (D, C), where Y are the one-hot labels."""
    residual = probabilities(logits(X, W))
    residual[np.arange(len(y)), y] -= 1
    return X.T @ residual / len(y) + weight_decay * penalty_gradient(W, kind)

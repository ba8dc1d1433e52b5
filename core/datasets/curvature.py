"""How sharply the mean cross-entropy of softmax regression can bend, which bounds learning rates.

Notation: N examples, D features, C classes; x̃ is an example x with one more feature, which is 1.

    ∂²L/∂W² = 1/N Σ_n (diag p_n - p_n p_nᵀ) ⊗ x̃_n x̃_nᵀ

The largest eigenvalue of diag p - p pᵀ is ½ at most, for two classes as for more. So no eigenvalue
of the Hessian exceeds half the largest one of the second moments 1/N Σ x̃ x̃ᵀ, whatever the weights
are (Böhning 1992). Plain gradient descent with a rate below 2 over that cannot diverge, nor can
momentum μ with one below 2 (1 + μ) over it (Polyak 1964).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from core.datasets.dataset import Matrix

_PASSES = 100  # over the data, at most; a few are enough where one direction stands out
_TOLERANCE = 1e-6  # the relative change by which an iteration ends
_CHUNK = 1 << 20  # values that are held as float64 at a time


def largest_curvature(X: Matrix, *, bias: bool = True) -> float:
    """Return half the largest eigenvalue of the second moments of the examples X, (N, D).

    It is found by power iteration in float64, from below. bias: whether one more feature is 1.
    """
    n_features = X.shape[1] + bias
    direction = np.random.default_rng(0).standard_normal(n_features)
    direction /= np.linalg.norm(direction)
    largest = 0.0
    for _ in range(_PASSES):
        image = _moments_times(X, direction, bias)
        before, largest = largest, float(direction @ image)
        length = float(np.linalg.norm(image))
        if length == 0 or abs(largest - before) <= _TOLERANCE * largest:
            break
        direction = image / length
    return largest / 2


def _moments_times(
    X: Matrix, direction: npt.NDArray[np.float64], bias: bool
) -> npt.NDArray[np.float64]:
    """Return the second moments of the examples times a direction, (D,) or with a bias (D + 1,)."""
    D = X.shape[1]
    image = np.zeros_like(direction)
    step = max(_CHUNK // max(D, 1), 1)
    for start in range(0, len(X), step):
        rows = X[start : start + step].astype(np.float64)
        along = rows @ direction[:D] + (direction[D] if bias else 0)
        image[:D] += along @ rows
        image[D:] += along.sum()
    return image / len(X)

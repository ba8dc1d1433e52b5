"""Biases, momentum, schedules of the learning rate and class weights, against the definition."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from strategies import make_problem, stable_trials

from core.datasets.dataset import Dataset
from core.trainer import softmax
from core.trainer.learning_rate import Schedule, rate_factors
from core.trainer.packing import packed
from core.trainer.result import Hyperparameters, Status, TrainingResult
from core.trainer.softmax import Penalty
from core.trainer.stack import Stack, train
from core.trainer.training_data import TrainingData

pytestmark = pytest.mark.usefixtures("one_blas_thread")
EPOCHS, SEED = 6, 7


def by_definition(
    part: Dataset, trial: Hyperparameters, penalty: Penalty, *, balanced: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Weights (D, C) and biases (C,) of PyTorch's SGD, in float64."""
    X, B = part.X.astype(np.float64), trial.batch_size
    n_classes, n = len(part.class_names), len(X) // B
    weights = softmax.balanced_class_weights(part.y, n_classes) if balanced else None
    W, b = np.zeros((X.shape[1], n_classes)), np.zeros(n_classes)
    v_W, v_b = np.zeros_like(W), np.zeros_like(b)
    warmup, total = trial.warmup_epochs * n, EPOCHS * n
    for epoch in range(EPOCHS):
        order = np.random.default_rng((SEED, epoch)).permutation(len(X))
        for step in range(n):
            rows = order[step * B : (step + 1) * B]
            t = epoch * n + step
            eta = trial.learning_rate
            if t < warmup:
                eta *= (t + 1) / warmup
            elif trial.schedule is Schedule.COSINE:
                eta *= (1 + np.cos(np.pi * (t - warmup) / (total - warmup))) / 2
            g_W, g_b = softmax.gradient(
                X[rows], part.y[rows], W, trial.weight_decay, penalty, b, weights
            )
            v_W, v_b = trial.momentum * v_W + g_W, trial.momentum * v_b + g_b
            W = W - eta * v_W
            b = b - eta * v_b * trial.bias
    return W, b


def error(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected) / (np.linalg.norm(expected) or 1))


METHODS: dict[str, dict[str, Any]] = {
    "bias": {"bias": True},
    "momentum": {"momentum": 0.9},
    "momentum and bias": {"momentum": 0.9, "bias": True},
    "cosine": {"schedule": Schedule.COSINE},
    "warm-up": {"warmup_epochs": 2},
    "all": {"bias": True, "momentum": 0.8, "schedule": Schedule.COSINE, "warmup_epochs": 1},
}


@pytest.mark.parametrize("balanced", [False, True], ids=["", "balanced"])
@pytest.mark.parametrize("penalty", Penalty)
@pytest.mark.parametrize("n_classes", [2, 3, 10])
@pytest.mark.parametrize("method", METHODS)
def test_training_against_the_definition(
    method: str, n_classes: int, penalty: Penalty, balanced: bool
) -> None:
    part, validation, _ = make_problem(n_classes)
    data = TrainingData.of(part, validation, bias=True, balanced_classes=balanced)
    trials = [replace(trial, **METHODS[method]) for trial in stable_trials(5, 20, seed=n_classes)]
    results = train(data, trials, penalty=penalty, epochs=EPOCHS, seed=SEED)
    for trial, result in zip(trials, results, strict=True):
        W, b = by_definition(part, trial, penalty, balanced=balanced)
        assert error(result.weights, W) < 1e-5
        assert error(result.bias, b) < 1e-5
        Z = softmax.logits(validation.X.astype(np.float64), W, b)
        each = softmax.cross_entropies(Z, validation.y)
        weights = softmax.balanced_class_weights(part.y, n_classes)[validation.y]
        loss = np.average(each, weights=weights if balanced else None)
        assert result.curves.val_loss[-1] == pytest.approx(loss, rel=1e-5)
        assert result.curves.val_accuracy[-1] == softmax.accuracy(Z, validation.y)


# Made with PyTorch 2.13.0 in float64: nn.Linear from zeros, SGD(lr=0.5, momentum=0.9) with weight
# decay 0.03 on the weights alone, LambdaLR with one epoch of warm-up and a cosine after it, four
# epochs of two batches of five in our order.
PYTORCH = {
    3: (
        [
            [0.349696076, 0.103843166, 0.600231636],
            [-0.262775397, -0.139160435, 0.011443999],
            [-0.086920679, 0.035317269, -0.611675635],
        ],
        [0.80083318, -0.429537303, -0.371295877],
    ),
    2: (
        [
            [0.420027294, 0.330424782, 0.205546574],
            [-0.420027294, -0.330424782, -0.205546574],
        ],
        [0.939149637, -0.939149637],
    ),
}


@pytest.mark.parametrize("n_classes", PYTORCH)
def test_a_trajectory_of_pytorch(n_classes: int) -> None:
    X = np.arange(1, 31).reshape(10, 3) % 7 / 7.0
    y = np.arange(10) * 3 % 4 % 3 % n_classes
    part = Dataset.of(X, y, tuple("abc"[:n_classes]))
    trial = Hyperparameters(0.5, 0.03, 5, 0.9, Schedule.COSINE, warmup_epochs=1, bias=True)
    data = TrainingData.of(part, bias=True)
    (result,) = train(data, [trial], penalty=Penalty.SQUARED, epochs=4, seed=7)
    weights, biases = PYTORCH[n_classes]
    np.testing.assert_allclose(result.weights.T, weights, rtol=0, atol=1e-6)
    np.testing.assert_allclose(result.bias, biases, rtol=0, atol=1e-6)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_decay_that_empties_the_weights_leaves_the_bias(n_classes: int, bias: bool) -> None:
    """With η λ = 1 a step multiplies the weights by zero, and with 1.2 it changes their sign."""
    part, validation, _ = make_problem(n_classes)
    data = TrainingData.of(part, validation, bias=bias)
    trials = [Hyperparameters(0.25, decay, 20, bias=bias) for decay in (4.0, 4.8, 3.9999)]
    results = train(data, trials, penalty=Penalty.SQUARED, epochs=EPOCHS, seed=SEED)
    for trial, result in zip(trials, results, strict=True):
        W, b = by_definition(part, trial, Penalty.SQUARED)
        assert error(result.weights, W) < 1e-5
        assert error(result.bias, b) < 1e-5
        assert result.bias.any() == bias


@pytest.mark.parametrize("n_classes", [2, 3])
def test_trials_without_bias_beside_trials_with_one(n_classes: int) -> None:
    """Their bias stays zero, and they are trained as where nobody has a bias."""
    part, validation, data = make_problem(n_classes)
    with_feature = TrainingData.of(part, validation, bias=True)
    trials = stable_trials(3, 20)
    for one, other in zip(
        train(with_feature, trials, penalty=Penalty.NORM, epochs=3, seed=0),
        train(data, trials, penalty=Penalty.NORM, epochs=3, seed=0),
        strict=True,
    ):
        assert not one.bias.any()
        assert error(one.weights, other.weights) < 1e-5


def test_a_bias_needs_its_feature() -> None:
    _, _, data = make_problem(2)
    trial = Hyperparameters(0.1, 0.0, 20, bias=True)
    with pytest.raises(ValueError, match="no feature for a bias"):
        train(data, [trial], penalty=Penalty.NORM, epochs=1, seed=0)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_the_optimum_with_a_bias_is_scikit_learns(n_classes: int) -> None:
    """Few examples and full batches, until nothing moves; classes of unlike size need the bias."""
    part, _, _ = make_problem(n_classes, n_train=60, n_features=6)
    n, lam = len(part), 0.05
    data = TrainingData.of(part, part, bias=True)
    trial = Hyperparameters(0.5, lam, n, momentum=0.9, bias=True)
    (result,) = train(data, [trial], penalty=Penalty.SQUARED, epochs=900, seed=0)
    C = (2 if n_classes == 2 else 1) / (lam * n)
    peer = LogisticRegression(C=C, tol=1e-10, max_iter=5000).fit(part.X.astype(float), part.y)
    found = result.weights.T[-1:] * 2 if n_classes == 2 else result.weights.T
    biases = result.bias[1] * 2 if n_classes == 2 else result.bias - result.bias.mean()
    expected = peer.intercept_[0] if n_classes == 2 else peer.intercept_ - peer.intercept_.mean()
    assert error(found, peer.coef_) < 1e-3
    np.testing.assert_allclose(biases, expected, atol=2e-3)


def test_class_weights_reach_the_optimum_of_scikit_learn() -> None:
    part, _, _ = make_problem(3, n_train=60, n_features=6)
    n, lam = len(part), 0.05
    data = TrainingData.of(part, part, bias=True, balanced_classes=True)
    trial = Hyperparameters(0.5, lam, n, momentum=0.9, bias=True)
    (result,) = train(data, [trial], penalty=Penalty.SQUARED, epochs=900, seed=0)
    peer = LogisticRegression(C=1 / (lam * n), class_weight="balanced", tol=1e-10, max_iter=5000)
    peer.fit(part.X.astype(float), part.y)
    assert error(result.weights.T, peer.coef_) < 1e-3


@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_balanced_accuracy_is_scikit_learns(n_classes: int) -> None:
    part, validation, _ = make_problem(n_classes, n_validation=200)
    data = TrainingData.of(part, validation, bias=True, balanced_over=validation)
    trials = [replace(trial, bias=True) for trial in stable_trials(3, 20)]
    for result in train(data, trials, penalty=Penalty.NORM, epochs=3, seed=0):
        Z = softmax.logits(validation.X, result.weights, result.bias)
        expected = balanced_accuracy_score(validation.y, softmax.predictions(Z))
        assert result.curves.val_balanced_accuracy is not None
        assert result.curves.val_balanced_accuracy[-1] == pytest.approx(expected, abs=1e-6)


def advanced(trials: tuple[Hyperparameters, ...], data: TrainingData, *epochs: int) -> Stack:
    stack = Stack(trials, Penalty.SQUARED, SEED, EPOCHS)
    for several in epochs:
        stack.advance(data, several)
    return stack


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("method", METHODS)
def test_training_in_parts_gives_the_same_bits(method: str, n_classes: int) -> None:
    """A schedule extends over all epochs, wherever the training pauses."""
    part, validation, _ = make_problem(n_classes)
    data = TrainingData.of(part, validation, bias=True)
    trials = tuple(replace(trial, **METHODS[method]) for trial in stable_trials(5, 20))
    whole, parts = advanced(trials, data, EPOCHS), advanced(trials, data, 1, 2, 3)
    assert whole.weights.tobytes() == parts.weights.tobytes()
    assert np.array_equal(whole.curves, parts.curves)


def test_packed_trials_keep_their_velocity() -> None:
    part, validation, _ = make_problem(3)
    data = TrainingData.of(part, validation, bias=True)
    trials = tuple(replace(trial, **METHODS["all"]) for trial in stable_trials(4, 20))
    whole = advanced(trials, data, EPOCHS)
    halves = [advanced(trials[:2], data, 2), advanced(trials[2:], data, 2)]
    together = packed([(half, k) for half in halves for k in range(2)])
    together.advance(data, EPOCHS - 2)
    for one, other in zip(whole.results(data), together.results(data), strict=True):
        assert error(one.weights, other.weights) < 1e-5
    with pytest.raises(ValueError, match="cannot be packed"):
        packed([(halves[0], 0), (Stack(trials, Penalty.SQUARED, SEED, 9), 0)])


def test_a_bias_that_grows_without_bound_is_divergence() -> None:
    part, validation, _ = make_problem(2)
    data = TrainingData.of(part, validation, bias=True)
    trials = [Hyperparameters(1e38, 0.0, 20, bias=True), Hyperparameters(0.1, 0.0, 20, bias=True)]
    results = train(data, trials, penalty=Penalty.NORM, epochs=3, seed=0)
    assert [result.status for result in results] == [Status.DIVERGED, Status.COMPLETED]


@given(
    schedule=st.sampled_from(Schedule),
    warmup=st.integers(0, 20),
    total=st.integers(1, 60),
    cut=st.integers(0, 60),
)
def test_rate_factors(schedule: Schedule, warmup: int, total: int, cut: int) -> None:
    """They rise to 1 in the warm-up, fall after it, are above 0, and can be had in parts."""
    cut = min(cut, total)
    steps = {"warmup_steps": warmup, "total_steps": total}
    factors = rate_factors(schedule, first=0, last=total, **steps)
    parts = [
        rate_factors(schedule, first=0, last=cut, **steps),
        rate_factors(schedule, first=cut, last=total, **steps),
    ]
    np.testing.assert_array_equal(factors, np.concatenate(parts))
    assert ((factors > 0) & (factors <= 1)).all()
    assert (np.diff(factors[:warmup]) > 0).all()
    assert (np.diff(factors[warmup:]) <= 0).all()
    assert (factors[warmup : warmup + 1] == 1).all()


def result_of(trial: Hyperparameters) -> TrainingResult:
    part, validation, _ = make_problem(2)
    data = TrainingData.of(part, validation, bias=True)
    return train(data, [trial], penalty=Penalty.NORM, epochs=1, seed=0)[0]


def test_a_constant_rate_needs_no_number_of_epochs() -> None:
    part, validation, _ = make_problem(2)
    data = TrainingData.of(part, validation, bias=True)
    trial = Hyperparameters(0.1, 0.0, 20, bias=True)
    stack = Stack((trial,), Penalty.NORM, 0)
    stack.advance(data, 1)
    assert stack.result(0, data).weights.tobytes() == result_of(trial).weights.tobytes()

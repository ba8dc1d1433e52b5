"""The trainer through its public face, against plain loops over one trial in float64.

The same stack gives the same bits; in another stack a trial agrees up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from by_definition import (
    advance,
    assert_same_bits,
    curves_of,
    problem,
    reference,
    relative_error,
    run,
    same_bits,
)
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from strategies import make_problem, seeds, stable_trials

from core.datasets.dataset import Dataset
from core.trainer import softmax, tile
from core.trainer.learning_rate import Schedule
from core.trainer.result import Hyperparameters, Status
from core.trainer.softmax import Penalty
from core.trainer.stack import Stack, train
from core.trainer.training_data import TrainingData

pytestmark = pytest.mark.usefixtures("one_blas_thread")

# ---------------------------------------------------------------- against the definition


@pytest.mark.parametrize("penalty", Penalty)
@pytest.mark.parametrize("n_classes", [2, 3, 10])
@pytest.mark.parametrize("batch_size", [1, 20, 83])
def test_epochs_against_the_definition(n_classes: int, penalty: Penalty, batch_size: int) -> None:
    train_part, validation, data = problem(n_classes)
    trials = stable_trials(6, batch_size, seed=n_classes)
    results = run(data, trials, epochs=6, penalty=penalty)
    for trial, result in zip(trials, results, strict=True):
        expected = reference(train_part, validation, trial, penalty, 6, 7)
        # Roundings of 6e-8 add up like a random walk, which stable rates do not amplify; but that
        # of the decay's factor 1 - ηλ is the same at every step, up to 3e-8 relative.
        n_steps = 6 * (83 // batch_size)
        assert relative_error(result.weights, expected.W) < 2e-6 + 3e-8 * n_steps
        curves = curves_of(result)
        np.testing.assert_allclose(curves[[0, 2]], expected.curves[[0, 2]], rtol=5e-6)
        np.testing.assert_allclose(curves[[1, 3]], expected.curves[[1, 3]], rtol=0, atol=1e-12)
        assert result.hyperparameters == trial
        assert result.status is Status.COMPLETED
        assert result.stopped_epoch == 6


@pytest.mark.parametrize("penalty", Penalty)
@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_first_step_by_hand(n_classes: int, penalty: Penalty) -> None:
    """From zero weights all classes are alike, and no penalty has a gradient."""
    train_part, _, data = problem(n_classes)
    (result,) = run(data, [Hyperparameters(0.25, 3.0, 83)], epochs=1, penalty=penalty)
    one_hot = np.eye(n_classes)[train_part.y]
    W = -0.25 * train_part.X.astype(np.float64).T @ (1 / n_classes - one_hot) / 83
    np.testing.assert_allclose(result.weights, W, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(result.curves.train_loss, np.log(n_classes), rtol=1e-6)
    assert result.curves.train_accuracy.tolist() == [np.mean(train_part.y == 0)]


@given(
    n_classes=st.integers(2, 6),
    n_train=st.integers(8, 40),
    n_features=st.integers(2, 12),
    batch_size=st.integers(1, 8),
    penalty=st.sampled_from(Penalty),
    most=st.integers(1, 5),
    seed=seeds,
)
def test_any_shape_against_the_definition(
    n_classes: int,
    n_train: int,
    n_features: int,
    batch_size: int,
    penalty: Penalty,
    most: int,
    seed: int,
) -> None:
    train_part, validation, data = make_problem(n_classes, n_train, 9, n_features, seed)
    trials = stable_trials(4, batch_size, seed)
    results = run(data, trials, most=most, epochs=2, penalty=penalty, seed=seed)
    for trial, result in zip(trials, results, strict=True):
        expected = reference(train_part, validation, trial, penalty, 2, seed)
        # Weights that grew and shrank again keep the roundings of when they were large.
        atol = 5e-6 * np.abs(expected.W).max() + 1e-6 * expected.norms.max() + 1e-12
        np.testing.assert_allclose(result.weights, expected.W, rtol=0, atol=atol)
        np.testing.assert_allclose(
            curves_of(result)[[0, 2]], expected.curves[[0, 2]], rtol=5e-6, atol=1e-6
        )


def test_validation_in_several_chunks() -> None:
    """More validation examples than are evaluated at once, and not a multiple of a round number."""
    train_part, validation, data = make_problem(3, 40, 2500)
    (trial,) = stable_trials(1, 10)
    (result,) = run(data, [trial], epochs=2)
    expected = reference(train_part, validation, trial, Penalty.NORM, 2, 7)
    np.testing.assert_allclose(result.curves.val_loss, expected.curves[2], rtol=2e-6)
    np.testing.assert_allclose(result.curves.val_accuracy, expected.curves[3], rtol=1e-12)


@pytest.mark.parametrize("n_classes", [2, 10])
def test_no_weight_decay_and_no_learning(n_classes: int) -> None:
    train_part, validation, data = problem(n_classes)
    free, still = Hyperparameters(0.1, 0.0, 20), Hyperparameters(0.0, 0.1, 20)
    for penalty in Penalty:
        learned, idle = run(data, [free, still], penalty=penalty)
        expected = reference(train_part, validation, free, penalty, 3, 7)
        assert relative_error(learned.weights, expected.W) < 2e-6
        assert not idle.weights.any()
        np.testing.assert_allclose(idle.curves.val_loss, np.log(n_classes), rtol=1e-6)
        assert set(idle.curves.val_accuracy) == {np.mean(validation.y == 0)}


def test_seed_changes_the_order() -> None:
    data = problem(3).data
    trials = stable_trials(1, 20)
    first, again, other = (run(data, trials, seed=seed)[0] for seed in (1, 1, 2))
    assert same_bits(first, again)
    assert not np.array_equal(first.weights, other.weights)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_record_steps(n_classes: int) -> None:
    train_part, validation, data = problem(n_classes)
    trials = stable_trials(5, 20)
    stack = Stack(tuple(trials), Penalty.NORM, 7, record_steps=True)
    advance(stack, data, 3, most=2)
    steps = np.array(stack.steps)
    assert steps.shape == (3 * (83 // 20), 2, 5)
    for k, (trial, result) in enumerate(zip(trials, stack.results(data), strict=True)):
        expected = reference(train_part, validation, trial, Penalty.NORM, 3, 7)
        np.testing.assert_allclose(steps[:, 0, k], expected.steps[0], rtol=5e-6)
        np.testing.assert_allclose(steps[:, 1, k], expected.steps[1], atol=1e-12)
        by_epoch = steps[:, :, k].reshape(3, 4, 2).mean(axis=1)
        np.testing.assert_allclose(by_epoch[:, 0], result.curves.train_loss, rtol=1e-12)
        np.testing.assert_allclose(by_epoch[:, 1], result.curves.train_accuracy, rtol=1e-12)
    assert_same_bits(stack.results(data), run(data, trials, most=2))


def test_steps_are_not_recorded_unasked() -> None:
    stack = Stack(tuple(stable_trials(2, 20)), Penalty.NORM, 7)
    stack.advance(problem(2).data, 2)
    assert stack.steps == []


# ---------------------------------------------------------------- the optimum


def test_full_batches_reach_the_optimum_of_scikit_learn() -> None:
    X, y = load_digits(return_X_y=True)
    assert_optimum(X, y, strength=1.0, templates=lambda coefficients: coefficients)


def test_full_batches_of_two_classes_reach_the_optimum_of_scikit_learn() -> None:
    """W = [-u, u] has λ/2 ‖W‖² = λ ‖u‖², and scikit-learn's coefficients are 2u."""
    X, y = load_digits(return_X_y=True)
    chosen = np.isin(y, (3, 6))
    assert_optimum(
        X[chosen],
        (y[chosen] == 6).astype(int),
        strength=2.0,
        templates=lambda twice: np.concatenate((-twice, twice)) / 2,
    )


def assert_optimum(
    X: np.ndarray,
    y: np.ndarray,
    strength: float,
    templates: Callable[[np.ndarray], np.ndarray],
) -> None:
    """Compare the trained weights with scikit-learn's.

    strength: scikit-learn's C in units of 1 / (λ n). templates: what makes weights of its
        coefficients.
    """
    X, lam, n = X / 16, 0.05, len(y)
    part = Dataset.of(X, y, tuple(map(str, range(y.max() + 1))))
    # The Hessian lies between λ and λ + λ_max(XᵀX / n) / 2 < 8: 0.2 is stable, and what remains
    # of the start after 900 steps is below (1 - 0.2 · 0.05)⁹⁰⁰ = 1e-4.
    trials = [Hyperparameters(0.2, lam, n)]
    (result,) = train(
        TrainingData.of(part, part), trials, penalty=Penalty.SQUARED, epochs=900, seed=0
    )
    peer = LogisticRegression(C=strength / (lam * n), fit_intercept=False, tol=1e-10, max_iter=5000)
    coefficients = peer.fit(part.X.astype(np.float64), y).coef_
    assert relative_error(result.weights, templates(coefficients).T) < 1e-3
    assert result.curves.val_loss[-1] == pytest.approx(
        -peer.predict_log_proba(part.X.astype(np.float64))[np.arange(n), y].mean(), rel=1e-4
    )
    gradient, _ = softmax.gradient(part.X, part.y, result.weights, lam, Penalty.SQUARED)
    assert np.abs(gradient).max() < 1e-4


# ---------------------------------------------------------------- input


def test_rows_that_fill_no_batch_are_left_for_other_epochs() -> None:
    """83 rows in batches of 30: 23 of them are not seen in an epoch."""
    train_part, validation, data = problem(3)
    (trial,) = stable_trials(1, 30)
    stack = Stack((trial,), Penalty.NORM, 7, record_steps=True)
    stack.advance(data, 2)
    assert len(stack.steps) == 4
    (result,) = stack.results(data)
    expected = reference(train_part, validation, trial, Penalty.NORM, 2, 7)
    assert expected.steps.shape == (2, 4)
    assert relative_error(result.weights, expected.W) < 1e-6


@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_a_class_absent_from_validation(n_classes: int) -> None:
    """Training does not see it, and validation scores are those of the classes that are there."""
    problem = make_problem(n_classes)
    present = problem.validation.y != n_classes - 1
    assert 0 < present.sum() < len(present)
    some = TrainingData.of(problem.train, problem.validation.take(present))
    trials = stable_trials(5, 8)
    arguments = {"penalty": Penalty.NORM, "epochs": 3, "seed": 0}
    for with_all, without in zip(
        train(problem.data, trials, **arguments), train(some, trials, **arguments), strict=True
    ):
        np.testing.assert_array_equal(without.weights, with_all.weights)
        Z = problem.validation.X[present] @ without.weights
        y = problem.validation.y[present]
        assert without.curves.val_accuracy[-1] == np.mean(Z.argmax(axis=1) == y)
        loss = np.mean(np.logaddexp.reduce(Z.astype(float), axis=1) - Z[np.arange(len(y)), y])
        np.testing.assert_allclose(without.curves.val_loss[-1], loss, rtol=1e-5)


def test_batches_larger_than_the_training_split_are_refused() -> None:
    data = problem(2).data
    with pytest.raises(ValueError, match="batch size 84 exceeds the 83 training rows"):
        train(data, stable_trials(1, 84), penalty=Penalty.NORM, epochs=1, seed=0)
    train(data, stable_trials(1, 83), penalty=Penalty.NORM, epochs=1, seed=0)


@pytest.mark.parametrize(
    "other", [{"batch_size": 30}, {"momentum": 0.9}, {"schedule": Schedule.COSINE}, {"bias": True}]
)
def test_what_trials_of_a_stack_share(other: dict[str, Any]) -> None:
    trials = stable_trials(2, 20)
    with pytest.raises(
        ValueError, match="must share their features, batch size, momentum, schedule"
    ):
        Stack((trials[0], replace(trials[1], **other)), Penalty.NORM, 0)


def test_no_stack_without_trials() -> None:
    with pytest.raises(ValueError, match="needs at least one trial"):
        Stack((), Penalty.NORM, 0)


# ---------------------------------------------------------------- results


@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_results(n_classes: int) -> None:
    train_part, validation, data = problem(n_classes)
    trials = stable_trials(7, 20)
    results = train(data, trials, penalty=Penalty.NORM, epochs=4, seed=7)
    assert [result.hyperparameters for result in results] == trials
    for result in results:
        assert result.weights.shape == (train_part.X.shape[1], n_classes)
        assert result.weights.dtype == np.float32
        size = np.abs(result.weights).sum(axis=1).max()
        assert np.abs(result.weights.sum(axis=1, dtype=np.float64)).max() <= 1e-6 * size
        curves = curves_of(result)
        assert curves.shape == (4, 4)
        assert curves.dtype == np.float64
        assert len(result.curves) == 4

        # Column c is the template of class c.
        Z = softmax.logits(validation.X, result.weights)
        assert softmax.cross_entropy(Z, validation.y) == pytest.approx(
            result.curves.val_loss[-1], rel=1e-5
        )
        assert softmax.accuracy(Z, validation.y) == result.curves.val_accuracy[-1]
    assert max(result.curves.val_accuracy[-1] for result in results) > 2 / (n_classes + 1)


def test_results_do_not_share_memory() -> None:
    data = problem(2).data
    stack = Stack(tuple(stable_trials(2, 20)), Penalty.NORM, 7)
    stack.advance(data, 2)
    first, untouched = stack.results(data), stack.results(data)
    first[0].weights[:] = 42
    first[0].curves.train_loss[:] = 42
    assert_same_bits(stack.results(data), untouched)


def test_accuracy_of_a_tiny_learning_rate() -> None:
    """Logits too small to move the normalizer still rank the classes."""
    _, validation, data = problem(3)
    (result,) = run(data, [Hyperparameters(1e-9, 0.0, 20)], epochs=1)
    Z = softmax.logits(validation.X, result.weights)
    assert result.curves.val_accuracy[-1] == softmax.accuracy(Z, validation.y)


# ---------------------------------------------------------------- tiles


@given(n_trials=st.integers(0, 20_000), n_classes=st.integers(2, 400))
def test_tile_sizes(n_trials: int, n_classes: int) -> None:
    sizes = tile.tile_sizes(n_trials, n_classes)
    rows = tile.ROWS_BINARY if n_classes == 2 else tile.ROWS_MULTICLASS
    most = max(1, rows // (n_classes - 1))
    assert sum(sizes) == n_trials
    assert all(1 <= size <= most for size in sizes)
    assert not sizes or max(sizes) - min(sizes) <= 1
    assert (len(sizes) - 1) * most < max(n_trials, 1), "no smaller number of tiles would do"

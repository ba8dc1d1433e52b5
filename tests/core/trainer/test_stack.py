"""The trainer through its public face, against plain loops over one trial in float64.

The same stack gives the same bits; in another stack a trial agrees up to rounding.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import Problem, diverging_trial, make_problem, seeds, stable_trials
from threadpoolctl import threadpool_limits

from core.datasets.dataset import Dataset
from core.trainer import softmax, tile
from core.trainer.result import Curves, Hyperparameters, Status, TrainingResult
from core.trainer.softmax import Penalty
from core.trainer.stack import Stack, train
from core.trainer.training_data import TrainingData

FLOAT32_MAX = float(np.finfo(np.float32).max)


@pytest.fixture(autouse=True, scope="module")
def one_blas_thread() -> Iterator[None]:
    with threadpool_limits(1):
        yield


# ---------------------------------------------------------------- references and helpers


class Reference(NamedTuple):
    """One trial trained by the definition, in float64."""

    W: np.ndarray  # (D, C)
    curves: np.ndarray  # (4, E): train loss, train accuracy, validation loss and accuracy
    steps: np.ndarray  # (2, iterations): loss and accuracy of each batch
    norms: np.ndarray  # (E,) ‖W‖₂ after each epoch


def evaluate(X: np.ndarray, y: np.ndarray, W: np.ndarray) -> tuple[float, float, np.ndarray]:
    """Mean cross-entropy, accuracy, and P - Y."""
    Z = X @ W
    Z = Z - Z.max(axis=1)[:, None]
    P = np.exp(Z) / np.exp(Z).sum(axis=1)[:, None]
    rows = np.arange(len(y))
    loss = np.mean(np.log(np.exp(Z).sum(axis=1)) - Z[rows, y])
    accuracy = np.mean(Z.argmax(axis=1) == y)
    P[rows, y] -= 1
    return float(loss), float(accuracy), P


def reference(
    train_part: Dataset,
    validation: Dataset,
    trial: Hyperparameters,
    penalty: Penalty,
    epochs: int,
    seed: int,
) -> Reference:
    X, X_val = train_part.X.astype(np.float64), validation.X.astype(np.float64)
    B, eta, lam = trial.batch_size, trial.learning_rate, trial.weight_decay
    W = np.zeros((X.shape[1], len(train_part.class_names)))
    curves, steps, norms = [], [], []
    for epoch in range(epochs):
        order = np.random.default_rng((seed, epoch)).permutation(len(X))
        batches = [order[start : start + B] for start in range(0, len(X) - B + 1, B)]
        for rows in batches:
            loss, accuracy, difference = evaluate(X[rows], train_part.y[rows], W)
            steps.append((loss, accuracy))
            norm = np.sqrt((W**2).sum())
            length = {Penalty.SQUARED: 1.0, Penalty.NORM: norm if norm > 0 else np.inf}[penalty]
            W = W - eta * (X[rows].T @ difference / B + lam * W / length)
        of_epoch = np.array(steps[-len(batches) :]).mean(axis=0)
        curves.append((*of_epoch, *evaluate(X_val, validation.y, W)[:2]))
        norms.append(np.sqrt((W**2).sum()))
    return Reference(W, np.array(curves).T, np.array(steps).T, np.array(norms))


@contextmanager
def tiles_of(most: int, n_classes: int) -> Iterator[None]:
    """Let a tile hold so many trials at most: problems this small would otherwise fill one."""
    rows = most * (n_classes - 1)
    with patch.object(tile, "ROWS_BINARY", rows), patch.object(tile, "ROWS_MULTICLASS", rows):
        yield


def run(
    data: TrainingData,
    trials: Sequence[Hyperparameters],
    *,
    most: int = 4,
    epochs: int = 3,
    penalty: Penalty = Penalty.NORM,
    seed: int = 7,
) -> list[TrainingResult]:
    stack = Stack(tuple(trials), penalty, seed)
    advance(stack, data, epochs, most)
    return stack.results(data)


def advance(stack: Stack, data: TrainingData, epochs: int, most: int = 4) -> None:
    with tiles_of(most, data.n_classes):
        stack.advance(data, epochs)


def curves_of(result: TrainingResult) -> np.ndarray:
    """(4, E)."""
    return np.array([getattr(result.curves, name) for name in Curves.names()])


def same_bits(first: TrainingResult, second: TrainingResult) -> bool:
    return (
        first.hyperparameters == second.hyperparameters
        and first.weights.tobytes() == second.weights.tobytes()
        and np.array_equal(curves_of(first), curves_of(second), equal_nan=True)
        and first.status is second.status
        and first.stopped_epoch == second.stopped_epoch
    )


def assert_same_bits(first: Sequence[TrainingResult], second: Sequence[TrainingResult]) -> None:
    assert [same_bits(*pair) for pair in zip(first, second, strict=True)] == [True] * len(first)


def assert_close(first: Sequence[TrainingResult], second: Sequence[TrainingResult]) -> None:
    """Alike up to the rounding of other places in other stacks, unless it is amplified."""
    for one, other in zip(first, second, strict=True):
        assert (one.hyperparameters, one.status) == (other.hyperparameters, other.status)
        assert abs(one.stopped_epoch - other.stopped_epoch) <= (one.status is Status.DIVERGED)
        if one.hyperparameters.learning_rate * one.hyperparameters.weight_decay > 1:
            continue  # a step overshoots zero: the penalty alone amplifies rounding
        assert relative_error(one.weights, other.weights) < 1e-5
        for name in ("train_loss", "val_loss"):
            losses = getattr(one.curves, name), getattr(other.curves, name)
            np.testing.assert_allclose(*losses, rtol=1e-5)


def relative_error(W: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(W - expected) / (np.linalg.norm(expected) or 1))


@cache
def problem(n_classes: int) -> Problem:
    return make_problem(n_classes)


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


@pytest.mark.parametrize("n_classes", [2, 10])
def test_full_batches_reach_the_optimum_of_scikit_learn(n_classes: int) -> None:
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression

    X, y = load_digits(n_class=10, return_X_y=True)
    if n_classes == 2:
        chosen = np.isin(y, (3, 6))
        X, y = X[chosen], (y[chosen] == 6).astype(int)
    X, lam, n = X / 16, 0.05, len(y)
    part = Dataset.of(X, y, tuple(map(str, range(n_classes))))
    # The Hessian lies between λ and λ + λ_max(XᵀX / n) / 2 < 8: 0.2 is stable, and what remains
    # of the start after 900 steps is below (1 - 0.2 · 0.05)⁹⁰⁰ = 1e-4.
    trials = [Hyperparameters(0.2, lam, n)]
    (result,) = train(
        TrainingData.of(part, part), trials, penalty=Penalty.SQUARED, epochs=900, seed=0
    )
    # For two classes W = [-u, u] has λ/2 ‖W‖² = λ ‖u‖², and scikit-learn's coefficients are 2u.
    C = (2 if n_classes == 2 else 1) / (lam * n)
    peer = LogisticRegression(C=C, fit_intercept=False, tol=1e-10, max_iter=5000)
    coefficients = peer.fit(part.X.astype(np.float64), y).coef_
    if n_classes == 2:
        coefficients = np.concatenate((-coefficients, coefficients)) / 2
    assert relative_error(result.weights, coefficients.T) < 1e-3
    assert result.curves.val_loss[-1] == pytest.approx(
        -peer.predict_log_proba(part.X.astype(np.float64))[np.arange(n), y].mean(), rel=1e-4
    )
    gradient = softmax.gradient(part.X, part.y, result.weights, lam, Penalty.SQUARED)
    assert np.abs(gradient).max() < 1e-4


# ---------------------------------------------------------------- lockstep equals one at a time

N_TRIALS = 11
DIVERGING = (2, 6, 7)  # places among the trials, under the squared penalty


@cache
def mixed_trials(batch_size: int = 20) -> tuple[Hyperparameters, ...]:
    """Stable ones, and some that diverge and leave, each at another epoch."""
    trials = stable_trials(N_TRIALS, batch_size)
    for place, factor in zip(DIVERGING, (-1e5, -50.0, -9.0), strict=True):
        trials[place] = diverging_trial(batch_size, factor)
    return tuple(trials)


@cache
def together(n_classes: int, most: int, penalty: Penalty) -> list[TrainingResult]:
    return run(problem(n_classes).data, mixed_trials(), most=most, epochs=7, penalty=penalty)


def test_the_mixed_trials_are_mixed() -> None:
    results = together(3, 4, Penalty.SQUARED)
    for k, result in enumerate(results):
        assert result.status is (Status.DIVERGED if k in DIVERGING else Status.COMPLETED)
    assert len({results[k].stopped_epoch for k in DIVERGING}) == 3


@pytest.mark.parametrize("penalty", Penalty)
@pytest.mark.parametrize("most", [1, 3, 4, 16])
@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_alone_and_together(n_classes: int, most: int, penalty: Penalty) -> None:
    data = problem(n_classes).data
    alone = [run(data, [trial], epochs=7, penalty=penalty)[0] for trial in mixed_trials()]
    assert_close(together(n_classes, most, penalty), alone)


@given(
    n_classes=st.sampled_from([2, 3, 10]),
    most=st.sampled_from([1, 3, 4, 16]),
    penalty=st.sampled_from(Penalty),
    places=st.permutations(range(N_TRIALS)),
    size=st.integers(1, N_TRIALS),
)
def test_any_order_and_neighbours(
    n_classes: int, most: int, penalty: Penalty, places: list[int], size: int
) -> None:
    chosen, trials = places[:size], mixed_trials()
    data = problem(n_classes).data
    results = run(data, [trials[k] for k in chosen], most=most, epochs=7, penalty=penalty)
    everything = together(n_classes, most, penalty)
    assert_close(results, [everything[k] for k in chosen])


@given(
    n_classes=st.sampled_from([2, 3, 4, 10]),
    most=st.integers(1, 20),
    n_features=st.integers(2, 250),
    batch_size=st.integers(1, 120),
    more_rows=st.integers(0, 100),
)
def test_alone_and_together_in_any_shape(
    n_classes: int, most: int, n_features: int, batch_size: int, more_rows: int
) -> None:
    """BLAS has kernels of its own for small and for odd shapes."""
    data = make_problem(n_classes, batch_size + more_rows, 29, n_features).data
    trials = stable_trials(most, batch_size)
    results = run(data, trials, most=most, epochs=2)
    assert_close(results, run(data, trials[::-1], most=most, epochs=2)[::-1])
    assert_close(results[-1:], run(data, trials[-1:], most=most, epochs=2))


@pytest.mark.parametrize("n_classes", [2, 10])
def test_whole_tiles_of_images(n_classes: int) -> None:
    """The sizes of a real study: full tiles, hundreds of features, batches of 200."""
    data = make_problem(n_classes, 450, 100, 700).data
    n_trials = tile.tile_sizes(10_000, n_classes)[0] + 5
    trials = stable_trials(n_trials, 200)
    results = train(data, trials, penalty=Penalty.NORM, epochs=2, seed=7)
    moved = train(data, [*trials[5:], *trials[:5]], penalty=Penalty.NORM, epochs=2, seed=7)
    assert_close(results, [*moved[-5:], *moved[:-5]])
    assert_close(results[-1:], run(data, trials[-1:], epochs=2))


# ---------------------------------------------------------------- resuming


@given(
    cuts=st.lists(st.integers(0, 7), max_size=3),
    n_classes=st.sampled_from([2, 3]),
    penalty=st.sampled_from(Penalty),
    pickled=st.booleans(),
)
@settings(max_examples=25)
def test_advancing_in_parts(
    cuts: list[int], n_classes: int, penalty: Penalty, pickled: bool
) -> None:
    data = problem(n_classes).data
    stack = Stack(mixed_trials(), penalty, 7, record_steps=True)
    for start, end in pairwise([0, *sorted(cuts), 7]):
        advance(stack, data, end - start)
        if pickled:
            stack = pickle.loads(pickle.dumps(stack))
    assert stack.epoch == 7
    assert_same_bits(stack.results(data), together(n_classes, 4, penalty))

    whole = Stack(mixed_trials(), penalty, 7, record_steps=True)
    advance(whole, data, 7)
    np.testing.assert_array_equal(np.array(stack.steps), np.array(whole.steps))


def test_results_on_the_way_do_not_change_later() -> None:
    data = problem(3).data
    stack = Stack(mixed_trials(), Penalty.SQUARED, 7)
    advance(stack, data, 2)
    early = stack.results(data)
    before = pickle.dumps(early)
    advance(stack, data, 5)
    assert pickle.dumps(early) == before
    assert_same_bits(early, run(data, mixed_trials(), epochs=2, penalty=Penalty.SQUARED))
    assert_same_bits(stack.results(data), together(3, 4, Penalty.SQUARED))


def test_on_epoch_hears_how_many_trials_trained() -> None:
    data = problem(3).data
    stack, heard = Stack(mixed_trials(), Penalty.SQUARED, 7), []
    stack.advance(data, 3, heard.append)
    stack.prune({0, 1})
    stack.advance(data, 4, heard.append)
    stopped = [result.stopped_epoch for result in stack.results(data)]
    expected = [sum(last >= epoch for last in stopped) for epoch in range(1, 8)]
    assert heard == expected
    assert heard[0] == N_TRIALS
    assert sum(heard) == sum(len(result.curves) for result in stack.results(data))


def test_training_ends_when_nobody_is_left() -> None:
    data = problem(2).data
    stack, heard = Stack((diverging_trial(20, -1e5),) * 2, Penalty.SQUARED, 7), []
    stack.advance(data, 50, heard.append)
    results = stack.results(data)
    assert stack.running == []
    assert stack.epoch == len(heard) == results[0].stopped_epoch < 50
    stack.advance(data, 3, heard.append)
    assert stack.epoch == len(heard)
    assert_same_bits(results, stack.results(data))


# ---------------------------------------------------------------- pruning


@given(
    pruned=st.sets(st.integers(0, N_TRIALS - 1)),
    at=st.integers(1, 6),
    n_classes=st.sampled_from([2, 3]),
    most=st.sampled_from([1, 4, 16]),
)
@settings(max_examples=25)
def test_pruning(pruned: set[int], at: int, n_classes: int, most: int) -> None:
    data = problem(n_classes).data
    unpruned = together(n_classes, most, Penalty.SQUARED)
    pruned = {k for k in pruned if unpruned[k].stopped_epoch > at}
    stack = Stack(mixed_trials(), Penalty.SQUARED, 7)
    advance(stack, data, at, most)
    on_the_way = stack.results(data)
    stack.prune(pruned)
    assert not pruned & set(stack.running)
    advance(stack, data, 7 - at, most)

    for k, result in enumerate(stack.results(data)):
        if k not in pruned:
            assert_close([result], [unpruned[k]])
            continue
        assert result.status is Status.PRUNED
        assert result.stopped_epoch == len(result.curves) == at
        np.testing.assert_array_equal(curves_of(result), curves_of(unpruned[k])[:, :at])
        assert result.weights.tobytes() == on_the_way[k].weights.tobytes()


def test_pruning_twice_at_different_rungs() -> None:
    data = problem(2).data
    trials = stable_trials(6, 20)

    def pruned_twice(pickled: bool) -> Stack:
        stack = Stack(tuple(trials), Penalty.NORM, 7)
        for pruned in ({5}, {0, 3}):
            advance(stack, data, 2, most=2)
            stack.prune(pruned)
            if pickled:
                stack = pickle.loads(pickle.dumps(stack))
        advance(stack, data, 2, most=2)
        return stack

    stack = pruned_twice(pickled=True)
    results = stack.results(data)
    assert stack.running == [1, 2, 4]
    assert [result.stopped_epoch for result in results] == [4, 6, 6, 4, 6, 2]
    assert_same_bits(results, pruned_twice(pickled=False).results(data))
    for result in results:
        (alone,) = run(data, [result.hyperparameters], epochs=result.stopped_epoch)
        assert relative_error(result.weights, alone.weights) < 1e-5
        np.testing.assert_allclose(curves_of(result), curves_of(alone), rtol=1e-5)


# ---------------------------------------------------------------- divergence


@pytest.mark.parametrize("factor", [-9.0, -999.0])
@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_divergence(n_classes: int, factor: float) -> None:
    """Weights grow by ``factor`` an epoch of one batch, and the gradient is soon negligible."""
    train_part, validation, data = problem(n_classes)
    trial = diverging_trial(83, factor)
    neighbours = stable_trials(4, 83)
    stack = [*neighbours[:2], trial, *neighbours[2:]]
    results = run(data, stack, epochs=60, penalty=Penalty.SQUARED)
    diverged = results.pop(2)
    with np.errstate(all="ignore"):
        norms = reference(train_part, validation, trial, Penalty.SQUARED, 60, 7).norms
    # ‖W‖² overflows first, the weights themselves last.
    earliest, latest = (
        int(np.flatnonzero(norms > limit)[0]) + 1 for limit in (FLOAT32_MAX**0.5 / 10, FLOAT32_MAX)
    )
    assert diverged.status is Status.DIVERGED
    assert earliest <= diverged.stopped_epoch <= latest
    assert curves_of(diverged).shape == (4, diverged.stopped_epoch)
    assert np.isfinite(curves_of(diverged)[:, :-1]).all()

    before = run(data, stack, epochs=diverged.stopped_epoch - 1, penalty=Penalty.SQUARED)[2]
    assert before.status is Status.COMPLETED
    assert np.isfinite(diverged.weights).all()
    assert diverged.weights.tobytes() == before.weights.tobytes()
    np.testing.assert_array_equal(curves_of(diverged)[:, :-1], curves_of(before))

    assert_close(results, run(data, neighbours, epochs=60, penalty=Penalty.SQUARED))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_divergence_within_the_first_epoch(n_classes: int) -> None:
    data = problem(n_classes).data
    (result,) = run(data, [diverging_trial(1, -1e6)], epochs=5, penalty=Penalty.SQUARED)
    assert result.status is Status.DIVERGED
    assert result.stopped_epoch == len(result.curves) == 1
    assert not result.weights.any()  # as they were before that epoch
    assert not np.isfinite(result.curves.train_loss[-1])


@pytest.mark.parametrize("n_classes", [2, 3])
def test_divergence_of_the_loss_alone(n_classes: int) -> None:
    """Logits can overflow while the weights are far from it."""
    rng = np.random.default_rng(0)
    y = np.arange(60) % n_classes
    X = 1e25 * rng.normal(size=(60, 2))
    X[:, 0] += 1e25 * y
    data = TrainingData.of(Dataset.of(X, y, tuple("abc"[:n_classes])))
    trial, neighbour = Hyperparameters(1e-10, 0.0, 60), Hyperparameters(1e-24, 0.0, 60)
    diverged, stable = run(data, [trial, neighbour], epochs=4)
    assert diverged.status is Status.DIVERGED
    assert diverged.stopped_epoch == 2
    assert diverged.curves.train_loss[0] == pytest.approx(np.log(n_classes), rel=1e-6)
    assert not np.isfinite(diverged.curves.train_loss[1])
    assert np.abs(diverged.weights).max() < 1e18
    assert_close([stable], run(data, [neighbour], epochs=4))


@pytest.mark.filterwarnings("error")
def test_divergence_does_not_warn() -> None:
    for n_classes in (2, 3):
        results = run(problem(n_classes).data, mixed_trials(), epochs=7, penalty=Penalty.SQUARED)
        assert {result.status for result in results} == {Status.COMPLETED, Status.DIVERGED}


def test_decay_that_just_does_not_diverge() -> None:
    train_part, validation, data = problem(3)
    trial = diverging_trial(20, -0.9)  # λη = 1.9: the weights swing, and stay
    (result,) = run(data, [trial], epochs=10, penalty=Penalty.SQUARED)
    assert result.status is Status.COMPLETED
    expected = reference(train_part, validation, trial, Penalty.SQUARED, 10, 7)
    assert relative_error(result.weights, expected.W) < 1e-5


@pytest.mark.parametrize("n_classes", [2, 3, 10])
@pytest.mark.parametrize("weight_decay", [2.0, 50.0, 1e6])
def test_norm_decay_that_overshoots_zero_stays_finite(n_classes: int, weight_decay: float) -> None:
    """A step of length ηλ against weights shorter than that turns them round."""
    train_part, _, data = problem(n_classes)
    eta = 0.5
    (result,) = run(data, [Hyperparameters(eta, weight_decay, 20)], epochs=20)
    assert result.status is Status.COMPLETED
    assert result.stopped_epoch == 20
    assert np.isfinite(curves_of(result)).all()
    # ‖W‖ ≤ η (max(λ, g) + g) holds for ever once it holds, with ‖∇‖ ≤ g = √2 max ‖x‖.
    g = 2**0.5 * np.linalg.norm(train_part.X, axis=1).max()
    assert np.linalg.norm(result.weights) <= eta * (max(weight_decay, g) + g) * 1.001


# ---------------------------------------------------------------- input


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("decayed", [0.5, 0.999, 1.0, 1.5, 1.9999, 2.05])
def test_decay_that_leaves_little_nothing_or_the_opposite(n_classes: int, decayed: float) -> None:
    """Of a step's weights, 1 - decayed is left: their scale shrinks, vanishes, turns, grows."""
    part = problem(n_classes)
    rate = 0.01
    trials = [Hyperparameters(rate, decayed / rate, 4), Hyperparameters(rate, 0.0, 4)]
    results = run(part.data, trials, penalty=Penalty.SQUARED, epochs=2)
    for trial, result in zip(trials, results, strict=True):
        expected = reference(part.train, part.validation, trial, Penalty.SQUARED, 2, 7)
        assert relative_error(result.weights, expected.W) < 1e-4
        np.testing.assert_allclose(curves_of(result)[0], expected.curves[0], rtol=1e-5)


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


def test_one_batch_size_a_stack() -> None:
    trials = stable_trials(2, 20)
    with pytest.raises(ValueError, match=r"one batch size, not \[20, 30\]"):
        Stack((trials[0], replace(trials[1], batch_size=30)), Penalty.NORM, 0)
    with pytest.raises(ValueError, match=r"not \[\]"):
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

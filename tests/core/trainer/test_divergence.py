"""Trials whose weights or losses overflow, and those that only just do not."""

from __future__ import annotations

import numpy as np
import pytest
from by_definition import (
    assert_close,
    curves_of,
    mixed_trials,
    problem,
    reference,
    relative_error,
    run,
)
from strategies import diverging_trial, stable_trials

from core.datasets.dataset import Dataset
from core.trainer.result import Hyperparameters, Status
from core.trainer.softmax import Penalty
from core.trainer.training_data import TrainingData

pytestmark = pytest.mark.usefixtures("one_blas_thread")

FLOAT32_MAX = float(np.finfo(np.float32).max)


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

"""Which hyperparameters decide, as functional ANOVA finds it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import optuna
import pytest
from small_study import Options, small_spec

from core.trainer.result import Hyperparameters, Status
from search.findings.importances import MOST, importances
from search.spec.study_spec import StudySpec
from search.trials.finished_trial import FinishedTrial, RungScores

SPACE: Options = {
    "learning_rate": {"low": 1e-4, "high": 1.0, "log": True, "points": 4},
    "weight_decay": {"low": 1e-6, "high": 0.1, "log": True, "points": 3},
    "batch_size": [16, 32],
}
Tried = tuple[float, float, int]


def trial(
    number: int, tried: Tried, score: float, status: Status = Status.COMPLETED
) -> FinishedTrial:
    """Its loss and its accuracy are both ``score``."""
    return FinishedTrial(
        number=number,
        hyperparameters=Hyperparameters(*tried),
        status=status,
        train_loss=score,
        train_accuracy=score,
        val_loss=score,
        val_accuracy=score,
        best_epoch=1,
        best_val_loss=score,
        stopped_epoch=5 if status is Status.COMPLETED else 3,
        run_id=f"run {number}",
        rungs=() if status is Status.DIVERGED else (RungScores(3, score, score),),
    )


def trials(n: int, score: Callable[[float, float, int], float]) -> list[FinishedTrial]:
    rng = np.random.default_rng(0)
    made = []
    for number in range(n):
        rate, decay = 10 ** rng.uniform(-4, 0), 10 ** rng.uniform(-6, -1)
        tried = (float(rate), float(decay), int(rng.choice([16, 32])))
        made.append(trial(number, tried, score(*tried)))
    return made


@pytest.fixture
def by_loss() -> StudySpec:
    return small_spec(**SPACE)


@pytest.fixture
def by_accuracy() -> StudySpec:
    return small_spec(objective="val_accuracy", **SPACE)


def shares(spec: StudySpec, known: Sequence[FinishedTrial]) -> dict[str, float]:
    found = importances(spec, known)
    return {} if found is None else dict(found.shares)


def test_they_find_what_decides(by_loss: StudySpec) -> None:
    known = trials(80, lambda rate, decay, batch: rate**0.5 * decay**0.05)
    found = importances(by_loss, known)
    assert found is not None
    assert next(iter(found.shares)) == "learning_rate"
    assert found.shares["learning_rate"] > 0.7
    assert sum(found.shares.values()) == pytest.approx(1)
    assert (found.trials, found.epoch) == (80, 5)
    assert found == importances(by_loss, known), "the same seed, the same forest"


def test_they_are_shares_of_the_axes_that_were_searched(by_accuracy: StudySpec) -> None:
    """A logarithmic axis counts by decades: these are the variances of the grid's own means."""
    tried = [
        (float(rate), float(decay), batch)
        for rate in np.geomspace(1e-4, 1, 9)
        for decay in np.geomspace(1e-6, 1e-1, 6)
        for batch in (16, 32)
    ]
    grid = [
        trial(n, each, 1 + abs(np.log10(each[0]) + 2) + 0.1 * np.log10(each[1]))
        for n, each in enumerate(tried)
    ]
    rates = np.var(np.abs(np.linspace(-2, 2, 9)))
    decays = np.var(0.1 * np.linspace(-6, -1, 6))
    expected = rates / (rates + decays)
    assert shares(by_accuracy, grid)["learning_rate"] == pytest.approx(expected, abs=0.05)


def test_a_large_study_is_sampled(by_loss: StudySpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.findings.importances.MOST", 40)
    assert MOST >= 100
    found = importances(by_loss, trials(300, lambda rate, decay, batch: decay))
    assert found is not None
    assert next(iter(found.shares)) == "weight_decay"
    assert found.trials == 40, "those that were looked at"


def test_nothing_to_find(by_loss: StudySpec) -> None:
    assert importances(by_loss, []) is None
    assert importances(by_loss, trials(9, lambda rate, decay, batch: rate)) is None
    assert importances(by_loss, trials(30, lambda rate, decay, batch: 1.0)) is None
    diverged = [trial(n, (0.1, 1e-3, 16), 1.0, Status.DIVERGED) for n in range(30)]
    assert importances(by_loss, diverged) is None


def test_where_a_pruner_chose_they_are_those_of_all_that_it_chose_from(
    by_accuracy: StudySpec,
) -> None:
    """Survivors are alike in what decided; a trial that diverged before the rung has no score."""
    halved = small_spec(objective="val_accuracy", pruner="halving", min_epochs=3, **SPACE)
    every = trials(90, lambda rate, decay, batch: abs(np.log10(rate) + 2) + 0.02 * batch / 32)
    least = sorted(each.val_loss for each in every)[30]
    ended = [
        trial(
            each.number,
            (
                each.hyperparameters.learning_rate,
                each.hyperparameters.weight_decay,
                each.hyperparameters.batch_size,
            ),
            each.val_loss,
            Status.COMPLETED if each.val_loss < least else Status.PRUNED,
        )
        for each in every
    ]
    failed = trial(90, (0.1, 1e-3, 16), 1.0, Status.DIVERGED)
    found = importances(halved, [*ended, failed])
    assert found is not None
    assert (found.trials, found.epoch) == (90, 3)
    assert dict(found.shares) == shares(by_accuracy, every)
    survivors = importances(by_accuracy, ended)
    assert survivors is not None
    assert survivors.trials == 30
    assert found.shares["learning_rate"] > survivors.shares["learning_rate"]


def test_a_hyperparameter_with_one_value_has_none(by_loss: StudySpec) -> None:
    alike = [
        trial(
            each.number,
            (each.hyperparameters.learning_rate, each.hyperparameters.weight_decay, 16),
            each.val_loss,
        )
        for each in trials(30, lambda rate, decay, batch: rate)
    ]
    assert "batch_size" not in shares(by_loss, alike)
    assert optuna.logging.get_verbosity() >= optuna.logging.INFO

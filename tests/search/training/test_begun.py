"""Cohorts whose trials were trained for fewer epochs: they go on, to the same bits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pytest
from strategies import make_problem
from watching import Watching

from core.trainer.learning_rate import Schedule as Rates
from core.trainer.pruning import Schedule
from core.trainer.result import Hyperparameters, Status
from core.trainer.softmax import Penalty
from core.trainer.training_data import TrainingData
from search.spec.objective import Objective
from search.training.begun import Begun
from search.training.cohort import Cohort, Training
from search.training.in_process import InProcess
from search.trials.finished_trial import FinishedTrial
from search.trials.outcome import Outcome
from search.trials.results import Result
from search.trials.trial import PlannedTrial

FEW, MANY = 3, 8
# Two stacks; of the first, one trial diverges at once and one in a later epoch than FEW.
TRIALS = [
    PlannedTrial(n, Hyperparameters(rate, decay, size, bias=bias))
    for n, (rate, decay, size, bias) in enumerate(
        [(0.01, 1e-3, 8, True), (0.1, 0.0, 8, True), (1e6, 1e3, 8, True), (0.3, 1e-2, 8, True)]
        + [(0.01, 1e-3, 16, True), (0.5, 1e-3, 16, True)]
    )
]


@dataclass(frozen=True)
class Trained:
    outcomes: Mapping[int, Outcome]
    epochs: int  # that were trained
    again: int  # of which it was said that they were trained before


def data_of(n_classes: int, bias: bool = True) -> TrainingData:
    problem = make_problem(n_classes)
    return TrainingData.of(problem.train, problem.validation, bias=bias)


def train(
    data: TrainingData,
    epochs: int,
    recorded: Mapping[int, FinishedTrial] | None = None,
    begun: Begun | None = None,
    trials: list[PlannedTrial] = TRIALS,
) -> Trained:
    counted: list[int] = []
    watch = Watching(counted.append)
    training = Training(Penalty.SQUARED, Objective.LOSS, {"": [data]}, InProcess([data]), watch)
    plan = Schedule((epochs,), 3, {})
    outcomes = {
        trial.number: outcome
        for trial, outcome in training.start(
            Cohort(trials, plan, [5], recorded or {}, begun)
        ).outcomes()
    }
    return Trained(outcomes, sum(counted), watch.again)


def kept(found: Trained, lost: int | None = None) -> tuple[dict[int, FinishedTrial], Begun]:
    """What is recorded as finished of a training for FEW epochs, and what is known of the rest."""
    results = {n: each.result for n, each in found.outcomes.items() if n != lost}
    finished = {n: FinishedTrial.of(n, each.result, "run") for n, each in found.outcomes.items()}
    diverged = {n: each for n, each in finished.items() if each.status is Status.DIVERGED}

    def read(number: int) -> Result | None:
        if number not in results:
            return None
        each = results[number]
        return Result(each.weights, each.bias, each.curves)

    return diverged, Begun(dict.fromkeys(finished.keys() - diverged.keys(), FEW), read)


def assert_same(found: Mapping[int, Outcome], expected: Mapping[int, Outcome]) -> None:
    for number, outcome in found.items():
        one, other = outcome.result, expected[number].result
        assert (one.status, one.stopped_epoch) == (other.status, other.stopped_epoch)
        np.testing.assert_array_equal(one.weights, other.weights, strict=True)
        np.testing.assert_array_equal(one.bias, other.bias, strict=True)
        for name, values in one.curves.by_name().items():
            np.testing.assert_array_equal(values, other.curves.by_name()[name], strict=True)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_they_go_on_to_the_same_bits(n_classes: int) -> None:
    data = data_of(n_classes)
    whole = train(data, MANY)
    few = train(data, FEW)
    recorded, begun = kept(few)
    assert list(recorded) == [2], "one has diverged"
    more = train(data, MANY, recorded, begun)
    assert more.outcomes.keys() == whole.outcomes.keys() - recorded.keys()
    assert_same(more.outcomes, whole.outcomes)
    assert more.epochs == whole.epochs - few.epochs, "nothing was trained again"
    assert more.again == 0


def test_a_stack_whose_weights_are_lost_is_trained_from_the_start() -> None:
    data = data_of(3)
    whole = train(data, MANY)
    recorded, begun = kept(train(data, FEW), lost=0)
    more = train(data, MANY, recorded, begun)
    assert_same(more.outcomes, whole.outcomes)
    # The other stack goes on.
    assert more.epochs == whole.epochs - 2 * FEW
    assert more.again == 3 * FEW + 1, "and the one that diverged in its first epoch"


def momentum(tried: Hyperparameters) -> Hyperparameters:
    return Hyperparameters(tried.learning_rate, tried.weight_decay, tried.batch_size, 0.5)


def cosine(tried: Hyperparameters) -> Hyperparameters:
    return Hyperparameters(
        tried.learning_rate, tried.weight_decay, tried.batch_size, schedule=Rates.COSINE
    )


@pytest.mark.parametrize("other", [momentum, cosine])
def test_what_weights_do_not_hold_is_trained_from_the_start(
    other: Callable[[Hyperparameters], Hyperparameters],
) -> None:
    data = data_of(3)
    trials = [PlannedTrial(n, other(TRIALS[n].hyperparameters)) for n in (0, 1, 4)]
    whole = train(data, MANY, trials=trials)
    recorded, begun = kept(train(data, FEW, trials=trials))
    more = train(data, MANY, recorded, begun, trials)
    assert_same(more.outcomes, whole.outcomes)
    assert more.epochs == whole.epochs


@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("bias", [True, False])
def test_columns_come_back_as_they_were(n_classes: int, bias: bool) -> None:
    data = data_of(n_classes, bias)
    columns = np.random.default_rng(3).normal(size=(n_classes - 1, data.columns))
    columns = columns.astype(np.float32)
    np.testing.assert_array_equal(data.columns_of(*data.all_classes(columns)), columns, strict=True)

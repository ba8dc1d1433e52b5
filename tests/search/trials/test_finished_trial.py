from __future__ import annotations

import json
import math
from dataclasses import asdict, replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from made_up import make_result
from optuna.trial import TrialState, create_trial
from small_study import small_spec

from core.trainer.result import Curves, Hyperparameters, Status, TrainingResult
from search.spec.objective import Objective
from search.spec.space import grid
from search.study.distributions import distributions
from search.trials.finished_trial import FinishedTrial, ranked

floats = st.floats(allow_nan=True, allow_infinity=True)


@given(
    values=st.lists(st.tuples(floats, floats, floats, floats), min_size=1, max_size=6),
    status=st.sampled_from(Status),
)
def test_round_trip_through_optuna(values: list[tuple[float, ...]], status: Status) -> None:
    """What is not finite comes back as nan."""
    tried = grid(small_spec())[7]
    curves = Curves(*np.array(values).T)
    result = TrainingResult(
        tried, np.zeros((6, 2), np.float32), np.zeros(2, np.float32), curves, status, len(curves)
    )
    trial = FinishedTrial.of(3, result, "abc")
    attributes = json.loads(json.dumps(trial.attributes(), allow_nan=False))
    frozen = create_trial(
        state=TrialState.FAIL,
        params={name: getattr(tried, name) for name in distributions(small_spec())},
        distributions=distributions(small_spec()),
        user_attrs=attributes,
    )
    frozen.number = 3
    back = FinishedTrial.from_optuna(frozen, tried, frozen.user_attrs)
    for key, value in asdict(trial).items():
        other = asdict(back)[key]
        if isinstance(value, float) and not math.isfinite(value):
            assert math.isnan(other)
        else:
            assert other == value
            assert type(other) is type(value)


def test_best_epoch() -> None:
    tried = Hyperparameters(0.1, 0.0, 8)
    result = make_result(tried, epochs=4)
    result.curves.val_loss[:] = [0.5, math.nan, 0.25, 0.375]
    trial = FinishedTrial.of(0, result, "run")
    assert (trial.best_epoch, trial.best_val_loss, trial.val_loss) == (3, 0.25, 0.375)


def test_scores_of_a_diverged_trial_are_nan() -> None:
    result = make_result(Hyperparameters(0.1, 0.0, 8), Status.DIVERGED, epochs=1)
    trial = FinishedTrial.of(0, result, "run")
    for name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "best_val_loss"):
        assert math.isnan(getattr(trial, name))
    assert (trial.best_epoch, trial.stopped_epoch) == (1, 1)


def test_ranking() -> None:
    template = FinishedTrial.of(0, make_result(Hyperparameters(0.1, 0.0, 8)), "run")

    def trial(number: int, loss: float, accuracy: float, **others: Status) -> FinishedTrial:
        return replace(template, number=number, val_loss=loss, val_accuracy=accuracy, **others)

    trials = [
        trial(4, 0.3, 0.9),
        trial(3, 0.2, 0.8),
        trial(2, 0.2, 0.9),
        trial(1, 0.2, 0.9),
        trial(5, 0.1, 0.7),
        trial(6, 0.0, 1.0, status=Status.PRUNED),
        trial(7, math.nan, math.nan, status=Status.DIVERGED),
    ]
    for order in (trials, trials[::-1]):
        assert [each.number for each in ranked(order, Objective.LOSS)] == [5, 1, 2, 3, 4]
        assert [each.number for each in ranked(order, Objective.ACCURACY)] == [1, 2, 4, 3, 5]
    assert ranked([], Objective.LOSS) == []

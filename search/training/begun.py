"""Stacks whose trials were trained for fewer epochs before: they go on where these ended.

A stack that goes on from the weights that its trials had after an epoch has the same bits as one
that is trained from the start: all that a step depends on is in the weights, the epoch, and which
trials still run. With momentum it depends on the velocity too, which no run keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.trainer.learning_rate import Schedule
from core.trainer.result import Curves, Hyperparameters, Status
from core.trainer.stack import Stack
from core.trainer.training_data import TrainingData
from search.trials.finished_trial import FinishedTrial
from search.trials.results import Result
from search.trials.trial import PlannedTrial


@dataclass(frozen=True, slots=True)
class Begun:
    """What is known of trials that were trained for fewer epochs.

    epochs: how many the completed ones were trained for, by number.
    results: returns the result that a trial's run has, None if it has lost it.
    """

    epochs: Mapping[int, int]
    results: Callable[[int], Result | None]


def can_go_on(tried: Hyperparameters) -> bool:
    """Return whether a trial can go on from its weights alone."""
    return tried.momentum == 0 and tried.schedule is Schedule.CONSTANT


def begun_stack(
    trials: Sequence[PlannedTrial],
    begun: Begun,
    recorded: Mapping[int, FinishedTrial],
    data: TrainingData,
    made: Callable[[tuple[Hyperparameters, ...]], Stack],
) -> Stack | None:
    """Return the stack of these trials as it was after the epochs that it was trained for.

    It is None if it must be trained from the start: some of its trials were not trained as long as
    the others, or their weights are not there.

    recorded: the trials that are finished, by number; those of them that diverged stay out.
    made: returns a new stack of trials.
    """
    epochs = {begun.epochs.get(trial.number) for trial in trials} - {None}
    if len(epochs) != 1 or not all(can_go_on(trial.hyperparameters) for trial in trials):
        return None
    (epoch,) = epochs
    assert epoch is not None
    stack = made(tuple(trial.hyperparameters for trial in trials))
    stack.epoch = epoch
    curves: list[Curves | None] = []
    weights = np.zeros((len(trials), data.n_classes - 1, data.columns), np.float32)
    for k, trial in enumerate(trials):
        known = recorded.get(trial.number)
        if known is not None and known.status is Status.DIVERGED and known.stopped_epoch <= epoch:
            stack.stopped[k] = Status.DIVERGED, known.stopped_epoch
            curves.append(None)
            continue
        result = begun.results(trial.number) if trial.number in begun.epochs else None
        if result is None or result.weights is None or result.bias is None:
            return None
        if len(result.curves) != epoch:
            return None
        weights[k] = data.columns_of(result.weights, result.bias)
        curves.append(result.curves)
    stack.weights = weights
    stack.curves = _by_epoch(curves, epoch)
    return stack


def _by_epoch(curves: Sequence[Curves | None], epochs: int) -> list[np.ndarray]:
    """Return the curves of K trials as a stack has them: one array (n, K) for each epoch.

    Those of trials that have left it, which are None, are NaN.
    """
    known = [list(each.by_name().values()) for each in curves if each is not None]
    table = np.full((epochs, len(known[0]), len(curves)), np.nan)
    places = [k for k, each in enumerate(curves) if each is not None]
    table[:, :, places] = np.array(known).transpose(2, 1, 0)
    return list(table)

"""Estimate how much each hyperparameter matters, with Optuna's functional ANOVA (Hutter et al.
2014).

optuna.importance is imported inside the function: the import takes a second.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution

from core.trainer.result import Hyperparameters, Status
from search.spec.axes import Range
from search.spec.study_spec import StudySpec
from search.trials.finished_trial import FinishedTrial

LEAST = 10  # the fewest trials for a meaningful result
MOST = 500  # the most trials used, drawn at random, because the forest's cost grows with them
TREES = 16

Known = tuple[Hyperparameters, float]  # a configuration and the objective that it reached


@dataclass(frozen=True, slots=True)
class Importances:
    """The importances of the hyperparameters: how much each of them matters.

    shares: the share of the objective's variance by hyperparameter, the largest first.
    trials: the number of trials with a score, of which at most `MOST` are used.
    epoch: the epoch after which their scores were taken.
    """

    shares: Mapping[str, float]
    trials: int
    epoch: int


def importances(spec: StudySpec, trials: Sequence[FinishedTrial]) -> Importances | None:
    """Return how much each hyperparameter matters; None if there are fewer than `LEAST` trials, or
    if they do not differ."""
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    known = _known(spec, trials)
    if len(known) > MOST:
        drawn = np.random.default_rng(spec.search.seed).choice(len(known), MOST, replace=False)
        known = [known[index] for index in sorted(drawn)]
    targets = [_target(spec, value) for _, value in known]
    rows = [asdict(tried) for tried, _ in known]
    varied = [name for name in rows[0] if len({row[name] for row in rows}) > 1] if rows else []
    if len(known) < LEAST or len(set(targets)) == 1 or not varied:
        return None
    positions = {name: [_position(spec, name, row[name]) for row in rows] for name in varied}
    axes: dict[str, BaseDistribution] = {name: _axis(found) for name, found in positions.items()}
    study = optuna.create_study()
    study.add_trials(
        [
            optuna.trial.create_trial(
                value=target,
                params={name: positions[name][k] for name in varied},
                distributions=axes,
            )
            for k, target in enumerate(targets)
        ]
    )
    evaluator = FanovaImportanceEvaluator(n_trees=TREES, seed=spec.search.seed)
    found = get_param_importances(study, evaluator=evaluator)
    shares = {name: float(share) for name, share in found.items()}
    return Importances(shares, len(known), _epoch(spec))


def _known(spec: StudySpec, trials: Sequence[FinishedTrial]) -> list[Known]:
    """Return the trials that have a score, with that score.

    Without a pruner, these are the completed trials. With one, they are all trials that reached the
    first rung, with their scores there: those that trained on would hide what the pruner selected
    by.
    """
    objective = spec.search.objective
    if spec.search.pruner == "none":
        completed = (each for each in trials if each.status is Status.COMPLETED)
        return [(trial.hyperparameters, objective.of(trial)) for trial in completed]
    return [
        (trial.hyperparameters, objective.of(rung))
        for trial in trials
        for rung in trial.rungs
        if rung.epoch == _epoch(spec)
    ]


def _epoch(spec: StudySpec) -> int:
    """Return the epoch of the first rung, which is that of the full training without a pruner."""
    return spec.search.rung_epochs(spec.model.epochs)[0]


def _target(spec: StudySpec, value: float) -> float:
    """Return an accuracy, or the logarithm of a loss, so that huge losses do not hide the rest."""
    return math.log(max(value, 1e-12)) if spec.search.objective.is_loss else value


def _position(spec: StudySpec, name: str, value: float) -> float:
    """Return where a value lies on the searched axis: its logarithm, or its position in a list.

    Optuna's fANOVA averages over the values themselves. On a logarithmic axis, the last decade
    alone would then be nine tenths of the space.
    """
    axis: Any = spec.searched().get(name) or getattr(spec.space, name)
    if isinstance(axis, Range):
        return math.log10(value) if axis.log else float(value)
    return float(axis.index(value))


def _axis(positions: Sequence[float]) -> FloatDistribution:
    """Return an axis that is half a step longer at each end.

    Then the outer values of a grid have the same weight as the others.
    """
    low, high = min(positions), max(positions)
    margin = (high - low) / (2 * (len(set(positions)) - 1))
    return FloatDistribution(low - margin, high + margin)

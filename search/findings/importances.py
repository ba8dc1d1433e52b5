"""How much each hyperparameter decides: functional ANOVA (Hutter et al. 2014), as Optuna has it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.importance import FanovaImportanceEvaluator, get_param_importances

from core.trainer.result import Hyperparameters, Status
from search.spec.axes import Range
from search.spec.study_spec import StudySpec
from search.trials.finished_trial import FinishedTrial

LEAST = 10  # trials; fewer say nothing
MOST = 500  # trials that are looked at, drawn at random: the forest's cost grows with them
TREES = 16

Known = tuple[Hyperparameters, float]  # what was tried, and the objective that it reached


@dataclass(frozen=True, slots=True)
class Importances:
    """shares: of the objective's variance, by hyperparameter, the largest first. trials: how many
    were looked at; epoch: after which their scores were taken."""

    shares: Mapping[str, float]
    trials: int
    epoch: int


def importances(spec: StudySpec, trials: Sequence[FinishedTrial]) -> Importances | None:
    """Return how much each hyperparameter decides; None where there are too few trials, or they do
    not differ."""
    known = _known(spec, trials)
    total = len(known)
    if total > MOST:
        drawn = np.random.default_rng(spec.search.seed).choice(total, MOST, replace=False)
        known = [known[place] for place in sorted(drawn)]
    targets = [_target(spec, value) for _, value in known]
    rows = [asdict(tried) for tried, _ in known]
    varied = [name for name in rows[0] if len({row[name] for row in rows}) > 1] if rows else []
    if len(known) < LEAST or len(set(targets)) == 1 or not varied:
        return None
    places = {name: [_place(spec, name, row[name]) for row in rows] for name in varied}
    axes: dict[str, BaseDistribution] = {name: _axis(found) for name, found in places.items()}
    study = optuna.create_study()
    study.add_trials(
        [
            optuna.trial.create_trial(
                value=target,
                params={name: places[name][k] for name in varied},
                distributions=axes,
            )
            for k, target in enumerate(targets)
        ]
    )
    evaluator = FanovaImportanceEvaluator(n_trees=TREES, seed=spec.search.seed)
    found = get_param_importances(study, evaluator=evaluator)
    shares = {name: float(share) for name, share in found.items()}
    return Importances(shares, total, _epoch(spec))


def _known(spec: StudySpec, trials: Sequence[FinishedTrial]) -> list[Known]:
    """Return the trials with a score: those that were completed, or, where a pruner chose at a
    rung, all that reached the first one, with what they had there. The survivors alone would hide
    what the pruner chose by."""
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
    return spec.search.rungs(spec.model.epochs)[0]


def _target(spec: StudySpec, value: float) -> float:
    """Return a loss as its logarithm, so that a few diverging ones do not drown the rest."""
    return math.log(max(value, 1e-12)) if spec.search.objective.is_loss else value


def _place(spec: StudySpec, name: str, value: float) -> float:
    """Return where a value lies on the axis that was searched: its logarithm, or its place in a
    list.

    Optuna's fANOVA averages over the values themselves: of a logarithmic axis the last decade alone
    would then be nine tenths of the space.
    """
    axis: Any = getattr(spec.space, name)
    if isinstance(axis, Range):
        return math.log10(value) if axis.log else float(value)
    return float(axis.index(value))


def _axis(places: Sequence[float]) -> FloatDistribution:
    """Return an axis half a step longer at either end, so that the outer values of a grid weigh as
    the others."""
    low, high = min(places), max(places)
    margin = (high - low) / (2 * (len(set(places)) - 1))
    return FloatDistribution(low - margin, high + margin)

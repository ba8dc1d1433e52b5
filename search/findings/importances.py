"""How much each hyperparameter decides: functional ANOVA (Hutter et al. 2014), as Optuna has it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial

LEAST = 10  # trials; fewer say nothing
MOST = 500  # trials that are looked at, drawn at random: the forest's cost grows with them
TREES = 16


def scored(trials: Sequence[FrozenTrial], rung: int | None = None) -> list[FrozenTrial]:
    """Trials with a score: those that were completed, or, where a pruner chose at a rung, all that
    reached it, with what they had there. The survivors alone would hide what the pruner chose by.
    """
    if rung is None:
        return [trial for trial in trials if trial.state is optuna.trial.TrialState.COMPLETE]
    return [
        optuna.trial.create_trial(
            value=trial.intermediate_values[rung],
            params=trial.params,
            distributions=trial.distributions,
        )
        for trial in trials
        if trial.state.is_finished() and rung in trial.intermediate_values
    ]


def importances(known: Sequence[FrozenTrial], logarithm: bool, seed: int) -> dict[str, float]:
    """Shares of the objective's variance, by hyperparameter, the largest first; empty where there
    are too few trials, or they do not differ.

    known: trials with a value (see `scored`). logarithm: look at the objective's logarithm, so that
    a few diverging losses do not drown the rest.
    """
    if len(known) > MOST:
        drawn = np.random.default_rng(seed).choice(len(known), MOST, replace=False)
        known = [known[place] for place in sorted(drawn)]

    def target(trial: FrozenTrial) -> float:
        value = trial.value or 0.0
        return math.log(max(value, 1e-12)) if logarithm else value

    varied = (
        [name for name in known[0].params if len({t.params[name] for t in known}) > 1]
        if known
        else []
    )
    if len(known) < LEAST or len(set(map(target, known))) == 1 or not varied:
        return {}
    places = {name: [_place(trial, name) for trial in known] for name in varied}
    axes: dict[str, BaseDistribution] = {name: _axis(found) for name, found in places.items()}
    study = optuna.create_study()
    study.add_trials(
        [
            optuna.trial.create_trial(
                value=target(trial),
                params={name: places[name][k] for name in varied},
                distributions=axes,
            )
            for k, trial in enumerate(known)
        ]
    )
    found = get_param_importances(
        study, evaluator=FanovaImportanceEvaluator(n_trees=TREES, seed=seed)
    )
    return {name: float(share) for name, share in found.items()}


def _place(trial: FrozenTrial, name: str) -> float:
    """A value on the axis that was searched: its logarithm, or its place in a list.

    Optuna's fANOVA averages over the values themselves: of a logarithmic axis the last decade alone
    would then be nine tenths of the space.
    """
    value, distribution = trial.params[name], trial.distributions[name]
    if isinstance(distribution, FloatDistribution):
        return math.log10(value) if distribution.log else float(value)
    return float(distribution.to_internal_repr(value))


def _axis(places: Sequence[float]) -> FloatDistribution:
    """Half a step longer at either end, so that the outer values of a grid weigh as the others."""
    low, high = min(places), max(places)
    margin = (high - low) / (2 * (len(set(places)) - 1))
    return FloatDistribution(low - margin, high + margin)

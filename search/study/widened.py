"""A sampler for a study whose ranges became wider: it shows another sampler all trials alike.

Optuna's samplers draw those hyperparameters together that all finished trials have drawn from the
same range, and from that range. After it has become wider, they would go on in the old range, and
then, once trials of both are finished, draw each on its own.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial


class AsDrawnNow(BaseSampler):
    """Another sampler, to which earlier trials look as if drawn from the ranges as they are now.

    axes: the distributions as they are now, by name; values of earlier trials are within them.
    """

    def __init__(self, sampler: BaseSampler, axes: Mapping[str, BaseDistribution]) -> None:
        self._sampler = sampler
        self._axes = axes
        self._shown: Study | None = None  # for one suggestion

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the hyperparameters that the other sampler draws together."""
        self._shown = as_drawn_now(study, self._axes)
        return self._sampler.infer_relative_search_space(self._shown, _same(trial, self._shown))

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the values that the other sampler draws together."""
        shown = self._shown or as_drawn_now(study, self._axes)
        return self._sampler.sample_relative(shown, _same(trial, shown), search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return the value that the other sampler draws for one hyperparameter."""
        shown = self._shown or as_drawn_now(study, self._axes)
        same = _same(trial, shown)
        return self._sampler.sample_independent(shown, same, param_name, param_distribution)


def as_drawn_now(study: Study, axes: Mapping[str, BaseDistribution]) -> Study:
    """Return a study in memory with the same trials, which have these distributions."""
    shown = optuna.create_study(directions=study.directions)
    for trial in study.get_trials(deepcopy=False):
        as_now = copy.copy(trial)
        as_now.distributions = {
            name: axes.get(name, axis) for name, axis in trial.distributions.items()
        }
        shown.add_trial(as_now)
    return shown


def _same(trial: FrozenTrial, shown: Study) -> FrozenTrial:
    """Return the trial of this number in the study that is shown; a sampler may write to it."""
    return shown.get_trials(deepcopy=False)[trial.number]


def has_widened(study: Study, axes: Mapping[str, BaseDistribution]) -> bool:
    """Return whether some trials were drawn from other ranges than those of now."""
    return any(
        axes.get(name, axis) != axis
        for trial in study.get_trials(deepcopy=False)
        for name, axis in trial.distributions.items()
    )

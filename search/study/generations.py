"""The grid of a study, which may have grown: which trials it has, by generation.

The first generation is the grid that the study was started with. Each time it grew, the
combinations that were new are one more generation. A generation is a cohort: its trials are
numbered one after another and trained together. So the numbers of earlier trials stand, and so do
the stacks in which they were trained, which are needed to get the same bits again.

Optuna does not let a list of choices grow within a study. So a value that is not among the choices
with which its hyperparameter was first stored is kept as an attribute of its trial instead.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial

from core.trainer.result import Hyperparameters
from search.spec.space import grid
from search.spec.study_spec import StudySpec
from search.study.distributions import distributions, plain
from search.trials.attributes import PARAMS_ATTRIBUTE
from search.trials.trial import PlannedTrial


def stored_params(trial: FrozenTrial) -> dict[str, Any]:
    """Return the hyperparameters that are stored with a trial, by name."""
    return {**trial.params, **trial.user_attrs.get(PARAMS_ATTRIBUTE, {})}


class Generations:
    """The trials of a study's grid, by generation, and how their hyperparameters are stored.

    specs: the study as it was at first and after each time that it had grown.
    """

    def __init__(self, specs: Sequence[StudySpec]) -> None:
        self._specs = specs

    @cached_property
    def cohorts(self) -> list[list[PlannedTrial]]:
        """The trials of each generation, in order of their numbers."""
        seen: set[Hyperparameters] = set()
        cohorts, start = [], 0
        for spec in self._specs:
            tried = grid(spec)
            new = [each for each in tried if each not in seen] if start else tried
            cohorts.append([PlannedTrial(start + place, each) for place, each in enumerate(new)])
            start += len(new)
            if spec is not self._specs[-1]:
                seen.update(new)
        return cohorts

    def spec_of(self, number: int) -> StudySpec:
        """Return the study as it was in the generation of the trial with this number."""
        ends = [spec.combinations() for spec in self._specs[:-1]]  # It only ever grew.
        return self._specs[bisect_right(ends, number)]

    def is_complete(self, trial: FrozenTrial, number: int) -> bool:
        """Return whether a stored trial has all hyperparameters that its generation searches."""
        return stored_params(trial).keys() == distributions(self.spec_of(number)).keys()

    def is_planned(self, trial: FrozenTrial, planned: PlannedTrial) -> bool:
        """Return whether a stored trial has the hyperparameters of a planned one."""
        if not self.is_complete(trial, planned.number):
            return False
        spec = self.spec_of(planned.number)
        return spec.hyperparameters(stored_params(trial)) == planned.hyperparameters

    def to_store(self, trial: PlannedTrial) -> Stored:
        """Return how the hyperparameters of a new trial are stored."""
        stored = Stored({}, {}, {})
        for name, axis in distributions(self.spec_of(trial.number)).items():
            value = plain(getattr(trial.hyperparameters, name))
            fitting = _fitting(self._first[name], axis, value)
            if fitting is None:
                stored.attributes.setdefault(PARAMS_ATTRIBUTE, {})[name] = value
            else:
                stored.params[name], stored.distributions[name] = value, fitting
        return stored

    @cached_property
    def _first(self) -> dict[str, BaseDistribution]:
        """The distributions with which hyperparameters were first stored, by name."""
        first: dict[str, BaseDistribution] = {}
        for spec in self._specs:
            first = distributions(spec) | first
        return first


class Stored(NamedTuple):
    """How the hyperparameters of a trial are stored: in Optuna's own way, or as attributes."""

    params: dict[str, Any]
    distributions: dict[str, BaseDistribution]
    attributes: dict[str, Any]


def _fitting(
    first: BaseDistribution, axis: BaseDistribution, value: Any
) -> BaseDistribution | None:
    """Return a distribution with which Optuna stores a value, None if it would refuse every one.

    first: the one with which the hyperparameter was stored before. axis: that of the space now.
    """
    if isinstance(first, CategoricalDistribution):
        return first if any(value is each or value == each for each in first.choices) else None
    assert isinstance(first, FloatDistribution)
    if isinstance(axis, FloatDistribution) and axis.log == first.log:
        return axis
    if first.log and value <= 0:
        return None
    return FloatDistribution(min(first.low, value), max(first.high, value), log=first.log)

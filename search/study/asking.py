"""Plan the trials of a study: all of a grid, or those that a sampler suggests.

A cohort whose driver was killed while it asked is asked for to its end. Trials that a killed driver
left running keep their numbers and hyperparameters; training them again gives the same results.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from core.trainer.result import Hyperparameters
from search.spec.space import grid
from search.spec.study_spec import StudySpec
from search.study.distributions import plain
from search.study.samplers import sampler_for
from search.trials.attributes import RESULT_ATTRIBUTE
from search.trials.trial import PlannedTrial


class Asker:
    """What plans the trials of one study. distributions: its search space."""

    def __init__(
        self,
        study: optuna.Study,
        storage: BaseStorage,
        spec: StudySpec,
        distributions: Mapping[str, BaseDistribution],
    ) -> None:
        self._study = study
        self._storage = storage
        self._spec = spec
        self._distributions = distributions
        self._study_id = storage.get_study_id_from_name(study.study_name)

    def ask(self, first: int, end: int) -> None:
        """Ask for those trials with numbers from ``first`` to ``end - 1`` that are missing."""
        trials = self._study.get_trials(deepcopy=False)
        for number in range(first, end):
            if number >= len(trials):
                self._study.sampler = sampler_for(self._spec, number)
                self._study.ask(dict(self._distributions))
            elif not self.is_asked(trials[number]) and not trials[number].state.is_finished():
                self._study.sampler = sampler_for(self._spec, number)
                self._ask_on(trials[number])

    def grid(self) -> list[PlannedTrial]:
        """Return the whole grid as one cohort, or nothing if all of it is finished."""
        cohort = [PlannedTrial(*numbered) for numbered in enumerate(grid(self._spec))]
        trials = self._study.get_trials(deepcopy=False)
        if len(trials) >= len(cohort) and all(trial.state.is_finished() for trial in trials):
            return []
        if self._spec.search.pruner != "none":
            # With pruning, trials finish in any order, so each one takes its number now.
            for trial in cohort[len(trials) :]:
                self._study.add_trial(
                    optuna.trial.create_trial(
                        state=TrialState.RUNNING,
                        params=self.params(trial.hyperparameters),
                        distributions=dict(self._distributions),
                    )
                )
        return cohort

    def planned(self, trial: FrozenTrial) -> PlannedTrial:
        """Return a trial of Optuna that has all its hyperparameters as a planned trial."""
        return PlannedTrial(trial.number, self._spec.hyperparameters(trial.params))

    def params(self, tried: Hyperparameters) -> dict[str, Any]:
        """Return the hyperparameters that are searched, as Optuna stores them."""
        return {name: plain(getattr(tried, name)) for name in self._distributions}

    def is_asked(self, trial: FrozenTrial) -> bool:
        """Return whether a trial has all hyperparameters that are searched.

        If a driver was killed while it asked for a trial, some are missing until it is asked for
        again.
        """
        return len(trial.params) == len(self._distributions)

    def repeats(self, trials: Sequence[FrozenTrial], since: int) -> dict[int, int]:
        """Return the trials that repeat a configuration, by number, with the number of the first
        trial of that configuration.

        trials: all of the study, in order of number. since: the number from which on trials count
        as repeats (see `STARTS_ATTRIBUTE`). Trials that another program finished have no result, so
        they neither repeat nor are repeated.
        """
        first: dict[frozenset[tuple[str, Any]], int] = {}
        found = {}
        for trial in trials:
            if not self.is_asked(trial) or (trial.state.is_finished() and not is_ours(trial)):
                continue
            number = first.setdefault(frozenset(trial.params.items()), trial.number)
            if number < trial.number >= since:
                found[trial.number] = number
        return found

    def id_of(self, number: int) -> int:
        """Return the id under which the storage has the trial with this number."""
        return self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)

    def _ask_on(self, trial: FrozenTrial) -> None:
        """Ask for the missing hyperparameters of a trial whose driver was killed while it asked."""
        # Optuna advises against creating a Trial directly, but offers no other way to continue one
        # that was asked for before.
        live = optuna.trial.Trial(self._study, self.id_of(trial.number))
        for name, distribution in self._distributions.items():
            drawn = name in trial.params and name not in live.relative_params
            if drawn and not distribution.single():
                # Draw it again, so that the sampler's random generator has the same state as then.
                self._study.sampler.sample_independent(self._study, trial, name, distribution)
            if isinstance(distribution, FloatDistribution):
                live.suggest_float(name, distribution.low, distribution.high, log=distribution.log)
            elif isinstance(distribution, CategoricalDistribution):
                live.suggest_categorical(name, distribution.choices)


def is_ours(trial: FrozenTrial) -> bool:
    """Return whether a trial was finished by `SearchStudy.record`."""
    return RESULT_ATTRIBUTE in trial.user_attrs and trial.state.is_finished()

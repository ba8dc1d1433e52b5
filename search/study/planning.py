"""Plan a study's trials in cohorts: those of the grid, or what the sampler suggests."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from core.trainer.result import Hyperparameters
from search.settings import Settings
from search.spec.study_spec import StudySpec
from search.study.distributions import distributions
from search.study.foreign import foreign_trials, is_asked_for, is_recorded
from search.study.generations import Generations, stored_params
from search.study.samplers import sampler_for
from search.study.widened import AsDrawnNow, has_widened
from search.trials.attributes import COHORT_ATTRIBUTE, STARTS_ATTRIBUTE, URL_ATTRIBUTE
from search.trials.trial import PlannedTrial


class Planner:
    """What a study tries, and in which cohorts.

    specs: the study as it was at first and after each time that it had grown.
    distributions: those of the hyperparameters that are searched, by name.
    generations: the trials of a grid.
    """

    def __init__(
        self,
        study: optuna.Study,
        storage: BaseStorage,
        specs: Sequence[StudySpec],
        settings: Settings,
    ) -> None:
        spec = specs[-1]
        self.distributions: dict[str, BaseDistribution] = distributions(spec)
        self.generations = Generations(specs)
        self._study = study
        self._storage = storage
        self._spec = spec
        self._settings = settings
        self._study_id = storage.get_study_id_from_name(study.study_name)

    def recorded(self) -> list[FrozenTrial]:
        """Return the trials that were recorded, as Optuna has them."""
        return list(filter(is_recorded, self._trials()))

    def is_unused(self) -> bool:
        """Return whether nothing has been recorded, and nobody else has added trials."""
        search, trials = self._spec.search, self._trials()
        if search.sampler == "grid":
            end = 0 if search.appends else self._spec.combinations()
        else:
            _, end = self._study.user_attrs.get(COHORT_ATTRIBUTE, (0, 0))
        asked = (is_asked_for(trial, self.distributions) for trial in trials)
        return len(trials) <= end and all(asked)

    def id_of(self, number: int) -> int:
        """Return the id under which the storage has the trial with this number."""
        return self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)

    def cohorts(self) -> list[list[PlannedTrial]]:
        """Return all trials planned so far, in the cohorts that were asked for together, without
        those that are not trained because they repeat another one."""
        if self._spec.search.sampler == "grid":
            return self.generations.cohorts
        repeats = self.repeats()
        asked = [
            self._planned(trial)
            for trial in self._trials()
            if self._is_asked(trial) and trial.number not in repeats
        ]
        known = self._starts()
        earlier = range(0, known[0] if known else len(self._trials()), self._spec.search.cohort)
        starts = [*earlier, *known]
        cohorts = itertools.groupby(asked, lambda trial: bisect_right(starts, trial.number))
        return [list(cohort) for _, cohort in cohorts]

    def grid(self) -> list[PlannedTrial]:
        """Return the first generation of the grid of which trials are missing, or nothing if all
        are finished.

        Raises LockstepError if somebody else has taken one of its numbers.
        """
        for cohort in filter(None, self.generations.cohorts):
            if self._spec.search.appends:
                if len(self.recorded()) <= cohort[-1].number:
                    return cohort
            elif not self._is_finished(cohort):
                return cohort
        return []

    def _is_finished(self, cohort: Sequence[PlannedTrial]) -> bool:
        """Return whether all trials of a generation are finished, after adding those that are
        missing.

        With pruning, trials finish in any order, so each one takes its number first.
        """
        first, end = cohort[0].number, cohort[-1].number + 1
        trials = self._check_grid(cohort)
        if len(trials) == len(cohort):
            return all(map(is_recorded, trials))
        for number in range(first + len(trials), end):
            planned = self.generations.to_store(cohort[number - first])
            self._study.add_trial(
                optuna.trial.create_trial(
                    state=TrialState.RUNNING,
                    params=planned.params,
                    distributions=planned.distributions,
                    user_attrs=planned.attributes,
                )
            )
        self._check_grid(cohort)
        return False

    def current(self, size_after: Callable[[int], int]) -> tuple[int, int]:
        """Return the number of the first trial of the current cohort, and one more than that of its
        last.

        If all of it is finished, the next cohort begins, which is empty if the budget is spent.
        size_after: returns the size of a cohort that follows on so many recorded trials.

        Raises LockstepError if somebody else has added trials.
        """
        trials = self._trials()
        first, end = self._study.user_attrs.get(COHORT_ATTRIBUTE, (0, len(trials)))
        if len(trials) >= end and all(trial.state.is_finished() for trial in trials[first:end]):
            first, size = len(trials), size_after(len(self.recorded()))
            end = first + size
            if size:
                self._check_own(end)
                self._study.set_user_attr(STARTS_ATTRIBUTE, sorted({*self._starts(), first}))
                self._study.set_user_attr(COHORT_ATTRIBUTE, [first, end])
        return first, end

    def ask(self, first: int, end: int) -> None:
        """Ask for those trials with numbers from ``first`` to ``end - 1`` that are missing.

        Trials that a killed driver left running keep their numbers and hyperparameters; training
        them again gives the same results. Raises LockstepError if somebody else has added trials.
        """
        if first == end:
            return
        self._check_own(end)
        trials = self._trials()
        for number in range(first, end):
            if number >= len(trials):
                self._study.sampler = self._sampler(number)
                self._study.ask(self.distributions)
            elif not trials[number].state.is_finished() and not self._is_asked(trials[number]):
                self._study.sampler = self._sampler(number)
                self._ask_on(trials[number])
        self._check_own(end)

    def _sampler(self, number: int) -> BaseSampler:
        """Return the sampler that suggests the trial with this number."""
        sampler = sampler_for(self._spec, number)
        if self._is_widened:
            return AsDrawnNow(sampler, self.distributions)
        return sampler

    @cached_property
    def _is_widened(self) -> bool:
        """Whether ranges have become wider since the study began."""
        return has_widened(self._study, self.distributions)

    def unfinished_cohort(self, first: int, end: int) -> list[PlannedTrial]:
        """Return the trials of a cohort that are trained, or nothing if all are finished."""
        repeats = self.repeats()
        cohort = [
            trial
            for trial in self._trials()[first:end]
            if self._is_asked(trial) and trial.number not in repeats
        ]
        if all(trial.state.is_finished() for trial in cohort):
            return []
        return [self._planned(trial) for trial in cohort]

    def repeats(self) -> dict[int, int]:
        """Return the trials that repeat a configuration, by number, with the number of the first
        trial of that configuration.

        Trials before the first of `STARTS_ATTRIBUTE` do not count as repeats, since they were
        trained. Those of somebody else have no result, so they neither repeat nor are repeated.
        """
        trials, starts = self._trials(), self._starts()
        since = starts[0] if starts else len(trials)
        first: dict[frozenset[tuple[str, Any]], int] = {}
        found = {}
        for trial in filter(self._is_asked, trials):
            number = first.setdefault(frozenset(trial.params.items()), trial.number)
            if number < trial.number >= since:
                found[trial.number] = number
        return found

    def tried(self, trial: FrozenTrial, number: int) -> Hyperparameters:
        """Return the hyperparameters of a stored trial. number: that of the study's own trials."""
        return self._spec_of(number).hyperparameters(stored_params(trial))

    def _spec_of(self, number: int) -> StudySpec:
        """Return the study as it was when it had the trial with this number."""
        if self._spec.search.sampler == "grid":
            return self.generations.spec_of(number)
        return self._spec  # It can only have got wider ranges.

    def run_url(self, number: int) -> str:
        """Return the address of a recorded trial's run, empty if it has none."""
        return str(self._trials()[number].user_attrs.get(URL_ATTRIBUTE, ""))

    def _trials(self) -> list[FrozenTrial]:
        """Return all trials as Optuna has them, those of somebody else among them."""
        return self._study.get_trials(deepcopy=False)

    def _check_grid(self, cohort: Sequence[PlannedTrial]) -> list[FrozenTrial]:
        """Return the trials that have the numbers of a generation, as far as they are there.

        Raises LockstepError if somebody else has taken one of these numbers.
        """
        trials = self._trials()[cohort[0].number : cohort[-1].number + 1]
        others = [
            trial
            for trial, planned in zip(trials, cohort, strict=False)
            if not self._is_asked(trial) or not self.generations.is_planned(trial, planned)
        ]
        if others:
            raise foreign_trials(self._spec.name, self._settings, others)
        return trials

    def _check_own(self, end: int) -> None:
        """Raise LockstepError if somebody else has added trials from which a sampler would learn.

        Samplers do not look at failed trials, so that these do no harm. end: one more than the
        number of the last trial of the current cohort.
        """
        others = [
            trial
            for trial in self._trials()
            if not is_recorded(trial)
            and trial.state is not TrialState.FAIL
            and not (trial.number < end and is_asked_for(trial, self.distributions))
        ]
        if others:
            raise foreign_trials(self._spec.name, self._settings, others)

    def _starts(self) -> list[int]:
        """Return the numbers of the first trials of the cohorts; see `STARTS_ATTRIBUTE`."""
        return list(self._study.user_attrs.get(STARTS_ATTRIBUTE, []))

    def _is_asked(self, trial: FrozenTrial) -> bool:
        """Return whether a trial is the study's own and has all hyperparameters that are searched.

        If a driver was killed while it asked for a trial, some are missing until it is asked for
        again.
        """
        own = is_recorded(trial) or is_asked_for(trial, self.distributions)
        if self._spec.search.sampler == "grid":
            return own and self.generations.is_complete(trial, trial.number)
        return own and trial.params.keys() == self.distributions.keys()

    def _planned(self, trial: FrozenTrial) -> PlannedTrial:
        """Return a trial of Optuna that has all its hyperparameters as a planned trial."""
        return PlannedTrial(trial.number, self._spec.hyperparameters(trial.params))

    def _ask_on(self, trial: FrozenTrial) -> None:
        """Ask for the missing hyperparameters of a trial whose driver was killed while it asked."""
        # Optuna advises against creating a Trial directly, but offers no other way to continue one
        # that was asked for before.
        live = optuna.trial.Trial(self._study, self.id_of(trial.number))
        for name, distribution in self.distributions.items():
            drawn = name in trial.params and name not in live.relative_params
            if drawn and not distribution.single():
                # Draw it again, so that the sampler's random generator has the same state as then.
                self._study.sampler.sample_independent(self._study, trial, name, distribution)
            if isinstance(distribution, FloatDistribution):
                live.suggest_float(name, distribution.low, distribution.high, log=distribution.log)
            elif isinstance(distribution, CategoricalDistribution):
                live.suggest_categorical(name, distribution.choices)

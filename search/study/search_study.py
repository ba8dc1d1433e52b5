"""Plan a study's cohorts and record its results in Optuna's storage."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from core.datasets.scaling import Scale
from core.trainer.pruning import Schedule
from core.trainer.result import Hyperparameters, Status
from search.spec.budget import next_size, total_epochs
from search.spec.space import grid
from search.spec.study_spec import StudySpec
from search.study.distributions import distributions, plain
from search.study.samplers import sampler_for
from search.trials.attributes import (
    COHORT_ATTRIBUTE,
    DATA_ATTRIBUTE,
    FINALISTS_ATTRIBUTE,
    MINUTES_ATTRIBUTE,
    RESULT_ATTRIBUTE,
    RUN_ATTRIBUTE,
    SCALE_ATTRIBUTE,
    TEST_ATTRIBUTE,
    URL_ATTRIBUTE,
)
from search.trials.finals import Finals, due
from search.trials.finished_trial import FinishedTrial
from search.trials.trial import PlannedTrial

_STATES = {
    Status.COMPLETED: TrialState.COMPLETE,
    Status.PRUNED: TrialState.PRUNED,
    Status.DIVERGED: TrialState.FAIL,
}


class SearchStudy:
    """An open study: Optuna's study together with the storage that it is in."""

    def __init__(self, study: optuna.Study, storage: BaseStorage, spec: StudySpec) -> None:
        self._study = study
        self._storage = storage
        self._study_id = storage.get_study_id_from_name(study.study_name)
        self.spec = spec
        self._distributions: dict[str, BaseDistribution] = distributions(spec)
        self._added = len(study.get_trials(deepcopy=False))

    @property
    def budget(self) -> int | None:
        """The number of trials that the study is planned to have, None if only time limits it."""
        return self.spec.budget

    @property
    def planned_epochs(self) -> int | None:
        """The total number of epochs planned if no trial diverges, None if only time limits it."""
        if self.budget is None:
            return None
        return total_epochs(self.budget, self.spec.search, self.spec.model.epochs)

    @property
    def data_digest(self) -> str | None:
        """The digest of the data that the study was started with, None if it has none yet."""
        digest = self._study.user_attrs.get(DATA_ATTRIBUTE)
        return None if digest is None else str(digest)

    @property
    def scale(self) -> Scale:
        """What the study does to the features."""
        return Scale(self._study.user_attrs.get(SCALE_ATTRIBUTE, Scale.NONE))

    def finished(self) -> list[FinishedTrial]:
        """Return all recorded trials in order of number, each with the id of its latest run."""
        again = self._study.user_attrs
        stored = self._study.get_trials(deepcopy=False)
        ours = filter(_is_ours, stored)
        trials = [FinishedTrial.from_optuna(trial, self.spec) for trial in ours]
        return [
            replace(trial, run_id=again.get(f"{RUN_ATTRIBUTE}.{trial.number}", trial.run_id))
            for trial in trials
        ]

    def cohorts(self) -> list[list[PlannedTrial]]:
        """Return all trials planned so far, in the cohorts that were asked for together."""
        if self.spec.search.sampler == "grid":
            return [[PlannedTrial(*each) for each in enumerate(grid(self.spec))]]
        trials = self._study.get_trials(deepcopy=False)
        asked = [self._planned(trial) for trial in trials if self._is_asked(trial)]
        size = self.spec.search.cohort
        cohorts = itertools.groupby(asked, lambda trial: trial.number // size)
        return [list(cohort) for _, cohort in cohorts]

    def next_cohort(self) -> list[PlannedTrial]:
        """Return the trials to be trained together next, with those that are already finished.

        The list is empty if the budget is spent.
        """
        return self._grid() if self.spec.search.sampler == "grid" else self._asked_cohort()

    def _grid(self) -> list[PlannedTrial]:
        """Return the whole grid as one cohort, or nothing if all of it is finished."""
        cohort = [PlannedTrial(*numbered) for numbered in enumerate(grid(self.spec))]
        trials = self._study.get_trials(deepcopy=False)
        if len(trials) >= len(cohort) and all(trial.state.is_finished() for trial in trials):
            return []
        if self.spec.search.pruner != "none":
            # With pruning, trials finish in any order, so each one takes its number now.
            for trial in cohort[len(trials) :]:
                self._study.add_trial(
                    optuna.trial.create_trial(
                        state=TrialState.RUNNING,
                        params=self._params(trial.hyperparameters),
                        distributions=self._distributions,
                    )
                )
        return cohort

    def _asked_cohort(self) -> list[PlannedTrial]:
        """Return the current cohort, after asking for those of its trials that are still missing.

        Its first and last trial are stored before it is asked for. Trials that a killed driver left
        running keep their numbers and hyperparameters; training them again gives the same results.
        """
        trials = self._study.get_trials(deepcopy=False)
        first, end = self._study.user_attrs.get(COHORT_ATTRIBUTE, (0, len(trials)))
        if len(trials) >= end and all(trial.state.is_finished() for trial in trials):
            first = len(trials)
            end = first + self._next_size(first)
            if first == end:
                return []
            self._study.set_user_attr(COHORT_ATTRIBUTE, [first, end])
        for number in range(first, end):
            if number >= len(trials):
                self._study.sampler = sampler_for(self.spec, number)
                self._study.ask(self._distributions)
            elif not self._is_asked(trials[number]) and not trials[number].state.is_finished():
                self._study.sampler = sampler_for(self.spec, number)
                self._ask_on(trials[number])
        cohort = self._study.get_trials(deepcopy=False)[first:end]
        return [
            self._planned(trial)
            for trial in cohort
            if self._is_asked(trial) and (not trial.state.is_finished() or _is_ours(trial))
        ]

    def _is_asked(self, trial: FrozenTrial) -> bool:
        """Return whether a trial has all hyperparameters that are searched.

        If a driver was killed while it asked for a trial, some are missing until it is asked for
        again.
        """
        return len(trial.params) == len(self._distributions)

    def _planned(self, trial: FrozenTrial) -> PlannedTrial:
        """Return a trial of Optuna that has all its hyperparameters as a planned trial."""
        return PlannedTrial(trial.number, self.spec.hyperparameters(trial.params))

    def _params(self, tried: Hyperparameters) -> dict[str, Any]:
        """Return the hyperparameters that are searched, as Optuna stores them."""
        return {name: plain(getattr(tried, name)) for name in self._distributions}

    def _next_size(self, asked: int) -> int:
        """Return how many trials the next cohort has, 0 if the budget is spent."""
        spent = self.epochs_trained
        return next_size(self.spec.search, self.spec.model.epochs, asked, spent, self._minutes)

    @property
    def epochs_trained(self) -> int:
        """The number of epochs that all finished trials trained together."""
        return sum(self._epochs_of(trial) for trial in self.finished())

    def _epochs_of(self, trial: FinishedTrial) -> int:
        """Return the number of epochs that a trial trained, summed over its seeds.

        If one seed diverged while others went on, this is an upper bound.
        """
        replicates = self.spec.search.replicates
        together = replicates == 1 or trial.status is not Status.DIVERGED
        return replicates * (trial.stopped_epoch if together else self.spec.model.epochs)

    def _ask_on(self, trial: FrozenTrial) -> None:
        """Ask for the missing hyperparameters of a trial whose driver was killed while it asked."""
        # Optuna advises against creating a Trial directly, but offers no other way to continue one
        # that was asked for before.
        live = optuna.trial.Trial(self._study, self._id_of(trial.number))
        for name, distribution in self._distributions.items():
            drawn = name in trial.params and name not in live.relative_params
            if drawn and not distribution.single():
                # Draw it again, so that the sampler's random generator has the same state as then.
                self._study.sampler.sample_independent(self._study, trial, name, distribution)
            if isinstance(distribution, FloatDistribution):
                live.suggest_float(name, distribution.low, distribution.high, log=distribution.log)
            elif isinstance(distribution, CategoricalDistribution):
                live.suggest_categorical(name, distribution.choices)

    def _id_of(self, number: int) -> int:
        """Return the id under which the storage has the trial with this number."""
        return self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)

    def schedule(self, cohort: Sequence[PlannedTrial]) -> Schedule:
        """Return the schedule that says how many epochs each trial of a cohort trains."""
        search = self.spec.search
        numbers = [trial.number for trial in cohort]
        return Schedule.of(
            numbers,
            search.rung_epochs(self.spec.model.epochs),
            search.reduction_factor,
            hyperband=search.pruner == "hyperband",
            seed=(search.seed, min(numbers)),
        )

    def add_minutes(self, minutes: float) -> None:
        """Add the minutes that a cohort took, if the study has a budget of minutes."""
        if self.spec.search.minutes is not None:
            self._study.set_user_attr(MINUTES_ATTRIBUTE, self._minutes + minutes)

    @property
    def out_of_time(self) -> bool:
        """Whether the budget of minutes is spent."""
        budget = self.spec.search.minutes
        return budget is not None and self._minutes >= budget

    @property
    def _minutes(self) -> float:
        """The minutes that the finished cohorts took together."""
        return float(self._study.user_attrs.get(MINUTES_ATTRIBUTE, 0.0))

    def record(self, trial: FinishedTrial, run_url: str = "") -> None:
        """Store the result of a trial; from then on the trial counts and is never trained again.

        Raises ValueError if trials that are appended do not come in order of number.
        """
        objective = self.spec.search.objective
        state = _STATES[trial.status]
        failed = state is TrialState.FAIL
        value = None if failed else objective.of(trial)
        attributes = trial.attributes() | ({URL_ATTRIBUTE: run_url} if run_url else {})
        values = {rung.epoch: objective.of(rung) for rung in trial.rungs}
        if self.spec.search.appends:
            if trial.number != self._added:  # in a grid, the number is the position
                raise ValueError(f"trial {trial.number} recorded in the place of {self._added}")
            self._added += 1
            self._study.add_trial(
                optuna.trial.create_trial(
                    state=state,
                    value=value,
                    params=self._params(trial.hyperparameters),
                    distributions=self._distributions,
                    user_attrs=attributes,
                    intermediate_values=values,
                )
            )
            return
        trial_id = self._id_of(trial.number)
        for key, attribute in attributes.items():
            self._storage.set_trial_user_attr(trial_id, key, attribute)
        if state is TrialState.PRUNED and value is not None:
            values[trial.stopped_epoch] = value  # it becomes a pruned trial's value
            value = None
        for epoch, reported in values.items():
            self._storage.set_trial_intermediate_value(trial_id, epoch, reported)
        self._study.tell(trial.number, value, state=state)

    def finalists_due(self) -> list[FinishedTrial]:
        """Return the finalists that must still be evaluated on fresh seeds."""
        return due(self.spec, self.finished(), self._finals())

    def finals(self) -> Finals | None:
        """Return the finalists' results on fresh seeds.

        They are None if the study asks for no finalists, or if some are still to be evaluated.
        """
        unwanted = self.spec.search.finalists == 0
        return None if unwanted or self.finalists_due() else self._finals()

    def _finals(self) -> Finals | None:
        """Return the finalists' results as they are stored, for whichever finalists that was."""
        stored = self._study.user_attrs.get(FINALISTS_ATTRIBUTE)
        return None if stored is None else Finals.from_json(stored)

    def record_finalists(self, finals: Finals) -> None:
        """Store the finalists' results on fresh seeds."""
        self._study.set_user_attr(FINALISTS_ATTRIBUTE, finals.as_json())

    def record_run(self, number: int, run_id: str) -> None:
        """Store the new id of a run that was rewritten.

        It is stored in the study, because Optuna does not allow changes to a finished trial.
        """
        self._study.set_user_attr(f"{RUN_ATTRIBUTE}.{number}", run_id)

    def test_evaluations(self) -> list[dict[str, Any]]:
        """Return every use of the test set so far: its time, trial and MLflow run."""
        return list(self._study.user_attrs.get(TEST_ATTRIBUTE, []))

    def record_test_evaluation(self, evaluation: dict[str, Any]) -> None:
        """Store one more use of the test set."""
        self._study.set_user_attr(TEST_ATTRIBUTE, [*self.test_evaluations(), evaluation])


def _is_ours(trial: FrozenTrial) -> bool:
    """Return whether a trial was finished by `SearchStudy.record`."""
    return RESULT_ATTRIBUTE in trial.user_attrs and trial.state.is_finished()

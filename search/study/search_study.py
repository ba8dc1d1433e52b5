"""Plan a study's cohorts and record its results in Optuna's storage."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from core.datasets.scaling import Scale
from core.trainer.pruning import Schedule
from core.trainer.result import Status
from search.spec.budget import next_size, total_epochs
from search.spec.space import grid
from search.spec.study_spec import StudySpec
from search.study.asking import Asker, is_ours
from search.study.distributions import distributions
from search.trials.attributes import (
    COHORT_ATTRIBUTE,
    DATA_ATTRIBUTE,
    FINALISTS_ATTRIBUTE,
    MINUTES_ATTRIBUTE,
    RUN_ATTRIBUTE,
    SCALE_ATTRIBUTE,
    STARTS_ATTRIBUTE,
    TEST_ATTRIBUTE,
    URL_ATTRIBUTE,
)
from search.trials.finals import Finals, due
from search.trials.finished_trial import FinishedTrial
from search.trials.repeats import exhausted, trained
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
        self.spec = spec
        self._distributions: dict[str, BaseDistribution] = distributions(spec)
        self._asker = Asker(study, storage, spec, self._distributions)
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
        most = min(self.budget, self.spec.configurations() or self.budget)
        return total_epochs(most, self.spec.search, self.spec.model.epochs)

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
        trials = [FinishedTrial.from_optuna(each, self.spec) for each in filter(is_ours, stored)]

        def run_of(trial: FinishedTrial) -> str:
            number = trial.number if trial.repeats is None else trial.repeats
            return str(again.get(f"{RUN_ATTRIBUTE}.{number}", trial.run_id))

        return [replace(trial, run_id=run_of(trial)) for trial in trials]

    def cohorts(self) -> list[list[PlannedTrial]]:
        """Return all trials planned so far, in the cohorts that were asked for together, without
        those that are not trained because they repeat another one."""
        if self.spec.search.sampler == "grid":
            return [[PlannedTrial(*each) for each in enumerate(grid(self.spec))]]
        trials = self._study.get_trials(deepcopy=False)
        repeats = self._repeats(trials)
        asked = [
            self._asker.planned(trial)
            for trial in trials
            if self._asker.is_asked(trial) and trial.number not in repeats
        ]
        known = self._starts
        earlier = range(0, known[0] if known else len(trials), self.spec.search.cohort)
        starts = [*earlier, *known]
        cohorts = itertools.groupby(asked, lambda trial: bisect.bisect(starts, trial.number))
        return [list(cohort) for _, cohort in cohorts]

    def next_cohort(self) -> list[PlannedTrial]:
        """Return the trials to be trained together next, with those that are already finished.

        The list is empty if the budget is spent.
        """
        return self._asker.grid() if self.spec.search.sampler == "grid" else self._asked_cohort()

    def _asked_cohort(self) -> list[PlannedTrial]:
        """Return the current cohort, after asking for those of its trials that are still missing.

        Its first and last trial are stored before it is asked for. Trials that repeat an earlier
        one are recorded once that is finished, and are not returned.
        """
        done: tuple[int, int] | None = None
        while (current := self._current_cohort()) != done:
            self._asker.ask(*current)
            self._record_repeats(*current)
            trials = self._study.get_trials(deepcopy=False)
            repeats = self._repeats(trials)
            cohort = [
                trial
                for trial in trials[slice(*current)]
                if trial.number not in repeats
                and self._asker.is_asked(trial)
                and (not trial.state.is_finished() or is_ours(trial))
            ]
            if any(not trial.state.is_finished() for trial in cohort):
                return [self._asker.planned(trial) for trial in cohort]
            done = current  # All of it repeats what is known, or was finished before.
        return []

    def _current_cohort(self) -> tuple[int, int]:
        """Return the number of the first trial of the current cohort, and one more than that of its
        last; begin the next cohort if all trials are finished. It is empty if the budget is spent.
        """
        trials = self._study.get_trials(deepcopy=False)
        first, end = self._study.user_attrs.get(COHORT_ATTRIBUTE, (0, len(trials)))
        if len(trials) >= end and all(trial.state.is_finished() for trial in trials):
            first = len(trials)
            end = first + self._next_size(first)
            if first < end:
                starts = sorted({*self._starts, first})
                self._study.set_user_attr(STARTS_ATTRIBUTE, starts)
                self._study.set_user_attr(COHORT_ATTRIBUTE, [first, end])
        return first, end

    def _repeats(self, trials: Sequence[FrozenTrial]) -> dict[int, int]:
        """Return the trials that repeat another one, by number, with the number of that one."""
        starts = self._starts
        return self._asker.repeats(trials, since=starts[0] if starts else len(trials))

    @property
    def _starts(self) -> list[int]:
        """The numbers of the first trials of the cohorts; see `STARTS_ATTRIBUTE`."""
        return list(self._study.user_attrs.get(STARTS_ATTRIBUTE, []))

    def _record_repeats(self, first: int, end: int) -> None:
        """Record those trials of a cohort that repeat a finished one, with the result of that."""
        trials = self._study.get_trials(deepcopy=False)
        repeats = self._repeats(trials)
        finished = {trial.number: trial for trial in self.finished()}
        for number in range(first, end):
            known = finished.get(repeats.get(number, -1))
            if known is not None and number not in finished:
                run_url = trials[known.number].user_attrs.get(URL_ATTRIBUTE, "")
                self.record(replace(known, number=number, repeats=known.number), run_url)

    def _next_size(self, asked: int) -> int:
        """Return how many trials the next cohort has, 0 if the budget is spent or nothing is left
        to try."""
        if exhausted(self.spec, self.finished()) is not None:
            return 0
        spent = self.epochs_trained
        return next_size(self.spec.search, self.spec.model.epochs, asked, spent, self._minutes)

    @property
    def epochs_trained(self) -> int:
        """The number of epochs that all finished trials trained together."""
        return sum(self._epochs_of(trial) for trial in trained(self.finished()))

    def _epochs_of(self, trial: FinishedTrial) -> int:
        """Return the number of epochs that a trial trained, summed over its seeds.

        If one seed diverged while others went on, this is an upper bound.
        """
        replicates = self.spec.search.replicates
        together = replicates == 1 or trial.status is not Status.DIVERGED
        return replicates * (trial.stopped_epoch if together else self.spec.model.epochs)

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
                    params=self._asker.params(trial.hyperparameters),
                    distributions=self._distributions,
                    user_attrs=attributes,
                    intermediate_values=values,
                )
            )
            return
        trial_id = self._asker.id_of(trial.number)
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

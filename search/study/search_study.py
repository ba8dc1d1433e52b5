"""The Optuna study, the one source of truth: open and resume it, plan cohorts, record results."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from core.trainer.pruning import Schedule
from core.trainer.result import Hyperparameters, Status
from search.spec.budget import cohort_epochs, next_size
from search.spec.space import grid
from search.spec.study_spec import StudySpec
from search.study.distributions import distributions
from search.study.samplers import sampler_for
from search.trials.finals import Finals, due
from search.trials.finished_trial import (
    RESULT_ATTRIBUTE,
    RUN_ATTRIBUTE,
    URL_ATTRIBUTE,
    FinishedTrial,
)
from search.trials.trial import PlannedTrial

DATA_ATTRIBUTE = "lockstep.data_digest"
TEST_ATTRIBUTE = "lockstep.test_evaluations"
FINALISTS_ATTRIBUTE = "lockstep.finalists"
COHORT_ATTRIBUTE = "lockstep.cohort"  # of the latest: its first trial, and the one after its last
MINUTES_ATTRIBUTE = "lockstep.minutes"  # that finished cohorts took

_STATES = {
    Status.COMPLETED: TrialState.COMPLETE,
    Status.PRUNED: TrialState.PRUNED,
    Status.DIVERGED: TrialState.FAIL,
}


class SearchStudy:
    """Hold one study open for its driver: what Optuna calls a study, and the storage it is in."""

    def __init__(self, study: optuna.Study, storage: BaseStorage, spec: StudySpec) -> None:
        self._study = study
        self._storage = storage
        self._study_id = storage.get_study_id_from_name(study.study_name)
        self.spec = spec
        self._distributions: dict[str, BaseDistribution] = distributions(spec.space)
        self._added = len(study.get_trials(deepcopy=False))

    @property
    def budget(self) -> int | None:
        """`StudySpec.budget`."""
        return self.spec.budget

    @property
    def planned_epochs(self) -> int | None:
        """Of all these trials together, if none diverges."""
        search, epochs = self.spec.search, self.spec.model.epochs
        if self.budget is None:
            return None
        if search.sampler == "grid":
            return cohort_epochs(self.budget, search, epochs)
        whole, rest = divmod(self.budget, search.cohort)
        return whole * cohort_epochs(search.cohort, search, epochs) + cohort_epochs(
            rest, search, epochs
        )

    @property
    def data_digest(self) -> str | None:
        """Of the data that the study was started with."""
        digest = self._study.user_attrs.get(DATA_ATTRIBUTE)
        return None if digest is None else str(digest)

    def finished(self) -> list[FinishedTrial]:
        """All recorded trials in order of number."""
        again = self._study.user_attrs
        trials = [
            FinishedTrial.from_optuna(trial)
            for trial in self._study.get_trials(deepcopy=False)
            if _is_ours(trial)
        ]
        return [
            replace(trial, run_id=again.get(f"{RUN_ATTRIBUTE}.{trial.number}", trial.run_id))
            for trial in trials
        ]

    def cohorts(self) -> list[list[PlannedTrial]]:
        """All trials that there are, in the cohorts in which they were decided on."""
        if self.spec.search.sampler == "grid":
            return [[PlannedTrial(*each) for each in enumerate(grid(self.spec.space))]]
        asked = [
            PlannedTrial(trial.number, Hyperparameters(**trial.params))
            for trial in self._study.get_trials(deepcopy=False)
            if len(trial.params) == len(self._distributions)
        ]
        size = self.spec.search.cohort
        return [
            list(cohort)
            for _, cohort in itertools.groupby(asked, lambda trial: trial.number // size)
        ]

    def optuna_trials(self) -> list[FrozenTrial]:
        """As Optuna holds them."""
        return self._study.get_trials(deepcopy=False)

    def next_cohort(self) -> list[PlannedTrial]:
        """The trials to be trained together next, those of them that are already finished
        included; empty when the budget is spent."""
        return self._grid() if self.spec.search.sampler == "grid" else self._asked_cohort()

    def _grid(self) -> list[PlannedTrial]:
        cohort = [PlannedTrial(*numbered) for numbered in enumerate(grid(self.spec.space))]
        trials = self._study.get_trials(deepcopy=False)
        if len(trials) >= len(cohort) and all(trial.state.is_finished() for trial in trials):
            return []
        if self.spec.search.pruner != "none":
            # They will not finish in the order of their numbers, so they take them now.
            for trial in cohort[len(trials) :]:
                self._study.add_trial(
                    optuna.trial.create_trial(
                        state=TrialState.RUNNING,
                        params=asdict(trial.hyperparameters),
                        distributions=self._distributions,
                    )
                )
        return cohort

    def _asked_cohort(self) -> list[PlannedTrial]:
        """The current cohort, asked for to its end.

        Its bounds are stored before it is asked for, and trials that a dead driver left running are
        adopted: their numbers and hyperparameters stand, and training is deterministic.
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
            elif not _is_whole(trials[number]) and not trials[number].state.is_finished():
                self._study.sampler = sampler_for(self.spec, number)
                self._ask_on(trials[number])
        cohort = self._study.get_trials(deepcopy=False)[first:end]
        return [
            PlannedTrial(trial.number, Hyperparameters(**trial.params))
            for trial in cohort
            if _is_whole(trial) and (not trial.state.is_finished() or _is_ours(trial))
        ]

    def _next_size(self, asked: int) -> int:
        minutes = float(self._study.user_attrs.get(MINUTES_ATTRIBUTE, 0.0))
        spent = self.epochs_trained
        return next_size(self.spec.search, self.spec.model.epochs, asked, spent, minutes)

    @property
    def epochs_trained(self) -> int:
        """By all finished trials together."""
        return sum(self._epochs_of(trial) for trial in self.finished())

    def _epochs_of(self, trial: FinishedTrial) -> int:
        """That it trained, over its seeds; at most, where one diverged and others went on."""
        replicates = self.spec.search.replicates
        together = replicates == 1 or trial.status is not Status.DIVERGED
        return replicates * (trial.stopped_epoch if together else self.spec.model.epochs)

    def _ask_on(self, trial: FrozenTrial) -> None:
        """Ask for what is missing of a trial whose driver was killed while it asked."""
        # Optuna advises against making a live trial oneself, but has no other way to one that was
        # asked for before.
        live = optuna.trial.Trial(self._study, self._id_of(trial.number))
        for name, distribution in self._distributions.items():
            drawn = name in trial.params and name not in live.relative_params
            if drawn and not distribution.single():
                # Drawn again, so that the sampler's generator is where it was.
                self._study.sampler.sample_independent(self._study, trial, name, distribution)
            if isinstance(distribution, FloatDistribution):
                live.suggest_float(name, distribution.low, distribution.high, log=distribution.log)
            elif isinstance(distribution, CategoricalDistribution):
                live.suggest_categorical(name, distribution.choices)

    def _id_of(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)

    def schedule(self, cohort: Sequence[PlannedTrial]) -> Schedule:
        """How far the trials of a cohort train."""
        search = self.spec.search
        numbers = [trial.number for trial in cohort]
        return Schedule.of(
            numbers,
            search.rungs(self.spec.model.epochs),
            search.eta,
            hyperband=search.pruner == "hyperband",
            seed=(search.seed, min(numbers)),
        )

    def add_minutes(self, minutes: float) -> None:
        """That a cohort took, where time is a budget."""
        if self.spec.search.minutes is not None:
            before = float(self._study.user_attrs.get(MINUTES_ATTRIBUTE, 0.0))
            self._study.set_user_attr(MINUTES_ATTRIBUTE, before + minutes)

    @property
    def out_of_time(self) -> bool:
        """Whether the budget of minutes is spent."""
        budget = self.spec.search.minutes
        return budget is not None and self._study.user_attrs.get(MINUTES_ATTRIBUTE, 0.0) >= budget

    def record(self, trial: FinishedTrial, run_url: str = "") -> None:
        """Commit a result: from here on the trial counts and is never trained again."""
        objective = self.spec.search.objective
        state = _STATES[trial.status]
        failed = state is TrialState.FAIL
        value = None if failed else objective.of(trial)
        attributes = trial.attributes() | ({URL_ATTRIBUTE: run_url} if run_url else {})
        values = {rung.epoch: objective.of(rung) for rung in trial.rungs}
        if self.spec.search.appends:
            if trial.number != self._added:  # a trial of the grid is its place in it
                raise ValueError(f"trial {trial.number} recorded in the place of {self._added}")
            self._added += 1
            self._study.add_trial(
                optuna.trial.create_trial(
                    state=state,
                    value=value,
                    params=asdict(trial.hyperparameters),
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
            values[trial.stopped_epoch] = value  # Optuna takes the last one for a pruned trial's
            value = None
        for epoch, reported in values.items():
            self._storage.set_trial_intermediate_value(trial_id, epoch, reported)
        self._study.tell(trial.number, value, state=state)

    def finalists_due(self) -> list[FinishedTrial]:
        """Those that are still to be judged on fresh seeds."""
        return due(self.spec, self.finished(), self._finals())

    def finals(self) -> Finals | None:
        """What the finalists showed, unless the study has since found better ones, or asks for
        none."""
        unwanted = self.spec.search.finalists == 0
        return None if unwanted or self.finalists_due() else self._finals()

    def _finals(self) -> Finals | None:
        stored = self._study.user_attrs.get(FINALISTS_ATTRIBUTE)
        return None if stored is None else Finals.from_json(stored)

    def record_finalists(self, finals: Finals) -> None:
        self._study.set_user_attr(FINALISTS_ATTRIBUTE, finals.as_json())

    def record_run(self, number: int, run_id: str) -> None:
        """That a finished trial's run was written again. A finished trial itself is immutable."""
        self._study.set_user_attr(f"{RUN_ATTRIBUTE}.{number}", run_id)

    def test_evaluations(self) -> list[dict[str, Any]]:
        """Every use of the test set so far: time, trial and MLflow run."""
        return list(self._study.user_attrs.get(TEST_ATTRIBUTE, []))

    def record_test_evaluation(self, evaluation: dict[str, Any]) -> None:
        self._study.set_user_attr(TEST_ATTRIBUTE, [*self.test_evaluations(), evaluation])


def _is_whole(trial: FrozenTrial) -> bool:
    """Whether all its hyperparameters are there."""
    return len(trial.params) == len(fields(Hyperparameters))


def _is_ours(trial: FrozenTrial) -> bool:
    """Whether it was finished by `record`."""
    return RESULT_ATTRIBUTE in trial.user_attrs and trial.state.is_finished()

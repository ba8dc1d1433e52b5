"""Plan a study's cohorts and record its results in Optuna's storage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.trial import TrialState

from core.datasets.scaling import Scale
from core.trainer.order import Order
from core.trainer.pruning import Schedule
from core.trainer.result import Status
from search.settings import Settings
from search.spec.budget import next_size, total_epochs
from search.spec.study_spec import StudySpec
from search.study.planning import Planner
from search.study.started import Started
from search.study.stopping import why_stopped
from search.trials.attributes import (
    FINALISTS_ATTRIBUTE,
    MINUTES_ATTRIBUTE,
    ORDER_ATTRIBUTE,
    REPEATS_ATTRIBUTE,
    REPLACES_ATTRIBUTE,
    RESULT_ATTRIBUTE,
    RUN_ATTRIBUTE,
    SCALE_ATTRIBUTE,
    STUDY_ID_ATTRIBUTE,
    TEST_ATTRIBUTE,
    URL_ATTRIBUTE,
)
from search.trials.finals import Finals, due
from search.trials.finished_trial import FinishedTrial
from search.trials.identity import Identity
from search.trials.repeats import exhausted, trained
from search.trials.trial import PlannedTrial

_STATES = {
    Status.COMPLETED: TrialState.COMPLETE,
    Status.PRUNED: TrialState.PRUNED,
    Status.DIVERGED: TrialState.FAIL,
}


class SearchStudy:
    """An open study: Optuna's study together with the storage that it is in.

    Trials that somebody else has added to it are left out.

    grown: how the study has grown since it was opened last, None if it has not.
    is_mirrored: whether MLflow may know the study's identity since it was opened.
    """

    def __init__(
        self,
        study: optuna.Study,
        storage: BaseStorage,
        spec: StudySpec,
        settings: Settings,
        grown: str | None = None,
    ) -> None:
        self._study = study
        self._storage = storage
        self._started = Started.of(study)
        specs = [spec] if self._started is None else self._started.generations(spec)
        self._planner = Planner(study, storage, specs, settings)
        self.spec = spec
        self.grown = grown
        self.is_mirrored = False
        self._added = len(self._planner.recorded())
        # After how many trials it was last judged whether the search stops, and why it does.
        self._judged: tuple[int, str | None] = (0, None)

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
        return None if self._started is None else self._started.data_digest

    @property
    def earlier_digests(self) -> frozenset[str]:
        """The digests of the data before sets of features were added to it."""
        earlier = () if self._started is None else self._started.earlier
        return frozenset(each.data_digest for each in earlier)

    @property
    def scale(self) -> Scale:
        """What the study does to the features."""
        return Scale(self._study.user_attrs.get(SCALE_ATTRIBUTE, Scale.NONE))

    @property
    def order(self) -> Order:
        """In which order the study's epochs go through the examples."""
        return Order(self._study.user_attrs.get(ORDER_ATTRIBUTE, Order.EXACT))

    def is_unused(self) -> bool:
        """Return whether the study can be removed without a loss.

        Nothing has been recorded, and nobody else has added trials.
        """
        return self._planner.is_unused()

    def mirror(self) -> None:
        """Note that from now on MLflow may know the study's identity."""
        self.is_mirrored = True

    def identity(self) -> Identity:
        """Return who the study is, and the runs to which it refers."""
        return Identity(
            self._study.user_attrs.get(STUDY_ID_ATTRIBUTE),
            {trial.number: trial.run_id for trial in trained(self.finished())},
            frozenset(str(each["run_id"]) for each in self.test_evaluations()),
        )

    def finished(self) -> list[FinishedTrial]:
        """Return all recorded trials in order of number, each with the id of its latest run.

        The number is that of Optuna. In a grid whose trials are recorded in order, it is the place
        in this order, which is the same unless somebody else has added trials.
        """
        stored = self._study.user_attrs
        found = []
        for place, trial in enumerate(self._planner.recorded()):
            number = place if self.spec.search.appends else trial.number
            trained_as = trial.user_attrs.get(REPEATS_ATTRIBUTE, number)
            raised = stored.get(f"{RESULT_ATTRIBUTE}.{trained_as}", {})
            finished = FinishedTrial.from_optuna(
                trial, self._planner.tried(trial, number), {**trial.user_attrs, **raised}
            )
            run_id = stored.get(f"{RUN_ATTRIBUTE}.{trained_as}")
            if run_id is None or run_id == raised.get(REPLACES_ATTRIBUTE):
                run_id = finished.run_id
            found.append(replace(finished, number=number, run_id=str(run_id)))
        return found

    def is_whole(self, trial: FinishedTrial) -> bool:
        """Return whether a finished trial needs no more training.

        It does if it was completed before the number of epochs was raised.
        """
        return trial.status is not Status.COMPLETED or trial.stopped_epoch >= self.spec.model.epochs

    def cohorts(self) -> list[list[PlannedTrial]]:
        """Return all trials planned so far, in the cohorts that were asked for together, without
        those that are not trained because they repeat another one."""
        return self._planner.cohorts()

    def next_cohort(self) -> list[PlannedTrial]:
        """Return the trials to be trained together next, with those that are already finished.

        The list is empty if the budget is spent. Raises LockstepError if trials that somebody else
        has added are in the way.
        """
        if cohort := self._cohort_to_raise():
            return cohort
        if self.spec.search.sampler == "grid":
            return self._planner.grid()
        return self._asked_cohort()

    @property
    def n_whole(self) -> int:
        """The number of finished trials that need no more training."""
        return sum(map(self.is_whole, self.finished()))

    def _cohort_to_raise(self) -> list[PlannedTrial]:
        """Return the first cohort with trials that are to be trained for more epochs."""
        if not self._short:
            return []
        return next(
            cohort
            for cohort in self._planner.cohorts()
            if any(trial.number in self._short for trial in cohort)
        )

    @cached_property
    def _short(self) -> dict[int, str]:
        """The runs of the trials that are to be trained for more epochs, by number."""
        return {
            trial.number: trial.run_id
            for trial in trained(self.finished())
            if not self.is_whole(trial)
        }

    def _asked_cohort(self) -> list[PlannedTrial]:
        """Return the current cohort, after asking for those of its trials that are still missing.

        Trials that repeat an earlier one are recorded once that is finished, and are not returned.
        """
        done: tuple[int, int] | None = None
        while (current := self._planner.current(self._next_size)) != done:
            self._planner.ask(*current)
            self._record_repeats(*current)
            if cohort := self._planner.unfinished_cohort(*current):
                return cohort
            done = current  # All of it repeats what is known, or was finished before.
        return []

    def _record_repeats(self, first: int, end: int) -> None:
        """Record those trials of a cohort that repeat a finished one, with the result of that."""
        repeats = self._planner.repeats()
        finished = {trial.number: trial for trial in self.finished()}
        for number in range(first, end):
            known = finished.get(repeats.get(number, -1))
            if known is not None and number not in finished:
                run_url = self._planner.run_url(known.number)
                self.record(replace(known, number=number, repeats=known.number), run_url)

    def _next_size(self, asked: int) -> int:
        """Return how many trials the next cohort has, 0 if the budget is spent or nothing is left
        to try."""
        if exhausted(self.spec, self.finished()) is not None or self.stopped is not None:
            return 0
        spent = self.epochs_trained
        return next_size(self.spec.search, self.spec.model.epochs, asked, spent, self._minutes)

    @property
    def stopped(self) -> str | None:
        """Why the search ends before its budget is spent, None if it does not."""
        search, trials = self.spec.search, self.finished()
        if search.patience is None and search.regret is None:
            return None
        if len(trials) != self._judged[0]:
            axes, earlier = self._planner.distributions, self._started and self._started.earlier
            grown_at = earlier[-1].trials if earlier else 0
            why = why_stopped(self.spec, trials, self._study, axes, grown_at)
            self._judged = len(trials), why
        return self._judged[1]

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
        """Store the result of a trial; from then on the trial counts and is not trained again.

        If it was recorded after fewer epochs, this is its result from now on.

        Raises ValueError if trials that are appended do not come in order of number.
        """
        objective = self.spec.search.objective
        state = _STATES[trial.status]
        failed = state is TrialState.FAIL
        value = None if failed else objective.of(trial)
        attributes = trial.attributes() | ({URL_ATTRIBUTE: run_url} if run_url else {})
        if trial.number in self._short:
            replaces = {REPLACES_ATTRIBUTE: self._short[trial.number]}
            self._study.set_user_attr(f"{RESULT_ATTRIBUTE}.{trial.number}", attributes | replaces)
            del self._short[trial.number]
            return
        values = {rung.epoch: objective.of(rung) for rung in trial.rungs}
        if self.spec.search.appends:
            if trial.number != self._added:  # in a grid, the number is the position
                raise ValueError(f"trial {trial.number} recorded in the place of {self._added}")
            self._added += 1
            planned = PlannedTrial(trial.number, trial.hyperparameters)
            stored = self._planner.generations.to_store(planned)
            self._study.add_trial(
                optuna.trial.create_trial(
                    state=state,
                    value=value,
                    params=stored.params,
                    distributions=stored.distributions,
                    user_attrs=attributes | stored.attributes,
                    intermediate_values=values,
                )
            )
            return
        trial_id = self._planner.id_of(trial.number)
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

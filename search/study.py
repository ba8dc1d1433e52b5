"""The Optuna study, the one source of truth: open and resume it, plan cohorts, record results."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import TrialState

from core.result import Hyperparameters, Status
from search.errors import LockstepError, NothingToShowError, StudyChangedError
from search.finished_trial import RESULT_ATTRIBUTE, FinishedTrial
from search.lease import file_lease
from search.plan import PlannedTrial
from search.settings import Settings
from search.space import distributions, grid
from search.spec import StudySpec, differences
from search.study_storage import (
    check_launched,
    driver_storage,
    not_launched,
    open_storage,
    remove_study,
)

SPEC_ATTRIBUTE = "lockstep.spec"
DATA_ATTRIBUTE = "lockstep.data_digest"
TEST_ATTRIBUTE = "lockstep.test_evaluations"

_STATES = {
    Status.COMPLETED: TrialState.COMPLETE,
    Status.PRUNED: TrialState.PRUNED,
    Status.DIVERGED: TrialState.FAIL,
}


class SearchStudy:
    """One study, held open by its driver."""

    def __init__(self, study: optuna.Study, spec: StudySpec) -> None:
        self._study = study
        self.spec = spec
        self._distributions: dict[str, BaseDistribution] = distributions(spec.space)
        self._added = len(study.get_trials(deepcopy=False))

    @property
    def budget(self) -> int:
        """Trials that the study is to have in the end."""
        return self.spec.budget

    @property
    def data_digest(self) -> str | None:
        """Of the data that the study was started with."""
        digest = self._study.user_attrs.get(DATA_ATTRIBUTE)
        return None if digest is None else str(digest)

    def finished(self) -> list[FinishedTrial]:
        """All recorded trials in order of number."""
        return [
            FinishedTrial.from_optuna(trial)
            for trial in self._study.get_trials(deepcopy=False)
            if RESULT_ATTRIBUTE in trial.user_attrs and trial.state.is_finished()
        ]

    def next_cohort(self) -> list[PlannedTrial]:
        """The trials to be trained together next, those of them that are already finished
        included; empty when the study has its trials."""
        if self.spec.search.sampler == "grid":
            cohort = [PlannedTrial(*numbered) for numbered in enumerate(grid(self.spec.space))]
            done = len(self._study.get_trials(deepcopy=False)) >= len(cohort)
            return [] if done else cohort
        return self._asked_cohort()

    def _asked_cohort(self) -> list[PlannedTrial]:
        """Ask the sampler for the rest of the current cohort.

        Trials that a dead driver left running are adopted: their number and parameters stand, and
        training is deterministic. Each suggestion has a seed of its own, so that a study continues
        as if it had never been interrupted.
        """
        trials = self._study.get_trials(deepcopy=False)
        for trial in trials:
            if trial.state is TrialState.RUNNING and len(trial.params) < len(self._distributions):
                self._study.tell(trial.number, state=TrialState.FAIL)  # killed while being asked
        trials = self._study.get_trials(deepcopy=False)
        running = [trial.number for trial in trials if trial.state is TrialState.RUNNING]
        size = self.spec.search.cohort
        first = (min(running) if running else len(trials)) // size * size
        lost = sum(len(trial.params) < len(self._distributions) for trial in trials)
        end = min(first + size, self.budget + lost)
        for number in range(len(trials), end):
            self._study.sampler = _sampler(self.spec, number - lost)
            self._study.ask(self._distributions)
        cohort = self._study.get_trials(deepcopy=False)[first:end]
        if all(trial.state.is_finished() for trial in cohort):
            return []
        return [
            PlannedTrial(trial.number, Hyperparameters(**trial.params))
            for trial in cohort
            if len(trial.params) == len(self._distributions)
        ]

    def record(self, trial: FinishedTrial) -> None:
        """Commit a result: from here on the trial counts and is never trained again."""
        state = _STATES[trial.status]
        failed = state is TrialState.FAIL
        value = None if failed else float(getattr(trial, self.spec.search.objective))
        attributes = trial.attributes()
        if self.spec.search.sampler == "grid":
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
                )
            )
            return
        # Optuna has no public way from a number to a live trial, and only that takes attributes.
        number_to_id = {
            each.number: each._trial_id for each in self._study.get_trials(deepcopy=False)
        }
        live = optuna.trial.Trial(self._study, number_to_id[trial.number])
        for key, attribute in attributes.items():
            live.set_user_attr(key, attribute)
        if state is TrialState.PRUNED and value is not None:
            live.report(value, trial.stopped_epoch)  # Optuna takes it for the pruned trial's value
            value = None
        self._study.tell(trial.number, value, state=state)

    def test_evaluations(self) -> list[dict[str, Any]]:
        """Every use of the test set so far: time, trial and MLflow run."""
        return list(self._study.user_attrs.get(TEST_ATTRIBUTE, []))

    def record_test_evaluation(self, evaluation: dict[str, Any]) -> None:
        self._study.set_user_attr(TEST_ATTRIBUTE, [*self.test_evaluations(), evaluation])


def _sampler(spec: StudySpec, number: int) -> BaseSampler:
    """The sampler for the trial of this number."""
    seed = int(np.random.SeedSequence((spec.search.seed, number)).generate_state(1)[0])
    return RandomSampler(seed) if spec.search.sampler == "random" else TPESampler(seed=seed)


@contextlib.contextmanager
def open_study(spec: StudySpec, settings: Settings, data_digest: str) -> Iterator[SearchStudy]:
    """Create or continue the study, as its only driver. One that is new, and whose first launch
    fails without a finished trial, is removed again.

    Raises StudyBusyError when another driver holds it, StudyChangedError when the study file or the
    data differ from those that it was started with.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with (
        file_lease(settings.folder(spec.name) / "driver.lock", spec.name),
        driver_storage(spec.name, settings) as storage,
    ):
        direction = (
            StudyDirection.MAXIMIZE
            if spec.search.objective == "val_accuracy"
            else StudyDirection.MINIMIZE
        )
        study = optuna.create_study(
            study_name=spec.name, storage=storage, direction=direction, load_if_exists=True
        )
        opened = SearchStudy(study, spec)
        new = not opened.finished()
        _check_unchanged(study, spec, data_digest)
        try:
            yield opened
        except (LockstepError, OSError):
            with contextlib.suppress(Exception):  # the storage may be what failed
                if new and not opened.finished():
                    remove_study(spec.name, settings, storage)
            raise


def load_study(spec: StudySpec, settings: Settings) -> SearchStudy:
    """The study as it stands, to be read. Raises NothingToShowError when it was never launched."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    check_launched(spec.name, settings)
    try:
        storage = open_storage(spec.name, settings, repair=False)
        study = optuna.load_study(study_name=spec.name, storage=storage)
    except KeyError as error:
        raise NothingToShowError(not_launched(spec.name, settings)) from error
    return SearchStudy(study, spec)


def _check_unchanged(study: optuna.Study, spec: StudySpec, data_digest: str) -> None:
    stored = study.user_attrs.get(SPEC_ATTRIBUTE)
    if stored is None:
        # The spec last: a driver that was killed in between left a study without one.
        study.set_user_attr(DATA_ATTRIBUTE, data_digest)
        study.set_user_attr(SPEC_ATTRIBUTE, spec.defining())
        return
    changes = differences(stored, json.loads(json.dumps(spec.defining())))
    if study.user_attrs.get(DATA_ATTRIBUTE) != data_digest:
        changes.append("the data's content")
    if changes:
        raise StudyChangedError(
            f"study {spec.name} was started with another study file ({'; '.join(changes)}): "
            "undo the change, or give the study a new name"
        )

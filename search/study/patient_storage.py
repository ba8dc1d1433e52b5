"""An Optuna storage that waits while its database cannot be reached."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable, Container, Sequence
from typing import Any, TypeVar

from optuna.distributions import BaseDistribution
from optuna.exceptions import DuplicatedStudyError
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search.errors import LockstepError
from search.study.known_trials import KnownTrials

FIRST_DELAY, LONGEST_DELAY = 0.5, 10.0  # seconds before a retry; the delay doubles each time

_FINISHED = tuple(state for state in TrialState if state.is_finished())

T = TypeVar("T")

logger = logging.getLogger(__name__)


class ConnectionLostError(Exception):
    """The connection to the database was lost or could not be made; the text gives the reason."""


class PatientStorage(BaseStorage):
    """An Optuna storage that passes each call on to another storage and repeats the call while that
    one raises ConnectionLostError.

    It is meant for a study's only driver. A connection may be lost after a change was committed and
    before the answer arrived; then the change is stored although the call failed. Most calls can
    simply be repeated. Before the others are repeated, the storage is asked whether the change is
    already there; nobody else can have made it.

    Each call raises LockstepError if the database has not answered for ``patience`` seconds.
    ``database`` is its name in that message.
    """

    def __init__(self, storage: BaseStorage, database: str, patience: float) -> None:
        self._storage = storage
        self._database = database
        self._patience = patience
        self._known = KnownTrials(storage)
        self._counts: dict[int, int] = {}  # the number of trials by study id

    def _patiently(self, call: Callable[[], T], again: Callable[[], T] | None = None) -> T:
        """Return what ``call`` returns; after a lost connection, call ``again`` instead."""
        began, delay, attempt = time.monotonic(), FIRST_DELAY, call
        while True:
            try:
                return attempt()
            except ConnectionLostError as error:
                self._wait(error, began, delay)
                delay = min(2 * delay, LONGEST_DELAY)
                attempt = again or call

    def _wait(self, error: ConnectionLostError, began: float, delay: float) -> None:
        """Sleep before the next attempt. Raises LockstepError if the patience is used up."""
        left = began + self._patience - time.monotonic()
        if left <= 0:
            raise LockstepError(
                f"{self._database} has not answered for {self._patience:.0f} s ({error}): finished "
                "trials are kept; once it is back, the same command continues"
            ) from error
        if delay == FIRST_DELAY:
            logger.warning("%s does not answer; trying again …", self._database)
        time.sleep(min(delay, left))

    # Studies

    def create_new_study(
        self, directions: Sequence[StudyDirection], study_name: str | None = None
    ) -> int:
        """Create a study and return its id, also if a lost call has already created it."""

        def create() -> int:
            return self._storage.create_new_study(directions, study_name)

        def create_unless_there() -> int:
            try:
                return create()
            except DuplicatedStudyError:
                if study_name is None:
                    raise
                return self._storage.get_study_id_from_name(study_name)

        return self._patiently(create, create_unless_there)

    def delete_study(self, study_id: int) -> None:
        """Delete a study, unless a lost call has already deleted it."""

        def delete() -> None:
            self._storage.delete_study(study_id)

        def delete_if_there() -> None:
            try:
                delete()
            except KeyError:
                return

        self._patiently(delete, delete_if_there)
        self._known.forget(study_id)
        self._counts.pop(study_id, None)

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """Set a user attribute of a study."""
        self._patiently(lambda: self._storage.set_study_user_attr(study_id, key, value))

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Set a system attribute of a study."""
        self._patiently(lambda: self._storage.set_study_system_attr(study_id, key, value))

    def get_study_id_from_name(self, study_name: str) -> int:
        """Return the id of the study with this name."""
        return self._patiently(lambda: self._storage.get_study_id_from_name(study_name))

    def get_study_name_from_id(self, study_id: int) -> str:
        """Return the name of a study."""
        return self._patiently(lambda: self._storage.get_study_name_from_id(study_id))

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """Return whether each objective of a study is minimised or maximised."""
        return self._patiently(lambda: self._storage.get_study_directions(study_id))

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """Return the user attributes of a study."""
        return self._patiently(lambda: self._storage.get_study_user_attrs(study_id))

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Return the system attributes of a study."""
        return self._patiently(lambda: self._storage.get_study_system_attrs(study_id))

    def get_all_studies(self) -> list[Any]:  # a list of FrozenStudy, which has no public name
        """Return all studies of the storage."""
        return self._patiently(self._storage.get_all_studies)

    # Trials: writing

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Create a trial and return its id.

        After a lost connection, a new trial that fits the template is taken to be the one asked
        for.
        """
        if study_id not in self._counts:
            self.get_all_trials(study_id, deepcopy=False)
        count = self._counts[study_id]

        def create() -> int:
            return self._storage.create_new_trial(study_id, template_trial)

        def create_unless_there() -> int:
            for trial in self._known.read(study_id)[count:]:
                if _is_of(trial, template_trial):
                    return self._storage.get_trial_id_from_study_id_trial_number(
                        study_id, trial.number
                    )
            return create()

        trial_id = self._patiently(create, create_unless_there)
        self._counts[study_id] = count + 1
        return trial_id

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        """Set a hyperparameter of a trial."""
        self._patiently(
            lambda: self._storage.set_trial_param(
                trial_id, param_name, param_value_internal, distribution
            )
        )

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Set the state and values of a trial, unless a lost call has already set them."""

        def update() -> bool:
            return self._storage.set_trial_state_values(trial_id, state, values)

        def update_unless_done() -> bool:
            trial = self._storage.get_trial(trial_id)
            done = trial.state is state and (values is None or trial.values == list(values))
            return done or update()

        return self._patiently(update, update_unless_done)

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        """Set the value that a trial reports at a step."""
        self._patiently(
            lambda: self._storage.set_trial_intermediate_value(trial_id, step, intermediate_value)
        )

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Set a user attribute of a trial."""
        self._patiently(lambda: self._storage.set_trial_user_attr(trial_id, key, value))

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Set a system attribute of a trial."""
        self._patiently(lambda: self._storage.set_trial_system_attr(trial_id, key, value))

    # Trials: reading

    def get_trial_id_from_study_id_trial_number(self, study_id: int, trial_number: int) -> int:
        """Return the id of a study's trial with this number."""
        return self._patiently(
            lambda: self._storage.get_trial_id_from_study_id_trial_number(study_id, trial_number)
        )

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return a trial."""
        return self._patiently(lambda: self._storage.get_trial(trial_id))

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """Return the trials of a study, or those in the given states, in order of number."""
        if states is not None and not any(state in states for state in _FINISHED):
            unfinished = self._patiently(
                lambda: self._storage.get_all_trials(study_id, deepcopy=False, states=states)
            )
            return copy.deepcopy(unfinished) if deepcopy else unfinished
        trials = self._patiently(lambda: self._known.read(study_id))
        self._counts[study_id] = len(trials)
        if states is not None:
            trials = [trial for trial in trials if trial.state in states]
        return copy.deepcopy(trials) if deepcopy else trials

    def remove_session(self) -> None:
        """Remove the other storage's database session of this thread."""
        self._storage.remove_session()


def _is_of(trial: FrozenTrial, template: FrozenTrial | None) -> bool:
    """Return whether a trial may have been created from this template."""
    if template is None:
        return trial.state is TrialState.RUNNING and not trial.params
    return trial.state is template.state and trial.params == template.params

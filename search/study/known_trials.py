"""Read a study's trials from Optuna's storage, and each finished trial only once."""

from __future__ import annotations

from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

_UNFINISHED = (TrialState.RUNNING, TrialState.WAITING)


class KnownTrials:
    """The trials in a storage. Finished ones are kept, because Optuna never changes them."""

    def __init__(self, storage: BaseStorage) -> None:
        self._storage = storage
        self._finished: dict[int, dict[int, FrozenTrial]] = {}  # by study id, then by trial number

    def read(self, study_id: int) -> list[FrozenTrial]:
        """Return all trials of a study as they are now, in order of number."""
        known = self._finished.get(study_id, {})
        if known:
            trials = self._read_others(study_id, known)
        else:
            trials = self._storage.get_all_trials(study_id, deepcopy=False)
        # This is a new dictionary, because another thread may be reading the old one.
        self._finished[study_id] = {
            trial.number: trial for trial in trials if trial.state.is_finished()
        }
        return trials

    def forget(self, study_id: int) -> None:
        """Forget the trials of a study that is deleted."""
        self._finished.pop(study_id, None)

    def _read_others(self, study_id: int, known: dict[int, FrozenTrial]) -> list[FrozenTrial]:
        """Return all trials of a study, reading only those that are not known as finished."""
        unfinished = self._storage.get_all_trials(study_id, deepcopy=False, states=_UNFINISHED)
        found = known | {trial.number: trial for trial in unfinished}
        trials: list[FrozenTrial] = []
        while True:  # ends at the first number that the study does not have
            number = len(trials)
            if number not in found:  # it has finished since then, or it is new
                try:
                    trial_id = self._storage.get_trial_id_from_study_id_trial_number(
                        study_id, number
                    )
                except KeyError:
                    return trials
                found[number] = self._storage.get_trial(trial_id)
            trials.append(found[number])

from __future__ import annotations

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.study.known_trials import KnownTrials


class CountingStorage(InMemoryStorage):
    """Note which trials are read one by one."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[int] = []

    def get_trial(self, trial_id: int) -> FrozenTrial:
        self.read.append(trial_id)
        return super().get_trial(trial_id)


@given(steps=st.lists(st.sampled_from(["ask", "add", "enqueue", "oldest", "latest", "read"])))
def test_trials_are_read_as_they_are(steps: list[str]) -> None:
    """However they are created and finished between two readings."""
    storage = InMemoryStorage()
    study = optuna.create_study(storage=storage)
    study_id = storage.get_study_id_from_name(study.study_name)
    known = KnownTrials(storage)
    for step in [*steps, "read"]:
        running = [each.number for each in study.get_trials(states=(TrialState.RUNNING,))]
        if step == "ask":
            study.ask()
        elif step == "add":
            study.add_trial(create_trial(value=1.0))
        elif step == "enqueue":
            study.enqueue_trial({"x": 1.0})
        elif step == "read":
            assert known.read(study_id) == storage.get_all_trials(study_id)
        elif running:
            study.tell(running[0 if step == "oldest" else -1], 1.0)


def test_a_finished_trial_is_read_once() -> None:
    storage = CountingStorage()
    study_id = storage.create_new_study([StudyDirection.MINIMIZE])
    known = KnownTrials(storage)
    storage.create_new_trial(study_id, create_trial(value=1.0))
    assert len(known.read(study_id)) == 1
    for count in (2, 3):
        storage.create_new_trial(study_id, create_trial(value=1.0))
        for _ in range(2):
            assert len(known.read(study_id)) == count
    assert len(storage.read) == len(set(storage.read)) == 2


def test_a_deleted_study_is_forgotten() -> None:
    storage = InMemoryStorage()
    known = KnownTrials(storage)
    study_id = storage.create_new_study([StudyDirection.MINIMIZE])
    storage.create_new_trial(study_id, create_trial(value=1.0))
    known.read(study_id)
    storage.delete_study(study_id)
    known.forget(study_id)
    with pytest.raises(KeyError):
        known.read(study_id)

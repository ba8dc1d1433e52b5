"""Studies that are opened, driven and recorded in."""

from __future__ import annotations

import os
from dataclasses import replace

import optuna
import pytest
from driving import COHORT, DIGEST, SAMPLERS, drive, journal, sampled, stored
from made_up import make_result
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from small_study import Options, small_spec

from core.trainer.result import Status
from search.errors import StudyBusyError, StudyChangedError
from search.settings import Settings
from search.spec.objective import Objective
from search.spec.space import grid
from search.spec.study_spec import StudySpec
from search.study.distributions import distributions
from search.study.opening import open_study
from search.trials.finished_trial import FinishedTrial, ranked
from search.trials.trial import PlannedTrial

SPECS = {"grid": small_spec()} | {sampler: sampled(sampler) for sampler in SAMPLERS}
COHORTS: dict[str, Options] = {"grid": {}} | {
    sampler: {"sampler": sampler, "trials": 4, "cohort": 4} for sampler in SAMPLERS
}


# -- opening -----------------------------------------------------------------------------------


def test_a_new_study_is_empty(settings: Settings) -> None:
    spec = small_spec()
    with open_study(spec, settings, DIGEST) as study:
        assert study.spec is spec
        assert study.budget == 24
        assert study.finished() == []
        assert study.next_cohort() == [PlannedTrial(*each) for each in enumerate(grid(spec))]
    assert journal(settings).is_file()


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_reopening_continues(settings: Settings, spec: StudySpec) -> None:
    with open_study(spec, settings, DIGEST) as study:
        assert drive(study, 5) == 5
        before = study.finished()
        assert len(before) == 5
    with open_study(spec, settings, DIGEST) as study:
        assert list(map(repr, study.finished())) == list(map(repr, before))
        assert drive(study) == study.budget - 5
    with open_study(spec, settings, DIGEST) as study:
        assert drive(study) == 0
        found = study.finished()
        assert [trial.number for trial in found] == list(range(study.budget))
        assert set(map(repr, before)) <= set(map(repr, found))


FULL = {f"{sampler}, full cohorts": sampled(sampler, 3 * COHORT) for sampler in SAMPLERS}


@pytest.mark.parametrize("spec", [*SPECS.values(), *FULL.values()], ids=[*SPECS, *FULL])
def test_no_cohort_follows_the_last(settings: Settings, spec: StudySpec) -> None:
    with open_study(spec, settings, DIGEST) as study:
        drive(study)
        assert study.next_cohort() == []


def test_a_changed_study_file_is_refused(settings: Settings) -> None:
    with open_study(small_spec(), settings, DIGEST):
        pass
    changed = small_spec(epochs=4, batch_size=[8])
    with pytest.raises(StudyChangedError) as caught, open_study(changed, settings, DIGEST):
        pass
    message = str(caught.value)
    assert "model.epochs: 5 → 4 (trials can only be trained further)" in message
    assert "space.batch_size: [16, 8] → [8] (it leaves out 16, which the trials have)" in message
    assert "new name" in message
    assert len(message.splitlines()) == 1
    with open_study(small_spec(), settings, DIGEST) as study:
        assert study.finished() == []


def test_what_does_not_define_a_study_may_change(settings: Settings) -> None:
    with open_study(small_spec(), settings, DIGEST):
        pass
    changed = small_spec({"baseline.learning_rate": 1}, description="renamed")
    with open_study(changed, settings, DIGEST):
        pass


def test_changed_data_are_refused(settings: Settings) -> None:
    with open_study(small_spec(), settings, DIGEST):
        pass
    with (
        pytest.raises(StudyChangedError, match="the data's content"),
        open_study(small_spec(), settings, "another"),
    ):
        pass


def test_a_study_has_one_driver_at_a_time(settings: Settings) -> None:
    spec = small_spec()
    with (
        open_study(spec, settings, DIGEST),
        pytest.raises(StudyBusyError, match=f"process {os.getpid()} "),
        open_study(spec, settings, DIGEST),
    ):
        pass
    with open_study(spec, settings, DIGEST):
        pass


def test_studies_are_apart(settings: Settings) -> None:
    other = small_spec(name="other", epochs=7)
    with (
        open_study(small_spec(), settings, DIGEST) as small,
        open_study(other, settings, DIGEST) as another,
    ):
        drive(small, 3)
        assert another.finished() == []


# -- recording ---------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", list(Objective))
@pytest.mark.parametrize("search", COHORTS.values(), ids=COHORTS)
def test_what_optuna_shows_of_a_result(
    settings: Settings, search: Options, objective: Objective
) -> None:
    with open_study(small_spec(objective=objective, **search), settings, DIGEST) as study:
        recorded = []
        for planned, status in zip(
            study.next_cohort(), [Status.COMPLETED, Status.DIVERGED, Status.COMPLETED], strict=False
        ):
            result = make_result(planned.hyperparameters, status, objective=objective)
            recorded.append(FinishedTrial.of(planned.number, result, f"run {planned.number}"))
            study.record(recorded[-1])
        assert list(map(repr, study.finished())) == list(map(repr, recorded))
    first, failed, last = stored(settings)[:3]
    assert [each.state for each in (first, failed, last)] == [
        TrialState.COMPLETE,
        TrialState.FAIL,
        TrialState.COMPLETE,
    ]
    assert first.value == getattr(recorded[0], objective)
    assert failed.value is None
    for trial, ours in zip((first, failed, last), recorded, strict=True):
        assert trial.number == ours.number
        tried = ours.hyperparameters
        assert trial.params == {name: getattr(tried, name) for name in distributions(study.spec)}
        assert trial.user_attrs["mlflow.run_id"] == ours.run_id
    assert failed.user_attrs["lockstep.result"]["val_loss"] is None
    assert failed.user_attrs["lockstep.result"]["stopped_epoch"] == 5


@pytest.mark.parametrize("search", COHORTS.values(), ids=COHORTS)
def test_a_pruned_trial(settings: Settings, search: Options) -> None:
    with open_study(small_spec(**search), settings, DIGEST) as study:
        planned = study.next_cohort()[0]
        result = make_result(planned.hyperparameters, Status.PRUNED, epochs=2)
        study.record(FinishedTrial.of(planned.number, result, "run"))
        (pruned,) = study.finished()
        assert (pruned.status, pruned.stopped_epoch) == (Status.PRUNED, 2)
        assert ranked([pruned], Objective.LOSS) == []
    assert stored(settings)[0].state is TrialState.PRUNED


def test_optuna_knows_which_way_is_better(settings: Settings) -> None:
    for objective in Objective:
        home = replace(settings, home=settings.home / objective)
        spec = small_spec(objective=objective)
        with open_study(spec, home, DIGEST) as study:
            drive(study)
            best = ranked(study.finished(), objective)[0]
        storage = JournalStorage(JournalFileBackend(str(journal(home))))
        known = optuna.load_study(study_name="small", storage=storage).best_trial
        assert known.value == getattr(best, objective)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_recording_twice_is_refused(settings: Settings, sampler: str) -> None:
    with open_study(sampled(sampler), settings, DIGEST) as study:
        planned = study.next_cohort()[0]
        trial = FinishedTrial.of(0, make_result(planned.hyperparameters), "run")
        study.record(trial)
        with pytest.raises(Exception, match=r"finished|COMPLETE"):
            study.record(trial)
        assert study.finished() == [trial]


def test_a_trial_of_the_grid_is_recorded_in_its_place(settings: Settings) -> None:
    with open_study(small_spec(), settings, DIGEST) as study:
        first, _, third = (
            FinishedTrial.of(planned.number, make_result(planned.hyperparameters), "run")
            for planned in study.next_cohort()[:3]
        )
        study.record(first)
        with pytest.raises(ValueError, match="trial 2 recorded in the place of 1"):
            study.record(third)
    assert len(stored(settings)) == 1

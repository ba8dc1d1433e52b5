"""Studies and trials in the same storage that somebody else has made."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from driving import DIGEST, drive, journal, sampled, sequence
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState, create_trial
from small_study import Options, small_spec

from core.trainer.result import Hyperparameters
from search.errors import LockstepError
from search.settings import Settings
from search.spec.study_spec import StudySpec
from search.study.distributions import distributions
from search.study.opening import load_study, open_study

TRIALS, COHORT = 6, 4
TWO_RATES: Options = {"learning_rate": [0.1, 0.3], "batch_size": [16]}
SPECS = {
    "grid": small_spec(**TWO_RATES),
    "pruned grid": small_spec(**TWO_RATES, pruner="halving", min_epochs=1),
    "random": small_spec(sampler="random", trials=TRIALS, cohort=COHORT),
    "tpe": small_spec(sampler="tpe", trials=TRIALS, cohort=COHORT),
}


def storage_of(place: Settings) -> BaseStorage:
    """The storage as any program opens it."""
    if place.storage is not None:
        return RDBStorage(place.storage)
    journal(place).parent.mkdir(parents=True, exist_ok=True)
    return JournalStorage(JournalFileBackend(str(journal(place))))


def content(place: Settings) -> list[Any]:
    """Everything that Optuna has of the study."""
    study = optuna.load_study(study_name="small", storage=storage_of(place))
    return [study.directions, study.user_attrs, study.get_trials()]


def sentence(caught: pytest.ExceptionInfo[LockstepError]) -> str:
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert len(message) < 500
    return message


# -- studies of somebody else ------------------------------------------------------------------


def enqueued(study: optuna.Study) -> None:
    study.enqueue_trial({"learning_rate": 0.1, "weight_decay": 0.0, "batch_size": 16})


def optimised(study: optuna.Study) -> None:
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)


def asked(study: optuna.Study) -> None:
    study.ask()


def failed(study: optuna.Study) -> None:
    study.add_trial(create_trial(state=TrialState.FAIL))


def nothing(study: optuna.Study) -> None: ...


OTHERS: dict[str, tuple[list[str], Callable[[optuna.Study], None]]] = {
    "enqueued": (["minimize"], enqueued),
    "optimised": (["minimize"], optimised),
    "asked": (["minimize"], asked),
    "failed": (["minimize"], failed),
    "the other direction": (["maximize"], nothing),
    "two objectives": (["minimize", "minimize"], nothing),
}


@pytest.mark.parametrize(("directions", "fill"), OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("in_database", [True, False], ids=["database", "journal"])
def test_a_study_of_somebody_else_is_refused(
    settings: Settings,
    tmp_path: Path,
    in_database: bool,
    directions: list[str],
    fill: Callable[[optuna.Study], None],
) -> None:
    place = replace(settings, storage=f"sqlite:///{tmp_path}/o.db" if in_database else None)
    study = optuna.create_study(
        study_name="small", storage=storage_of(place), directions=directions
    )
    fill(study)
    before = content(place)
    for spec in SPECS.values():
        with pytest.raises(LockstepError) as caught, open_study(spec, place, DIGEST):
            pass
        assert "study small in " in sentence(caught)
        assert "is not Lockstep's" in sentence(caught)
        assert "another name" in sentence(caught)
        with pytest.raises(LockstepError) as caught:
            load_study(spec, place)
        sentence(caught)
    assert content(place) == before, "it is as it was"
    if in_database:
        assert not settings.home.exists()
        assert [file.name for file in tmp_path.iterdir()] == ["o.db"]


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_an_empty_study_is_taken_over(settings: Settings, tmp_path: Path, spec: StudySpec) -> None:
    place = replace(settings, storage=f"sqlite:///{tmp_path}/o.db")
    optuna.create_study(study_name="small", storage=place.storage)
    with pytest.raises(LockstepError, match="has not been launched"):
        load_study(spec, place)
    with open_study(spec, place, DIGEST) as study:
        drive(study)
        assert len(study.finished()) == TRIALS


# -- an identity ---------------------------------------------------------------------------------


def test_a_study_keeps_its_identity(settings: Settings) -> None:
    with open_study(SPECS["grid"], settings, DIGEST) as study:
        first = study.identity().study_id
        assert first
        drive(study, 2)
    with open_study(SPECS["grid"], settings, DIGEST) as study:
        assert study.identity().study_id == first
        assert study.identity().trials == {0: "run 0", 1: "run 1"}
    assert load_study(SPECS["grid"], settings).identity().study_id == first
    elsewhere = replace(settings, home=settings.home / "elsewhere")
    with open_study(SPECS["grid"], elsewhere, DIGEST) as study:
        assert study.identity().study_id != first


def test_readers_give_no_identity(settings: Settings) -> None:
    """Studies of earlier versions have none until a driver opens them."""
    with open_study(SPECS["grid"], settings, DIGEST) as study:
        drive(study, 2)
    lines = journal(settings).read_bytes().splitlines(keepends=True)
    earlier = b"".join(line for line in lines if b"lockstep.study_id" not in line)
    journal(settings).write_bytes(earlier)
    assert load_study(SPECS["grid"], settings).identity().study_id is None
    assert journal(settings).read_bytes() == earlier
    with open_study(SPECS["grid"], settings, DIGEST) as study:
        given = study.identity().study_id
        assert given is not None
    assert load_study(SPECS["grid"], settings).identity().study_id == given


@pytest.mark.parametrize("in_database", [True, False], ids=["database", "journal"])
def test_an_identity_that_mlflow_knows_outlives_a_failed_launch(
    settings: Settings, tmp_path: Path, in_database: bool
) -> None:
    """Otherwise the next launch would be taken for somebody else's. All else may change."""
    place = replace(settings, storage=f"sqlite:///{tmp_path}/o.db" if in_database else None)

    def failed_launch(spec: StudySpec) -> str | None:
        with contextlib.suppress(LockstepError), open_study(spec, place, DIGEST) as study:
            study.next_cohort()
            study.mirror()
            identity = study.identity()
            raise LockstepError("no workers")
        return identity.study_id

    first = failed_launch(SPECS["random"])
    with pytest.raises(LockstepError, match="has not been launched"):
        load_study(SPECS["random"], place)
    for spec in (SPECS["grid"], small_spec(objective="val_accuracy"), SPECS["tpe"]):
        assert failed_launch(spec) == first
    with open_study(SPECS["grid"], place, DIGEST) as study:
        assert study.identity().study_id == first
        drive(study)
    assert len(content(place)[2]) == TRIALS


# -- trials that somebody adds to a study of ours ----------------------------------------------


def completed(study: optuna.Study, spec: StudySpec) -> None:
    """A trial of the study's own hyperparameters, which somebody else has trained."""
    params = {"learning_rate": 0.1, "weight_decay": 0.25, "batch_size": 16}
    study.add_trial(create_trial(value=0.0, params=params, distributions=distributions(spec)))


ADDED: dict[str, Callable[[optuna.Study, StudySpec], None]] = {
    "enqueued": lambda study, spec: enqueued(study),
    "optimised": lambda study, spec: optimised(study),
    "asked": lambda study, spec: asked(study),
    "failed": lambda study, spec: failed(study),
    "completed": completed,
}

Tried = list[tuple[int, Hyperparameters]]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tried]:
    """What each study tries if nobody else is there."""
    found = {}
    for name, spec in SPECS.items():
        place = Settings(home=tmp_path_factory.mktemp("undisturbed"))
        with open_study(spec, place, DIGEST) as study:
            drive(study)
            found[name] = sequence(study.finished())
    return found


@pytest.mark.parametrize("name", SPECS)
@settings(max_examples=8)
@given(
    steps=st.lists(
        st.tuples(st.integers(0, TRIALS), st.sampled_from(list(ADDED)), st.booleans()),
        min_size=1,
        max_size=3,
    )
)
def test_trials_of_somebody_else_change_none_of_ours(
    undisturbed: dict[str, Tried], name: str, steps: list[tuple[int, str, bool]]
) -> None:
    """Added between two launches or while one runs: the study goes on and has what it would have
    had without them, or it is refused in a sentence; what it had stays right."""
    spec, expected = SPECS[name], undisturbed[name]
    with tempfile.TemporaryDirectory() as folder:
        place = Settings(home=Path(folder, "runs"))
        theirs: dict[int, FrozenTrial] = {}
        refusal = ""
        try:
            for count, kind, while_it_runs in [*steps, (TRIALS, "", False)]:
                with open_study(spec, place, DIGEST) as study:
                    drive(study, count)
                    if kind and while_it_runs:
                        add(place, spec, kind, theirs)
                        drive(study, 1)
                if kind and not while_it_runs:
                    add(place, spec, kind, theirs)
            assert len(study.finished()) == TRIALS
            assert study.next_cohort() == []
        except LockstepError as error:
            refusal = str(error)
        assert not refusal or "Lockstep did not write" in refusal
        assert not refusal or not spec.search.appends
        assert len(refusal.splitlines()) <= 1
        stored = content(place)[2]
        assert {n: stored[n] for n in theirs} == theirs, "they are as they were"
        found = load_study(spec, place)
        assert is_part_of(sequence(found.finished()), expected, spec)
        planned = [trial for cohort in found.cohorts() for trial in cohort]
        assert {each.number for each in planned} >= {each.number for each in found.finished()}


def add(
    place: Settings, spec: StudySpec, kind: str, theirs: dict[int, FrozenTrial] | None = None
) -> None:
    """Add trials; theirs: becomes those that must stay as they are, by number.

    A trial that was only asked for is like our own, and may be trained as one.
    """
    theirs = {} if theirs is None else theirs
    study = optuna.load_study(study_name="small", storage=storage_of(place))
    before = len(study.get_trials())
    ADDED[kind](study, spec)
    trials = study.get_trials()
    numbers = {*theirs, *range(before, len(trials))} if kind != "asked" else {*theirs}
    theirs.update({number: trials[number] for number in numbers})


def is_part_of(found: Tried, expected: Tried, spec: StudySpec) -> bool:
    """A grid has its places; what is sampled at random depends on the number alone."""
    if spec.search.sampler == "tpe":
        return len({each for _, each in found}) == len(found)
    if spec.search.sampler == "random":
        numbers = {number for number, _ in found}
        return len(numbers) == len(found) and set(found) <= set(expected) | {
            each for each in found if each[0] >= TRIALS
        }
    return set(found) <= set(expected)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_trials_added_to_a_finished_study_are_left_out(settings: Settings, spec: StudySpec) -> None:
    with open_study(spec, settings, DIGEST) as study:
        drive(study)
        ours = list(map(repr, study.finished()))
        cohorts = study.cohorts()
    for kind in ADDED:
        add(settings, spec, kind)
    with open_study(spec, settings, DIGEST) as study:
        assert study.next_cohort() == []
        for each in (study, load_study(spec, settings)):
            assert list(map(repr, each.finished())) == ours
            assert each.cohorts() == cohorts
            assert each.epochs_trained == study.epochs_trained


def test_cohorts_are_those_that_were_asked_for(settings: Settings) -> None:
    """Also after one that was not full, because the budget was spent there and has grown."""
    for trials in (11, 14, 30):
        spec = sampled("random", trials)
        with open_study(spec, settings, DIGEST) as study:
            while cohort := study.next_cohort():
                assert study.cohorts()[-1] == cohort
                drive(study, len(cohort))
    assert [len(cohort) for cohort in study.cohorts()] == [8, 3, 3, 8, 8]

"""Two homes with one study, on one MLflow server or in one Optuna storage, and others there."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ready_store
from mlflow import MlflowClient
from mlflow.entities import ViewType
from small_study import small_study, write_study

from core.datasets.study_data import StudyData
from search.commands.compare import compare
from search.commands.launch import run_study
from search.commands.launch_report import LaunchReport
from search.commands.predict import predict
from search.commands.retrain import retrain
from search.commands.study_data import load_data
from search.commands.sync import sync
from search.console import Console
from search.errors import LockstepError, NothingToShowError
from search.settings import Settings
from search.spec.study_file import load
from search.spec.study_spec import StudySpec
from search.study.opening import load_study

QUIET = Console(as_json=True)
TRIALS = 2
NAME = "small"


@dataclass(frozen=True)
class World:
    """A study in a home, and an MLflow store that is not the home's."""

    folder: Path
    spec: StudySpec
    data: StudyData

    @property
    def ann(self) -> Settings:
        return Settings(
            home=self.folder / "ann", tracking_uri=f"sqlite:///{self.folder}/shared.db", workers=1
        )

    @property
    def bob(self) -> Settings:
        return replace(self.ann, home=self.folder / "bob")

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.ann.mlflow_uri, registry_uri=self.ann.mlflow_uri)

    @property
    def experiment(self) -> str:
        found = self.client.get_experiment_by_name(NAME)
        assert found is not None
        return str(found.experiment_id)

    def launch(self, settings: Settings) -> LaunchReport:
        return run_study(self.spec, self.data, settings, QUIET)

    def runs(self) -> dict[str, Any]:
        """What a user sees of each run, by id."""
        found = self.client.search_runs([self.experiment], "", ViewType.ALL)
        return {
            run.info.run_id: (run.info.lifecycle_stage, run.info.status, dict(run.data.tags))
            for run in found
        }


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Launched by Ann, in an experiment that was made to say where the artifacts are."""
    folder = tmp_path_factory.mktemp("world")
    text = small_study(learning_rate=[0.1, 0.3], weight_decay=[0.0], batch_size=[16], epochs=2)
    spec = load(write_study(folder, text))
    world = World(folder, spec, load_data(spec, Settings(), print))
    ready_store.copy_to(folder / "shared.db")
    world.client.create_experiment(NAME, f"file://{folder}/artifacts")
    assert len(world.launch(world.ann).trials) == TRIALS
    return world


@pytest.fixture
def world(launched: World, tmp_path: Path) -> World:
    """A copy that a test may change. The runs' files stay where they are."""
    shutil.copytree(launched.folder, tmp_path, dirs_exist_ok=True)
    return replace(launched, folder=tmp_path)


def test_a_second_home_is_refused(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Before it has written anything; the first one's runs are all there, and go on."""
    before = world.runs()
    with pytest.raises(LockstepError) as caught:
        world.launch(world.bob)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert "experiment small in MLflow at sqlite:///" in message
    assert "belongs to another study of that name, in /" in message
    assert "/ann on " in message
    assert not world.bob.home.exists()
    assert world.runs() == before
    for use in (compare, sync):
        with pytest.raises(NothingToShowError):
            use(world.spec, world.bob, QUIET)
    assert len(compare(world.spec, world.ann, QUIET).trials) == TRIALS
    capsys.readouterr()
    world.launch(world.ann)
    assert "no longer in MLflow" not in capsys.readouterr().err
    assert [each[0] for each in world.runs().values()] == ["active"] * len(before)


def test_two_homes_with_one_storage_are_one_study(world: World, tmp_path: Path) -> None:
    one = f"sqlite:///{tmp_path}/optuna.db"
    carol, dave = (
        Settings(home=tmp_path / name, storage=one, workers=1) for name in ("carol", "carol2")
    )
    carol = replace(carol, tracking_uri=f"sqlite:///{tmp_path}/theirs.db")
    dave = replace(dave, tracking_uri=carol.tracking_uri)
    ready_store.copy_to(tmp_path / "theirs.db")
    MlflowClient(carol.mlflow_uri).create_experiment(NAME, f"file://{tmp_path}/files")
    first, second = world.launch(carol), world.launch(dave)
    runs = [each.run_id for each in first.trials]
    assert [each.run_id for each in second.trials] == runs
    assert second.seconds.training == 0
    assert [each.run_id for each in world.launch(carol).trials] == runs
    assert {trial.run_id for trial in compare(world.spec, dave, QUIET).trials} == set(runs)


def nested_in_ours(world: World) -> str:
    """A run of another program below our parent run."""
    (parent,) = world.client.search_runs([world.experiment], "tags.`lockstep.role` = 'study'")
    tags = {"mlflow.parentRunId": parent.info.run_id}
    return str(world.client.create_run(world.experiment, tags=tags).info.run_id)


def nested_elsewhere(world: World) -> str:
    tags = {"mlflow.parentRunId": world.client.create_run(world.experiment).info.run_id}
    return str(world.client.create_run(world.experiment, tags=tags).info.run_id)


def trial_of_another_study(world: World) -> str:
    tags = {"lockstep.role": "trial", "lockstep.trial": "0", "lockstep.study_id": "another"}
    return str(world.client.create_run(world.experiment, tags=tags).info.run_id)


@pytest.mark.parametrize("make", [nested_in_ours, nested_elsewhere, trial_of_another_study])
def test_runs_of_others_in_our_experiment(world: World, make: Callable[[World], str]) -> None:
    theirs = make(world)
    before = world.runs()[theirs]
    world.launch(world.ann)
    sync(world.spec, world.ann, QUIET)
    assert world.runs()[theirs] == before


def as_an_earlier_version_left_it(world: World) -> None:
    """Neither Optuna nor MLflow knows of identities."""
    journal = world.ann.home / NAME / "study.journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(line for line in lines if b"lockstep.study_id" not in line))
    with contextlib.closing(sqlite3.connect(world.folder / "shared.db")) as connection:
        for table in ("tags", "experiment_tags"):
            keys = "('lockstep.study_id', 'lockstep.owner')"
            connection.execute(f"DELETE FROM {table} WHERE key IN {keys}")
        connection.commit()


def test_a_study_of_an_earlier_version_goes_on(world: World) -> None:
    """It takes its own, without a second parent run; what is not its own stays as it is."""
    as_an_earlier_version_left_it(world)
    tags = {"lockstep.role": "trial", "lockstep.trial": "1"}  # by another home of that version
    theirs = str(world.client.create_run(world.experiment, tags=tags).info.run_id)
    before = world.runs()
    assert not any("lockstep.study_id" in tags for _, _, tags in before.values())
    assert len(compare(world.spec, world.ann, QUIET).trials) == TRIALS
    assert world.runs() == before, "reading writes nothing"
    world.launch(world.ann)
    after = world.runs()
    assert after.keys() == before.keys()
    assert after.pop(theirs) == before[theirs]
    study_id = load_study(world.spec, world.ann).identity().study_id
    assert [tags["lockstep.study_id"] for _, _, tags in after.values()] == [study_id] * len(after)
    assert [stage for stage, _, _ in after.values()] == ["active"] * len(after)
    with pytest.raises(LockstepError, match="belongs to another study"):
        world.launch(world.bob)


def test_a_registered_model_of_somebody_else(world: World) -> None:
    """Refused before anything is trained, and before the test set is used."""
    world.client.create_registered_model(NAME)
    world.client.create_model_version(NAME, "/nowhere")
    before = world.runs()
    with pytest.raises(LockstepError, match="was not registered by this study"):
        retrain(world.spec, world.ann, QUIET, seeds=0)
    assert world.runs() == before
    assert load_study(world.spec, world.ann).test_evaluations() == []
    with pytest.raises(LockstepError, match="has no model yet"):
        predict(world.spec, world.ann, [])
    world.client.set_registered_model_alias(NAME, "champion", "1")
    with pytest.raises(LockstepError, match="version 1, which this study did not register"):
        predict(world.spec, world.ann, [])  # loading it would run its code


def test_a_version_of_somebody_else_in_our_model(world: World, tmp_path: Path) -> None:
    """It stays champion where somebody has made it so, and is not loaded as ours."""
    retrain(world.spec, world.ann, QUIET, seeds=0)
    rows = tmp_path / "rows.npy"
    np.save(rows, world.data.first.raw_test.X[:3])
    assert len(predict(world.spec, world.ann, [rows]).classes) == 3
    elsewhere = replace(world.ann, home=tmp_path / "of-a-user-of-the-model")
    assert len(predict(world.spec, elsewhere, [rows]).classes) == 3, "MLflow alone is enough"
    theirs = world.client.create_model_version(NAME, "/nowhere").version
    world.client.set_registered_model_alias(NAME, "champion", theirs)
    with pytest.raises(LockstepError, match="which this study did not register"):
        predict(world.spec, world.ann, [rows])
    report = retrain(world.spec, world.ann, QUIET, seeds=0)
    assert report.model is not None
    assert report.model.reason == (
        f"version {theirs} stays champion: somebody else registered it and made it the champion"
    )
    assert world.client.get_model_version_by_alias(NAME, "champion").version == theirs

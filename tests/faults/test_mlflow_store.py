"""MLflow's store locked, old, emptied or deleted: Optuna's storage is the truth, and
`lockstep sync` writes the mirror again."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import LOCKSTEP, lockstep, python_script
from mlflow.entities import Run
from small_study import small_study, write_study
from stored import client, optuna_trials, runs, scores

MLFLOW = LOCKSTEP.with_name("mlflow")
STUDY = small_study({"space.learning_rate.points": 2}, batch_size=[16])
TRIALS = 6
SAMPLED = small_study(
    penalty="squared",
    epochs=12,
    weight_decay={"low": 1e-6, "high": 1e4, "log": True},
    batch_size=[16, 64],
    sampler="random",
    trials=20,
    cohort=12,
    pruner="halving",
    min_epochs=3,
    replicates=2,
    finalists=2,
)


pytestmark = pytest.mark.xdist_group("mlflow_store")  # so that its studies are launched once


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a launched study, to be copied."""
    folder = tmp_path_factory.mktemp("launched")
    finished = lockstep("launch", str(write_study(folder, STUDY)), cwd=folder)
    assert finished.code == 0, finished.err
    return folder


@pytest.fixture
def folder(launched: Path, tmp_path: Path) -> Path:
    """A launched study of the test's own, as if it had been launched here."""
    folder = tmp_path / "mine"
    shutil.copytree(launched, folder)
    with contextlib.closing(sqlite3.connect(folder / "runs" / "mlflow.db")) as connection:
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            change = f"UPDATE {table} SET {column} = replace({column}, ?, ?)"
            connection.execute(change, (str(launched), str(folder)))
        connection.commit()
    return folder


def seen(home: Path) -> Path:
    """A copy of MLflow's database as it is now: in this process, MLflow keeps files open that the
    test may have replaced since."""
    copy = Path(tempfile.mkdtemp(dir=home.parent))
    for file in home.glob("mlflow.db*"):
        shutil.copy(file, copy)
    return copy


def mirror(home: Path) -> dict[int, Any]:
    """All that MLflow has of the trials, but for times and run ids, by trial number."""
    home = seen(home)
    store = client(home)

    def content(run: Run) -> dict[str, Any]:
        id_ = run.info.run_id
        files = Path(run.info.artifact_uri.removeprefix("file://"))
        with np.load(files / "result.npz") as result:
            arrays = {name: result[name].tobytes() for name in result.files}
        return {
            "name": run.info.run_name,
            "status": run.info.status,
            "params": run.data.params,
            "tags": {k: v for k, v in run.data.tags.items() if k.startswith("lockstep.")},
            "curves": {
                name: [(point.step, point.value) for point in store.get_metric_history(id_, name)]
                for name in run.data.metrics
            },
            "images": sorted(each.name.partition("%")[0] for each in files.glob("images/*")),
            "templates": (files / "templates.png").read_bytes(),
            "result": arrays,
            "parent": run.data.tags["mlflow.parentRunId"],
        }

    (parent,) = runs(home, "small", "study")
    found = runs(home, "small", "trial")
    numbers = [int(run.data.tags["lockstep.trial"]) for run in found]
    assert len(set(numbers)) == len(numbers)
    contents = dict(zip(numbers, map(content, found), strict=True))
    for each in contents.values():
        assert each.pop("parent") == parent.info.run_id
        each.pop("images")
    return contents


def database_deleted(home: Path) -> None:
    for file in home.glob("mlflow.db*"):
        file.unlink()


def artifacts_deleted(home: Path) -> None:
    shutil.rmtree(home / "artifacts")


def both_deleted(home: Path) -> None:
    database_deleted(home)
    artifacts_deleted(home)


def some_deleted(home: Path) -> None:
    """In the UI, the best among them; of others the files."""
    trials = sorted(optuna_trials(home, "small"), key=lambda trial: trial.value or 0)
    for place, trial in enumerate(trials[:4]):
        run = trial.user_attrs["mlflow.run_id"]
        if place % 2:
            shutil.rmtree(home / "artifacts" / "small" / run)
        else:
            client(home).delete_run(run)


@pytest.mark.parametrize(
    ("damage", "lost"),
    [
        (database_deleted, TRIALS),
        (both_deleted, TRIALS),
        (some_deleted, 4),
    ],
)
def test_sync_writes_the_mirror_again(
    folder: Path, damage: Callable[[Path], None], lost: int
) -> None:
    """To the last bit, from Optuna's storage alone, which stays as it is."""
    home = folder / "runs"
    before, trials = mirror(home), scores(home, "small")
    damage(home)
    synced = lockstep("sync", "study.toml", "--json", cwd=folder)
    assert synced.code == 0, synced.err
    expected = {"written": lost, "weights": 0, "unlike": []}
    assert synced.json == {"study": "small", "trials": TRIALS} | expected
    after = mirror(home)
    for contents in (before, after):  # of weight images, on the ten best
        for each in contents.values():
            each["tags"].pop("lockstep.weight_images", None)
    assert after == before
    assert scores(home, "small") == trials
    (parent,) = runs(seen(home), "small", "study")
    assert parent.info.status == "FINISHED"
    assert "best" in parent.data.tags["mlflow.note.content"]


def test_after_a_sync_nothing_is_missing(folder: Path) -> None:
    both_deleted(folder / "runs")
    assert lockstep("sync", "study.toml", cwd=folder).code == 0
    again = lockstep("sync", "study.toml", cwd=folder)
    assert f"0 of {TRIALS} runs were written" in again.out
    others = [lockstep(command, "study.toml", cwd=folder) for command in ("launch", "compare")]
    for finished in (again, *others):
        assert finished.code == 0, finished.err
        assert "no longer in MLflow" not in finished.out


def test_sync_of_pruned_and_diverged_trials(tmp_path: Path) -> None:
    """Over two seeds, with decisions at rungs, and a cohort that is not a full one."""
    path = write_study(tmp_path, SAMPLED)
    launched = lockstep("launch", str(path), "--json", cwd=tmp_path)
    assert launched.code == 0, launched.err
    assert min(launched.json["trials"].values()) > 0, "some of each kind"
    before = mirror(tmp_path / "runs")
    both_deleted(tmp_path / "runs")
    synced = lockstep("sync", str(path), "--json", cwd=tmp_path)
    assert synced.code == 0, synced.err
    assert (synced.json["written"], synced.json["unlike"]) == (20, [])
    after = mirror(tmp_path / "runs")
    for contents in (before, after):
        for each in contents.values():
            each["tags"].pop("lockstep.weight_images", None)
    assert after == before


def test_sync_that_is_killed_writes_nothing_twice(folder: Path) -> None:
    """After the run, but before Optuna knows of it: the next command puts it right."""
    home = folder / "runs"
    both_deleted(home)
    assert lockstep("sync", "study.toml", cwd=folder).code == 0
    journal = home / "small" / "study.journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    written = [line for line in lines if b"mlflow.run_id." in line]
    assert len(written) == TRIALS
    journal.write_bytes(b"".join(line for line in lines if line not in written[-3:]))
    assert len(mirror(home)) == TRIALS
    synced = lockstep("sync", "study.toml", "--json", cwd=folder)
    assert synced.json["written"] == 3
    assert len(mirror(home)) == TRIALS


def test_a_launch_says_what_is_lost(folder: Path) -> None:
    some_deleted(folder / "runs")
    finished = lockstep("launch", "study.toml", cwd=folder)
    assert finished.code == 0, finished.err
    assert f"2 of {TRIALS} runs are no longer in MLflow: " in finished.out
    assert "`lockstep sync study.toml` writes them" in finished.out


def test_commands_on_an_emptied_store_say_what_to_do(folder: Path) -> None:
    artifacts_deleted(folder / "runs")
    for command in ("launch", "compare"):
        refused = lockstep(command, "study.toml", cwd=folder)
        assert refused.code == 2
        assert "`lockstep sync` on its file writes them again" in refused.err
    database_deleted(folder / "runs")
    refused = lockstep("compare", "study.toml", cwd=folder)
    assert refused.code == 2
    assert "`lockstep sync` it" in refused.err


def test_a_parent_run_that_was_deleted(folder: Path) -> None:
    """It is restored."""
    (parent,) = runs(folder / "runs", "small", "study")
    client(folder / "runs").delete_run(parent.info.run_id)
    assert launched_again(folder) == parent.info.run_id


def test_a_parent_run_that_was_deleted_for_good(folder: Path) -> None:
    """It cannot be restored: its trials get a new one, and none stays without."""
    (parent,) = runs(folder / "runs", "small", "study")
    client(folder / "runs").delete_run(parent.info.run_id)
    uri = f"sqlite:///{folder}/runs/mlflow.db"
    options = ["--backend-store-uri", uri, "--tracking-uri", uri]
    done = python_script(MLFLOW, "gc", "--run-ids", parent.info.run_id, *options, cwd=folder)
    assert done.code == 0, done.err
    assert launched_again(folder) != parent.info.run_id


def launched_again(folder: Path) -> str:
    """Launch the study, which is needed before anything else; return its run's id."""
    home = folder / "runs"
    refused = lockstep("compare", "study.toml", cwd=folder)
    assert refused.code == 2
    assert "launch it" in refused.err
    assert lockstep("launch", "study.toml", cwd=folder).code == 0
    (found,) = runs(seen(home), "small", "study")
    assert found.info.status == "FINISHED"
    assert len(mirror(home)) == TRIALS
    assert lockstep("compare", "study.toml", cwd=folder).code == 0
    return str(found.info.run_id)


def test_the_best_run_deleted_before_retraining(folder: Path) -> None:
    """Which run MLflow still shows has no say in what is retrained."""
    home = folder / "runs"
    trials = sorted(optuna_trials(home, "small"), key=lambda trial: trial.value or 0)
    client(home).delete_run(trials[0].user_attrs["mlflow.run_id"])
    retrained = lockstep("retrain", "study.toml", "--trial", str(trials[0].number), cwd=folder)
    assert retrained.code == 0, retrained.err
    (run,) = runs(seen(home), "small", "retrain")
    assert run.data.tags["lockstep.retrained_trial"] == str(trials[0].number)


def test_a_locked_store(folder: Path) -> None:
    """For half a minute somebody else writes to it: waited for, then one sentence."""
    with contextlib.closing(
        sqlite3.connect(folder / "runs" / "mlflow.db", isolation_level=None)
    ) as connection:
        connection.execute("BEGIN IMMEDIATE")
        refused = lockstep("launch", "study.toml", cwd=folder)
    assert refused.code == 2
    (line,) = refused.err.splitlines()
    assert "another process holds its database: wait for that, or end it" in line
    assert lockstep("launch", "study.toml", cwd=folder).code == 0


def test_a_store_of_an_older_mlflow(folder: Path) -> None:
    """One sentence with the command that mends it; which does, on a store that is older indeed."""
    database = folder / "runs" / "mlflow.db"
    kept = folder / "kept.db"
    shutil.copy(database, kept)
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'b7e2c1a4d9f3'")
        connection.commit()
    for command in ("launch", "compare"):
        refused = lockstep(command, "study.toml", cwd=folder)
        assert refused.code == 2
        (line,) = refused.err.splitlines()
        assert f"back it up and run `mlflow db upgrade sqlite:///{database}`" in line
        assert "if of a newer one, install that" in line
    shutil.copy(kept, database)
    older = folder / "older.py"
    older.write_text(
        "import sys, alembic.command, mlflow.store.db.utils as utils\n"
        "alembic.command.downgrade(utils._get_alembic_config(sys.argv[1]), '-1')\n"
        "sys.exit(0)\n"
    )
    uri = f"sqlite:///{database}"
    for script, *arguments in ((older, uri), (MLFLOW, "db", "upgrade", uri)):
        done = python_script(script, *arguments, cwd=folder)
        assert done.code == 0, done.err
    assert lockstep("compare", "study.toml", cwd=folder).code == 0
    assert len(mirror(folder / "runs")) == TRIALS

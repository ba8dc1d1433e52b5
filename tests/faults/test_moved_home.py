"""Homes that were renamed or copied: what they have is found, and the former place is let alone."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from command import HUNG, lockstep, start
from mlflow import MlflowClient
from namespaces import namespace, needs_namespaces
from small_study import small_study, write_study

from search.commands.home import readable, settle
from search.errors import LockstepError
from search.home import USED
from search.settings import Settings
from search.sqlite_url import sqlite_url
from search.study.file_lease import file_lease
from search.tracking.moved_home import point_here

pytestmark = pytest.mark.xdist_group("moved_home")  # so that one study is launched

STUDY = small_study(learning_rate=[0.1, 1.0], weight_decay=[0.0], batch_size=[16])
ODD = "q?x#1 50% a;b&c=d'[x]{y}~ Übung ж me:pw@host $HOME token=abc"


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a home but the leases and what SQLite has beside its databases."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith((".lock", "-wal", "-shm"))
    }


def texts(database: Path) -> dict[tuple[str, str], set[str]]:
    """All texts in all tables, by table and column."""
    found = {}
    with contextlib.closing(sqlite3.connect(database)) as store:
        store.text_factory = lambda raw: raw.decode(errors="replace")
        tables = store.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            for _, column, *_ in store.execute(f"PRAGMA table_info({table})").fetchall():
                rows = store.execute(f'SELECT DISTINCT "{column}" FROM {table}')
                found[table, column] = {str(value) for (value,) in rows}
    return found


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of an odd name, in which a study was launched and retrained."""
    folder = tmp_path_factory.mktemp("launched") / ODD
    folder.mkdir()
    write_study(folder, STUDY)
    for command in (["launch", "--workers", "1"], ["retrain", "--seeds", "0"]):
        finished = lockstep(command[0], "study.toml", *command[1:], cwd=folder)
        assert finished.code == 0, finished.err
    # What is left in the log goes into the database, which then does not change by being read.
    with contextlib.closing(sqlite3.connect(folder / "runs" / "mlflow.db")) as store:
        store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return folder


@pytest.fixture
def copied(launched: Path, tmp_path: Path) -> Path:
    """The folder's copy, beside which the original stays."""
    return Path(shutil.copytree(launched, tmp_path / f"copy of {ODD}"))


def test_all_is_in_a_folder_of_any_name(launched: Path) -> None:
    """No other folder is made beside it, and nothing in the home has a name that a study may."""
    assert [path.name for path in launched.parent.iterdir()] == [ODD]
    assert {path.name for path in launched.iterdir()} == {"study.toml", "runs"}
    assert {path.name for path in (launched / "runs").iterdir()} - {"small"} <= USED
    assert list((launched / "runs" / "artifacts").rglob("MLmodel"))


def test_a_copy_is_independent_of_its_original(launched: Path, copied: Path) -> None:
    before = contents(launched)
    retrained = lockstep("retrain", "study.toml", "--seeds", "0", cwd=copied)
    assert retrained.code == 0, retrained.err
    assert retrained.out.count("was moved or copied from") == 1
    assert str(launched / "runs") in retrained.out
    relaunched = lockstep("launch", "study.toml", cwd=copied)
    assert relaunched.code == 0, relaunched.err
    assert "moved" not in relaunched.out
    assert "no longer in MLflow" not in relaunched.out
    assert contents(launched) == before
    (old,) = (launched / "runs" / "artifacts").rglob("MLmodel")
    assert len(list((copied / "runs" / "artifacts").rglob("MLmodel"))) == 2
    assert old.is_file()


def test_a_renamed_home(launched: Path, copied: Path) -> None:
    """A command that only reads works at once, and the model is found without the old place."""
    renamed = copied.with_name("renamed")
    copied.rename(renamed)
    away = launched.with_name("away")
    launched.rename(away)
    try:
        _rows(renamed / "rows.npy")
        predicted = lockstep("predict", "study.toml", "rows.npy", cwd=renamed)
        compared = lockstep("compare", "study.toml", cwd=renamed)
        assert not launched.exists()
    finally:
        away.rename(launched)
    assert predicted.code == 0, predicted.err
    assert "was moved or copied from" in predicted.out
    assert compared.code == 0, compared.err
    assert "moved" not in compared.out


def _rows(path: Path) -> None:
    np.save(path, np.zeros((2, 64), np.float32))


def test_no_address_of_the_former_place_is_left(launched: Path, copied: Path) -> None:
    """In no column of any table, so that one that MLflow adds is noticed."""
    settings = Settings(home=copied / "runs")
    former = (str(launched / "runs"), (launched / "runs").as_uri())
    before = texts(settings.mlflow_file)
    holding = {
        column for column, values in before.items() if any(f in v for f in former for v in values)
    }
    assert len(holding) >= 4
    assert point_here(settings, lambda: False) == [launched / "runs"]
    after = texts(settings.mlflow_file)
    assert not [v for values in after.values() for v in values if any(f in v for f in former)]
    assert {c for c in before if before[c] != after[c]} == holding
    assert point_here(settings, lambda: False) == []


def test_what_others_keep_elsewhere_stays_so(launched: Path, copied: Path) -> None:
    """An experiment of another program whose folder looks like one of a home."""
    settings = Settings(home=copied / "runs")
    client = MlflowClient(sqlite_url(settings.mlflow_file))
    place = (copied.parent / "other" / "artifacts" / "theirs").as_uri()
    experiment = client.create_experiment("theirs", artifact_location=place)
    run = client.create_run(experiment)
    assert point_here(settings, lambda: False) == [launched / "runs"]
    assert client.get_experiment(experiment).artifact_location == place
    assert client.get_run(run.info.run_id).info.artifact_uri.startswith(place)


def test_a_study_that_runs_is_not_disturbed(launched: Path, copied: Path) -> None:
    """It may write to the former place: the store stays as it is, and a copy of it is read."""
    settings = Settings(home=copied / "runs")
    before, told = contents(copied), list[str]()
    with file_lease(settings.folder("another") / "driver.lock", "another"):
        with pytest.raises(LockstepError, match=r"was moved or copied, and another study"):
            settle(settings, "small", told.append)
        with readable(settings, told.append) as places:
            client = MlflowClient(places.mlflow_uri)
            experiment = client.get_experiment_by_name("small")
            assert experiment is not None
            assert experiment.artifact_location == (settings.artifacts / "small").as_uri()
    assert not told
    assert contents(copied) == before
    settle(settings, "small", told.append)
    assert len(told) == 1


def test_files_outside_the_home_are_not_written(copied: Path, tmp_path: Path) -> None:
    """Whoever made an experiment in the home's store, with a folder elsewhere."""
    settings = Settings(home=copied / "runs")
    client = MlflowClient(sqlite_url(settings.mlflow_file))
    client.create_experiment("elsewhere", artifact_location=(tmp_path / "x").as_uri())
    with pytest.raises(LockstepError, match=r"experiment elsewhere in .* outside this home: go on"):
        settle(settings, "elsewhere", print)


_READ_ONLY = "mount --bind runs runs; mount -o remount,ro,bind runs"


@needs_namespaces
def test_a_home_that_can_only_be_read(copied: Path) -> None:
    """After it was copied, too: what reads works, what writes is refused, nothing changes."""
    _rows(copied / "rows.npy")
    before = contents(copied)
    with namespace(copied) as inside:
        inside.shell(_READ_ONLY)
        said = {
            name: inside.lockstep(name, "study.toml", *["rows.npy"] * (name == "predict"))
            for name in ("compare", "predict", "launch", "sync", "retrain")
        }
    assert {name: finished.code for name, finished in said.items()} == {
        "compare": 0,
        "predict": 0,
        "launch": 2,
        "sync": 2,
        "retrain": 2,
    }, said
    assert "heat_maps.png (as launch drew them: the home can only be read)" in said["compare"].out
    assert "models:/small/1" in said["predict"].out
    for name in ("launch", "sync", "retrain"):
        (line,) = said[name].err.splitlines()
        assert "ead-only" in line
        assert "writable" in line
    assert contents(copied) == before


@needs_namespaces
def test_the_ui_of_a_home_that_can_only_be_read(copied: Path) -> None:
    """It shows a copy of the store, and leaves nothing of it behind."""
    before = contents(copied)
    temporary = copied.parent / "temporary"
    temporary.mkdir()
    with namespace(copied) as inside:
        inside.shell(_READ_ONLY)
        process = start(
            "ui", "study.toml", "--no-browser", cwd=copied, variables={"TMPDIR": str(temporary)},
            namespace=inside.process, warm_server=True,
        )  # fmt: skip
        assert process.stdout is not None
        said = ""
        while "Ctrl-C" not in said:
            line = process.stdout.readline()
            assert line, process.communicate()
            said += line
        process.terminate()
        out, err = process.communicate(timeout=HUNG)
    assert process.returncode == 0, err
    assert "the UI shows a copy of its MLflow store as it is now" in said
    assert "Stopped." in out
    assert not list(temporary.glob("lockstep-*"))
    assert contents(copied) == before

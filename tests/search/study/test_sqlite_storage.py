"""A SQLite file as --storage: one driver for each study, whatever its home."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from command import HUNG
from driving import DIGEST, drive
from mlflow import MlflowClient
from optuna.storages import RDBStorage
from small_study import small_spec, write_study
from sqlalchemy import create_engine, text
from tracked import opened

from search.database import sqlite_file
from search.errors import LockstepError, NothingToShowError, StudyBusyError
from search.settings import Settings
from search.study.opening import load_study, open_study

REPOSITORY = Path(__file__).parents[3]
HOLDER = """
import sys, time
from pathlib import Path
from search.settings import Settings
from search.spec.study_file import load
from search.study.opening import open_study
settings = Settings(home=Path(sys.argv[2]), storage=sys.argv[3])
with open_study(load(Path(sys.argv[1])), settings, "0"):
    print("held", flush=True)
    time.sleep(600)
"""
SPEC = small_spec()


def places(tmp_path: Path, *urls: str) -> list[Settings]:
    """Settings of a home each."""
    return [Settings(home=tmp_path / f"home{n}", storage=url) for n, url in enumerate(urls)]


def addresses(tmp_path: Path) -> list[str]:
    """Names of one file."""
    (tmp_path / "link.db").symlink_to(tmp_path / "o.db")
    (tmp_path / "folder").symlink_to(tmp_path)
    return [
        f"sqlite:///{tmp_path}/o.db",
        f"sqlite:///{os.path.relpath(tmp_path)}/o.db",
        f"sqlite+pysqlite:///{tmp_path}/o.db?timeout=7",
        f"sqlite:///file:{tmp_path}/o.db?uri=true",
        f"sqlite:///file:{tmp_path}/o.db?mode=rwc&uri=true",
        f"sqlite:///{tmp_path}/link.db",
        f"sqlite:///{tmp_path}/folder/o.db",
        f"sqlite:///{tmp_path}/folder/../o.db",
    ]


def test_the_file_of_a_url_is_the_one_that_sqlite_opens(tmp_path: Path) -> None:
    for url in addresses(tmp_path):
        engine = create_engine(url)
        with engine.connect() as connection:
            ((_, _, opened),) = connection.execute(text("PRAGMA database_list")).all()
        engine.dispose()
        assert sqlite_file(url) == Path(opened).resolve() == tmp_path / "o.db"


def test_a_second_driver_from_another_home_is_refused(tmp_path: Path) -> None:
    """Whatever it calls the file; a reader is not, and another study neither."""
    first, *others = places(tmp_path, *addresses(tmp_path))
    with open_study(SPEC, first, DIGEST) as study:
        drive(study, 3)
        for other in others:
            with (
                pytest.raises(StudyBusyError, match=f"run by process {os.getpid()} "),
                open_study(SPEC, other, DIGEST),
            ):
                pass
            assert not other.home.exists()
            assert len(load_study(SPEC, other).finished()) == 3
        with open_study(small_spec(name="another"), others[0], DIGEST) as another:
            drive(another, 3)
            drive(study, 1)
    for other in others:
        with open_study(SPEC, other, DIGEST) as study:
            assert len(study.finished()) == 4
    kept = {file.name for file in tmp_path.glob("o.db*")}
    assert kept == {"o.db"}, "no lock file stays"


def test_the_lease_dies_with_its_holder(tmp_path: Path) -> None:
    first, second = places(tmp_path, *[f"sqlite:///{tmp_path}/o.db"] * 2)
    arguments = (str(write_study(tmp_path)), str(first.home), str(first.storage))
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, *arguments],
        cwd=REPOSITORY,
        text=True,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(StudyBusyError, match=f"{holder.pid}"), open_study(SPEC, second, "0"):
        pass
    holder.kill()
    holder.communicate(timeout=HUNG)
    with open_study(SPEC, second, "0") as study:
        drive(study, 1)


@pytest.mark.parametrize("round_", range(3))
def test_studies_that_start_at_once_in_a_new_file(tmp_path: Path, round_: int) -> None:
    """Each makes the tables, and then writes while the others do."""
    count, trials = 3, 3
    ready = threading.Barrier(count)

    def launch(n: int) -> int:
        spec = small_spec(name=f"study-{n}")
        place = Settings(home=tmp_path / f"{n}", storage=f"sqlite:///{tmp_path}/o.db")
        ready.wait()
        with open_study(spec, place, DIGEST) as study:
            drive(study, trials)
        return len(load_study(spec, place).finished())

    with ThreadPoolExecutor(count) as pool:
        assert list(pool.map(launch, range(count))) == [trials] * count


def test_one_of_several_that_start_at_once_drives_the_study(tmp_path: Path) -> None:
    count = 4
    ready, done = threading.Barrier(count), threading.Barrier(count)

    def launch(n: int) -> bool:
        place = Settings(home=tmp_path / f"{n}", storage=f"sqlite:///{tmp_path}/o.db")
        ready.wait()
        with contextlib.ExitStack() as stack:
            try:
                study = stack.enter_context(open_study(SPEC, place, DIGEST))
                drive(study, 2)
            except StudyBusyError:
                study = None
            done.wait()  # until all have tried
        return study is not None

    with ThreadPoolExecutor(count) as pool:
        assert sum(pool.map(launch, range(count))) == 1
    place = Settings(home=tmp_path / "reader", storage=f"sqlite:///{tmp_path}/o.db")
    assert len(load_study(SPEC, place).finished()) == 2


def written_to(file: Path) -> sqlite3.Connection:
    """Another program is writing to the file, until its connection is closed."""
    connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    connection.execute("BEGIN IMMEDIATE")
    return connection


def test_a_file_that_another_program_writes_to_is_waited_for(tmp_path: Path) -> None:
    (place,) = places(tmp_path, f"sqlite:///{tmp_path}/o.db?timeout=0.1")
    with open_study(SPEC, place, DIGEST) as study:
        drive(study, 2)
        other = written_to(tmp_path / "o.db")
        threading.Timer(0.5, other.close).start()
        assert drive(study, 1) == 1
    with (
        pytest.raises(LockstepError, match="database is locked") as caught,
        open_study(SPEC, replace(place, patience=0.0), DIGEST) as study,
        contextlib.closing(written_to(tmp_path / "o.db")),
    ):
        drive(study, 1)
    assert "finished trials are kept" in str(caught.value)
    assert len(load_study(SPEC, place).finished()) == 3


# -- what cannot be a storage ------------------------------------------------------------------


NEITHER = (
    "sqlite://",
    "sqlite:///:memory:",
    "sqlite:///file::memory:?uri=true",
    "sqlite:///file:kept?mode=memory&cache=shared&uri=true",
    "mysql+pymysql://me:s3cret@host/db",
    "mssql+pyodbc://me:s3cret@host/db",
    "oracle://me:s3cret@host/db",
    "cockroachdb://me:s3cret@host/db",
    "redis://host",
    "http://host/db",
    "study.db",
    "",
)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        *((url, "is neither a SQLite file") for url in NEITHER),
        ("sqlite:////nowhere/at/all/o.db", "there is no folder /nowhere/at/all: make it"),
    ],
)
def test_no_storage(tmp_path: Path, url: str, reason: str) -> None:
    (place,) = places(tmp_path, url)
    for use in (
        lambda: open_study(SPEC, place, DIGEST).__enter__(),
        lambda: load_study(SPEC, place),
    ):
        with pytest.raises(LockstepError) as caught:
            use()
        message = str(caught.value)
        assert reason in message
        assert "s3cret" not in message
        assert len(message.splitlines()) == 1
    assert list(tmp_path.iterdir()) == [], "nothing is made"


def test_the_database_of_another_program(tmp_path: Path) -> None:
    """Optuna would make its tables there."""
    file = tmp_path / "mlflow.db"
    MlflowClient(f"sqlite:///{file}").search_experiments(max_results=1)
    before = file.read_bytes()
    (place,) = places(tmp_path, f"sqlite:///{file}")
    with (
        pytest.raises(LockstepError, match="database of MLflow"),
        open_study(SPEC, place, DIGEST),
    ):
        pass
    with pytest.raises(LockstepError, match="database of MLflow"):
        load_study(SPEC, place)
    assert file.read_bytes() == before
    optunas = tmp_path / "o.db"
    RDBStorage(f"sqlite:///{optunas}")
    before = optunas.read_bytes()
    with pytest.raises(LockstepError, match="database of Optuna"):
        opened(SPEC, replace(place, tracking_uri=f"sqlite:///{optunas}"))
    assert optunas.read_bytes() == before


def test_readers_make_nothing(tmp_path: Path) -> None:
    (place,) = places(tmp_path, f"sqlite:///{tmp_path}/o.db")
    with pytest.raises(NothingToShowError):
        load_study(SPEC, place)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "o.db").touch()
    with pytest.raises(NothingToShowError):
        load_study(SPEC, place)
    assert (tmp_path / "o.db").stat().st_size == 0
    with open_study(SPEC, place, DIGEST) as study:
        drive(study, 2)
    before = (tmp_path / "o.db").read_bytes()
    there = set(tmp_path.iterdir())
    assert len(load_study(SPEC, place).finished()) == 2
    assert (tmp_path / "o.db").read_bytes() == before
    assert set(tmp_path.iterdir()) == there

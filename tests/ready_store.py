"""MLflow's empty database, made once for all tests: it takes a second, and hundreds need one.

What is copied is what `make_store` made. Commands that are started cold make theirs themselves, and
so do those whose variable is empty.
"""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from search.settings import Settings
from search.tracking import client, sqlite_file

VARIABLE = "TESTS_MLFLOW_STORE"  # the folder where it is, for all processes of the tests
OWN = {VARIABLE: ""}  # for a command that shall make its own


def provided() -> Callable[[], None]:
    """Say where the database will be, and use it here; return what removes it again."""
    folder = tempfile.mkdtemp(prefix="lockstep-store-")
    os.environ[VARIABLE] = folder
    use()
    return functools.partial(shutil.rmtree, folder, ignore_errors=True)


def use() -> None:
    """Make the new stores of this process copies of the database."""
    if os.environ.get(VARIABLE):
        assert client.make_store in (sqlite_file.make_store, _copy)  # what is replaced is there
        client.make_store = _copy


def _copy(settings: Settings) -> None:
    if not settings.mlflow_file.exists():
        copy_to(settings.mlflow_file)


def copy_to(file: Path) -> None:
    """Copy the database to a file, which is there when it is whole.

    Also for a process that is started cold where it would make its own, if that shows nothing.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    folder = os.environ[VARIABLE]
    made = Settings(home=Path(folder))
    with FileLock(f"{folder}/tests.lock"):
        sqlite_file.make_store(made)
    unfinished = file.with_suffix(f".{os.getpid()}")
    shutil.copyfile(made.mlflow_file, unfinished)
    os.replace(unfinished, file)

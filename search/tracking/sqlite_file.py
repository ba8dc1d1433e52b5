"""Create MLflow's SQLite file in a home, either complete or not at all."""

from __future__ import annotations

import contextlib
import os
import sqlite3

from search.home import COMPLETE, STORE_LOCK, UNFINISHED, UNFINISHED_FILES
from search.locks import locked
from search.settings import Settings
from search.sqlite_url import sqlite_url


def make_store(settings: Settings) -> None:
    """Create the file if it does not exist.

    MLflow creates its tables one by one, and cannot continue after being killed or running out of
    disk space. So the tables are created in another file, which MLflow keeps open; a copy of it is
    renamed when it is complete.
    """
    from mlflow import MlflowClient

    file = settings.mlflow_file
    if file.exists():
        return
    settings.home.mkdir(parents=True, exist_ok=True)
    path = file.with_name(STORE_LOCK)
    with path.open("a") as lock:
        locked(lock.fileno(), path, wait=True)  # another study's launch may be creating it
        if file.exists():
            return
        _remove_unfinished(settings)
        unfinished, copy = file.with_name(UNFINISHED), file.with_name(COMPLETE)
        MlflowClient(sqlite_url(unfinished)).search_experiments(max_results=1)
        with (
            contextlib.closing(sqlite3.connect(unfinished)) as tables,
            contextlib.closing(sqlite3.connect(copy)) as complete,
        ):
            tables.backup(complete)
            # The file keeps this mode, in which readers such as the UI do not block the driver.
            complete.execute("PRAGMA journal_mode=WAL")
        os.replace(copy, file)
        _remove_unfinished(settings)


def _remove_unfinished(settings: Settings) -> None:
    """Remove the files that an interrupted call of `make_store` left behind."""
    for name in UNFINISHED_FILES:
        with contextlib.suppress(PermissionError):  # On Windows a file that is open stays.
            settings.mlflow_file.with_name(name).unlink(missing_ok=True)

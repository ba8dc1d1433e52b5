"""Create MLflow's SQLite file in a home, either complete or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3

from search.home import STORE_LOCK, UNFINISHED, UNFINISHED_FILES
from search.settings import Settings
from search.sqlite_url import sqlite_url


def make_store(settings: Settings) -> None:
    """Create the file if it does not exist.

    MLflow creates its tables one by one, and cannot continue after being killed or running out of
    disk space. So the tables are created in a file with another name, which is renamed when it is
    complete.
    """
    from mlflow import MlflowClient

    file = settings.mlflow_file
    if file.exists():
        return
    settings.home.mkdir(parents=True, exist_ok=True)
    with file.with_name(STORE_LOCK).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another study's launch may be creating it
        if file.exists():
            return
        _remove_unfinished(settings)
        unfinished = file.with_name(UNFINISHED)
        MlflowClient(sqlite_url(unfinished)).search_experiments(max_results=1)
        with contextlib.closing(sqlite3.connect(unfinished)) as connection:
            # The file keeps this mode, in which readers such as the UI do not block the driver.
            connection.execute("PRAGMA journal_mode=WAL")
        os.replace(unfinished, file)
        _remove_unfinished(settings)


def _remove_unfinished(settings: Settings) -> None:
    """Remove the files that an interrupted call of `make_store` left behind."""
    for name in UNFINISHED_FILES:
        settings.mlflow_file.with_name(name).unlink(missing_ok=True)

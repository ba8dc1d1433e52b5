"""Create MLflow's SQLite file in a home, either complete or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3

from search.settings import Settings


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
    with file.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another study's launch may be creating it
        if file.exists():
            return
        _remove_unfinished(settings)
        unfinished = file.with_suffix(".new")
        MlflowClient(f"sqlite:///{unfinished}").search_experiments(max_results=1)
        with contextlib.closing(sqlite3.connect(unfinished)) as connection:
            # The file keeps this mode, in which readers such as the UI do not block the driver.
            connection.execute("PRAGMA journal_mode=WAL")
        os.replace(unfinished, file)
        _remove_unfinished(settings)


def _remove_unfinished(settings: Settings) -> None:
    """Remove the files that an interrupted call of `make_store` left behind."""
    for left in settings.mlflow_file.parent.glob("mlflow.new*"):
        left.unlink()

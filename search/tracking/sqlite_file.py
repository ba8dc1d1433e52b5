"""MLflow's SQLite file in a home: there whole, or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3

from search.settings import Settings


def make_store(settings: Settings) -> None:
    """Make the file if it is not there.

    MLflow makes its tables one by one, and cannot go on where it was killed or the disk was full:
    so under another name, which becomes the file's when all are there.
    """
    from mlflow import MlflowClient

    file = settings.mlflow_file
    if file.exists():
        return
    settings.home.mkdir(parents=True, exist_ok=True)
    with file.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a launch of another study may be at it
        if file.exists():
            return
        _remove_unfinished(settings)
        unfinished = file.with_suffix(".new")
        MlflowClient(f"sqlite:///{unfinished}").search_experiments(max_results=1)
        with contextlib.closing(sqlite3.connect(unfinished)) as connection:
            # Kept in the file: readers (the UI) no longer block the driver.
            connection.execute("PRAGMA journal_mode=WAL")
        os.replace(unfinished, file)
        _remove_unfinished(settings)


def _remove_unfinished(settings: Settings) -> None:
    for left in settings.mlflow_file.parent.glob("mlflow.new*"):
        left.unlink()

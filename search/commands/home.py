"""Open a home as it is found: moved, copied, or one that can only be read."""

from __future__ import annotations

import contextlib
import os
import shlex
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from search.errors import LockstepError
from search.home import STORE_FILES
from search.redact import redacted
from search.settings import Settings
from search.sqlite_url import sqlite_url
from search.study.file_lease import file_lease
from search.tracking.explanations import explained
from search.tracking.moved_home import copy_store, files_elsewhere, former_homes, point_here

Tell = Callable[[str], None]


def settle(settings: Settings, study: str, tell: Tell) -> None:
    """Let the MLflow store of a moved home point at the home, before a command writes to it.

    study: the one whose lease the command holds. tell: called with a sentence if the home was
    moved.

    Raises LockstepError if the store cannot be read, if another study runs in the home, which may
    have been started in its former place, or if the study's files would be written elsewhere.
    """
    if settings.tracking_uri is not None or not settings.mlflow_file.is_file():
        return
    with _explaining(settings):
        former = point_here(settings, lambda: _in_use(settings, study))
        if former is None:
            raise LockstepError(
                f"{settings.place}: this home was moved or copied, and another study is "
                "being run in it: wait until that has ended, so that its MLflow store can point at "
                "the new place"
            )
        elsewhere = files_elsewhere(settings, study)
    _tell(former, tell)
    if elsewhere is not None:
        raise LockstepError(
            f"MLflow experiment {study} in {settings.mlflow_file} has its files in {elsewhere}, "
            f"outside this home: go on with --tracking-uri {shlex.quote(settings.mlflow_uri)}, or "
            "give the study a new name"
        )


@contextlib.contextmanager
def readable(settings: Settings, tell: Tell) -> Iterator[Settings]:
    """Yield settings with which the runs of a home can be read, wherever it is now.

    The MLflow store of a moved home is pointed at it. If nothing may be written there, or if a
    study is being run, a copy of the store is read. tell: as `settle` calls it.

    Raises LockstepError if the store cannot be read.
    """
    if settings.tracking_uri is not None or not settings.mlflow_file.is_file():
        yield settings
        return
    with contextlib.ExitStack() as stack:
        with _explaining(settings):
            in_place = writable(settings) and _pointed_here(settings, tell)
            if not in_place:
                folder = Path(stack.enter_context(_temporary()))
                copy = sqlite_url(copy_store(settings, folder))
        if in_place:
            yield settings
            return
        try:
            yield replace(settings, tracking_uri=copy)
        except LockstepError as error:
            # The user knows of no copy.
            raise type(error)(str(error).replace(copy, settings.mlflow_uri)) from error


def _pointed_here(settings: Settings, tell: Tell) -> bool:
    """Let the store point at the home; return False if a study that runs does not allow it."""
    former: list[Path] | None = former_homes(settings)
    if former:
        former = point_here(settings, lambda: _in_use(settings))
    if former is None:
        return False
    _tell(former, tell)
    return True


def writable(settings: Settings) -> bool:
    """Return whether the home and its MLflow store may be written."""
    store = settings.mlflow_file
    files = [store.with_name(name) for name in STORE_FILES]
    places = [store.parent, *(file for file in files if file.exists())]
    return all(os.access(place, os.W_OK) for place in places)


def _tell(former: Sequence[Path], tell: Tell) -> None:
    """Tell from where a home was moved, if it was."""
    for place in former:
        tell(f"this home was moved or copied from {place}; its MLflow store now points here")


@contextlib.contextmanager
def _explaining(settings: Settings) -> Iterator[None]:
    """Turn errors of SQLite into a LockstepError that says what to do."""
    try:
        yield
    except sqlite3.Error as error:
        uri = redacted(settings.mlflow_uri)
        raise LockstepError(
            f"MLflow at {uri} cannot be used: {explained(error, settings)}"
        ) from error


def _temporary() -> tempfile.TemporaryDirectory[str]:
    """Return a new folder that is removed at the end, as far as no server still reads from it."""
    return tempfile.TemporaryDirectory(prefix="lockstep-", ignore_cleanup_errors=True)


def _in_use(settings: Settings, but: str = "") -> bool:
    """Return whether a study is being run in the home. but: the one that this command runs."""
    for lock in settings.home.glob("*/driver.lock"):
        study = lock.parent.name
        if study == but:
            continue
        try:
            with file_lease(lock, study):
                pass
        except (LockstepError, OSError):  # A lock that cannot be opened may be held.
            return True
    return False

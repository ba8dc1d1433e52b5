"""Let the MLflow store of a home that was moved or copied point at the files beside it.

MLflow stores where the files of experiments, runs and models are as absolute addresses, and has no
public way to change them. Without a change, a run of a moved home would be written into the old
place, and a retrain in a copy would change the original. So the addresses are changed in the
SQLite file, in one transaction: only those that begin with the address of the artifacts folder of
the home's former place, and only in the home's own store.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from search.home import ARTIFACTS, MLFLOW_FILE
from search.settings import Settings
from search.tracking.names import OWNER_TAG, ROLE_TAG

WAIT_SECONDS = 20.0  # for another process that writes; MLflow waits as long

# All columns of MLflow's tables that may hold an address below an experiment's.
_ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("trace_tags", "value"),
)
_DESCRIBED = ("experiment_tags", "registered_model_tags")  # which say in words where the home is

# The experiments that have a run of ours, or none at all because their first launch was killed.
_EXPERIMENTS = """
    SELECT name, artifact_location FROM experiments AS e
    WHERE NOT EXISTS (SELECT 1 FROM runs WHERE experiment_id = e.experiment_id)
    OR EXISTS (
        SELECT 1 FROM runs JOIN tags USING (run_uuid)
        WHERE experiment_id = e.experiment_id AND key = ?
    )
"""


def point_here(settings: Settings, in_use: Callable[[], bool]) -> list[Path] | None:
    """Let the home's store point at the home's artifacts; return the former places of the home.

    in_use: asked while nobody else can write to the store whether a command runs in the home. It
        may have been started in the former place, and write there; then nothing is changed, and
        None is returned.

    Nothing is changed if the home was not moved. Raises sqlite3.Error.
    """
    with contextlib.closing(_connected(str(settings.mlflow_file))) as store:
        store.execute("BEGIN IMMEDIATE")  # What is not committed is undone when it is closed.
        former = _former(store, settings.artifacts)
        if former and in_use():
            return None
        _move(store, former, settings.artifacts)
        store.execute("COMMIT")
        return [path.parent for path in former.values()]


def former_homes(settings: Settings) -> list[Path]:
    """Return the places in which the home was before, as far as its store still points there.

    Raises sqlite3.Error.
    """
    with contextlib.closing(_connected(str(settings.mlflow_file))) as store:
        return [path.parent for path in _former(store, settings.artifacts).values()]


def files_elsewhere(settings: Settings, study: str) -> str | None:
    """Return where the store has the files of a study, None if that is in the home or undecided.

    Raises sqlite3.Error.
    """
    with contextlib.closing(_connected(str(settings.mlflow_file))) as store:
        if "experiments" not in _tables(store):
            return None
        question = "SELECT artifact_location FROM experiments WHERE name = ?"
        for (location,) in store.execute(question, (study,)):
            parts = urlsplit(str(location))
            path = Path(url2pathname(parts.path))
            local = parts.scheme in ("", "file")
            if not (local and any(_same(each, settings.artifacts) for each in path.parents)):
                return str(location)
    return None


def copy_store(settings: Settings, folder: Path) -> Path:
    """Copy the home's store, which need not be writable, into a folder; return the copy's path.

    The copy points at the home's artifacts. Raises sqlite3.Error and OSError.
    """
    file, copy = settings.mlflow_file, folder / MLFLOW_FILE
    try:
        with (
            contextlib.closing(_connected(f"{file.as_uri()}?mode=ro", uri=True)) as source,
            contextlib.closing(_connected(str(copy))) as target,
        ):
            source.backup(target)
    except sqlite3.OperationalError:
        # SQLite cannot read the file where it is without writing files beside it, which happens
        # if no other process has it open. Then it does not change while it is copied.
        for suffix in ("", "-wal"):
            if (part := file.with_name(file.name + suffix)).exists():
                shutil.copyfile(part, copy.with_name(copy.name + suffix))
    with contextlib.closing(_connected(str(copy))) as target:
        target.execute("BEGIN")
        _move(target, _former(target, settings.artifacts), settings.artifacts)
        target.execute("COMMIT")
    return copy


def _connected(database: str, uri: bool = False) -> sqlite3.Connection:
    """Return a connection without transactions of its own."""
    return sqlite3.connect(database, timeout=WAIT_SECONDS, isolation_level=None, uri=uri)


def _former(store: sqlite3.Connection, artifacts: Path) -> dict[str, Path]:
    """Return the artifacts folders of the home's former places, by their addresses."""
    if not {"experiments", "runs", "tags"} <= _tables(store):
        return {}  # It is no store of MLflow, as MLflow will say.
    former: dict[str, Path] = {}
    for name, location in store.execute(_EXPERIMENTS, (ROLE_TAG,)):
        address, _, folder = str(location).rstrip("/").rpartition("/")
        parts = urlsplit(address)
        path = Path(url2pathname(parts.path))
        ours = parts.scheme == "file" and path.name == ARTIFACTS and unquote(folder) == name
        if ours and not _same(path, artifacts):
            former[address] = path
    return former


def _same(one: Path, other: Path) -> bool:
    """Return whether two paths lead to the same folder."""
    with contextlib.suppress(OSError):
        return one == other or one.samefile(other)
    return False


def _move(store: sqlite3.Connection, former: dict[str, Path], artifacts: Path) -> None:
    """Replace the former addresses, and the same as plain paths, in all tables."""
    tables = _tables(store)
    changes = {address: artifacts.as_uri() for address in former}
    changes |= {str(path): str(artifacts) for path in former.values()}
    for table, column in _ADDRESSES:
        columns = {row[1] for row in store.execute(f"PRAGMA table_info({table})")}
        if table not in tables or column not in columns:
            continue
        for old, new in changes.items():
            store.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                f"WHERE substr({column}, 1, ?) = ?",
                (new, len(old) + 1, len(old) + 1, f"{old}/"),
            )
    for table in tables.intersection(_DESCRIBED):
        for path in former.values():
            store.execute(
                f"UPDATE {table} SET value = replace(value, ?, ?) WHERE key = ?",
                (f"{path.parent} on ", f"{artifacts.parent} on ", OWNER_TAG),
            )


def _tables(store: sqlite3.Connection) -> set[str]:
    """Return the names of the tables."""
    return {str(name) for (name,) in store.execute("SELECT name FROM sqlite_master")}

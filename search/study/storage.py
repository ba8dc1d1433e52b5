"""Open the storage of a study: a journal file in the home, or the database of --storage."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from search.database import OPTUNA, has_tables, sqlite_file
from search.errors import LockstepError, NothingToShowError, first_line
from search.home import JOURNAL
from search.postgres import connect_args, is_postgres
from search.redact import hidden, redacted
from search.settings import Settings
from search.study.foreign import place
from search.study.postgres_storage import leased_storage
from search.study.sqlite_storage import leased_sqlite, waiting


def check_storage(settings: Settings) -> None:
    """Raise LockstepError if --storage is no database that can keep a second driver away.

    Nothing is opened.
    """
    url = settings.storage
    if url is None or is_postgres(url):
        return
    try:
        file = sqlite_file(url) if make_url(url).get_backend_name() == "sqlite" else None
    except (ArgumentError, ValueError):  # for example, the port is not a number
        file = None
    if file is None:
        raise LockstepError(
            f"--storage {redacted(url)} is neither a SQLite file (sqlite:///study.db) nor a "
            "PostgreSQL database (postgresql+psycopg://user@host/database): name one, because "
            "nothing else keeps a study and a second launch of it away"
        )
    if not file.parent.is_dir():
        raise LockstepError(
            f"--storage {redacted(url)}: there is no folder {file.parent}: make it first"
        )


def check_launched(study: str, settings: Settings) -> None:
    """Raise NothingToShowError if the study is not in the home, or its SQLite file is not there.

    Raises LockstepError if --storage cannot be used at all.
    """
    check_storage(settings)
    url = settings.storage
    if url is not None and not is_postgres(url):
        file = sqlite_file(url)
        if file is not None and not file.exists():
            raise NothingToShowError(not_launched(study, settings))
    if settings.storage is None and not _journal(study, settings).is_file():
        raise NothingToShowError(not_launched(study, settings))


def not_launched(study: str, settings: Settings) -> str:
    """Return the error message for a study that was never launched."""
    return (
        f"study {study} has not been launched: run `lockstep launch` on its file first "
        f"(looked for in {place(settings)})"
    )


def _journal(study: str, settings: Settings) -> Path:
    """Return the path of a study's journal in the home."""
    return settings.folder(study) / JOURNAL


def open_storage(study: str, settings: Settings, *, repair: bool) -> BaseStorage:
    """Return the database of --storage or, without one, the journal in the home.

    repair: remove what a killed driver may have left in the journal; only the holder of the lease
    may ask for it. Raises LockstepError if the database cannot be opened. A database is opened for
    reading.
    """
    if settings.storage is not None:
        return _database(study, settings.storage, settings)
    path = _journal(study, settings)
    if repair:
        _repair(path)
    # Optuna's other lock is a symbolic link, which Windows and some disks do not allow.
    return JournalStorage(JournalFileBackend(str(path), JournalFileOpenLock(str(path))))


@contextlib.contextmanager
def driver_storage(study: str, settings: Settings) -> Iterator[BaseStorage]:
    """Yield the storage for the study's only driver, which already holds the lease of the home.

    Several homes can share a database, so there the driver takes a second lease. Raises
    LockstepError if the database cannot be opened, and StudyBusyError if another driver has the
    lease.
    """
    url = settings.storage
    if url is None:
        yield open_storage(study, settings, repair=True)
        return
    leased = leased_storage if is_postgres(url) else leased_sqlite
    with contextlib.ExitStack() as stack:
        try:
            storage = stack.enter_context(leased(url, study, settings.patience))
        except (LockstepError, OSError):
            raise
        except Exception as error:
            raise _unusable(settings, error) from error
        yield storage


def _database(study: str, url: str, settings: Settings) -> BaseStorage:
    """Return the database of --storage for reading.

    Raises NothingToShowError if it has no tables of Optuna: only a driver makes them.
    """
    arguments = connect_args(url) if is_postgres(url) else {}
    try:
        if not has_tables(url, place(settings), OPTUNA, arguments):
            raise NothingToShowError(not_launched(study, settings))
        options = {"connect_args": arguments, "pool_pre_ping": is_postgres(url)}
        storage = RDBStorage(url, engine_kwargs=options)
    except LockstepError:
        raise
    except Exception as error:
        raise _unusable(settings, error) from error
    return storage if is_postgres(url) else waiting(storage, url, settings.patience)


def remove_study(study: str, settings: Settings, storage: BaseStorage) -> None:
    """Remove a study from its storage. The caller must hold the lease."""
    if settings.storage is None and len(storage.get_all_studies()) == 1:
        _journal(study, settings).unlink()
    else:
        storage.delete_study(storage.get_study_id_from_name(study))


def _unusable(settings: Settings, error: Exception) -> LockstepError:
    """Return the error that tells the user why the database of --storage cannot be opened."""
    url = settings.storage or ""
    reason = hidden(first_line(error), url)
    if "DB access module" in reason and is_postgres(url):
        reason = "psycopg is not installed: pip install 'lockstep[cluster]'"
    return LockstepError(f"--storage {redacted(url)}: cannot be opened: {reason}")


def _repair(path: Path) -> None:
    """Remove what a killed driver may have left: an incomplete last line, and the journal's own
    lock.

    An incomplete line would make the journal unreadable at the next append. The caller must hold
    the lease.
    """
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
    if not path.is_file():
        return
    with path.open("r+b") as file:
        content = file.read()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            file.truncate(whole)

"""Open the storage of a study: a journal file in the home, or the database of --storage."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from search.errors import LockstepError, NothingToShowError, first_line
from search.home import JOURNAL
from search.postgres import connect_args, is_postgres
from search.redact import hidden, redacted
from search.settings import Settings
from search.study.postgres_storage import leased_storage


def check_launched(study: str, settings: Settings) -> None:
    """Raise NothingToShowError if the journal of the study is not in the home."""
    if settings.storage is None and not _journal(study, settings).is_file():
        raise NothingToShowError(not_launched(study, settings))


def not_launched(study: str, settings: Settings) -> str:
    """Return the error message for a study that was never launched."""
    return (
        f"study {study} has not been launched: run `lockstep launch` on its file first "
        f"(home is {settings.place})"
    )


def _journal(study: str, settings: Settings) -> Path:
    """Return the path of a study's journal in the home."""
    return settings.folder(study) / JOURNAL


def open_storage(study: str, settings: Settings, *, repair: bool) -> BaseStorage:
    """Return the database of --storage or, without one, the journal in the home.

    repair: remove what a killed driver may have left in the journal; only the holder of the lease
    may ask for it. Raises LockstepError if the database cannot be opened.
    """
    if settings.storage is not None:
        try:
            if is_postgres(settings.storage):
                arguments = {"connect_args": connect_args(settings.storage), "pool_pre_ping": True}
                return RDBStorage(settings.storage, engine_kwargs=arguments)
            return RDBStorage(settings.storage)
        except Exception as error:
            raise _unusable(settings, error) from error
    path = _journal(study, settings)
    if repair:
        _repair(path)
    # Optuna's other lock is a symbolic link, which Windows and some disks do not allow.
    return JournalStorage(JournalFileBackend(str(path), JournalFileOpenLock(str(path))))


@contextlib.contextmanager
def driver_storage(study: str, settings: Settings) -> Iterator[BaseStorage]:
    """Yield the storage for the study's only driver, which already holds the lease of the home.

    Several homes can share a PostgreSQL database, so there the driver takes a second lease. Raises
    LockstepError if the database cannot be opened, and StudyBusyError if another driver has the
    lease.
    """
    url = settings.storage
    if url is None or not is_postgres(url):
        yield open_storage(study, settings, repair=True)
        return
    with contextlib.ExitStack() as stack:
        try:
            storage = stack.enter_context(leased_storage(url, study, settings.patience))
        except LockstepError:
            raise
        except Exception as error:
            raise _unusable(settings, error) from error
        yield storage


def remove_study(study: str, settings: Settings, storage: BaseStorage) -> None:
    """Remove a study from its storage. The caller must hold the lease."""
    if settings.storage is None:
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

"""A SQLite file as the storage of a study, with a lease beside the file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from optuna.storages import RDBStorage
from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import OperationalError

from search.database import OPTUNA, has_tables, sqlite_file
from search.errors import LockstepError, first_line
from search.redact import redacted
from search.study.file_lease import file_lease
from search.study.making import make_tables
from search.study.patient_storage import ConnectionLostError, PatientStorage


@contextlib.contextmanager
def leased_sqlite(url: str, study: str, patience: float) -> Iterator[PatientStorage]:
    """Hold the lease of a study, and yield the storage that writes under it.

    The lease is a lock on a file beside the database, so that it keeps drivers of all homes away.

    Raises StudyBusyError, which names the holder, if another driver has the lease. Raises
    LockstepError if the database is in memory, or is that of another program.
    """
    file = sqlite_file(url)
    if file is None:
        raise LockstepError(f"--storage {redacted(url)} is in memory, where nothing is kept")
    lock = file.with_name(f"{file.name}.{study}.lock")
    with file_lease(lock, study):
        try:
            if file.exists():
                has_tables(url, f"--storage {redacted(url)}", OPTUNA, {})
            make_tables(url, {})
            storage = RDBStorage(url, skip_compatibility_check=True, skip_table_creation=True)
            try:
                yield waiting(storage, url, patience)
            finally:
                storage.remove_session()
                storage.engine.dispose()
        finally:
            with contextlib.suppress(OSError):  # some systems keep a file that is open
                lock.unlink()


def waiting(storage: RDBStorage, url: str, patience: float) -> PatientStorage:
    """Return a storage that waits while another process writes to the same SQLite file.

    It waits for up to ``patience`` seconds. Each call raises LockstepError if the file cannot be
    read or written.
    """
    name = f"--storage {redacted(url)}"

    def tell(context: ExceptionContext) -> None:
        error = context.sqlalchemy_exception
        if not isinstance(error, OperationalError):
            return
        reason = first_line(error)
        if "locked" in reason:
            raise ConnectionLostError(reason)
        raise LockstepError(
            f"{name} failed ({reason}): finished trials are kept; once it works again, the same "
            "command continues"
        )

    # Optuna's documentation advises against using `engine`, although its name is public. There is
    # no other way to see these errors before Optuna turns them into its own.
    event.listen(storage.engine, "handle_error", tell)
    return PatientStorage(storage, name, patience)

"""PostgreSQL as the storage of a study's only driver."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from optuna.storages import RDBStorage
from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import InterfaceError, OperationalError

from search.database import OPTUNA, has_tables
from search.errors import first_line
from search.postgres import connect_args
from search.redact import redacted
from search.study.making import make_tables
from search.study.patient_storage import ConnectionLostError, PatientStorage
from search.study.postgres_lease import PostgresLease


@contextlib.contextmanager
def leased_storage(url: str, study: str, patience: float) -> Iterator[PatientStorage]:
    """Hold the lease of a study, and yield the storage that writes under it.

    Everything goes through one connection, and a connection is only accepted once it holds the
    study's advisory lock. So a driver that has lost its lock can never write. A lost connection is
    made again for up to ``patience`` seconds.

    Raises StudyBusyError, which names the holder, if another driver has the lease or took it over
    after the connection was lost. Raises LockstepError if the server does not come back.
    """
    options = {"connect_args": connect_args(url)}
    has_tables(url, f"--storage {redacted(url)}", OPTUNA, connect_args(url))
    # To create its tables and check their version, Optuna needs a second connection.
    make_tables(url, connect_args(url))
    storage = RDBStorage(
        url,
        engine_kwargs=options
        | {
            "pool_size": 1,
            "max_overflow": 0,
            "pool_pre_ping": True,
            "pool_events": [(PostgresLease(study).take, "connect")],
        },
        skip_compatibility_check=True,
        skip_table_creation=True,
    )
    # Optuna's documentation advises against using `engine`, although its name is public. There is
    # no other way to see a lost connection before Optuna does, or to close a connection.
    event.listen(storage.engine, "handle_error", _lost)
    try:
        yield PatientStorage(storage, f"PostgreSQL at {redacted(url)}", patience)
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _lost(context: ExceptionContext) -> None:
    """Raise ConnectionLostError in place of SQLAlchemy's error.

    Optuna would turn SQLAlchemy's error into one of its own. When it creates a trial, it would also
    retry without checking whether the trial already exists.
    """
    error = context.sqlalchemy_exception
    found_by_ping = context.is_pre_ping and context.is_disconnect  # then it reconnects at once
    if isinstance(error, OperationalError | InterfaceError) and not found_by_ping:
        raise ConnectionLostError(first_line(error))

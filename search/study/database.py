"""What all databases of --storage have in common: whose they are, and how their tables are made."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import inspect
from sqlalchemy.engine import create_engine

from search.errors import LockstepError
from search.redact import redacted

MAKING_SECONDS = 20.0  # how long others may take to make the tables
# What databases say when another process makes the same tables at the same moment.
_MADE_BY_ANOTHER = re.compile(
    "already exists|duplicate key|UNIQUE constraint|locked", re.IGNORECASE
)

T = TypeVar("T")


def has_optuna_tables(url: str, connect_args: dict[str, Any]) -> bool:
    """Return whether a database has Optuna's tables. Nothing is written.

    Raises LockstepError if it is the database of another program, such as MLflow, that records its
    version in the table in which Optuna would.
    """
    engine = create_engine(url, connect_args=connect_args)
    try:
        tables = set(inspect(engine).get_table_names())
    finally:
        engine.dispose()
    if {"studies", "version_info"} <= tables:
        return True
    if "alembic_version" in tables:
        raise LockstepError(
            f"--storage {redacted(url)} is the database of another program, such as MLflow, in "
            "which Optuna can keep nothing: name a database of its own"
        )
    return False


def made_patiently(make: Callable[[], T]) -> T:
    """Return what ``make`` returns, which is called again if another process is in its way.

    It opens a storage, whose tables several processes may want to make at the same moment.
    """
    deadline = time.monotonic() + MAKING_SECONDS
    while True:
        try:
            return make()
        except Exception as error:
            if time.monotonic() > deadline or not _MADE_BY_ANOTHER.search(_reasons(error)):
                raise
        time.sleep(0.1)


def _reasons(error: BaseException | None) -> str:
    """Return the messages of an error and of its causes."""
    messages = []
    while error is not None:
        messages.append(str(error))
        error = error.__cause__
    return "\n".join(messages)

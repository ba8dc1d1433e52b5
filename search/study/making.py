"""Make Optuna's tables, which other processes may be making at the same moment."""

from __future__ import annotations

import re
import time
from typing import Any

from optuna.storages import RDBStorage
from sqlalchemy.pool import NullPool

MAKING_SECONDS = 20.0  # how long others may take to make the tables
# What databases say when another process makes the same tables at the same moment.
_MADE_BY_ANOTHER = re.compile(
    "already exists|duplicate key|UNIQUE constraint|locked", re.IGNORECASE
)


def make_tables(url: str, connect_args: dict[str, Any]) -> None:
    """Make Optuna's tables in a database where they are missing, and check their version.

    If another process is in the way, it is tried again.
    """
    options = {"connect_args": connect_args, "poolclass": NullPool}  # no connection stays open
    deadline = time.monotonic() + MAKING_SECONDS
    while True:
        try:
            RDBStorage(url, engine_kwargs=dict(options))
            return
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

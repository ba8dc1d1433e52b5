"""Files that nobody waits for until they are on the disk.

Processes are killed in tests, never the machine: what they have written stays. Optuna's journal and
SQLite wait after each record, which takes a third of the time of what writes most. PostgreSQL does
not wait either: see `services.py`.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from typing import Any

import sqlalchemy
from sqlalchemy.engine import Engine


def use() -> None:
    """Let this process wait for no disk."""
    os.fsync = os.fdatasync = _at_once
    if not sqlalchemy.event.contains(Engine, "connect", _do_not_wait):
        sqlalchemy.event.listen(Engine, "connect", _do_not_wait)


def _at_once(file: Any) -> None: ...


def _do_not_wait(connection: object, _: object) -> None:
    """Tell SQLite not to wait, unless the file is locked or no database."""
    if isinstance(connection, sqlite3.Connection):
        (patience,) = connection.execute("PRAGMA busy_timeout").fetchone()
        connection.execute("PRAGMA busy_timeout = 0")
        with contextlib.suppress(sqlite3.Error):
            connection.execute("PRAGMA synchronous = OFF")
        connection.execute(f"PRAGMA busy_timeout = {patience}")

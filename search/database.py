"""Whose a database is, by its tables: Optuna's, MLflow's, or that of another program."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from sqlalchemy import inspect
from sqlalchemy.engine import create_engine, make_url

from search.errors import LockstepError

OPTUNA, MLFLOW = frozenset({"studies", "version_info"}), frozenset({"experiments", "runs"})
_VERSION = "alembic_version"  # where Optuna, MLflow and others record the version of their tables


def has_tables(url: str, shown: str, wanted: frozenset[str], connect_args: dict[str, Any]) -> bool:
    """Return whether a database has the tables of a program. Nothing is written.

    shown: the option and the URL, as a message shows them. wanted: names of these tables.

    Raises LockstepError if it is the database of another program that records the version of its
    tables in the same place: the two would take each other's version for their own.
    """
    engine = create_engine(url, connect_args=connect_args)
    try:
        tables = set(inspect(engine).get_table_names())
    finally:
        engine.dispose()
    if wanted <= tables:
        return True
    if _VERSION in tables:
        whose = {OPTUNA: "Optuna", MLFLOW: "MLflow"}
        owner = next((whose[each] for each in whose if each <= tables), "another program")
        raise LockstepError(
            f"{shown} is the database of {owner}, and {whose[wanted]} needs one of its own: name "
            "another"
        )
    return False


def sqlite_file(address: str) -> Path | None:
    """Return the file of a SQLite URL, without links on its way; None if it is in memory only."""
    url = make_url(address)
    database = url.database or ""
    if database.startswith("file:") and str(url.query.get("uri", "")).lower() in ("true", "1"):
        in_memory = url.query.get("mode") == "memory"
        database = "" if in_memory else unquote(urlsplit(database).path)
    else:  # SQLAlchemy goes back over a `..` before it follows links
        database = os.path.normpath(database) if database else ""
    return None if database in ("", ":memory:") else Path(database).resolve()

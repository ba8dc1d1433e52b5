"""Explain errors of MLflow and its database, and what a user can do about them."""

from __future__ import annotations

import errno
import os

from search.errors import first_line
from search.redact import hidden, redacted
from search.settings import Settings
from search.sqlite_errors import remedy


def explained(error: BaseException, settings: Settings) -> str:
    """Return the reason of an error, without passwords, and the remedy if there is one."""
    text = str(error)
    uri = redacted(settings.mlflow_uri)
    if "database is locked" in text:
        return "another process holds its database: wait for that, or end it"
    if "out-of-date database schema" in text:
        return (
            "its tables are those of another version of MLflow: if of an older one, back it up "
            f"and run `mlflow db upgrade {uri}`; if of a newer one, install that one here"
        )
    reason = hidden(first_line(error), settings.mlflow_uri)
    if _is_full(error):  # MLflow then tells what it could not write, and not why.
        reason, text = "No space left on device", "disk is full"
    file = settings.mlflow_file if settings.tracking_uri is None else None
    known = remedy(text, settings.home, file)
    return reason if known is None else f"{reason}: {known}"


def _is_full(error: BaseException | None) -> bool:
    """Return whether a full disk led to an error."""
    while error is not None:
        # An error of shutil has the texts of several instead of a number.
        if isinstance(error, OSError) and (
            error.errno == errno.ENOSPC or os.strerror(errno.ENOSPC) in str(error)
        ):
            return True
        error = error.__cause__ or error.__context__
    return False

"""Explain errors of MLflow and its database, and what a user can do about them."""

from __future__ import annotations

from search.errors import first_line
from search.redact import hidden, redacted
from search.settings import Settings


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
    if "unable to open database" in text or "readonly database" in text:
        return f"{reason}: make the file and its folder writable"
    if "disk is full" in text:
        return f"{reason}: make room"
    return reason

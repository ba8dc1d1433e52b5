"""What a user can do about an error of SQLite, which names neither its file nor a remedy."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from search.redact import redacted
from search.system_errors import KEPT, broken_link, fullest

_REMEDIES = {
    "unable to open database": "make the file and its folder writable",
    "readonly database": "make the file and its folder writable",
    "disk I/O error": "see to its disk or its network",
    "malformed": "the file is damaged: put a copy of it back",
    "not a database": "the file is something else, or damaged: put a copy of it back",
}


def sentence(error: BaseException, storage: str | None, home: Path) -> str | None:
    """Return a message for an error that SQLite caused, None if there is none or no remedy.

    storage: the URL of the database that was used, None for those in the home.
    """
    cause = _cause(error)
    what = remedy(str(cause), home)
    if cause is None or what is None:
        return None
    place = redacted(storage) if storage else f"a database in {home}"
    return f"{place}: {cause}: {KEPT}; {what}, and run the same command again"


def remedy(text: str, home: Path, file: Path | None = None) -> str | None:
    """Return what can be done about an error of SQLite with this text, None if nothing is known.

    file: the database, if it is known.
    """
    if "disk is full" in text:
        place = fullest(home)
        if place == home:
            return "make room"
        return (
            f"make room in {place}, or name another folder for temporary files with the "
            "environment variable TMPDIR"
        )
    if "unable to open" in text and file is not None and (link := broken_link(file)) is not None:
        return link
    return next((does for words, does in _REMEDIES.items() if words in text), None)


def is_busy(error: BaseException) -> bool:
    """Return whether SQLite refused a call because another process was reading or writing."""
    code = getattr(_cause(error), "sqlite_errorcode", sqlite3.SQLITE_OK)
    return bool(code & 0xFF == sqlite3.SQLITE_BUSY)  # The other bytes say more about it.


def _cause(error: BaseException | None) -> sqlite3.Error | None:
    """Return the error of SQLite that led to an error, None if there is none."""
    while error is not None:
        if isinstance(error, sqlite3.Error):
            return error
        error = error.__cause__ or error.__context__
    return None

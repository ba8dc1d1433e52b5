"""The URL by which MLflow opens an SQLite file, wherever that lies."""

from __future__ import annotations

from pathlib import Path

from search.errors import LockstepError


def sqlite_url(file: Path) -> str:
    """Return the URL of an SQLite file. file: its absolute path.

    Raises LockstepError if no URL is read as this path.
    """
    from sqlalchemy.engine import URL, make_url

    path = str(file)
    try:
        # MLflow makes the parent folder of what stands behind "sqlite:///", and would make another
        # one of a quoted path. It makes none if the URL names the driver.
        quoted = URL.create("sqlite+pysqlite", database=path).render_as_string(hide_password=False)
        for url in (f"sqlite:///{path}", quoted):
            if make_url(url).database == path:
                return url
    except UnicodeEncodeError:
        pass  # The path has bytes that are no UTF-8.
    shown = str(file.parent).encode(errors="backslashreplace").decode()
    raise LockstepError(
        f"{shown}: MLflow cannot open a database in a folder of this name: name a folder with "
        "--home whose path has letters, digits and spaces only"
    )

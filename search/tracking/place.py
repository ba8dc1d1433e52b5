"""Refuse the few places in which MLflow cannot make its store, before anything is written there."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

from search.errors import LockstepError
from search.settings import Settings
from search.sqlite_url import sqlite_url


def check_place(settings: Settings) -> None:
    """Raise LockstepError if MLflow cannot open or make the store in the home.

    MLflow decodes the path of a model's files twice. When it makes a store, it writes the path of
    the working folder into SQL without quoting it.
    """
    if settings.tracking_uri is not None:
        return
    sqlite_url(settings.mlflow_file)
    if unquote(path := str(settings.place)) != path:
        raise LockstepError(
            f"{path}: MLflow does not find models in a folder with % and two hexadecimal digits in "
            "its path: name another folder with --home, or rename this one"
        )
    if settings.mlflow_file.exists():
        return
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import SQLAlchemyError

    folder = str(Path.cwd())
    try:
        with create_engine("sqlite://").connect() as connection:
            connection.execute(text(f"SELECT {folder!r}"))
    except SQLAlchemyError as error:
        odd = " ".join(sorted(set(folder) & set("\"':")))
        raise LockstepError(
            f"{folder}: MLflow cannot make its store while a command runs in a folder with {odd} "
            "in its path: run the command in another folder, or rename this one"
        ) from error

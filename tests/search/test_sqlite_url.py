"""Folders of odd names, each the folder of one SQLite file."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.store.db.utils import create_sqlalchemy_engine_with_retry
from sqlalchemy import make_url, text

from search.errors import LockstepError
from search.sqlite_url import sqlite_url

NAMES = [
    "a b", "Übung ж 猫", "50%", "a%20b", "%3F", "q?x", "h#1", "a:b", "a;b&c=d", "it's",
    'two"quotes', "user@host", "me:pw@host", "DOM\\user", "$HOME", "[x]", "{y}", "e+f",
    "?token=abc", "~tilde", "-dash", "new\nline", ":memory:", "file:x?mode=ro",
]  # fmt: skip


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@pytest.mark.parametrize("name", NAMES)
def test_mlflow_opens_the_file_and_makes_no_other(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    with closing(sqlite3.connect(folder / "mlflow.db")) as connection:
        connection.execute("CREATE TABLE here (name)")
    with inside(tmp_path):
        engine = create_sqlalchemy_engine_with_retry(sqlite_url(folder / "mlflow.db"))
        with engine.connect() as opened:
            assert opened.execute(text("SELECT name FROM sqlite_master")).scalar() == "here"
        engine.dispose()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert [path.name for path in folder.iterdir()] == ["mlflow.db"]


def test_a_usual_folder_has_the_usual_url() -> None:
    assert sqlite_url(Path("/home/me/runs/mlflow.db")) == "sqlite:////home/me/runs/mlflow.db"


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20))
def test_every_path_comes_back(name: str) -> None:
    path = f"/{name}"
    assert make_url(sqlite_url(Path(path))).database == str(Path(path))


def test_a_folder_that_no_url_names() -> None:
    """One sentence that can be printed."""
    with pytest.raises(LockstepError, match=r"^/by\\udcffte: MLflow cannot open a database"):
        sqlite_url(Path(os.fsdecode(b"/by\xffte/mlflow.db")))

"""Optuna's own tests of a storage, on each of the storages that a driver may get."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from optuna.storages import BaseStorage
from optuna.testing.pytest_storages import StorageTestCase
from services import Services
from sqlalchemy import MetaData, create_engine

from search.settings import Settings
from search.study.storage import driver_storage

Opened = Iterator[BaseStorage]


class TestJournal(StorageTestCase):
    @pytest.fixture
    def storage(self, settings: Settings) -> Opened:
        settings.folder("small").mkdir(parents=True)
        with driver_storage("small", settings) as storage:
            yield storage


class Database:
    """An open database, which several tests use one after the other: opening one takes most of a
    test's time, and so does having Optuna delete what the test has left."""

    def __init__(self, storage: BaseStorage, url: str) -> None:
        self.storage = storage
        self._engine = create_engine(url)
        self._tables = MetaData()
        self._tables.reflect(self._engine)

    def clear(self) -> None:
        """Remove all studies, and before them all that refers to one."""
        with self._engine.begin() as connection:
            for table in reversed(self._tables.sorted_tables):
                if table.name.startswith(("study_", "trial")):
                    connection.execute(table.delete())
        for study in self.storage.get_all_studies():
            self.storage.delete_study(self.storage.get_study_id_from_name(study.study_name))

    def dispose(self) -> None:
        self._engine.dispose()


@contextlib.contextmanager
def database(settings: Settings) -> Iterator[Database]:
    url = settings.storage
    assert url is not None
    with driver_storage("small", settings) as storage:
        opened = Database(storage, url)
        yield opened
        opened.dispose()


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    folder = tmp_path_factory.mktemp("sqlite")
    with database(Settings(folder / "runs", storage=f"sqlite:///{folder}/optuna.db")) as opened:
        yield opened


class TestSqlite(StorageTestCase):
    @pytest.fixture
    def storage(self, sqlite: Database) -> Opened:
        yield sqlite.storage
        sqlite.clear()


@pytest.fixture(scope="module")
def postgresql(postgres: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    home = tmp_path_factory.mktemp("home")
    with database(Settings(home, storage=postgres.url("optuna"))) as opened:
        yield opened


@pytest.mark.xdist_group("postgres")
class TestPostgres(StorageTestCase):
    @pytest.fixture
    def storage(self, postgresql: Database) -> Opened:
        yield postgresql.storage
        postgresql.clear()

    @pytest.mark.skip("A copy would need the lease too, and a study has one driver.")
    def test_pickle_storage(self, storage: BaseStorage) -> None: ...

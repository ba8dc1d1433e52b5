"""Optuna's own tests of a storage, on each of the storages that a driver may get."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from optuna.storages import BaseStorage
from optuna.testing.pytest_storages import StorageTestCase
from services import Services

from search.settings import Settings
from search.study.storage import driver_storage

Opened = Iterator[BaseStorage]


class TestJournal(StorageTestCase):
    @pytest.fixture
    def storage(self, settings: Settings) -> Opened:
        settings.folder("small").mkdir(parents=True)
        with driver_storage("small", settings) as storage:
            yield storage


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with no study, to be copied, since making one takes most of a test's time."""
    folder = tmp_path_factory.mktemp("made")
    settings = Settings(home=folder / "runs", storage=f"sqlite:///{folder}/optuna.db")
    with driver_storage("small", settings):
        pass
    return folder / "optuna.db"


class TestSqlite(StorageTestCase):
    @pytest.fixture
    def storage(self, settings: Settings, made: Path) -> Opened:
        file = settings.home.parent / "optuna.db"
        shutil.copyfile(made, file)
        with driver_storage("small", replace(settings, storage=f"sqlite:///{file}")) as storage:
            yield storage


@pytest.fixture(scope="module")
def opened(postgres: Services, tmp_path_factory: pytest.TempPathFactory) -> Opened:
    """PostgreSQL, opened once, since opening it takes most of a test's time."""
    home = tmp_path_factory.mktemp("home")
    with driver_storage("small", Settings(home, storage=postgres.url("optuna"))) as storage:
        yield storage


@pytest.mark.xdist_group("postgres")
class TestPostgres(StorageTestCase):
    @pytest.fixture
    def storage(self, opened: BaseStorage) -> Opened:
        """With no study in it."""
        yield opened
        for study in opened.get_all_studies():
            opened.delete_study(opened.get_study_id_from_name(study.study_name))

    @pytest.mark.skip("A copy would need the lease too, and a study has one driver.")
    def test_pickle_storage(self, storage: BaseStorage) -> None: ...

"""Optuna's own tests of a storage, on each of the storages that a driver may get."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from optuna.storages import BaseStorage
from optuna.testing.pytest_storages import StorageTestCase
from services import Services

from search.settings import Settings
from search.study.storage import driver_storage


class TestJournal(StorageTestCase):
    @pytest.fixture
    def storage(self, settings: Settings) -> Iterator[BaseStorage]:
        settings.folder("small").mkdir(parents=True)
        with driver_storage("small", settings) as storage:
            yield storage


class TestSqlite(StorageTestCase):
    @pytest.fixture
    def storage(self, settings: Settings) -> Iterator[BaseStorage]:
        url = f"sqlite:///{settings.home.parent / 'optuna.db'}"
        with driver_storage("small", replace(settings, storage=url)) as storage:
            yield storage


@pytest.mark.xdist_group("services")
class TestPostgres(StorageTestCase):
    @pytest.fixture
    def storage(self, settings: Settings, postgres: Services) -> Iterator[BaseStorage]:
        with driver_storage("small", replace(settings, storage=postgres.url("optuna"))) as storage:
            yield storage
            for study in storage.get_all_studies():
                storage.delete_study(storage.get_study_id_from_name(study.study_name))

    @pytest.mark.skip("A copy would need the lease too, and a study has one driver.")
    def test_pickle_storage(self, storage: BaseStorage) -> None: ...

"""Settings, tiny data and a database server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from made_up import make_splits
from services import PASSWORD, Services, services

from core.datasets.study_data import ONLY, StudyData
from search.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "runs", workers=2)


@pytest.fixture(scope="session")
def splits() -> StudyData:
    return StudyData({ONLY: make_splits()})


@pytest.fixture(scope="module")
def postgres() -> Iterator[Services]:
    """A PostgreSQL server of the module's own; the password is in the environment."""
    with services() as started, pytest.MonkeyPatch.context() as environment:
        environment.setenv("PGPASSWORD", PASSWORD)
        started.start("postgres")
        yield started

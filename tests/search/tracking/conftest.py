"""A store of MLflow, and in it a study of each test's own."""

from __future__ import annotations

import re

import pytest
from small_study import small_spec
from tracked import opened

from search.settings import Settings
from search.spec.study_spec import StudySpec
from search.tracking.tracker import Tracker


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """One SQLite store for all tests, since making one takes seconds; each has its own study."""
    return Settings(home=tmp_path_factory.mktemp("store") / "runs", every_epoch=True)


@pytest.fixture
def spec(request: pytest.FixtureRequest) -> StudySpec:
    """The small study under the test's name."""
    return small_spec(name=re.sub("[^a-z0-9]+", "-", request.node.name.lower())[:64])


@pytest.fixture
def tracker(spec: StudySpec, store: Settings) -> Tracker:
    return opened(spec, store)

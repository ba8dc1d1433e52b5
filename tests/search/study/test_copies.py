"""Copies of a home that would write the runs of their original on one MLflow server."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from driving import DIGEST, journal
from small_study import small_spec

from search.errors import LockstepError
from search.settings import Settings
from search.study.opening import open_study

SERVER = "http://me:s3cret@server"


def opened(settings: Settings) -> None:
    """The server is not asked."""
    with open_study(small_spec(), settings, DIGEST):
        pass


@pytest.fixture
def original(tmp_path: Path) -> Settings:
    settings = Settings(home=tmp_path / "original", tracking_uri=SERVER)
    opened(settings)
    return settings


@pytest.fixture
def copy(original: Settings, tmp_path: Path) -> Settings:
    return replace(original, home=Path(shutil.copytree(original.home, tmp_path / "copy")))


def test_a_copy_beside_its_original_is_refused(original: Settings, copy: Settings) -> None:
    with pytest.raises(LockstepError, match="is a copy of the one in") as caught:
        opened(copy)
    assert str(original.home) in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert journal(copy).read_bytes().count(b"lockstep.place") == 1, "that of the original"
    opened(original)


def test_a_copy_with_another_store_is_one_more_study(copy: Settings) -> None:
    opened(replace(copy, tracking_uri=None))
    opened(replace(copy, tracking_uri="http://another"))


def test_a_home_that_was_moved_goes_on(original: Settings, copy: Settings) -> None:
    shutil.rmtree(original.home)
    opened(copy)
    opened(copy)


def test_another_study_in_the_place_of_the_original(original: Settings, copy: Settings) -> None:
    shutil.rmtree(original.home)
    opened(original)
    opened(copy)


def test_a_home_with_two_paths_is_one(original: Settings, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(original.home)
    opened(replace(original, home=tmp_path / "link"))

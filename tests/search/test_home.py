"""Names of studies beside what every home has."""

from __future__ import annotations

from pathlib import Path

import pytest
from refusal import refusal
from small_study import small_spec, small_study, write_study

from search.home import STORE_FILES, UNFINISHED_FILES, USED
from search.proposal.study_text import study_name

DEVICES = ["con", "nul", "aux", "prn", "com1", "lpt9", "con.toml", "nul.2024.b"]


def test_what_a_home_uses() -> None:
    """SQLite's files beside both databases, which a folder of that name would stop."""
    assert {"mlflow.db", "mlflow.db-wal", "mlflow.db-shm"} <= set(STORE_FILES)
    assert {*STORE_FILES, *UNFINISHED_FILES, "mlflow.lock", "artifacts"} == USED


@pytest.mark.parametrize("name", [*sorted(USED), *DEVICES, "small."])
def test_a_name_that_no_folder_in_a_home_can_have(tmp_path: Path, name: str) -> None:
    message = refusal(write_study(tmp_path, small_study(name=name)))
    assert f"name: '{name}': " in message
    assert "give another name" in message


@pytest.mark.parametrize("name", ["mlflow", "mlflow.dbs", "artifact", "console", "com10", "a.con"])
def test_names_that_are_only_like_those(name: str) -> None:
    assert small_spec(name=name).name == name


@pytest.mark.parametrize("name", [*sorted(USED), *DEVICES, "con." + "x" * 100])
def test_a_study_that_is_proposed_gets_another_name(name: str) -> None:
    proposed = study_name(f"{name}.csv")
    assert small_spec(name=proposed).name == proposed

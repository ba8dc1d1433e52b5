"""What goes wrong while a study is retrained, and whether the test set is used up by it.

Faults are brought about in MLflow's database, by triggers that refuse what a step writes.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command import HUNG, lockstep, start
from small_study import small_spec, small_study, write_study
from stored import runs

from search.settings import Settings
from search.study.opening import load_study

pytestmark = pytest.mark.xdist_group("retrain order")  # so that its study is launched once

STUDY: Any = {"learning_rate": [0.1], "weight_decay": [0], "batch_size": [16]}
RETRAIN = ("retrain", "study.toml", "--seeds", "1")


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("launched")
    write_study(folder, small_study({"baseline": None}, **STUDY))
    finished = lockstep("launch", "study.toml", "--workers", "1", cwd=folder)
    assert finished.code == 0, finished.err
    return folder


def uses(folder: Path) -> list[dict[str, Any]]:
    spec = small_spec({"baseline": None}, **STUDY)
    return load_study(spec, Settings(home=folder / "runs")).test_evaluations()


@contextlib.contextmanager
def refusing(folder: Path, table: str, condition: str = "1") -> Iterator[None]:
    """Let MLflow's database refuse new rows of a table."""
    file = folder / "runs" / "mlflow.db"
    trigger = f"BEFORE INSERT ON {table} WHEN {condition} BEGIN SELECT RAISE(ABORT, 'refused'); END"
    with contextlib.closing(sqlite3.connect(file)) as database:
        database.execute(f"CREATE TRIGGER refusing {trigger}")
        database.commit()
        yield
        database.execute("DROP TRIGGER refusing")
        database.commit()


@pytest.mark.parametrize(
    "table", ["runs", "params", "inputs", "model_versions", "registered_model_aliases"]
)
def test_a_step_that_fails_uses_no_test_set(launched: Path, table: str) -> None:
    """The run, its parameters, its data, the model in the registry, and that it is the champion."""
    with refusing(launched, table):
        finished = lockstep(*RETRAIN, cwd=launched)
    assert finished.code == 2, finished.err
    (line,) = finished.err.splitlines()
    assert line.startswith("lockstep: ")
    assert "errors" not in finished.out
    assert uses(launched) == []


def test_a_folder_that_cannot_be_written_uses_no_test_set(launched: Path) -> None:
    artifacts = launched / "runs" / "artifacts"
    artifacts.rename(launched / "aside")
    artifacts.touch()
    try:
        finished = lockstep(*RETRAIN, "--trial", "0", cwd=launched)
    finally:
        artifacts.unlink()
        (launched / "aside").rename(artifacts)
    assert finished.code == 2, finished.err
    assert len(finished.err.splitlines()) == 1
    assert uses(launched) == []


def test_an_output_that_cannot_be_written_uses_no_test_set(launched: Path) -> None:
    with open("/dev/full", "w") as full:
        process = start(*RETRAIN, cwd=launched, stdout=full.fileno())
        process.communicate(timeout=HUNG)
    assert process.returncode != 0
    assert uses(launched) == []


def test_scores_that_cannot_be_written_are_shown_and_told_again(launched: Path) -> None:
    """The test set is used by then: the user has the result, and what is stored is told."""
    before = len(uses(launched))
    with refusing(launched, "metrics", "NEW.key = 'test_accuracy'"):
        finished = lockstep(*RETRAIN, "--json", cwd=launched)
    assert finished.code == 2
    errors, size = (finished.json[key] for key in ("test_errors", "test_size"))
    assert f"{errors} of {size}" in finished.err
    last = finished.err.splitlines()[-1]
    assert last.startswith("lockstep: the scores above are recorded with the study")
    assert "would use the test set again" in last
    (used,) = uses(launched)[before:]
    assert (used["errors"], used["size"]) == (errors, size)
    (run,) = [each for each in runs(launched / "runs", "small", "retrain")
              if each.info.run_id == used["run_id"]]  # fmt: skip
    assert run.info.status == "FAILED"
    assert run.data.tags["lockstep.test_set"] == "first use of the test set"

    again = lockstep(*RETRAIN, "--json", cwd=launched)
    assert again.code == 0, again.err
    assert "The test set was used before:" in again.err.splitlines()[0]
    assert f"trial #0: {errors} errors of {size}" in again.err.splitlines()[1]
    assert again.json["recorded_test_evaluations"] == [used]
    assert again.json["test_errors"] == errors

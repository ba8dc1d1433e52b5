"""Variants of a study file through the real command line: launched, found by name, told apart."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from command import lockstep
from small_study import small_study, write_study
from stored import configurations, optuna_trials

from search.spec.study_file import load

SETS = ("--set", "space.batch_size=[16]", "--set", "space.learning_rate.points=2")
TRIALS = 2 * 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study file whose data file lies beside it, and a variant that was launched elsewhere."""
    folder = tmp_path_factory.mktemp("variants")
    (folder / "files").mkdir()
    write_study(folder / "files")
    launched = lockstep("launch", "files/study.toml", *SETS, "--name", "less", cwd=folder)
    assert launched.code == 0, launched.err
    assert "lockstep compare less " in launched.out
    return folder


def test_it_is_a_study_of_its_own(folder: Path) -> None:
    trials = optuna_trials(folder / "runs", "less")
    assert len(set(configurations(trials))) == len(trials) == TRIALS
    assert not (folder / "runs" / "small").exists()


def test_other_commands_find_it_by_its_name(folder: Path) -> None:
    compared = lockstep("compare", "less", "--json", cwd=folder)
    assert compared.code == 0, compared.err
    assert len(compared.json["trials"]) == TRIALS
    again = lockstep("launch", "less", cwd=folder)
    assert again.code == 0, again.err
    assert f"{TRIALS} already done" in again.out
    wrong = lockstep("compare", "lesser", cwd=folder)
    assert wrong.code == 2
    assert "in runs there are: less" in wrong.err


def test_the_command_that_is_offered_at_an_edge_can_be_typed(folder: Path) -> None:
    """It keeps what is there, and trains what lies beyond."""
    before = optuna_trials(folder / "runs", "less")
    (offered,) = re.findall(
        r"(?m)^widen    lockstep (launch .*)$", lockstep("launch", "less", cwd=folder).out
    )
    wider = lockstep(*shlex.split(offered), "--json", cwd=folder)
    assert wider.code == 0, wider.err
    after = optuna_trials(folder / "runs", "less")
    assert len(set(configurations(after))) == len(after) > len(before)
    assert configurations(after)[: len(before)] == configurations(before)
    recorded = lockstep("show", "less", "--json", cwd=folder).json
    assert recorded["trials"] == len(after)


def test_show_prints_a_study_file_that_continues_it(folder: Path) -> None:
    shown = lockstep("show", "less", cwd=folder)
    assert shown.code == 0, shown.err
    path = folder / "less.toml"
    path.write_text(shown.out)
    assert 16 in load(path).space.batch_size
    as_json = lockstep("show", "less", "--json", cwd=folder)
    assert as_json.json["digest"] == load(path).digest()
    assert as_json.json["trials"] == len(optuna_trials(folder / "runs", "less"))
    assert json.loads(as_json.out)["study"]["model"]["momentum"] == 0.0
    continued = lockstep("launch", "less.toml", cwd=folder)
    assert continued.code == 0, continued.err
    assert f"{as_json.json['trials']} already done" in continued.out
    assert not (folder / "runs" / "less" / "launched.toml").exists(), "it is as its file says"


def test_without_a_name_the_commands_know_how_it_was_launched(tmp_path: Path) -> None:
    path = write_study(tmp_path, small_study(weight_decay=[0.0], batch_size=[16]))
    launched = lockstep("launch", str(path), "--set", "model.epochs=4", cwd=tmp_path)
    assert launched.code == 0, launched.err
    retrained = lockstep("retrain", str(path), "--seeds", "0", "--json", cwd=tmp_path)
    assert retrained.code == 0, retrained.err
    plain = lockstep("launch", str(path), "--set", "model.epochs=3", cwd=tmp_path)
    assert plain.code == 2
    assert "model.epochs: 4 → 3" in plain.err
    assert "it was launched with --set model.epochs=4" in plain.err

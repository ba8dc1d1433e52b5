"""Studies of an earlier version are continued, with the same numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import threadpoolctl
from command import REPOSITORY
from optuna.trial import FrozenTrial
from stored import optuna_trials

from search.commands.launch import launch
from search.console import Console
from search.settings import Settings
from search.spec.study_file import load

STORED = REPOSITORY / "tests" / "stored_studies"
WRITTEN_WITH = ("2.4.6", "SkylakeX")  # NumPy, and OpenBLAS's kernels
SCORES = ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "best_val_loss")


def here() -> tuple[str, str]:
    """NumPy's version and its BLAS kernels on this machine."""
    kernels = {
        str(each.get("architecture"))
        for each in threadpoolctl.threadpool_info()
        if each["user_api"] == "blas"
    }
    return np.__version__, " and ".join(sorted(kernels))


def results(trials: list[FrozenTrial]) -> dict[str, dict[str, Any]]:
    """What was recorded, by configuration."""
    return {
        json.dumps(trial.params, sort_keys=True): trial.user_attrs["lockstep.result"]
        for trial in trials
    }


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("study", ["grid", "halving"])
def test_a_stored_study_is_continued(tmp_path: Path, study: str, share: float) -> None:
    name = f"stored-{study}"
    for folder, part in (("whole", 1.0), ("cut", share)):
        lines = (STORED / f"{study}.journal").read_text().splitlines(keepends=True)
        journal = tmp_path / folder / name / "study.journal"
        journal.parent.mkdir(parents=True)
        journal.write_text("".join(lines[: round(part * len(lines))]))
    expected = results(optuna_trials(tmp_path / "whole", name))
    before = [trial for trial in optuna_trials(tmp_path / "cut", name) if trial.state.is_finished()]

    spec = load(STORED / f"{study}.toml")
    launch(spec, Settings(home=tmp_path / "cut", workers=1), Console(as_json=True))
    after = optuna_trials(tmp_path / "cut", name)
    assert all(trial.state.is_finished() for trial in after)
    assert after[: len(before)] == before or study == "halving"
    found = results(after)
    assert found.keys() == expected.keys(), "the same configurations, each once"
    exactly = here() == WRITTEN_WITH
    for configuration, result in found.items():
        stored = expected[configuration]
        assert (result["status"], result["stopped_epoch"]) == (
            stored["status"],
            stored["stopped_epoch"],
        )
        tried = json.loads(configuration)
        # A decay that overshoots zero amplifies the rounding of other kernels without bound.
        chaotic = tried["learning_rate"] * tried["weight_decay"] > 0.01
        for score in SCORES:
            if exactly:
                assert result[score] == stored[score]
            elif not chaotic:
                assert result[score] == pytest.approx(stored[score], rel=1e-4)

"""What a command left behind: the trials in Optuna and the runs in MLflow of one home."""

from __future__ import annotations

import base64
import json
import re
import zlib
from pathlib import Path
from typing import Any

import optuna
from mlflow import MlflowClient
from mlflow.entities import Run
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial

from search.tracking.view_format import TAG_PREFIX


def optuna_trials(home: Path, study: str) -> list[FrozenTrial]:
    storage = JournalStorage(JournalFileBackend(str(home / study / "study.journal")))
    return optuna.load_study(study_name=study, storage=storage).get_trials()


def configurations(trials: list[FrozenTrial]) -> list[tuple[Any, ...]]:
    return [tuple(sorted(trial.params.items())) for trial in trials]


def scores(home: Path, study: str) -> dict[tuple[Any, ...], Any]:
    """Everything that was recorded of a trial but its MLflow run, by configuration."""
    trials = optuna_trials(home, study)
    return dict(
        zip(
            configurations(trials),
            [(trial.number, trial.user_attrs["lockstep.result"]) for trial in trials],
            strict=True,
        )
    )


def client(home: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{home.resolve()}/mlflow.db")


def runs(home: Path, study: str, role: str) -> list[Run]:
    store = client(home)
    experiment = store.get_experiment_by_name(study)
    assert experiment is not None
    found = store.search_runs(
        [experiment.experiment_id], f"tags.`lockstep.role` = '{role}'", max_results=5000
    )
    return list(found)


def preset(store: MlflowClient, experiment_id: str, key: str) -> dict[str, Any]:
    """A preset of the UI's chart view, as the UI unpacks it."""
    outer = json.loads(store.get_experiment(experiment_id).tags[f"{TAG_PREFIX}{key}"])
    assert set(outer) == {"name", "createdAt", "updatedAt", "state"}
    method, packed = outer["state"].split(";")
    assert method == "deflate"
    view = json.loads(zlib.decompress(base64.b64decode(packed)))
    assert isinstance(view, dict)
    return view


def preset_runs(view: dict[str, Any]) -> list[str]:
    """Ids of the runs that a preset names, in its order."""
    return re.findall("'([0-9a-f]{32})'", view["searchFilter"])

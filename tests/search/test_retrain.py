"""Retraining through the real command line."""

from __future__ import annotations

from pathlib import Path

import mlflow
import numpy as np
import pytest
from command import SMALL, lockstep, write_study
from stored import client, optuna_trials, runs

from core.data import concatenate, prepare
from core.sources import load


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("launched")
    assert lockstep("launch", str(write_study(folder)), cwd=folder).code == 0
    return folder


def test_retrain_judges_the_best_once(launched: Path) -> None:
    finished = lockstep("retrain", "study.toml", "--json", cwd=launched)
    assert finished.code == 0, finished.err
    report = finished.json
    best = min(optuna_trials(launched / "runs", "small"), key=lambda trial: trial.value or 0)
    assert report["trial"] == best.number
    low, high = report["interval"]
    assert low <= report["test_accuracy"] <= high
    assert report["test_errors"] == round((1 - report["test_accuracy"]) * report["test_size"])
    run = runs(launched / "runs", "small", "retrain")[-1]
    assert run.info.status == "FINISHED"
    assert run.data.tags["lockstep.test_set"] == "first use of the test set"
    store = client(launched / "runs")
    files = {file.path for file in store.list_artifacts(run.info.run_id)}
    assert {"templates.png", "accuracy_and_loss.png", "confusion_matrix.png", "baseline"} <= files

    model = store.get_model_version_by_alias("small", "champion")
    assert report["model_uri"] == f"models:/small/{model.version}"
    train, test = load("digits", [3, 6], None, print)
    data = prepare(train, test, validation_fraction=0.25, seed=0)
    mlflow.set_tracking_uri(f"sqlite:///{(launched / 'runs').resolve()}/mlflow.db")
    served = mlflow.pyfunc.load_model("models:/small@champion")
    predicted = served.predict(data.test.X)
    correct = predicted["class"].to_numpy() == np.array(data.test.class_names)[data.test.y]
    assert correct.mean() == pytest.approx(report["test_accuracy"])
    probabilities = predicted[["probability_3", "probability_6"]].to_numpy()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert served.metadata.signature is not None
    assert len(concatenate(data.train, data.validation)) == len(train) - len(data.test)

    again = lockstep("retrain", "study.toml", "--trial", "0", "--json", cwd=launched)
    assert again.json["trial"] == 0
    assert again.json["earlier_test_evaluations"] == 1
    labels = {
        run.data.tags["lockstep.test_set"] for run in runs(launched / "runs", "small", "retrain")
    }
    assert "test set already used once" in labels


def test_retraining_an_unknown_trial_is_refused(launched: Path) -> None:
    refused = lockstep("retrain", "study.toml", "--trial", "999", cwd=launched)
    assert refused.code == 2
    assert "--trial 999" in refused.err


def test_study_without_a_baseline(tmp_path: Path) -> None:
    path = write_study(tmp_path, SMALL[: SMALL.index("[baseline]")])
    assert lockstep("launch", str(path), cwd=tmp_path).code == 0
    finished = lockstep("retrain", str(path), "--json", cwd=tmp_path)
    assert finished.code == 0, finished.err
    assert finished.json["baseline"] is None


@pytest.mark.timeout(600)
def test_the_report_is_reproduced(tmp_path: Path, mnist_dir: Path) -> None:
    """Table 1 of the report: 98.88 % on the test set, 95 % in training within five epochs."""
    study = str(Path(__file__).parents[2] / "studies" / "report.toml")
    options = ("--data-dir", str(mnist_dir), "--json")
    assert lockstep("launch", study, *options, cwd=tmp_path).json["trials"]["complete"] == 1
    report = lockstep("retrain", study, *options, cwd=tmp_path).json
    assert report["test_size"] == 1968
    assert report["test_accuracy"] == pytest.approx(0.9888, abs=0.001)
    assert report["baseline"]["test_errors"] == report["test_errors"]
    run = runs(tmp_path / "runs", "report", "retrain")[0]
    history = client(tmp_path / "runs").get_metric_history(run.info.run_id, "train_accuracy")
    assert max(point.value for point in history if point.step <= 5) > 0.95

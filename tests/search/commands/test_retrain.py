"""Retraining through the real command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from command import lockstep
from loading import load
from sklearn.metrics import balanced_accuracy_score, log_loss, roc_auc_score
from small_study import small_study, write_study
from stored import client, optuna_trials, runs

from core.datasets.dataset import concatenate
from core.datasets.loaded import Loaded
from core.datasets.splits import prepare
from core.trainer.result import Hyperparameters, Status
from search.commands.launch import launch
from search.commands.retrain import retrain
from search.console import Console
from search.model.fitting import epochs_by_validation
from search.settings import Settings
from search.spec.study_file import load as load_spec
from search.trials.finished_trial import FinishedTrial

pytestmark = pytest.mark.xdist_group("retrain")  # so that its studies are launched once


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
    data = prepare(Loaded(train, test=test), validation_fraction=0.25, seed=0)
    mlflow.set_tracking_uri(f"sqlite:///{(launched / 'runs').resolve()}/mlflow.db")
    served = mlflow.pyfunc.load_model("models:/small@champion")
    predicted = served.predict(data.test.X)
    correct = predicted["class"].to_numpy() == np.array(data.test.class_names)[data.test.y]
    assert correct.mean() == pytest.approx(report["test_accuracy"])
    probabilities = predicted[["probability_3", "probability_6"]].to_numpy()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert served.metadata.signature is not None
    scores = report["scores"]
    columns = (data.test.y, predicted["class"].map(data.test.class_names.index), probabilities)
    balanced = balanced_accuracy_score(columns[0], columns[1])
    assert scores["balanced_accuracy"]["value"] == pytest.approx(balanced)
    area = roc_auc_score(columns[0], probabilities[:, 1])
    assert scores["auroc"]["value"] == pytest.approx(area)
    assert scores["log_loss"]["value"] == pytest.approx(log_loss(columns[0], probabilities), 1e-4)
    assert [each["class"] for each in report["classes"]] == ["3", "6"]
    assert run.data.metrics["test_log_loss"] == pytest.approx(scores["log_loss"]["value"])
    assert {"by_class/recall_3", "baseline_test_macro_f1"} <= set(run.data.metrics)
    assert "| balanced accuracy |" in run.data.tags["mlflow.note.content"]
    assert report["baseline"]["kind"] == "configuration"
    assert len(concatenate(data.train, data.validation)) == len(train) - len(data.test)

    again = lockstep(
        "retrain", "study.toml", "--trial", "0", "--seeds", "0", "--json", cwd=launched
    )
    assert again.json["trial"] == 0
    assert again.json["earlier_test_evaluations"] == 1
    labels = {
        run.data.tags["lockstep.test_set"] for run in runs(launched / "runs", "small", "retrain")
    }
    assert "test set already used once" in labels


def test_the_champion_is_succeeded_only_by_a_model_as_good(tmp_path: Path) -> None:
    text = small_study({"baseline": None}, weight_decay=[0.0, 0.1], batch_size=[16])
    spec = load_spec(write_study(tmp_path, text))
    settings, console = Settings(home=tmp_path / "runs", workers=1), Console(as_json=True)
    launch(spec, settings, console)
    ranking = sorted(optuna_trials(tmp_path / "runs", "small"), key=lambda trial: trial.value or 0)

    def retrained(number: int | None = None) -> Any:
        report = retrain(spec, settings, console, number=number, seeds=0).as_json()
        assert report["baseline"] is None, "the study has none"
        return json.loads(json.dumps(report))

    def champion() -> int:
        store = client(tmp_path / "runs")
        return int(store.get_model_version_by_alias("small", "champion").version)

    middling, worst = ranking[5], ranking[-1]
    first = retrained(middling.number)
    assert first["champion"]
    assert champion() == 1
    second = retrained(worst.number)
    assert not second["champion"]
    assert "version 1 stays champion, as it is better on validation" in second["champion_reason"]
    assert champion() == 1
    third = retrained()
    assert third["champion"]
    assert "better than version 1 on validation" in third["champion_reason"]
    assert champion() == 3
    again = retrained()
    assert again["champion"]
    assert "as good as version 3" in again["champion_reason"]
    assert again["earlier_test_evaluations"] == 3
    assert [again[key] for key in ("test_errors", "trial")] == [
        third[key] for key in ("test_errors", "trial")
    ], "the same seeds give the same model"


def test_the_one_standard_error_rule(launched: Path) -> None:
    compared = lockstep("compare", "study.toml", "--json", cwd=launched).json
    options = ("--rule", "one-se", "--seeds", "3", "--json")
    report = lockstep("retrain", "study.toml", *options, cwd=launched).json
    assert report["rule"] == "one-se"
    assert report["trial"] == compared["choice"]["one_se"]
    assert len(report["test_errors_of_other_seeds"]) == 3


@pytest.mark.parametrize(
    ("best_val_loss", "epochs"), [(0.29, 20), (0.201, 20), (0.199, 7), (0.1, 7)]
)
def test_epochs_by_validation(best_val_loss: float, epochs: int) -> None:
    """Earlier only if the loss was lower there by more than a standard error, here 0.1."""
    trial = FinishedTrial(
        0, Hyperparameters(1.0, 0.0, 8), Status.COMPLETED, 0.1, 1.0, 0.3, 0.9, 7, best_val_loss,
        20, "run",
    )  # fmt: skip
    assert epochs_by_validation(trial, 0.1) == epochs


def test_retraining_an_unknown_trial_is_refused(launched: Path) -> None:
    refused = lockstep("retrain", "study.toml", "--trial", "999", cwd=launched)
    assert refused.code == 2
    assert "--trial 999" in refused.err


def test_a_solver_as_baseline(launched: Path) -> None:
    (launched / "solver.toml").write_text(small_study({"baseline": {"solver": "lbfgs"}}))
    finished = lockstep("retrain", "solver.toml", "--seeds", "0", "--json", cwd=launched)
    assert finished.code == 0, finished.err
    assert "Warning" not in finished.err
    report, baseline = finished.json, finished.json["baseline"]
    assert baseline["kind"] == "lbfgs"
    assert baseline["seconds"] > 0
    assert baseline["test_errors"] == round((1 - baseline["test_accuracy"]) * report["test_size"])
    assert set(baseline["scores"]) == set(report["scores"])
    assert 0 <= report["mcnemar"]["mid_p"] <= 1
    assert "LogisticRegressionCV (10 strengths, 5 folds; C = " in finished.err
    run = runs(launched / "runs", "small", "retrain")[0]
    metrics = run.data.metrics
    assert metrics["baseline_test_accuracy"] == baseline["test_accuracy"]
    assert metrics["baseline_fit_seconds"] == pytest.approx(baseline["seconds"])
    files = client(launched / "runs").list_artifacts(run.info.run_id, "baseline")
    assert [file.path for file in files] == ["baseline/templates.png"]


def test_the_report_is_reproduced(tmp_path: Path, mnist_dir: Path) -> None:
    """Table 1 of the report: 98.88 % on the test set, 95 % in training within five epochs."""
    study = str(Path(__file__).parents[3] / "studies" / "report.toml")
    options = ("--data-dir", str(mnist_dir), "--json")
    launched = lockstep("launch", study, *options, cwd=tmp_path, warm_children=True)
    assert launched.json["trials"]["complete"] == 1
    report = lockstep("retrain", study, "--seeds", "0", *options, cwd=tmp_path).json
    assert report["test_size"] == 1968
    assert report["test_accuracy"] == pytest.approx(0.9888, abs=0.001)
    assert report["baseline"]["test_errors"] == report["test_errors"]
    run = runs(tmp_path / "runs", "report", "retrain")[0]
    history = client(tmp_path / "runs").get_metric_history(run.info.run_id, "train_accuracy")
    assert max(point.value for point in history if point.step <= 5) > 0.95

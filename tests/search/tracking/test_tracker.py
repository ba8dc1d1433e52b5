"""The mirror in MLflow: the parent run, and a run for each trial."""

from __future__ import annotations

import io
import itertools
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_up import make_result
from PIL import Image
from small_study import small_spec
from tracked import artifact, log_trial, opened, planned, runs_of

from core.datasets.study_data import StudyData
from core.trainer.result import Curves, Hyperparameters, Status
from search.settings import Settings
from search.spec.study_spec import StudySpec
from search.tracking.names import RESULT, TEMPLATES
from search.tracking.results import read_result
from search.tracking.run_content import logged_epochs, run_name
from search.tracking.tracker import MAX_METRICS, Artifact, Tracker
from search.trials.outcome import Outcome
from search.trials.trial import PlannedTrial

# -- the parent run ----------------------------------------------------------------------------


def test_opening_makes_an_experiment_and_a_parent_run(
    spec: StudySpec, tracker: Tracker, store: Settings
) -> None:
    experiment = tracker.client.get_experiment(tracker.experiment_id)
    assert experiment.name == spec.name
    assert Path(experiment.artifact_location.removeprefix("file://")) == store.artifacts / spec.name
    (parent,) = runs_of(tracker, "study")
    assert parent.info.run_id == tracker.parent_run_id
    assert parent.info.status == "RUNNING"
    assert parent.data.tags["mlflow.note.content"] == spec.description
    assert parent.data.params["model.epochs"] == "5"
    assert parent.data.params["space.learning_rate.low"] == "0.001"
    assert parent.data.params["space.batch_size"] == "[16, 8]"
    tracker.stop()
    assert runs_of(tracker, "study")[0].info.status == "KILLED"
    again = opened(spec, store)
    assert (again.experiment_id, again.parent_run_id) == (
        tracker.experiment_id,
        tracker.parent_run_id,
    )
    assert [run.info.status for run in runs_of(again, "study")] == ["RUNNING"]


def test_finishing_writes_note_data_figures_and_metrics(
    spec: StudySpec, tracker: Tracker, splits: StudyData, tmp_path: Path
) -> None:
    for n in (1, 2):  # a launch that is repeated writes it all again
        figure = Artifact("figures/heat_maps.png", f"picture {n}".encode())
        tracker.log_study_data(splits)
        tracker.finish(f"**note {n}**", [figure], {"best_val_loss": n / 4})
        (parent,) = runs_of(tracker, "study")
        assert parent.info.status == "FINISHED"
        assert parent.data.tags["mlflow.note.content"] == f"**note {n}**"
        assert parent.data.metrics["best_val_loss"] == n / 4
        assert parent.inputs is not None
        names = [each.dataset.name for each in parent.inputs.dataset_inputs]
        assert sorted(names) == [f"{spec.name} train", f"{spec.name} validation"]
        content = artifact(tracker, parent.info.run_id, figure.path, tmp_path)
        assert content == figure.content


def test_a_parameter_longer_than_mlflow_takes(store: Settings) -> None:
    spec = small_spec(name="long-parameter", batch_size=list(range(1, 3000)))
    (parent,) = runs_of(opened(spec, store), "study")
    assert parent.data.params["space.batch_size"].startswith("[1, 2, 3, 4")


# -- trials ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "shown", "ended", "last"),
    [
        (Status.COMPLETED, "FINISHED", "", 5),
        (Status.PRUNED, "KILLED", " pruned, epoch", 5),
        (Status.DIVERGED, "FAILED", " diverged, epoch", 4),
    ],
)
def test_a_trial_is_logged_whole(
    spec: StudySpec,
    tracker: Tracker,
    splits: StudyData,
    tmp_path: Path,
    status: Status,
    shown: str,
    ended: str,
    last: int,
) -> None:
    """last: the last epoch with finite numbers."""
    trial = planned(spec, 4)
    result = make_result(trial.hyperparameters, status, epochs=5)
    run_id = log_trial(tracker, trial, Outcome(result), splits)
    (run,) = runs_of(tracker, "trial")
    assert run.info.run_id == run_id
    assert run.info.status == shown
    assert run.info.run_name == run_name(trial, spec, result)
    assert run.info.run_name.startswith(f"#4{ended}")
    assert run.info.run_name.endswith("lr 0.01 wd 0.25 B 8")
    assert run_name(trial, spec) == "#4 lr 0.01 wd 0.25 B 8"
    assert run.info.end_time >= run.info.start_time

    assert run.data.params == {
        "learning_rate": "0.01",
        "weight_decay": "0.25",
        "batch_size": "8",
        "log10_learning_rate": "-2.0000",
        "log10_weight_decay": "-0.6021",
        "penalty": "norm",
        "epochs": "5",
        "seed": "0",
    }
    tags = run.data.tags
    assert tags["mlflow.parentRunId"] == tracker.parent_run_id
    assert tags["lockstep.trial"] == "4"
    assert tags["lockstep.status"].startswith(status.value)
    assert ("(epoch 5)" in tags["lockstep.status"]) == (status is not Status.COMPLETED)

    for name in Curves.names():
        points = tracker.client.get_metric_history(run_id, name)
        assert [point.step for point in points] == list(range(1, last + 1))
        assert [point.value for point in points] == list(getattr(result.curves, name)[:last])
    assert run.data.metrics["best_epoch"] == last
    assert run.data.metrics["stopped_epoch"] == 5
    assert all(math.isfinite(value) for value in run.data.metrics.values())

    assert tags["lockstep.data_digest"] == splits.first.digest

    with Image.open(io.BytesIO(artifact(tracker, run_id, TEMPLATES, tmp_path))) as picture:
        assert picture.format == "PNG"
    kept = read_result(tracker, run_id)
    assert kept is not None
    weights, curves = kept.weights, kept.curves
    np.testing.assert_array_equal(weights, result.weights, strict=True)
    for name in Curves.names():
        np.testing.assert_array_equal(getattr(curves, name), getattr(result.curves, name))
    assert {file.path for file in tracker.client.list_artifacts(run_id)} == {TEMPLATES, RESULT}


def test_a_trial_that_diverged_at_once(
    spec: StudySpec, tracker: Tracker, splits: StudyData
) -> None:
    """Not one finite value, in its curves or in its weights."""
    trial = planned(spec, 0)
    result = make_result(trial.hyperparameters, Status.DIVERGED, epochs=1)
    result.weights[:] = math.nan
    for name in Curves.names():
        getattr(result.curves, name)[:] = math.inf
    log_trial(tracker, trial, Outcome(result), splits)
    (run,) = runs_of(tracker, "trial")
    assert run.info.status == "FAILED"
    assert set(run.data.metrics) == {"best_epoch", "stopped_epoch"}


def test_a_weight_decay_of_zero_has_no_logarithm(
    spec: StudySpec, tracker: Tracker, splits: StudyData
) -> None:
    trial = planned(spec, 0)
    assert trial.hyperparameters.weight_decay == 0
    log_trial(tracker, trial, Outcome(make_result(trial.hyperparameters)), splits)
    (run,) = runs_of(tracker, "trial")
    assert run.data.params["weight_decay"] == "0.0"
    assert "log10_weight_decay" not in run.data.params


def test_more_points_than_one_call_takes(
    spec: StudySpec, tracker: Tracker, splits: StudyData
) -> None:
    epochs = MAX_METRICS // 4 + 3
    trial = planned(spec, 0)
    result = make_result(trial.hyperparameters, epochs=epochs)
    run_id = log_trial(tracker, trial, Outcome(result), splits)
    for name in Curves.names():
        points = tracker.client.get_metric_history(run_id, name)
        assert [point.value for point in points] == list(getattr(result.curves, name))
    run = tracker.client.get_run(run_id)
    assert run.data.metrics["best_epoch"] == epochs
    assert run.data.params["batch_size"] == "8"


def test_thinned_curves(spec: StudySpec, store: Settings, splits: StudyData) -> None:
    """MLflow gets some epochs, the run's file all of them."""
    tracker = opened(spec, replace(store, every_epoch=False))
    trial = planned(spec, 0)
    result = make_result(trial.hyperparameters, epochs=22)
    run_id = log_trial(tracker, trial, Outcome(result), splits)
    points = tracker.client.get_metric_history(run_id, "val_loss")
    expected = [1, 2, 3, 4, 5, 7, 9, 12, 15, 19, 22]
    assert [point.step for point in points] == expected
    assert [point.value for point in points] == [result.curves.val_loss[e - 1] for e in expected]
    assert tracker.client.get_run(run_id).data.metrics["val_loss"] == result.curves.val_loss[-1]
    kept = read_result(tracker, run_id)
    assert kept is not None
    assert len(kept.curves) == 22


@pytest.mark.parametrize("n_epochs", [1, 2, 9, 10, 11, 15, 99, 100])
def test_logged_epochs(n_epochs: int) -> None:
    some = logged_epochs(n_epochs, every=False)
    assert logged_epochs(n_epochs, every=True) == list(range(n_epochs))
    assert some == sorted(set(some))
    assert (some[0], some[-1]) == (0, n_epochs - 1)
    assert some[:4] == list(range(n_epochs))[:4]
    later = [epoch + 1 for epoch in some]  # counted from 1
    assert all(b <= 1.25 * a + 1 for a, b in itertools.pairwise(later))
    assert len(some) <= 5 + max(0, math.log(n_epochs / 4, 1.25))


def test_a_trial_of_mlflow_and_of_optuna_has_one_name() -> None:
    trial = PlannedTrial(17, Hyperparameters(0.00562341, 1e-6, 200))
    name = run_name(trial, small_spec(), make_result(trial.hyperparameters))
    assert name == "#17 lr 0.00562 wd 1e-06 B 200"


# -- what a killed driver left behind ----------------------------------------------------------


def test_runs_that_were_never_committed_are_replaced(
    spec: StudySpec, store: Settings, splits: StudyData
) -> None:
    first = opened(spec, store)
    trials = [planned(spec, number) for number in range(3)]
    results = [make_result(trial.hyperparameters) for trial in trials]
    whole = [
        log_trial(first, trial, Outcome(result), splits)
        for trial, result in zip(trials[:2], results[:2], strict=True)
    ]
    # Number 0 was committed; 1 is whole but was not; 2 was killed in the middle.
    half = first.start_run(run_name(trials[2], spec, results[2]), "trial", {"lockstep.trial": "2"})

    second = opened(spec, store, {0: whole[0]})
    assert second.known.leftovers == {1: whole[1], 2: half}
    written = [
        log_trial(second, trial, Outcome(result), splits)
        for trial, result in zip(trials[1:], results[1:], strict=True)
    ]
    found = runs_of(second, "trial")
    assert {run.info.run_id for run in found} == {whole[0], *written}
    assert sorted(run.data.tags["lockstep.trial"] for run in found) == ["0", "1", "2"]
    assert {run.info.status for run in found} == {"FINISHED"}
    committed = dict(enumerate([whole[0], *written]))
    assert opened(spec, store, committed).known.leftovers == {}


def test_an_aborted_run_is_failed(tracker: Tracker) -> None:
    with pytest.raises(KeyboardInterrupt), tracker.run("a", "retrain", {"x": "1"}):
        raise KeyboardInterrupt
    with tracker.run("b", "retrain", {"x": "2"}):
        pass
    found = {run.data.tags["x"]: run.info.status for run in runs_of(tracker, "retrain")}
    assert found == {"1": "FAILED", "2": "FINISHED"}

"""Launching through the real command line: what is stored, and what survives being stopped."""

from __future__ import annotations

import math
import re
import shlex
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from blank_figures import PAINTED
from command import HUNG, Finished, lockstep, start
from PIL import Image
from small_study import SMALL_TRIALS, small_spec, small_study, write_study
from stored import client, configurations, optuna_trials, runs, scores

from search.commands.launch import launch
from search.console import Console
from search.settings import Settings

LONGER = small_study(epochs=100)


pytestmark = pytest.mark.xdist_group("launch")  # so that its studies are launched once


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a launched study in it."""
    folder = tmp_path_factory.mktemp("launched")
    finished = lockstep("launch", str(write_study(folder)), "--json", cwd=folder, variables=PAINTED)
    assert finished.code == 0, finished.err
    (folder / "launch.json").write_text(finished.out)
    (folder / "launch.txt").write_text(finished.err)
    return folder


def test_what_to_type_next_can_be_typed(launched: Path) -> None:
    """The study file is in no folder that is looked into."""
    text = (launched / "launch.txt").read_text()
    typed = re.findall(r"lockstep ((?:compare|retrain) .*?)  ", text)
    assert [command.split()[0] for command in typed] == ["compare", "retrain"]
    for command in typed:
        look = PAINTED if command.startswith("compare") else {}  # it draws what the launch drew
        finished = lockstep(*shlex.split(command), cwd=launched, variables=look)
        assert finished.code == 0, finished.err


def test_json_names_what_was_found(launched: Path) -> None:
    import json

    lines = (launched / "launch.json").read_text().splitlines()
    assert len(lines) == 1, "with --json, standard output holds the object alone"
    report = json.loads(lines[0])
    assert report["study"] == "small"
    assert report["trials"] == {"complete": SMALL_TRIALS, "pruned": 0, "failed": 0}
    best = min(optuna_trials(launched / "runs", "small"), key=lambda trial: trial.value or 0)
    assert report["best"]["number"] == best.number
    assert report["best"]["val_loss"] == best.value
    assert report["seconds"]["total"] >= report["seconds"]["training"] > 0
    assert (
        report["mlflow"]["parent_run_id"]
        == runs(launched / "runs", "small", "study")[0].info.run_id
    )


def test_people_are_told_what_to_do_next(launched: Path) -> None:
    text = (launched / "launch.txt").read_text()
    assert "24 trials (24 completed)" in text
    for command in ("compare", "retrain", "ui"):
        assert f"lockstep {command} {launched / 'study.toml'}" in text
    assert "\x1b" not in text
    assert "\r" not in text


def test_every_configuration_once_in_both_stores(launched: Path) -> None:
    trials = optuna_trials(launched / "runs", "small")
    assert len(set(configurations(trials))) == len(trials) == SMALL_TRIALS
    by_run = {trial.user_attrs["mlflow.run_id"]: trial for trial in trials}
    children = runs(launched / "runs", "small", "trial")
    assert {run.info.run_id for run in children} == set(by_run)
    for run in children:
        trial = by_run[run.info.run_id]
        assert float(run.data.params["learning_rate"]) == trial.params["learning_rate"]
        assert float(run.data.params["weight_decay"]) == trial.params["weight_decay"]
        assert int(run.data.params["batch_size"]) == trial.params["batch_size"]
        assert run.data.metrics["val_loss"] == trial.value
        assert run.info.status == "FINISHED"


def test_runs_have_curves_images_and_datasets(launched: Path) -> None:
    store = client(launched / "runs")
    parent = runs(launched / "runs", "small", "study")[0]
    assert parent.info.status == "FINISHED"
    assert "- **best** #" in parent.data.tags["mlflow.note.content"]
    assert parent.inputs is not None
    assert len(parent.inputs.dataset_inputs) == 2
    figures = {file.path for file in store.list_artifacts(parent.info.run_id, "figures")}
    names = (
        "heat_maps", "optimisation_history", "importances", "expected_best", "learning_curves",
        "weights_worst_to_best",
    )  # fmt: skip
    assert figures == {f"figures/{name}.png" for name in names}
    for each in (launched / "runs" / "small" / "figures").iterdir():
        with Image.open(each) as picture:
            assert len(set(picture.convert("L").tobytes())) > 50, "it is drawn"
    images = 0
    for run in runs(launched / "runs", "small", "trial"):
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        steps = [metric.step for metric in store.get_metric_history(run.info.run_id, "val_loss")]
        assert sorted(steps) == [1, 2, 3, 4, 5]
        files = {file.path for file in store.list_artifacts(run.info.run_id)}
        assert {"templates.png", "result.npz"} <= files
        assert len(run.data.tags["lockstep.data_digest"]) == 64
        images += "images" in files
    assert images == 10, "the ten best have the form that the chart view shows"


def test_launching_again_changes_nothing(launched: Path) -> None:
    """Not even its report is written again, unless something of it is missing."""
    before = scores(launched / "runs", "small")
    figures = launched / "runs" / "small" / "figures"
    drawn = {each.name: each.stat().st_mtime_ns for each in figures.iterdir()}
    again = lockstep("launch", "study.toml", "--json", cwd=launched, variables=PAINTED)
    assert again.code == 0
    assert {each.name: each.stat().st_mtime_ns for each in figures.iterdir()} == drawn
    (parent,) = runs(launched / "runs", "small", "study")
    assert parent.info.status == "FINISHED"
    content = (figures / "heat_maps.png").read_bytes()
    (figures / "heat_maps.png").unlink()
    assert lockstep("launch", "study.toml", cwd=launched, variables=PAINTED).code == 0
    assert (figures / "heat_maps.png").read_bytes() == content
    assert scores(launched / "runs", "small") == before
    assert again.json["seconds"]["training"] == 0
    assert len(runs(launched / "runs", "small", "trial")) == SMALL_TRIALS


def test_same_seed_same_numbers(launched: Path, tmp_path: Path) -> None:
    """Bit for bit, with another number of workers too."""
    path = write_study(tmp_path)
    assert lockstep("launch", str(path), "--workers", "1", cwd=tmp_path).code == 0
    assert scores(tmp_path / "runs", "small") == scores(launched / "runs", "small")


def test_changed_study_is_refused(launched: Path, tmp_path: Path) -> None:
    path = write_study(tmp_path, small_study(epochs=4))
    refused = lockstep("launch", str(path), "--home", str(launched / "runs"), cwd=tmp_path)
    assert refused.code == 2
    assert "model.epochs: 5 → 4" in refused.err
    assert "Traceback" not in refused.err
    assert not (tmp_path / "runs").exists()


def test_diverged_trials_fail_and_spare_the_others(tmp_path: Path) -> None:
    text = small_study(
        penalty="squared",
        epochs=30,
        learning_rate={"low": 1e-3, "high": 100.0, "log": True, "points": 4},
        weight_decay={"low": 1e-6, "high": 10.0, "log": True, "points": 3},
        batch_size=[16],
    )
    path = write_study(tmp_path, text)
    finished = lockstep("launch", str(path), "--json", cwd=tmp_path, variables=PAINTED)
    assert finished.code == 0, finished.err
    failed = [
        trial
        for trial in optuna_trials(tmp_path / "runs", "small")
        if trial.params["learning_rate"] * trial.params["weight_decay"] > 2
    ]
    assert finished.json["trials"]["failed"] == len(failed) > 0
    for trial in failed:
        assert trial.state.name == "FAIL"
        assert 1 <= trial.user_attrs["lockstep.result"]["stopped_epoch"] <= 30
    statuses = {run.info.status for run in runs(tmp_path / "runs", "small", "trial")}
    assert statuses == {"FINISHED", "FAILED"}
    for run in runs(tmp_path / "runs", "small", "trial"):
        assert all(math.isfinite(value) for value in run.data.metrics.values())


def test_when_every_trial_diverges_all_commands_say_why(tmp_path: Path) -> None:
    text = small_study(
        penalty="squared", epochs=30, learning_rate=[100.0], weight_decay=[1.0], batch_size=[16]
    )
    write_study(tmp_path, text)
    finished = lockstep("launch", "study.toml", cwd=tmp_path)
    assert finished.code == 0, finished.err
    told = "1 of 1 diverged, because learning rate × weight decay is 100 or more"
    assert told in finished.out
    assert "lockstep compare" not in finished.out
    for command in ("compare", "retrain"):
        refused = lockstep(command, "study.toml", cwd=tmp_path)
        assert refused.code == 2
        (line,) = refused.err.splitlines()
        assert told in line
        assert "give smaller values in space.weight_decay or space.learning_rate" in line


@pytest.mark.parametrize(
    ("sampler", "trials", "cohort"),
    [("random", 5, 2), ("qmc", 5, 2), ("tpe", 11, 4), ("cmaes", 11, 4)],
)
def test_samplers_ask_a_cohort_at_a_time(
    tmp_path: Path, sampler: str, trials: int, cohort: int
) -> None:
    """Those that learn from what was recorded have more trials than they draw at random."""
    spec = small_spec(sampler=sampler, trials=trials, cohort=cohort)
    report = launch(spec, Settings(home=tmp_path / "runs", workers=1), Console(as_json=True))
    assert report.as_json()["trials"]["complete"] == trials
    assert {trial.state.name for trial in optuna_trials(tmp_path / "runs", "small")} == {"COMPLETE"}


def test_a_feature_matrix_of_three_classes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y = np.repeat(["cat", "dog", "a/b c"], 60)
    X = rng.normal(size=(180, 5)) + 3 * np.eye(5)[np.repeat([0, 1, 2], 60)]
    np.savez(tmp_path / "features.npz", X=X, y=y)
    text = small_study(source="features.npz", classes=None, weight_decay=[0.0], batch_size=[16])
    path = write_study(tmp_path, text)
    finished = lockstep("launch", str(path), "--json", cwd=tmp_path, variables=PAINTED)
    assert finished.code == 0, finished.err
    assert finished.json["best"]["val_accuracy"] > 0.9
    retrained = lockstep("retrain", "study.toml", "--seeds", "0", "--json", cwd=tmp_path)
    assert retrained.code == 0, retrained.err
    assert retrained.json["test_accuracy"] > 0.8


@dataclass(frozen=True)
class TwoLaunches:
    """A study that was launched, and how another launch ended meanwhile."""

    home: Path
    first: int  # process
    second: Finished


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> TwoLaunches:
    folder = tmp_path_factory.mktemp("undisturbed")
    path, home = write_study(folder, LONGER), folder / "runs"
    first = start("launch", str(path), cwd=folder)
    while not (home / "small" / "study.journal").exists():
        assert first.poll() is None
        time.sleep(0.02)
    second = lockstep("launch", str(path), cwd=folder)
    out, err = first.communicate(timeout=HUNG)
    assert first.returncode == 0, (out, err)
    return TwoLaunches(home, first.pid, second)


def test_two_launches_at_once(undisturbed: TwoLaunches) -> None:
    """The second is refused; that the first is undisturbed is compared below."""
    assert undisturbed.second.code == 2
    assert f"process {undisturbed.first}" in undisturbed.second.err
    assert len(optuna_trials(undisturbed.home, "small")) == SMALL_TRIALS


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_stop_between_trials(
    tmp_path: Path, undisturbed: TwoLaunches, number: signal.Signals
) -> None:
    path = write_study(tmp_path, LONGER)
    process = start("launch", str(path), cwd=tmp_path)
    journal = tmp_path / "runs" / "small" / "study.journal"
    while not journal.exists() or b"lockstep.result" not in journal.read_bytes():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(number)
    out, err = process.communicate(timeout=HUNG)
    assert process.returncode == 130, (out, err)
    assert "Traceback" not in err
    assert "the same command continues" in err
    done = len(optuna_trials(tmp_path / "runs", "small"))
    assert 0 < done <= SMALL_TRIALS
    statuses = {run.info.status for run in runs(tmp_path / "runs", "small", "trial")}
    assert statuses == {"FINISHED"}
    assert runs(tmp_path / "runs", "small", "study")[0].info.status == "KILLED"
    assert lockstep("launch", str(path), cwd=tmp_path).code == 0
    assert scores(tmp_path / "runs", "small") == scores(undisturbed.home, "small")

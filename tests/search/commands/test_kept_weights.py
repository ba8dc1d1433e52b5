"""Weights are kept of the best trials only, whenever a launch is killed, and can be made again."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ready_store
import warm
from command import HUNG, LOCKSTEP, environment, lockstep, start
from drawn import says
from driving import launched_until_more_is_recorded
from mlflow import MlflowClient
from mlflow.entities import Run
from process_groups import alive_in_group
from services import free_port
from small_study import SMALL_TRIALS, small_study, write_study
from stored import optuna_trials, runs

Arrays = Mapping[str, Any]
KEPT, TRIALS = 3, 6


def study(keep_weights: int | str | None) -> str:
    return small_study(
        {"baseline": None, "space.learning_rate.points": 2},
        batch_size=[16],
        keep_weights=keep_weights,
    )


pytestmark = pytest.mark.xdist_group("kept_weights")  # so that its studies are launched once


def results(home: Path) -> dict[int, Arrays]:
    """What each recorded trial's run has in its result, by the trial's number."""
    recorded = {trial.user_attrs.get("mlflow.run_id") for trial in optuna_trials(home, "small")}
    return {
        int(run.data.tags["lockstep.trial"]): result(home, run)
        for run in trials(home)
        if run.info.run_id in recorded
    }


def trials(home: Path) -> list[Run]:
    return runs(home, "small", "trial")


def result(home: Path, run: Run) -> Arrays:
    file = home / "artifacts" / "small" / run.info.run_id / "artifacts" / "result.npz"
    with np.load(file) as arrays:
        return dict(arrays)


def with_weights(home: Path) -> set[int]:
    return {number for number, arrays in results(home).items() if "W" in arrays}


def best(home: Path, count: int = KEPT) -> set[int]:
    ranking = sorted(optuna_trials(home, "small"), key=lambda trial: trial.value or 0)
    return {trial.number for trial in ranking[:count]}


def assert_same(found: Mapping[int, Arrays], expected: Mapping[int, Arrays]) -> None:
    """To the last bit."""
    assert found.keys() == expected.keys()
    for number, arrays in expected.items():
        assert found[number].keys() == arrays.keys(), number
        for name, values in arrays.items():
            np.testing.assert_array_equal(found[number][name], values, strict=True)


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Arrays]:
    """The results of the study with all weights."""
    folder = tmp_path_factory.mktemp("everything")
    finished = lockstep("launch", str(write_study(folder, study(None))), cwd=folder)
    assert finished.code == 0, finished.err
    assert "weights" not in finished.out
    return results(folder / "runs")


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study that keeps the weights of a few trials, as it is after its launch."""
    folder = tmp_path_factory.mktemp("launched")
    path = write_study(folder, study(KEPT))
    finished = lockstep("launch", str(path), cwd=folder)
    assert finished.code == 0, finished.err
    (folder / "launch.txt").write_text(finished.out)
    return folder


@pytest.fixture
def folder(tmp_path: Path, launched: Path) -> Path:
    """A launched study of the test's own; the home is moved with it."""
    shutil.copytree(launched, tmp_path / "mine")
    return tmp_path / "mine"


def test_only_the_best_keep_their_weights(launched: Path, everything: dict[int, Arrays]) -> None:
    home = launched / "runs"
    assert with_weights(home) == best(home)
    tags = {
        int(run.data.tags["lockstep.trial"]): run.data.tags["lockstep.weights"]
        for run in trials(home)
    }
    assert {number for number, tag in tags.items() if tag == "kept"} == best(home)
    expected = {
        number: arrays
        if number in best(home)
        else {k: v for k, v in arrays.items() if k not in "Wb"}
        for number, arrays in everything.items()
    }
    assert_same(results(home), expected)


def test_it_is_said(launched: Path) -> None:
    text = (launched / "launch.txt").read_text()
    assert f"weights kept of the best {KEPT} trials (search.keep_weights)" in text
    told = (
        f"{TRIALS - KEPT} of {TRIALS} trials were not compared, as only the weights of the best "
        "are kept (search.keep_weights): "
        "`lockstep sync study.toml --weights` makes the others again"
    )
    compared = lockstep("compare", "study.toml", "--json", cwd=launched)
    assert compared.code == 0, compared.err
    choice = compared.json["choice"]
    assert choice["compared"] == KEPT
    assert len(choice["weights_not_kept"]) == TRIALS - KEPT
    assert told in text.replace(str(launched / "study.toml"), "study.toml")
    assert told in lockstep("compare", "study.toml", cwd=launched).out
    sheet = (launched / "runs/small/figures/weights_worst_to_best.png").read_bytes()
    assert says(sheet, f"The weights of the best {KEPT} of {TRIALS} trials are kept.")
    (parent,) = runs(launched / "runs", "small", "study")
    assert f"kept of the best {KEPT} trials" in parent.data.tags["mlflow.note.content"]


def test_retraining(folder: Path) -> None:
    simplest = lockstep("retrain", "study.toml", "--rule", "one-se", "--seeds", "0", cwd=folder)
    assert simplest.code == 0, simplest.err
    assert f"{TRIALS - KEPT} of {TRIALS} trials were not compared" in simplest.out
    worst = max(set(range(TRIALS)) - best(folder / "runs"))
    one = lockstep("retrain", "study.toml", "--trial", str(worst), "--seeds", "0", cwd=folder)
    assert one.code == 0, one.err
    assert f"The weights of trial #{worst} are not kept" in one.out


def test_sync_makes_the_weights_again(folder: Path, everything: dict[int, Arrays]) -> None:
    """To the last bit, in the same runs, and no launch removes them."""
    home = folder / "runs"
    before = {run.info.run_id for run in trials(home)}
    nothing = lockstep("sync", "study.toml", "--json", cwd=folder)
    assert (nothing.json["written"], nothing.json["weights"]) == (0, 0)
    synced = lockstep("sync", "study.toml", "--weights", "--json", cwd=folder)
    assert synced.code == 0, synced.err
    assert (synced.json["written"], synced.json["weights"]) == (0, TRIALS - KEPT)
    assert synced.json["unlike"] == []
    assert lockstep("launch", "study.toml", cwd=folder).code == 0
    assert {run.info.run_id for run in trials(home)} == before
    assert_same(results(home), everything)
    assert "not compared" not in lockstep("compare", "study.toml", cwd=folder).out


def test_it_may_change_during_a_study(folder: Path, everything: dict[int, Arrays]) -> None:
    home = folder / "runs"
    write_study(folder, study(1))
    fewer = lockstep("launch", "study.toml", cwd=folder)
    assert fewer.code == 0, fewer.err
    assert "the weights of 2 trials are removed from MLflow" in fewer.out
    assert with_weights(home) == best(home, 1)
    write_study(folder, study(5))
    more = lockstep("sync", "study.toml", "--json", cwd=folder)
    assert (more.json["written"], more.json["weights"]) == (0, 4)
    assert with_weights(home) == best(home, 5)
    write_study(folder, study("all"))
    assert lockstep("sync", "study.toml", cwd=folder).code == 0
    assert_same(results(home), everything)


def test_killed_at_random_moments(tmp_path: Path) -> None:
    """The best have their weights then, and no other after the next launch."""
    path = write_study(tmp_path, small_study(keep_weights=2))
    home, chance = tmp_path / "runs", random.Random(1)
    recorded = []
    for kill in range(6):
        if kill % 2:
            driver = start("launch", str(path), cwd=tmp_path, new_group=True)
            time.sleep(chance.uniform(0.2, 0.8))
        else:  # so that some are killed while trials are recorded, however busy the machine is
            driver = launched_until_more_is_recorded(tmp_path, 3, new_group=True)
            time.sleep(chance.uniform(0.0, 0.1))
        for pid in alive_in_group(driver.pid):
            os.kill(pid, signal.SIGKILL)
        driver.communicate(timeout=HUNG)
        if (home / "small" / "study.journal").exists():
            recorded.append(sum(each.state.is_finished() for each in optuna_trials(home, "small")))
            assert best(home, 2) <= with_weights(home), kill
    assert any(2 < count < SMALL_TRIALS for count in recorded), recorded
    finished = lockstep("launch", str(path), cwd=tmp_path)
    assert finished.code == 0, finished.err
    assert len(trials(home)) == len(optuna_trials(home, "small")) == SMALL_TRIALS
    assert with_weights(home) == best(home, 2)


@contextmanager
def mlflow_server(folder: Path) -> Iterator[str]:
    """MLflow's server, which keeps the runs' files itself."""
    ready_store.copy_to(folder / "mlflow.db")
    port = free_port()
    process = warm.start(
        LOCKSTEP.with_name("mlflow"),
        [
            "server", "--port", str(port), "--backend-store-uri", f"sqlite:///{folder}/mlflow.db",
            "--artifacts-destination", str(folder / "files"), "--workers", "1",
        ],
        # As in docker-compose.yml: it starts eight processes for jobs otherwise.
        environment=environment() | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder, new_group=True,
        warm_server=True,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + HUNG
        while True:
            try:
                urllib.request.urlopen(f"{address}/health", timeout=5).close()
                break
            except OSError:
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.3)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_on_a_server(tmp_path: Path) -> None:
    path = write_study(
        tmp_path, small_study({"space.learning_rate.points": 2}, batch_size=[16], keep_weights=2)
    )
    (tmp_path / "server").mkdir()
    with mlflow_server(tmp_path / "server") as address:
        options = [str(path), "--tracking-uri", address, "--json"]
        assert lockstep("launch", *options, cwd=tmp_path).code == 0
        assert served_with_weights(address, tmp_path) == best(tmp_path / "runs", 2)
        synced = lockstep("sync", *options, "--weights", cwd=tmp_path)
        assert synced.json["weights"] == 4, synced.err
        assert served_with_weights(address, tmp_path) == set(range(6))


def served_with_weights(address: str, folder: Path) -> set[int]:
    store = MlflowClient(address)
    experiment = store.get_experiment_by_name("small")
    assert experiment is not None
    found = store.search_runs([experiment.experiment_id], "tags.`lockstep.role` = 'trial'")
    have = set()
    for run in found:
        target = folder / "read" / run.info.run_id
        target.mkdir(parents=True, exist_ok=True)
        with np.load(store.download_artifacts(run.info.run_id, "result.npz", str(target))) as file:
            if "W" in file:
                have.add(int(run.data.tags["lockstep.trial"]))
    return have


@pytest.mark.parametrize("value", ["some", 0, -3, 2.5, True, [3]])
def test_mistakes(tmp_path: Path, value: object) -> None:
    write_study(tmp_path, small_study({"search.keep_weights": value}))
    finished = lockstep("launch", "study.toml", cwd=tmp_path)
    assert finished.code == 2
    assert 'give "all", or of how many of the best trials the weights are kept' in finished.err
    assert "search.keep_weights" in finished.err


def test_sync_is_killed_while_it_makes_weights_again(
    folder: Path, everything: dict[int, Arrays]
) -> None:
    """What it has made stays, and the next one makes the rest."""
    home, chance = folder / "runs", random.Random(2)
    for _ in range(3):
        sync = start(
            "sync", "study.toml", "--weights", cwd=folder, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, new_group=True,
        )  # fmt: skip
        deadline = time.monotonic() + chance.uniform(0.4, 1.5)
        while time.monotonic() < deadline and len(with_weights(home)) == KEPT:
            time.sleep(0.01)
        for pid in alive_in_group(sync.pid):
            os.kill(pid, signal.SIGKILL)
        sync.communicate(timeout=HUNG)
        assert best(home) <= with_weights(home)
    assert lockstep("sync", "study.toml", "--weights", cwd=folder).code == 0
    assert_same(results(home), everything)

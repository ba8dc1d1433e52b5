"""Killed again and again, at any moment: nothing is lost, nothing is there twice."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from command import HUNG, LOCKSTEP, Process, environment, lockstep, start
from driving import recorded
from kernels import VARIABLE, kernels_taken
from process_groups import alive_in_group, wait_until, workers_in_group, zombies_of
from ready_store import OWN
from small_study import small_study, write_study
from stored import configurations, optuna_trials, runs, scores

KILLS = 25  # of each kind of study: 50 together
MOST_WORKERS = 3  # in a launch: work that loses its process once more is given up
KILLS_OF_OTHER_KERNELS = 10  # which change the numbers, and nothing else
# Batches so small that training takes half a second, for which workers are started, and they can be
# killed at it.
STUDY = small_study(epochs=24, batch_size=[1, 2])
SAMPLED = small_study(epochs=24, batch_size=[1, 2], sampler="random", trials=24, cohort=8)
TRIALS = 24


def launch_and_kill(path: Path, chance: random.Random, store: Mapping[str, str]) -> int:
    """Launch; kill a process that trains or records now and then, and in the end the driver, in one
    way or another. How many were killed. Nothing of it stays alive.

    store: the variables that say where MLflow's database comes from.
    """
    killed = 0
    # A fifth while Python starts and imports, the others while it opens, trains and reports, or
    # once it has recorded so many more trials.
    moment = chance.choices(["importing", "soon", "recording"], [0.2, 0.4, 0.4])[0]
    cold = moment == "importing"
    more = chance.randint(1, 4) if moment == "recording" else 0
    wanted = min(recorded(path.parent) + more, TRIALS)
    seconds = chance.uniform(0.05, {"importing": 0.6, "soon": 0.9, "recording": 0.2}[moment])
    # Two that write runs import for seconds first: seldom where they will not get further.
    two = chance.random() < {"importing": 0.3, "soon": 0.1, "recording": 0.3}[moment]
    driver = start(
        "launch", str(path), f"--workers={chance.choice([1, 2])}", f"--recorders={1 + two}",
        cwd=path.parent, variables={"PYTHONFAULTHANDLER": "1", **store},
        stdout=subprocess.DEVNULL, new_group=True, cold=cold, warm_children=not cold,
    )  # fmt: skip
    try:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends and driver.poll() is None:
            time.sleep(chance.uniform(0.02, 0.1))
            if recorded(path.parent) < wanted:
                ends = time.monotonic() + seconds
            workers = workers_in_group(driver.pid)
            if workers and killed < MOST_WORKERS and chance.random() < 0.4:
                os.kill(chance.choice(workers), signal.SIGKILL)
                killed += 1
        if driver.poll() is None:
            number = chance.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
            driver.send_signal(number)
            killed += 1
        err = ended(driver)
        assert driver.returncode in (0, 1, 130, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT)
        assert driver.returncode != 1 or "KeyboardInterrupt" in err, err  # while Python starts
        assert wait_until(lambda: not alive_in_group(driver.pid)), alive_in_group(driver.pid)
    finally:
        for pid in alive_in_group(driver.pid):
            os.kill(pid, signal.SIGKILL)
    return killed


def ended(driver: Process) -> str:
    """What it said at its end; one that does not end says where it hangs."""
    try:
        return driver.communicate(timeout=HUNG)[1]
    except subprocess.TimeoutExpired:
        driver.send_signal(signal.SIGABRT)
        pytest.fail(f"the driver hangs:\n{driver.communicate()[1]}")


def assert_whole(home: Path, expected: Path) -> None:
    """Every configuration once in both places, with the numbers of an undisturbed study."""
    trials = [trial for trial in optuna_trials(home, "small") if trial.params]
    assert len(set(configurations(trials))) == len(trials) == TRIALS
    assert {trial.state.name for trial in trials} == {"COMPLETE"}
    found, undisturbed = scores(home, "small"), scores(expected, "small")
    for tried, (_, score) in undisturbed.items():
        assert found[tried][1] == score, tried
    children = runs(home, "small", "trial")
    assert {run.info.run_id for run in children} == {
        trial.user_attrs["mlflow.run_id"] for trial in trials
    }
    assert len(children) == TRIALS
    (parent,) = runs(home, "small", "study")
    assert {run.info.status for run in [parent, *children]} == {"FINISHED"}


@pytest.mark.xdist_group("kills")
@pytest.mark.parametrize("text", [STUDY, SAMPLED], ids=["grid", "random"])
def test_killed_at_random_moments(tmp_path: Path, text: str) -> None:
    """With the kernels that BLAS chooses; also while MLflow's database is made."""
    assert_kills_lose_nothing(tmp_path, text, KILLS, OWN)


@pytest.mark.xdist_group("kills_haswell")  # one ancestor of all that have its kernels
@pytest.mark.parametrize("text", [STUDY, SAMPLED], ids=["grid", "random"])
def test_killed_at_random_moments_where_rows_round_by_their_place(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kernels_taken("Haswell") != "Haswell":
        pytest.skip("OpenBLAS has no Haswell kernels for this processor")
    monkeypatch.setenv(VARIABLE, "Haswell")
    assert_kills_lose_nothing(tmp_path, text, KILLS_OF_OTHER_KERNELS, {})


def assert_kills_lose_nothing(
    tmp_path: Path, text: str, at_least: int, store: Mapping[str, str]
) -> None:
    (tmp_path / "expected").mkdir()
    expected = write_study(tmp_path / "expected", text)
    assert lockstep("launch", str(expected), cwd=expected.parent, warm_children=True).code == 0
    path = write_study(tmp_path, text)
    chance = random.Random(len(text))
    kills = 0
    while kills < at_least:
        kills += launch_and_kill(path, chance, store)
    finished = lockstep("launch", str(path), "--json", cwd=tmp_path, warm_children=True)
    assert finished.code == 0, finished.err
    assert finished.json["trials"] == {"complete": TRIALS, "pruned": 0, "failed": 0}
    assert_whole(tmp_path / "runs", expected.parent / "runs")
    assert zombies_of(os.getpid()) == []


def test_a_killed_worker_is_replaced_in_a_launch(tmp_path: Path) -> None:
    """And waited for by the driver: no zombie."""
    path = write_study(tmp_path, STUDY)
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    driver = start("launch", str(path), cwd=tmp_path, **silent, new_group=True, warm_children=True)
    try:
        assert wait_until(lambda: len(workers_in_group(driver.pid)) > 0, HUNG)
        time.sleep(0.5)
        (victim, *_) = workers_in_group(driver.pid)
        os.kill(victim, signal.SIGKILL)
        assert wait_until(lambda: victim not in zombies_of(driver.pid))
        assert driver.wait(timeout=HUNG) == 0
    finally:
        driver.kill()
        driver.wait()
    assert wait_until(lambda: not alive_in_group(driver.pid)), alive_in_group(driver.pid)
    assert len(scores(tmp_path / "runs", "small")) == TRIALS


def test_no_memory(tmp_path: Path) -> None:
    """A data set for which the machine has not enough: one sentence."""
    features = np.zeros((1200, 100_000), np.uint8)  # four times as much in floats, and again
    np.savez_compressed(tmp_path / "mine.npz", X=features, y=np.arange(1200) % 2)
    write_study(tmp_path, small_study(source="mine.npz", classes=None))
    finished = subprocess.run(
        [str(LOCKSTEP), "launch", "study.toml"],
        cwd=tmp_path,
        env=environment() | {"OPENBLAS_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30)),
        capture_output=True,
        text=True,
        timeout=HUNG,
        check=False,
    )
    assert finished.returncode == 2, finished.stderr
    assert finished.stderr.startswith("lockstep: out of memory: use fewer --workers, less data")
    assert not (tmp_path / "runs").exists()

"""Runs that several processes write: the same as those of one, each once, in order."""

from __future__ import annotations

import importlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest
from forked import standing_by
from made_up import make_result
from mlflow.entities import Run
from process_groups import alive_in_group, descendants, wait_until
from tracked import artifact, opened, planned, runs_of

from core.datasets.study_data import StudyData
from search.errors import LockstepError
from search.settings import Settings
from search.spec.study_spec import StudySpec
from search.tracking.names import RESULT, TEMPLATES
from search.tracking.recorders import MANY, MOST, RunQueue, recorders
from search.tracking.tracker import Tracker
from search.tracking.trial_writer import TrialRun, features_of
from search.trials.outcome import Outcome

RUNS = 8

pytestmark = pytest.mark.xdist_group("recorders")  # so that one process has others stand by


@pytest.fixture(scope="module", autouse=True)
def _warm() -> Iterator[None]:
    """Fork Python's server of processes from this one, which has imported what it does."""
    importlib.import_module("mlflow.store.tracking.sqlalchemy_store")
    importlib.import_module("search.tracking.recorder_process")
    with standing_by(8):
        yield


def named(spec: StudySpec, name: str) -> StudySpec:
    return spec.model_copy(update={"name": name})


def trial_runs(spec: StudySpec) -> list[TrialRun]:
    trials = [planned(spec, number) for number in range(RUNS)]
    return [TrialRun(each, Outcome(make_result(each.hyperparameters))) for each in trials]


def written(
    tracker: Tracker, settings: Settings, data: StudyData, runs: list[TrialRun]
) -> list[tuple[int, str]]:
    """The numbers of the trials, and the ids of their runs, as a launch gets them."""
    with recorders(settings, len(runs)) as processes:
        queue = RunQueue(processes.opened(tracker, features_of(data)))
        found = []
        for run in runs:
            queue.put(run)
            found += list(queue.finished())
        found += list(queue.finished(ahead=0))
        assert queue.is_empty
    return [(run.trial.number, run_id) for run, run_id in found]


def content(tracker: Tracker, run: Run, folder: Path) -> dict[str, object]:
    """All that a user sees of a run but its ids and times."""
    run_id = run.info.run_id
    return {
        "name": run.info.run_name,
        "status": run.info.status,
        "params": run.data.params,
        "tags": {k: v for k, v in run.data.tags.items() if k.startswith("lockstep.")},
        "metrics": {
            name: [(p.step, p.value) for p in tracker.client.get_metric_history(run_id, name)]
            for name in run.data.metrics
        },
        "picture": artifact(tracker, run_id, TEMPLATES, folder),
        "result": artifact(tracker, run_id, RESULT, folder),
    }


def contents(tracker: Tracker, folder: Path) -> dict[str, dict[str, object]]:
    return {
        run.data.tags["lockstep.trial"]: content(tracker, run, folder)
        for run in runs_of(tracker, "trial")
    }


def test_several_write_what_one_writes(
    spec: StudySpec, store: Settings, splits: StudyData, tmp_path: Path
) -> None:
    runs = trial_runs(spec)
    found = {}
    for size in (1, 2):
        settings = replace(store, recorders=size)
        tracker = opened(named(spec, f"written-by-{size}"), settings)
        order = written(tracker, settings, splits, runs)
        assert [number for number, _ in order] == list(range(RUNS))
        by_id = {run.info.run_id: run for run in runs_of(tracker, "trial")}
        assert [by_id[id_].data.tags["lockstep.trial"] for _, id_ in order] == [
            str(number) for number in range(RUNS)
        ]
        found[size] = contents(tracker, tmp_path)
    assert found[1] == found[2]
    assert len(found[1]) == RUNS


def processes_of_ours() -> list[int]:
    """Processes that write runs, and Python's server of processes, which starts them."""
    group = alive_in_group(os.getpgrp())
    ours = descendants(os.getpid())
    return [pid for pid, line in group.items() if pid in ours and "forkserver" in line]


@contextmanager
def killing(every: Callable[[], float]) -> Iterator[tuple[list[int], threading.Event]]:
    """Kill processes that write, again and again; yield those that were killed, and what is to be
    set when a run is done: however slow the machine, no run loses its process too often."""
    killed, over, chance = list[int](), threading.Event(), random.Random(1)
    done = threading.Event()
    done.set()

    def kill() -> None:
        while not over.wait(every()):
            if not done.is_set():
                continue
            for pid in processes_of_ours():
                if not killed or chance.random() < 0.5:
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)
                    done.clear()

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed, done
    finally:
        over.set()
        thread.join()


def test_a_killed_recorder_loses_and_doubles_nothing(
    spec: StudySpec, store: Settings, splits: StudyData, tmp_path: Path
) -> None:
    """Killed while it writes, and while it starts; so is Python's server of processes."""
    settings = replace(store, recorders=2)
    tracker = opened(spec, settings)
    chance = random.Random(0)
    runs = trial_runs(spec)
    with recorders(replace(settings, recorders=2), RUNS) as processes:
        recorder = processes.opened(tracker, features_of(splits))
        queue = RunQueue(recorder)
        queue.put(runs[0])
        order = [(run.trial.number, id_) for run, id_ in queue.finished(ahead=0)]
        with killing(lambda: chance.uniform(0.2, 0.8)) as (killed, done):
            for run in [*runs[1:], None]:
                if run is not None:
                    queue.put(run)
                    time.sleep(0.2)
                for each, id_ in queue.finished(ahead=None if run else 0):
                    order.append((each.trial.number, id_))
                    done.set()
    assert killed
    assert [number for number, _ in order] == list(range(RUNS))
    there = {run.info.run_id: run for run in runs_of(tracker, "trial")}
    assert set(there) == {run_id for _, run_id in order}
    assert {run.info.status for run in there.values()} == {"FINISHED"}
    alone = opened(named(spec, "undisturbed"), store)
    written(alone, store, splits, runs)
    assert contents(tracker, tmp_path) == contents(alone, tmp_path)


class DeadlyRun(TrialRun):
    """A run whose arrival ends the process that is to write it."""

    def __reduce__(self) -> tuple[Callable[[int], NoReturn], tuple[int]]:
        return os._exit, (1,)


def test_a_recorder_that_always_dies_is_given_up(
    spec: StudySpec, store: Settings, splits: StudyData
) -> None:
    settings = replace(store, recorders=2)
    tracker = opened(spec, settings)
    first, second, *_ = trial_runs(spec)
    deadly = DeadlyRun(second.trial, second.outcome)
    with pytest.raises(LockstepError, match=r"died 4 times .* use fewer --recorders"):
        written(tracker, settings, splits, [first, deadly])
    assert [run.data.tags["lockstep.trial"] for run in runs_of(tracker, "trial")] == ["0"]


def test_an_error_of_mlflow_is_told_as_the_driver_tells_it(
    spec: StudySpec, store: Settings, splits: StudyData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the variables that the driver has when runs are opened."""
    tracker = opened(spec, store)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    nowhere = replace(store, tracking_uri="http://127.0.0.1:9", recorders=2)
    tracker.settings = nowhere
    with pytest.raises(LockstepError, match=r"MLflow at http://127\.0\.0\.1:9 failed \(.*kept"):
        written(tracker, nowhere, splits, trial_runs(spec)[:2])


def test_how_many_processes_write(store: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as are asked for; by default several only where there is much to write."""
    monkeypatch.setattr(os, "cpu_count", lambda: 64)

    def size(settings: Settings, runs: int, wanted: int) -> int:
        before = set(processes_of_ours())
        with recorders(settings, runs):
            wait_until(lambda: len(set(processes_of_ours()) - before) >= wanted)
            return len(set(processes_of_ours()) - before)

    assert size(replace(store, recorders=1), MANY, 0) == 0
    assert size(store, MANY - 1, 0) == 0
    # Python's server of processes is another one, if it was not there before.
    assert size(store, MANY, MOST) in (MOST, MOST + 1)
    assert size(replace(store, recorders=2), 2, 2) == 2
    assert size(replace(store, recorders=2), 1, 0) == 0, "one can be written by the driver"

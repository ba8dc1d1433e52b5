"""Benchmark: how many trials a second are recorded by how many processes, here and through the
services; and from measured parts, how many it would be on more cores and beside a cluster."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cluster_driver
import pytest
from cluster import _executors, _problem
from cluster_driver import Problem
from measure import Unwatched, table

RECORDERS = (1, 2, 4)
CORES = (2, 4, 8, 16)
WORKERS = (10, 30, 100, 300, 1_000)
TRIALS = 300
EPOCHS = 0.1  # the share of a study's epochs that its stacks are trained for

Say = Callable[[str], None]


def recorders(data_dir: Path | None, rounds: int, quick: bool, say: Say) -> str:
    """The Markdown section."""
    problem = _problem("mnist-3v6", data_dir, say)
    trials = 40 if quick else TRIALS
    here: dict[int, list[float]] = {n: [] for n in RECORDERS}
    for _ in range(rounds):
        for n, found in here.items():
            found.append(_rate(_launched(problem, trials, n)))
            say(f"{n} recorders: {found[-1]:.1f} trials/s")
    sections = ["## Recorders", _INTRODUCTION, _measured_table("local", here)]
    parts = _parts(problem, trials)
    sections.append(_simulated(parts))
    try:
        with cluster_driver.started() as up:
            served: dict[int, list[float]] = {n: [] for n in RECORDERS}
            for _ in range(rounds):
                for n, found in served.items():
                    found.append(_rate(_served(up, problem, trials, n)))
                    say(f"{n} recorders, services: {found[-1]:.1f} trials/s")
        sections.append(_measured_table("services", served))
    except pytest.skip.Exception as missing:
        sections.append(f"Through the services: skipped, {missing}.")
    return "\n\n".join(sections)


_INTRODUCTION = (
    f"Launches of {TRIALS} trials with the classes, pictures and epochs of mnist-3v6, on so few "
    "rows that training takes next to nothing, with two training processes: trials a second "
    "between the first commit to Optuna and the last. With one recorder the driver itself writes "
    "the runs."
)


def _measured_table(where: str, measured: dict[int, list[float]]) -> str:
    rows = [[str(n), f"{statistics.median(found):.1f}"] for n, found in measured.items() if found]
    return table([f"recorders, {where}", "trials/s"], rows)


# -- launches ----------------------------------------------------------------------------------


def _launched(problem: Problem, trials: int, n: int) -> list[float]:
    """When each trial was committed, in seconds, of a launch into a home of its own."""
    with tempfile.TemporaryDirectory() as folder:
        study = cluster_driver.write_study(problem, "recorded", trials, Path(folder))
        command = ["launch", str(study), f"--home={folder}/runs", "--workers=2"]
        _lockstep([*command, f"--recorders={n}"], folder, dict(os.environ))
        return _commits(f"{folder}/runs/recorded/study.journal", None)


def _served(up: Any, problem: Problem, trials: int, n: int) -> list[float]:
    """The same through PostgreSQL, an MLflow server and two Dask workers."""
    from services import driver

    with tempfile.TemporaryDirectory() as folder:
        name = f"served-{n}-{time.time_ns()}"
        study = cluster_driver.write_study(problem, name, trials, Path(folder))
        _, *command = driver(up, str(study), home=Path(folder, "runs"))
        environment = up.environment("lockstep")
        _lockstep([*command, f"--recorders={n}"], folder, environment)
        storage = environment["LOCKSTEP_STORAGE"]
        os.environ |= {k: v for k, v in environment.items() if k.startswith("PG")}
        return _commits(storage, name)


def _lockstep(command: Sequence[str], folder: str, environment: dict[str, str]) -> None:
    code = "from search.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *command],
        cwd=folder, env=environment, text=True, capture_output=True, timeout=300,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr)


def _commits(storage: str, name: str | None) -> list[float]:
    """When each trial was committed to a journal, or to a study in a database."""
    import optuna
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    opened: Any = (
        JournalStorage(JournalFileBackend(storage)) if name is None else RDBStorage(storage)
    )
    study = optuna.load_study(study_name=name or "recorded", storage=opened)
    ends = [trial.datetime_complete for trial in study.trials]
    return sorted(end.timestamp() for end in ends if end is not None)


def _rate(commits: Sequence[float]) -> float:
    return (len(commits) - 1) / (commits[-1] - commits[0])


# -- simulation --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Parts:
    """Core seconds a trial: of training, of writing its run, of the driver; and the seconds in
    which that holds SQLite's one lock for writers."""

    training: float
    writing: float
    driver: float
    locked: float

    def rate(self, cores: int, training_cores: int = 0) -> tuple[float, str]:
        """Trials a second, and what bounds them, if all parts overlap.

        training_cores: of a cluster; if there is none, the training shares the cores.
        """
        from search.tracking.recorders import MOST

        here = self.writing + self.driver + (0.0 if training_cores else self.training)
        bounds = {
            "cores": cores / here,
            f"{MOST} recorders": min(cores, MOST) / self.writing,
            "SQLite's lock": 1 / self.locked,
            "driver": 1 / self.driver,
        }
        if training_cores:
            bounds["workers"] = training_cores / self.training
        name = min(bounds, key=lambda each: bounds[each])
        return bounds[name], name


def _simulated(parts: Parts) -> str:
    here = [[f"{n} cores", *_cells(parts.rate(n))] for n in CORES]
    beside = [[f"{n:,} workers, driver on 4 cores", *_cells(parts.rate(4, n))] for n in WORKERS]
    milliseconds = ", ".join(
        f"{name} {1000 * value:.1f}"
        for name, value in (
            ("training", parts.training), ("writing", parts.writing), ("driver", parts.driver),
            ("of the writing with SQLite's lock", parts.locked),
        )
    )  # fmt: skip
    return (
        f"From measured parts, core milliseconds a trial of mnist-3v6: {milliseconds}. If all "
        "parts overlap, and cores are as fast when all are busy:\n\n"
        + table(["", "trials/s", "bound by"], [*here, *beside])
    )


def _cells(found: tuple[float, str]) -> list[str]:
    return [f"{found[0]:.0f}", found[1]]


def _parts(problem: Problem, trials: int) -> Parts:
    with tempfile.TemporaryDirectory() as folder:
        study = cluster_driver.write_study(problem, "parts", trials, Path(folder))
        done = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("recorder_parts.py")), str(study)],
            cwd=folder, text=True, capture_output=True, timeout=300, check=True,
        )  # fmt: skip
    found = json.loads(done.stdout.splitlines()[-1])
    return Parts(_training(problem), found["writing"], found["driver"], found["locked"])


def _training(problem: Problem) -> float:
    """Core seconds of a trial's training, in its study's own stacks."""
    from core.trainer.stack import Stack
    from search.spec.space import grid
    from search.training.executor import StackJob
    from search.training.stacks import stacks
    from search.trials.trial import PlannedTrial

    spec = problem.spec
    cohort = [PlannedTrial(*each) for each in enumerate(grid(spec))]
    epochs = max(1, round(EPOCHS * spec.model.epochs))
    jobs = [
        StackJob(Stack(tuple(each.hyperparameters for each in some), spec.model.penalty, 0), epochs)
        for some in stacks(cohort)
    ]
    with _executors(problem) as executors:
        started = time.process_time()
        for _ in executors["in process"].run(jobs, Unwatched()):
            pass
        spent = time.process_time() - started
    return spent * spec.model.epochs / epochs / len(cohort)

"""Benchmark 5: what a cluster costs, what one driver records, and from how many workers on that is
the bottleneck."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cluster_driver
import cluster_tables
import pytest
from cluster_driver import Problem, Recorded, Written
from cluster_simulation import StackTime
from cluster_tables import Trained
from measure import Unwatched

if TYPE_CHECKING:
    from search.training.executor import Executor, StackJob

EMPTY_TASKS = 200
SHARE = {"mnist-3v6": 0.2, "mnist-10": 0.1}  # of the study's epochs that its stacks are trained for
CLIENTS = (1, 2, 4, 8)

Say = Callable[[str], None]


def cluster(data_dir: Path | None, rounds: int, quick: bool, say: Say) -> str:
    """The Markdown section."""
    problems = [_problem(name, data_dir, say) for name in list(SHARE)[: 1 if quick else None]]
    empty: dict[str, list[float]] = {}
    trained: dict[str, Trained] = {}
    for problem in problems:
        with _executors(problem) as executors:
            if not empty:
                empty = {name: _empty(executors[name], rounds) for name in ("processes", "Dask")}
                say("overhead measured")
            trained[problem.name] = _trained(problem, executors, rounds, quick)
            say(f"{problem.name}: stacks trained")
    sections = ["## A cluster", cluster_tables.overhead(empty), cluster_tables.efficiency(trained)]
    try:
        recorded = _recorded(
            problems, *((20, CLIENTS[:2], 1.0) if quick else (200, CLIENTS, 4.0)), say
        )
    except pytest.skip.Exception as missing:
        return "\n\n".join([*sections, f"The rest is skipped: {missing}."])
    alone, served, ceiling = recorded
    return "\n\n".join(
        [
            *sections,
            cluster_tables.recording(alone, served),
            cluster_tables.server(ceiling),
            cluster_tables.simulation(trained, served, ceiling),
        ]
    )


def _recorded(
    problems: Sequence[Problem], trials: int, clients: Sequence[int], seconds: float, say: Say
) -> tuple[dict[str, Recorded], dict[str, Recorded], dict[str, list[Written]]]:
    """By problem: a launch here, one through the services, and their server alone."""
    alone: dict[str, Recorded] = {}
    served: dict[str, Recorded] = {}
    ceiling: dict[str, list[Written]] = {}
    with tempfile.TemporaryDirectory() as parent, cluster_driver.started() as up:
        for problem in problems:
            alone[problem.name] = cluster_driver.locally(problem, trials, _folder(parent))
            say(f"{problem.name}: recorded locally")
            served[problem.name] = cluster_driver.through(up, problem, trials, _folder(parent))
            say(f"{problem.name}: recorded through the services")
            ceiling[problem.name] = cluster_driver.written(
                up, problem, clients, seconds, _folder(parent)
            )
            say(f"{problem.name}: server alone")
    return alone, served, ceiling


def _folder(parent: str) -> Path:
    return Path(tempfile.mkdtemp(dir=parent))


def _problem(name: str, data_dir: Path | None, say: Say) -> Problem:
    from search.commands.study_data import load_data
    from search.settings import Settings
    from search.spec.study_file import load

    spec = load(Path(__file__).resolve().parents[2] / "studies" / f"{name}.toml")
    return Problem(spec, load_data(spec, Settings(data_dir=data_dir), say))


# -- training ----------------------------------------------------------------------------------


@contextmanager
def _executors(problem: Problem) -> Iterator[Mapping[str, Executor]]:
    from core.trainer.training_data import TrainingData
    from search.settings import Settings
    from search.training.choose import open_executor
    from search.training.in_process import InProcess

    data = TrainingData.of(problem.data.train, problem.data.validation)
    with (
        open_executor([data], Settings(workers=2), lambda text: None) as processes,
        open_executor([data], Settings(workers=2, cluster="local"), lambda text: None) as dask,
    ):
        yield {"in process": InProcess([data]), "processes": processes, "Dask": dask}


def _seconds(executor: Executor, jobs: Sequence[StackJob]) -> float:
    started = time.perf_counter()
    for _ in executor.run(jobs, Unwatched()):
        pass
    return time.perf_counter() - started


def _empty(executor: Executor, rounds: int) -> list[float]:
    """Seconds of a task that trains one trial for no epoch; one round before is not kept."""
    from core.trainer.result import Hyperparameters
    from core.trainer.softmax import Penalty
    from core.trainer.stack import Stack
    from search.training.executor import StackJob

    jobs = [StackJob(Stack((Hyperparameters(0.1, 0.0, 100),), Penalty.NORM, 0), 0)] * EMPTY_TASKS
    return [_seconds(executor, jobs) / EMPTY_TASKS for _ in range(rounds + 1)][1:]


def _trained(
    problem: Problem, executors: Mapping[str, Executor], rounds: int, quick: bool
) -> Trained:
    """The study's own stacks, each twice so that two workers have as much to do."""
    from core.trainer.stack import Stack
    from search.spec.space import grid
    from search.training.executor import StackJob
    from search.training.stacks import stacks
    from search.trials.trial import PlannedTrial

    spec = problem.spec
    cohort = [PlannedTrial(*each) for each in enumerate(grid(spec))]
    share = 0.02 if quick else SHARE[problem.name]
    epochs = max(1, round(share * spec.model.epochs))
    jobs = [
        StackJob(
            Stack(tuple(trial.hyperparameters for trial in trials), spec.model.penalty, 0),
            epochs,
        )
        for trials in stacks(cohort)
        for _ in range(2)
    ]
    dask: Any = executors["Dask"]
    client = dask._client
    seconds: dict[str, list[float]] = {name: [] for name in executors}
    client.get_task_stream()  # from now on it is recorded
    began = time.time()
    for _ in range(rounds):
        for name, executor in executors.items():
            seconds[name].append(_seconds(executor, jobs))
    took = [
        sum(
            part["stop"] - part["start"]
            for part in task["startstops"]
            if part["action"] == "compute"
        )
        for task in client.get_task_stream(start=began)
    ]
    if len(took) != rounds * len(jobs):
        raise RuntimeError(f"Dask tells of {len(took)} tasks instead of {rounds * len(jobs)}")
    size = round(statistics.mean(len(job.stack.trials) for job in jobs))
    share = epochs / spec.model.epochs
    return Trained(share, seconds, [StackTime(each / share, size) for each in took])

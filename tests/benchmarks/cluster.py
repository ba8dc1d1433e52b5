"""Benchmark 5: what a cluster costs, and where its one driver would become the bottleneck."""

from __future__ import annotations

import heapq
import random
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np
from measure import interleaved, ratio, table

from core.data import Dataset
from core.result import Hyperparameters
from core.softmax import Penalty
from core.stack import Stack, tile_trials
from core.training_data import TrainingData
from search.cluster import open_executor
from search.executors import Executor, StackJob
from search.settings import Settings

ROWS, FEATURES = 4_000, 655
WORKERS = (10, 30, 100, 300, 1_000)
TRIALS = 100  # of a stack
RECORDING_SECONDS = 0.035  # of a trial: what a launch reports as logging, over its trials


def _data() -> TrainingData:
    rng = np.random.default_rng(0)
    X = rng.random((ROWS, FEATURES), dtype=np.float32)
    return TrainingData.of(Dataset(X, rng.integers(0, 2, ROWS), ("0", "1"), None, "synthetic"))


def _jobs(n: int, trials: int, epochs: int) -> list[StackJob]:
    tried = tuple(Hyperparameters(0.001 * (k + 1), 1e-4, 100) for k in range(trials))
    stack = Stack(tried, Penalty.NORM, 0, tile_trials(trials, 2))
    return [StackJob(stack, epochs)] * n


def _seconds(executor: Executor, jobs: Sequence[StackJob]) -> float:
    started = time.perf_counter()
    for _ in executor.run(jobs, lambda trained: None):
        pass
    return time.perf_counter() - started


def cluster(rounds: int, quick: bool, say: Callable[[str], None]) -> str:
    """The Markdown section."""
    data, epochs = _data(), 5 if quick else 20
    quiet: Callable[[str], None] = lambda text: None  # noqa: E731
    with (
        open_executor(data, Settings(workers=2), quiet) as processes,
        open_executor(data, Settings(workers=2, cluster="local"), quiet) as dask,
    ):
        executors = {"processes": processes, "Dask": dask}
        small = interleaved(
            {
                name: lambda e=each: _seconds(e, _jobs(200, 1, 0))
                for name, each in executors.items()
            },
            rounds,
        )
        say("overhead measured")
        large = interleaved(
            {
                name: lambda e=each: _seconds(e, _jobs(8, TRIALS, epochs))
                for name, each in executors.items()
            },
            rounds,
        )
    rows = [
        [
            name,
            f"{1000 * statistics.median(small[name]) / 200:.1f}",
            f"{statistics.median(large[name]):.2f}",
            f"{ratio(large['processes'], large[name]):.2f}",
        ]
        for name in executors
    ]
    headings = ["2 workers", "ms an empty task", "8 stacks, s", "efficiency"]
    stack_seconds = [2 * each / 8 for each in large["Dask"]]
    return (
        "## A cluster\n\n"
        + table(headings, rows)
        + "\n\nSimulated: stacks of 100 trials for every worker ten times over, their times drawn "
        "from those above (stretched to 100 epochs), recorded by one driver.\n\n"
        + _simulated([each * 100 / epochs for each in stack_seconds])
    )


def _simulated(stack_seconds: Sequence[float]) -> str:
    rows = []
    for workers in WORKERS:
        for label, cost in (("as it is", RECORDING_SECONDS), ("logged by workers", 0.003)):
            busy, total = simulate(workers, stack_seconds, cost)
            rows.append(
                [
                    f"{workers:,}",
                    label,
                    f"{100 * busy:.0f} %",
                    f"{10 * workers * TRIALS / total:.0f}",
                ]
            )
    return table(["workers", "recording", "workers busy", "trials/s"], rows)


def simulate(
    workers: int, stack_seconds: Sequence[float], recording: float, stacks_each: int = 10
) -> tuple[float, float]:
    """Share of the workers' time spent training, and seconds in all: tasks go to whoever is free,
    results are recorded one after the other by the driver."""
    draw = random.Random(0)
    free = [0.0] * workers
    trained, ends = 0.0, []
    for _ in range(stacks_each * workers):
        began = heapq.heappop(free)
        seconds = draw.choice(stack_seconds) * draw.uniform(0.8, 1.2)
        trained += seconds
        ends.append(began + seconds)
        heapq.heappush(free, began + seconds)
    clock = 0.0
    for end in sorted(ends):
        clock = max(clock, end) + TRIALS * recording
    return trained / (workers * clock), clock

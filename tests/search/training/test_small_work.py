from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from strategies import make_problem
from watching import Watching

from core.trainer.result import Hyperparameters
from core.trainer.softmax import Penalty
from core.trainer.stack import Stack
from core.trainer.training_data import TrainingData
from search.training.executor import StackJob, Watch
from search.training.in_process import InProcess
from search.training.small_work import SmallWorkFirst


class Pool(InProcess):
    """An executor that notes the jobs that reach it."""

    def __init__(self, data: TrainingData) -> None:
        super().__init__([data])
        self.jobs: list[StackJob] = []

    def run(self, jobs: Sequence[StackJob], watch: Watch) -> Iterator[Stack]:
        self.jobs += jobs
        return super().run(jobs, watch)


@pytest.fixture(scope="module")
def data() -> TrainingData:
    return make_problem(3).data


def job(epochs: int) -> StackJob:
    return StackJob(Stack((Hyperparameters(0.1, 1e-4, 8),), Penalty.NORM, 0), epochs)


def test_small_work_is_done_here_and_large_work_by_processes(data: TrainingData) -> None:
    pool = Pool(data)
    executor = SmallWorkFirst([data], pool)
    (here,) = executor.run([job(3)], Watching())
    assert (here.epoch, pool.jobs) == (3, [])
    assert executor.training_seconds > 0
    large = [job(600), job(300)]
    stacks = list(executor.run(large, Watching()))
    assert [stack.epoch for stack in stacks] == [600, 300]
    assert pool.jobs == large


def test_much_small_work_is_done_by_processes_too(data: TrainingData) -> None:
    """A study of many small cohorts starts processes once that is worth it."""
    pool = Pool(data)
    executor = SmallWorkFirst([data], pool)
    runs = 0
    while not pool.jobs:
        list(executor.run([job(20)], Watching()))
        runs += 1
    assert 1 < runs < 1_000
    before = len(pool.jobs)
    list(executor.run([job(1)], Watching()))
    assert len(pool.jobs) == before + 1, "they are started, and stay"

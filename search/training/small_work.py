"""An executor that trains small work in this process, and starts processes only for more.

A process takes a few tenths of a second to start, in which a small study is trained. The numbers
are the same: both train with one BLAS thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from core.trainer.stack import Stack
from search.training.executor import Executor, Folds, StackJob, Watch
from search.training.in_process import InProcess

START_SECONDS = 0.4  # of computing, to start one process
_STEP_SECONDS = 60e-6  # of a step, however small
_OPERATIONS = 2e9  # multiplications a second, at the least


class SmallWorkFirst:
    """An executor that trains here until that took as long as to start a process.

    pool: the executor that trains the rest. It must start its processes when they are needed.
    """

    def __init__(self, folds: Folds, pool: Executor) -> None:
        self._folds = folds
        self._pool = pool
        self._here = InProcess(folds)
        self._spent = 0.0  # an estimate of the seconds of training in this process
        self._last: Executor = self._here

    @property
    def training_seconds(self) -> float:
        """The time from the start of the last run to its last finished job."""
        return self._last.training_seconds

    def run(self, jobs: Sequence[StackJob], watch: Watch) -> Iterator[Stack]:
        """Train the jobs; see `Executor.run`."""
        self._spent += sum(map(self._estimate, jobs))
        self._last = self._here if self._spent < START_SECONDS else self._pool
        return self._last.run(jobs, watch)  # The pool starts at once, before a stack is asked for.

    def _estimate(self, job: StackJob) -> float:
        """Return about how many seconds a job trains."""
        data, trials = self._folds[job.fold], job.stack.trials
        steps = len(data.y) // trials[0].batch_size
        products = 2 * len(data.y) * data.columns * data.n_classes * len(trials)
        seconds: float = job.epochs * (steps * _STEP_SECONDS + products / _OPERATIONS)
        return seconds

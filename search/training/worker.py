"""A training process, and the driver's end of it."""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection
from typing import Any, Self

from core.trainer.stack import Stack
from search.child_process import ChildProcess, answer_all, served
from search.training.executor import Examples, StackJob, run_job
from search.training.shared_folds import SharedFolds, received

_context = multiprocessing.get_context("spawn")


def counters(n: int) -> Any:
    """Return n counters of trained epochs, in memory that all workers share.

    They have no locks: a worker that is killed while it holds one would stop the others too. Only
    one process writes to a counter at a time.
    """
    return _context.RawArray("q", n)


class Worker:
    """A spawned process with one BLAS thread.

    Several such processes are faster than BLAS's own threads when other programs run too, and the
    rounding does not depend on the number of cores.
    """

    def __init__(self, process: ChildProcess, folds: SharedFolds) -> None:
        self._process = process
        self._folds = folds
        self._has_folds = False

    @classmethod
    def start(cls, folds: SharedFolds, trained: Any) -> Self:
        """Start a process.

        folds: what its stacks are trained on. trained: the counters of all jobs (see `counters`).
        """
        return cls(ChildProcess.start(_context, _serve, trained), folds)

    def run(self, job: StackJob, slot: int) -> Stack:
        """Train a job, and return its stack.

        slot: the index of the counter of its trained epochs.

        Raises ProcessDiedError if the process ends, and whatever the job raised.
        """
        if not self._has_folds:
            with self._process.alive():
                self._folds.send(self._process.pipe, self._process.pid)
            self._has_folds = True
        stack = self._process.ask((job, slot))
        assert isinstance(stack, Stack)
        return stack

    def kill(self) -> None:
        """Kill the process. Jobs are stateless, so nothing is left half done."""
        self._process.kill()

    def close(self) -> None:
        """Kill the process, wait for its end, and close the pipe."""
        self._process.close()


def _serve(pipe: Connection, trained: Any) -> None:
    """Serve the driver in the worker's process: take jobs, and send back stacks or errors."""
    with served():
        examples = Examples(received(pipe))

        def answer(question: tuple[StackJob, int]) -> Stack:
            job, slot = question
            trained[slot] = 0  # A job that is run again counts anew.

            def on_epoch(epochs: int) -> None:
                trained[slot] += epochs

            return run_job(examples, job, on_epoch)

        answer_all(pipe, answer)

"""An executor that trains stacks in processes on this machine."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, TimeoutError

from core.trainer.stack import Stack
from search.child_pool import ChildPool
from search.errors import LockstepError
from search.training.executor import (
    POLL_SECONDS,
    Executor,
    Folds,
    Reporter,
    StackJob,
    Watch,
    may_start,
    weight_bytes,
)
from search.training.shared_folds import SharedFolds
from search.training.worker import Worker, counters

SLOTS = 4096  # the number of counters; if a run has more jobs, some of them share one

_DIED = (
    "a training process died {} times at the same work; if memory ran out, use fewer --workers "
    "(finished trials are kept)"
)

Futures = deque[Future[Stack]]


class Processes:
    """An executor of spawned processes; a thread of the driver waits for each of them."""

    def __init__(self, folds: Folds, workers: int) -> None:
        self._trained = counters(SLOTS)
        self._folds = folds
        self._shared: SharedFolds | None = None  # made for the first worker
        self._pool = ChildPool(workers, self._start, _DIED)
        self.training_seconds = 0.0

    def run(self, jobs: Sequence[StackJob], watch: Watch) -> Iterator[Stack]:
        """Train the jobs; see `Executor.run`."""
        started = time.perf_counter()
        self.training_seconds = 0.0
        self._trained[:] = [0] * SLOTS

        def note_time(_: object) -> None:
            self.training_seconds = time.perf_counter() - started

        sizes = [weight_bytes(self._folds, job) for job in jobs]
        futures: Futures = deque()  # those that are started and not yet used

        def start(released: int) -> None:
            first = released + len(futures)
            for index in range(first, may_start(sizes, released, self._pool.size)):
                futures.append(self._submit(jobs[index], index % SLOTS))
                futures[-1].add_done_callback(note_time)

        start(0)
        return self._results(futures, start, Reporter(self._trained, watch))

    def _submit(self, job: StackJob, slot: int) -> Future[Stack]:
        """Give a job to a worker; slot: the index of the counter of its trained epochs."""
        return self._pool.submit(lambda worker: worker.run(job, slot))

    def _results(
        self, futures: Futures, start: Callable[[int], None], reporter: Reporter
    ) -> Iterator[Stack]:
        """Yield the stacks in order, until the training should stop.

        start: starts further jobs, given how many stacks are no longer needed.
        """
        released = 0
        try:
            while futures:
                stack = self._wait(futures.popleft(), reporter)
                if stack is None:
                    return
                yield stack
                del stack
                released += 1
                start(released)
        finally:
            for future in futures:
                future.cancel()  # The rest is no longer wanted.

    def _wait(self, future: Future[Stack], reporter: Reporter) -> Stack | None:
        """Return the stack, or None if the training should stop."""
        while not reporter.stopping:
            try:
                stack = future.result(timeout=POLL_SECONDS)
            except TimeoutError:
                reporter.wait()
                continue
            except MemoryError as error:
                raise LockstepError(
                    "a training process ran out of memory: use fewer --workers (finished trials "
                    "are kept)"
                ) from error
            reporter.tell()
            return stack
        return None

    def _start(self) -> Worker:
        """Start a worker; the first one has the examples put where all of them can see them."""
        if self._shared is None:
            self._shared = SharedFolds.of(self._folds)
        return Worker.start(self._shared, self._trained)

    def close(self) -> None:
        """Stop all work at once and end the processes."""
        self._pool.close()
        if self._shared is not None:
            self._shared.close()


@contextlib.contextmanager
def processes(folds: Folds, workers: int) -> Iterator[Executor]:
    """Open a pool of processes for the length of a ``with`` block."""
    executor = Processes(folds, workers)
    try:
        yield executor
    finally:
        executor.close()

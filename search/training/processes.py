"""Where stacks are trained. An executor carries core types only, and jobs are stateless: the same
stack gives the same outcome, so a job that was lost is simply run again."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, TimeoutError
from typing import Any, Protocol

from threadpoolctl import threadpool_limits

from core.trainer.stack import Stack
from core.trainer.training_data import TrainingData
from search.errors import LockstepError
from search.training.worker import StackJob as StackJob
from search.training.worker import Worker, WorkerDiedError, counters
from search.training.worker import run_job as run_job

MAX_RESTARTS = 3  # of workers at the same job
POLL_SECONDS = 0.2
SLOTS = 4096  # of jobs in one run


class Executor(Protocol):
    training_seconds: float  # from the start of the last run to its last finished job

    def run(self, jobs: Sequence[StackJob], tick: Callable[[int], None]) -> Iterator[Stack]:
        """Train the jobs; yield their stacks in the order of ``jobs``. Processes start at once.

        tick is called a few times a second with the epochs trained since the last call, summed over
        trials; what it raises stops the work.
        """


class InProcess:
    """One stack after another, here."""

    def __init__(self, data: TrainingData) -> None:
        self._data = data
        self.training_seconds = 0.0

    def run(self, jobs: Sequence[StackJob], tick: Callable[[int], None]) -> Iterator[Stack]:
        self.training_seconds = 0.0
        for job in jobs:
            started = time.perf_counter()
            with threadpool_limits(1):
                stack = run_job(self._data, job, tick)
            self.training_seconds += time.perf_counter() - started
            yield stack


Futures = list[Future[Stack]]


class Ticker:
    """Tells of the epochs trained since it was last called."""

    def __init__(self, counts: Any, tick: Callable[[int], None]) -> None:
        self._counts = counts
        self._tick = tick
        self._told = 0

    def __call__(self) -> None:
        trained = max(self._told, sum(self._counts))
        new, self._told = trained - self._told, trained
        self._tick(new)


class Processes:
    """Spawned processes, each of which a thread of the driver waits for."""

    def __init__(self, data: TrainingData, workers: int) -> None:
        self._trained = counters(SLOTS)
        self._data = data
        self._threads = ThreadPoolExecutor(workers, "worker")
        self._of_thread = threading.local()  # its worker
        self._workers: set[Worker] = set()
        self._lock = threading.Lock()  # of the above and of the next
        self._closed = False
        self.training_seconds = 0.0

    def run(self, jobs: Sequence[StackJob], tick: Callable[[int], None]) -> Iterator[Stack]:
        started = time.perf_counter()
        self.training_seconds = 0.0
        self._trained[:] = [0] * SLOTS

        def note_time(_: object) -> None:
            self.training_seconds = time.perf_counter() - started

        futures = [
            self._threads.submit(self._survive, job, place % SLOTS)
            for place, job in enumerate(jobs)
        ]
        for future in futures:
            future.add_done_callback(note_time)
        return self._results(futures, Ticker(self._trained, tick))

    def _results(self, futures: Futures, ticker: Ticker) -> Iterator[Stack]:
        try:
            for future in futures:
                yield self._wait(future, ticker)
        finally:
            for future in futures:
                future.cancel()  # where the rest is not wanted

    def _wait(self, future: Future[Stack], ticker: Ticker) -> Stack:
        while True:
            try:
                stack = future.result(timeout=POLL_SECONDS)
            except TimeoutError:
                ticker()
                continue
            except MemoryError as error:
                raise LockstepError(
                    "a training process ran out of memory: use fewer --workers (finished trials "
                    "are kept)"
                ) from error
            ticker()
            return stack

    def _survive(self, job: StackJob, slot: int) -> Stack:
        """Train in this thread's worker; one that dies is replaced, and trains the job again."""
        deaths = 0
        while True:
            worker = self._worker()
            try:
                return worker.run(job, slot)
            except WorkerDiedError as error:
                self._dismiss(worker)
                deaths += 1
                if deaths > MAX_RESTARTS:
                    raise LockstepError(
                        f"a training process died {deaths} times at the same work; if memory "
                        "ran out, use fewer --workers (finished trials are kept)"
                    ) from error

    def _worker(self) -> Worker:
        worker: Worker | None = getattr(self._of_thread, "worker", None)
        if worker is None:
            with self._lock:
                if self._closed:
                    raise CancelledError
                worker = Worker(self._data, self._trained)
                self._workers.add(worker)
            self._of_thread.worker = worker
        return worker

    def _dismiss(self, worker: Worker) -> None:
        self._of_thread.worker = None
        with self._lock:
            self._workers.discard(worker)
        worker.close()

    def close(self) -> None:
        """Stop the work at once."""
        with self._lock:
            self._closed = True
            for worker in self._workers:
                worker.kill()
        self._threads.shutdown(wait=True, cancel_futures=True)
        for worker in self._workers:
            worker.close()


@contextlib.contextmanager
def processes(data: TrainingData, workers: int) -> Iterator[Executor]:
    """A pool for the length of a ``with`` block."""
    executor = Processes(data, workers)
    try:
        yield executor
    finally:
        executor.close()

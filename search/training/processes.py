"""An executor that trains stacks in processes on this machine."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, TimeoutError

from core.trainer.stack import Stack
from search.errors import LockstepError
from search.training.executor import (
    MAX_RESTARTS,
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
from search.training.worker import Worker, WorkerDiedError, counters

SLOTS = 4096  # the number of counters; if a run has more jobs, some of them share one

Futures = deque[Future[Stack]]


class Processes:
    """An executor of spawned processes; a thread of the driver waits for each of them."""

    def __init__(self, folds: Folds, workers: int) -> None:
        self._trained = counters(SLOTS)
        self._folds = folds
        self._shared: SharedFolds | None = None  # made for the first worker
        self._n_workers = workers
        self._threads = ThreadPoolExecutor(workers, "worker")
        self._of_thread = threading.local()  # Each thread has its own worker here.
        self._workers: set[Worker] = set()
        self._lock = threading.Lock()  # protects _workers and _closed
        self._closed = False
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
            for index in range(first, may_start(sizes, released, self._n_workers)):
                futures.append(self._threads.submit(self._survive, jobs[index], index % SLOTS))
                futures[-1].add_done_callback(note_time)

        start(0)
        return self._results(futures, start, Reporter(self._trained, watch))

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
                reporter.tell()
                continue
            except MemoryError as error:
                raise LockstepError(
                    "a training process ran out of memory: use fewer --workers (finished trials "
                    "are kept)"
                ) from error
            reporter.tell()
            return stack
        return None

    def _survive(self, job: StackJob, slot: int) -> Stack:
        """Train a job in this thread's worker; if that dies, train the job again in a new one."""
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
        """Return this thread's worker, which is started if there is none."""
        worker: Worker | None = getattr(self._of_thread, "worker", None)
        if worker is None:
            with self._lock:
                if self._closed:
                    raise CancelledError
                if self._shared is None:
                    self._shared = SharedFolds.of(self._folds)
                worker = Worker.start(self._shared, self._trained)
                self._workers.add(worker)
            self._of_thread.worker = worker
        return worker

    def _dismiss(self, worker: Worker) -> None:
        """Close a worker that died, so that the next job starts a new one."""
        self._of_thread.worker = None
        with self._lock:
            self._workers.discard(worker)
        worker.close()

    def close(self) -> None:
        """Stop all work at once and end the processes."""
        with self._lock:
            self._closed = True
            for worker in self._workers:
                worker.kill()
        self._threads.shutdown(wait=True, cancel_futures=True)
        for worker in self._workers:
            worker.close()
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

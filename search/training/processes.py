"""Stacks trained in processes on this machine."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, TimeoutError

from core.trainer.stack import Stack
from core.trainer.training_data import TrainingData
from search.errors import LockstepError
from search.training.executor import (
    MAX_RESTARTS,
    POLL_SECONDS,
    Executor,
    Reporter,
    StackJob,
    Watch,
)
from search.training.worker import Worker, WorkerDiedError, counters

SLOTS = 4096  # of jobs in one run

Futures = list[Future[Stack]]


class Processes:
    """An executor of spawned processes; a thread of the driver waits for each of them."""

    def __init__(self, data: TrainingData, workers: int) -> None:
        self._trained = counters(SLOTS)
        self._data = data
        self._threads = ThreadPoolExecutor(workers, "worker")
        self._of_thread = threading.local()  # its worker
        self._workers: set[Worker] = set()
        self._lock = threading.Lock()  # of the above and of the next
        self._closed = False
        self.training_seconds = 0.0

    def run(self, jobs: Sequence[StackJob], watch: Watch) -> Iterator[Stack]:
        """Train the jobs; see `Executor.run`."""
        started = time.perf_counter()
        self.training_seconds = 0.0
        self._trained[:] = [0] * SLOTS

        def note_time(_: object) -> None:
            self.training_seconds = time.perf_counter() - started

        futures = [
            self._threads.submit(self._survive, job, index % SLOTS)
            for index, job in enumerate(jobs)
        ]
        for future in futures:
            future.add_done_callback(note_time)
        return self._results(futures, Reporter(self._trained, watch))

    def _results(self, futures: Futures, reporter: Reporter) -> Iterator[Stack]:
        try:
            for future in futures:
                stack = self._wait(future, reporter)
                if stack is None:
                    return
                yield stack
        finally:
            for future in futures:
                future.cancel()  # where the rest is not wanted

    def _wait(self, future: Future[Stack], reporter: Reporter) -> Stack | None:
        """Return the stack; None where the training shall stop."""
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
        """Train in this thread's worker. One that dies is replaced and trains the job again."""
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
                worker = Worker.start(self._data, self._trained)
                self._workers.add(worker)
            self._of_thread.worker = worker
        return worker

    def _dismiss(self, worker: Worker) -> None:
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


@contextlib.contextmanager
def processes(data: TrainingData, workers: int) -> Iterator[Executor]:
    """Open a pool of processes for the length of a ``with`` block."""
    executor = Processes(data, workers)
    try:
        yield executor
    finally:
        executor.close()

"""Where stacks are trained. An executor carries core types only, and tasks are stateless: the same
inputs give the same outputs, so a task that was lost is simply run again."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, TimeoutError
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, Protocol

from threadpoolctl import threadpool_limits

from core.result import Hyperparameters, TrainingResult
from core.softmax import Penalty
from core.stack import Stack
from core.training_data import TrainingData
from search.errors import LockstepError

MAX_RESTARTS = 3  # of the pool, without a result in between
POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class StackJob:
    """Everything a worker needs to know about a stack, but for the data."""

    trials: tuple[Hyperparameters, ...]
    tile: int
    penalty: Penalty
    seed: int
    epochs: int


def run_job(
    data: TrainingData, job: StackJob, on_epoch: Callable[[int], None] = lambda trained: None
) -> list[TrainingResult]:
    stack = Stack(job.trials, job.penalty, job.seed, job.tile)
    stack.advance(data, job.epochs, on_epoch)
    return stack.results(data)


class Executor(Protocol):
    training_seconds: float  # from the start of the last run to its last finished job

    def run(
        self, jobs: Sequence[StackJob], tick: Callable[[int], None]
    ) -> Iterator[list[TrainingResult]]:
        """Train the jobs; yield their results in the order of ``jobs``. Processes start at once.

        tick is called a few times a second with the epochs trained since the last call, summed over
        trials; what it raises stops the work.
        """


class InProcess:
    """One stack after another, here."""

    def __init__(self, data: TrainingData) -> None:
        self._data = data
        self.training_seconds = 0.0

    def run(
        self, jobs: Sequence[StackJob], tick: Callable[[int], None]
    ) -> Iterator[list[TrainingResult]]:
        self.training_seconds = 0.0
        for job in jobs:
            started = time.perf_counter()
            with threadpool_limits(1):
                results = run_job(self._data, job, tick)
            self.training_seconds += time.perf_counter() - started
            yield results


class _StoppedError(Exception):
    """Raised in a worker whose driver wants it to stop."""


class Processes:
    """A pool of spawned processes with one BLAS thread each: beside other work that is faster than
    BLAS's own threads, and it makes rounding independent of the number of cores."""

    def __init__(self, data: TrainingData, workers: int) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._trained: Any = self._context.Value("q", 0)
        self._stop = self._context.Event()
        self._data = data
        self._workers = workers
        self._pool = self._new_pool()
        self.training_seconds = 0.0

    def _new_pool(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            self._workers,
            mp_context=self._context,
            initializer=_initialise,
            initargs=(self._data, self._trained, self._stop),
        )

    def run(
        self, jobs: Sequence[StackJob], tick: Callable[[int], None]
    ) -> Iterator[list[TrainingResult]]:
        return self._results(jobs, self._submit(jobs, time.perf_counter()), tick)

    def _submit(
        self, jobs: Sequence[StackJob], started: float
    ) -> list[Future[list[TrainingResult]]]:
        def note_time(_: object) -> None:
            self.training_seconds = time.perf_counter() - started

        futures = [self._pool.submit(_work, job) for job in jobs]
        for future in futures:
            future.add_done_callback(note_time)
        return futures

    def _results(
        self,
        jobs: Sequence[StackJob],
        futures: list[Future[list[TrainingResult]]],
        tick: Callable[[int], None],
    ) -> Iterator[list[TrainingResult]]:
        done = restarts = 0
        started = time.perf_counter()
        while done < len(jobs):
            try:
                for future in futures:
                    results = self._wait(future, tick)
                    done, restarts = done + 1, 0
                    yield results
            except BrokenProcessPool as error:  # a worker was killed: by a user, or for its memory
                restarts += 1
                if restarts > MAX_RESTARTS:
                    raise LockstepError(
                        f"a training process died {restarts} times at the same work; if memory "
                        "ran out, use fewer --workers (finished trials are kept)"
                    ) from error
                self._pool.shutdown(wait=True, cancel_futures=True)
                self._pool = self._new_pool()
                futures = self._submit(jobs[done:], started)

    def _wait(
        self, future: Future[list[TrainingResult]], tick: Callable[[int], None]
    ) -> list[TrainingResult]:
        while True:
            with self._trained.get_lock():
                trained, self._trained.value = self._trained.value, 0
            tick(trained)
            try:
                return future.result(timeout=POLL_SECONDS)
            except TimeoutError:
                continue

    def close(self) -> None:
        """Stop the workers at the end of their current epoch and wait for them."""
        self._stop.set()
        self._pool.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def processes(data: TrainingData, workers: int) -> Iterator[Executor]:
    """A pool for the length of a ``with`` block."""
    executor = Processes(data, workers)
    try:
        yield executor
    finally:
        executor.close()


_state: dict[str, Any] = {}


def _initialise(data: TrainingData, trained: Any, stop: Any) -> None:
    """In a new worker: keep the data, limit BLAS, and die with the driver."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C reaches workers too
    threadpool_limits(1)
    parent = multiprocessing.parent_process()

    def die_with_parent() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=die_with_parent, daemon=True).start()
    _state.update(data=data, trained=trained, stop=stop)


def _work(job: StackJob) -> list[TrainingResult]:
    def on_epoch(trained: int) -> None:
        if _state["stop"].is_set():
            raise _StoppedError
        with _state["trained"].get_lock():
            _state["trained"].value += trained

    return run_job(_state["data"], job, on_epoch)

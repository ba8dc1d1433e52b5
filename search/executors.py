"""Where stacks are trained. An executor carries core types only, and jobs are stateless: the same
stack gives the same outcome, so a job that was lost is simply run again."""

from __future__ import annotations

import contextlib
import copy
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

from core.stack import Stack
from core.training_data import TrainingData
from search.errors import LockstepError

MAX_RESTARTS = 3  # of the pool, without a result in between
POLL_SECONDS = 0.2
SLOTS = 4096  # of jobs in one run


@dataclass(frozen=True, slots=True)
class StackJob:
    """A stack, and the epochs that it is to be trained further; the data is with the executor."""

    stack: Stack
    epochs: int


def run_job(
    data: TrainingData, job: StackJob, on_epoch: Callable[[int], None] = lambda trained: None
) -> Stack:
    """The stack after the job; the job's own stays as it is."""
    stack = copy.deepcopy(job.stack)
    stack.advance(data, job.epochs, on_epoch)
    return stack


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


class _StoppedError(Exception):
    """Raised in a worker whose driver wants it to stop."""


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
    """A pool of spawned processes with one BLAS thread each: beside other work that is faster than
    BLAS's own threads, and it makes rounding independent of the number of cores."""

    def __init__(self, data: TrainingData, workers: int) -> None:
        self._context = multiprocessing.get_context("spawn")
        # Without locks: a worker that is killed with a lock in its hand would stop the driver too.
        # Each job counts in a slot of its own, which one process writes at a time.
        self._trained: Any = self._context.RawArray("q", SLOTS)
        self._stop: Any = self._context.RawValue("b", 0)
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

    def run(self, jobs: Sequence[StackJob], tick: Callable[[int], None]) -> Iterator[Stack]:
        started = time.perf_counter()
        self.training_seconds = 0.0
        self._trained[:] = [0] * SLOTS
        futures = self._submit(jobs, 0, started)
        return self._results(jobs, futures, Ticker(self._trained, tick), started)

    def _submit(self, jobs: Sequence[StackJob], first: int, started: float) -> Futures:
        """Queue the jobs from ``first`` on; none if the pool turns out to be broken."""

        def note_time(_: object) -> None:
            self.training_seconds = time.perf_counter() - started

        try:
            futures = [
                self._pool.submit(_work, job, (first + place) % SLOTS)
                for place, job in enumerate(jobs[first:])
            ]
        except BrokenProcessPool:
            return []
        for future in futures:
            future.add_done_callback(note_time)
        return futures

    def _results(
        self, jobs: Sequence[StackJob], futures: Futures, ticker: Ticker, started: float
    ) -> Iterator[Stack]:
        done = restarts = 0
        while done < len(jobs):
            try:
                for future in futures:
                    stack = self._wait(future, ticker)
                    done, restarts = done + 1, 0
                    yield stack
                if done == len(jobs):
                    return
                raise BrokenProcessPool("a worker died while it was idle")
            except BrokenProcessPool as error:  # a worker was killed: by a user, or for its memory
                restarts += 1
                if restarts > MAX_RESTARTS:
                    raise LockstepError(
                        f"a training process died {restarts} times at the same work; if memory "
                        "ran out, use fewer --workers (finished trials are kept)"
                    ) from error
                self._pool.shutdown(wait=True, cancel_futures=True)
                self._pool = self._new_pool()
                futures = self._submit(jobs, done, started)

    def _wait(self, future: Future[Stack], ticker: Ticker) -> Stack:
        while True:
            try:
                stack = future.result(timeout=POLL_SECONDS)
            except TimeoutError:
                ticker()
                continue
            ticker()
            return stack

    def close(self) -> None:
        """Stop the workers at the end of their current epoch and wait for them."""
        self._stop.value = 1
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


def _work(job: StackJob, slot: int) -> Stack:
    counts, stop = _state["trained"], _state["stop"]
    counts[slot] = 0  # a job that is run again counts anew

    def on_epoch(trained: int) -> None:
        if stop.value:
            raise _StoppedError
        counts[slot] += trained

    return run_job(_state["data"], job, on_epoch)

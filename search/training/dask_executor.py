"""An executor on a Dask cluster: each stack is one task, and every worker gets the data once."""

from __future__ import annotations

import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from threadpoolctl import threadpool_limits

from core.datasets.array_file import ArrayFile
from core.trainer.stack import Stack
from search.child_pool import MAX_RESTARTS
from search.errors import LockstepError
from search.training.executor import (
    POLL_SECONDS,
    Examples,
    Folds,
    Reporter,
    StackJob,
    Watch,
    may_start,
    run_job,
    weight_bytes,
)

if TYPE_CHECKING:
    from distributed import Client, Future

TELL_SECONDS = 0.5  # the time between two progress messages of a task
LOOK_SECONDS = 5.0  # the time between two checks whether there still are workers
WORKER_SECONDS = 60.0  # how long to wait for a worker if there is none
SENT_BYTES = 1 << 31  # the most examples that are sent to workers that do not see their files
RESULT_SECONDS = 300.0  # how long one stack may take from its worker to the driver


class _GoneError(Exception):
    """Tasks, or the data that they need, are no longer on the cluster."""


class DaskExecutor:
    """An executor that trains each stack as a task on a Dask cluster.

    Dask runs the task of a lost worker again on another worker. Each result is still used once.
    """

    def __init__(self, folds: Folds, client: Client, address: str) -> None:
        self._folds = folds
        self._client = client
        self._address = address
        self._scattered: Future | None = None  # the data, once it is on the cluster
        self._n_threads = 1  # how many tasks the cluster runs at a time, as far as is known
        self.training_seconds = 0.0

    def _scatter(self) -> Future:
        """Send the data to all workers. A worker that joins later gets it from another worker."""
        deadline = time.monotonic() + 2 * LOOK_SECONDS
        while self._client.status == "connecting" and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        try:
            self._client.wait_for_workers(1, timeout=WORKER_SECONDS)
            # In a list, because the items of a list are scattered one by one.
            folds = self._to_send()
            (scattered,) = self._client.scatter([tuple(folds)], broadcast=True, hash=False)
            self._n_threads = max(1, sum(self._client.nthreads().values()))
            return scattered
        except LockstepError:
            raise
        except TimeoutError as error:
            raise self._failed(f"had no worker for {WORKER_SECONDS:.0f} s") from error
        except Exception as error:  # A lost scheduler raises errors of many types.
            raise self._failed("does not answer any more") from error

    def _to_send(self) -> Folds:
        """Return the data as the workers can use it: with files only if all workers see them.

        Raises LockstepError if they do not, and there is too much to be sent.
        """
        files = {file.path: file for fold in self._folds for file in fold.files}
        if not files:
            return self._folds
        seen: dict[str, list[bool]] = self._client.run(sees, list(files.values()))
        blind = {
            worker: path
            for worker, each in seen.items()
            for path, its in zip(files, each, strict=True)
            if not its
        }
        if not blind:
            return self._folds
        if (size := sum(fold.nbytes for fold in self._folds)) > SENT_BYTES:
            worker, path = next(iter(blind.items()))
            raise LockstepError(
                f"worker {worker} of the cluster at {self._address} does not see {path} as this "
                f"machine does, and the examples are too many to be sent ({size / 1e9:.0f} GB): "
                "put the files where all workers have them under the same path"
            )
        return [fold.in_memory() for fold in self._folds]

    def _failed(self, what: str) -> LockstepError:
        """Return the error that tells the user what happened to the cluster."""
        return LockstepError(
            f"the cluster at {self._address} {what}: finished trials are kept; once it is up, the "
            "same command continues"
        )

    def run(self, jobs: Sequence[StackJob], watch: Watch) -> Iterator[Stack]:
        """Train the jobs; see `Executor.run`."""
        started = time.perf_counter()
        self.training_seconds = 0.0
        trained = [0] * len(jobs)  # epochs by job, summed over trials
        topic = f"lockstep-{uuid.uuid4().hex}"

        def hear(event: tuple[float, tuple[int, int]]) -> None:
            index, epochs = event[1]
            trained[index] = epochs

        sizes = [weight_bytes(self._folds, job) for job in jobs]

        def submit(futures: deque[Future], released: int) -> None:
            if self._scattered is None:
                self._scattered = self._scatter()
            data = self._scattered
            first = released + len(futures)
            for index in range(first, may_start(sizes, released, self._n_threads)):
                futures.append(
                    self._client.submit(
                        train_on_worker, data, jobs[index], topic, index, pure=False
                    )
                )
                futures[-1].add_done_callback(note_time)

        def note_time(_: object) -> None:
            self.training_seconds = time.perf_counter() - started

        self._client.subscribe_topic(topic, hear)
        futures: deque[Future] = deque()  # those that are submitted and not yet used
        submit(futures, 0)
        return self._results(submit, futures, trained, Reporter(trained, watch))

    def _results(
        self,
        submit: Callable[[deque[Future], int], None],
        futures: deque[Future],
        trained: list[int],
        reporter: Reporter,
    ) -> Iterator[Stack]:
        """Yield the stacks in order; submit the work again if the cluster has lost it."""
        done = restarts = 0
        while done < len(trained) and not reporter.stopping:
            try:
                result = self._result(futures[0], reporter)
            except _GoneError as error:
                restarts += 1
                if restarts > MAX_RESTARTS:
                    raise self._failed(f"lost the same work {restarts} times") from error
                self._scattered = None
                futures.clear()
                submit(futures, done)
                continue
            if result is None or reporter.stopping:
                return
            stack, trained[done] = result
            del result, futures[0]  # The worker need not keep it.
            reporter.tell()
            yield stack
            del stack
            done, restarts = done + 1, 0
            submit(futures, done)

    def _result(self, future: Future, reporter: Reporter) -> tuple[Stack, int] | None:
        """Return the stack and its epochs, or None if the training should stop.

        Raises _GoneError if the work must be submitted again.
        """
        from distributed import KilledWorker

        ended = threading.Event()
        future.add_done_callback(lambda _: ended.set())
        looked = manned = time.monotonic()
        while future.status != "finished":
            ended.wait(POLL_SECONDS)
            reporter.wait()
            if reporter.stopping:
                return None
            now = time.monotonic()
            if future.status == "error":
                failure: BaseException = future.exception()
                if isinstance(failure, KilledWorker):
                    raise LockstepError(
                        f"workers of the cluster at {self._address} died again and again at the "
                        "same work; if memory ran out, give them more (finished trials are kept)"
                    ) from None
                raise failure
            data = self._scattered
            if {"lost", "cancelled"} & {future.status, data.status if data else "lost"}:
                raise _GoneError
            if now - looked > LOOK_SECONDS:
                looked = now
                if threads := sum(self._client.nthreads().values()):
                    manned, self._n_threads = now, threads
                elif now - manned > WORKER_SECONDS:
                    raise self._failed(f"had no worker for {WORKER_SECONDS:.0f} s")
        try:
            result: tuple[Stack, int] = future.result(timeout=RESULT_SECONDS)
        except Exception as error:
            raise _GoneError from error
        return result


def sees(files: Sequence[ArrayFile]) -> list[bool]:
    """Return whether this worker sees each of these files as the driver does."""
    return [file.is_seen() for file in files]


def train_on_worker(folds: Folds, job: StackJob, topic: str, index: int) -> tuple[Stack, int]:
    """Train a job, as a task on a worker; return its stack and the epochs, summed over trials.

    If the driver stopped or died and no longer waits for the task, the task ends itself.
    """
    from distributed import get_worker

    # The limit is never lifted, because other tasks of the same process may still run.
    threadpool_limits(1)
    worker: Any = get_worker()
    key = worker.get_current_task()
    trained, told = 0, time.monotonic()

    def on_epoch(epochs: int) -> bool:
        nonlocal trained, told
        trained += epochs
        if time.monotonic() - told < TELL_SECONDS:
            return False
        told = time.monotonic()
        if not wanted():
            return True
        worker.log_event(topic, (index, trained))
        return False

    def wanted() -> bool:
        task = worker.state.tasks.get(key)
        return task is not None and task.state != "cancelled"

    stack = run_job(Examples(folds), job, on_epoch)
    if not wanted():
        raise _GoneError
    return stack, trained

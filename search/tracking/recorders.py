"""Write the runs of trials, in this process or in several others, and return their ids in order.

Runs are independent of each other, and to write one takes MLflow longer than to train it, often. So
processes of their own write them, beside each other. Only they and the driver know the settings
that reach MLflow: a training process of a cluster never does.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from typing import Protocol

from search.child_pool import ChildPool
from search.settings import Settings
from search.tracking.own_runs import delete_unrecorded
from search.tracking.recorder_process import Opening, RecorderProcess
from search.tracking.tracker import Tracker
from search.tracking.trial_writer import Features, TrialRun, TrialWriter

MANY = 200  # so many runs take the driver longer to write than processes to start
MOST = 4  # the most processes that are started by themselves

_DIED = (
    "a process that writes runs to MLflow died {} times at the same run; if memory ran out, use "
    "fewer --recorders (finished trials are kept)"
)


class Recorder(Protocol):
    """Anything that writes runs.

    size: how many runs it writes at the same time.
    """

    @property
    def size(self) -> int:
        """See above."""

    def submit(self, run: TrialRun) -> Future[str]:
        """Write a run, and return the future of its id."""


class InProcessRecorder:
    """A recorder that writes a run here, before `submit` returns."""

    size = 1

    def __init__(self, writer: TrialWriter) -> None:
        self._writer = writer

    def submit(self, run: TrialRun) -> Future[str]:
        """Write a run; see `Recorder`."""
        written: Future[str] = Future()
        written.set_result(self._writer.write(run))
        return written


class Recorders(Protocol):
    """What will write runs, once they are opened."""

    def opened(self, tracker: Tracker, features: Mapping[str, Features]) -> Recorder:
        """Return the recorder that writes the runs of a study."""


class _Driver:
    """The driver itself, which writes runs."""

    def opened(self, tracker: Tracker, features: Mapping[str, Features]) -> Recorder:
        """Return the recorder that writes the runs of a study."""
        return InProcessRecorder(TrialWriter(tracker, features))


class _Processes:
    """Processes that are started before the study's runs are opened, and then write them.

    If one dies while it writes a run, what it has written of it is deleted, and another one writes
    it.
    """

    def __init__(self, pool: ChildPool[RecorderProcess]) -> None:
        self._pool = pool

    def opened(self, tracker: Tracker, features: Mapping[str, Features]) -> Recorder:
        """Return the recorder that writes the runs of a study."""
        return _ProcessRecorder(self._pool, tracker, Opening.of(tracker, features))


class _ProcessRecorder:
    """A recorder that gives runs to processes."""

    def __init__(
        self, pool: ChildPool[RecorderProcess], tracker: Tracker, opening: Opening
    ) -> None:
        self._pool = pool
        self._tracker = tracker
        self._opening = opening

    @property
    def size(self) -> int:
        """The number of processes."""
        return self._pool.size

    def submit(self, run: TrialRun) -> Future[str]:
        """Write a run; see `Recorder`."""
        return self._pool.submit(
            lambda process: process.write(run, self._opening),
            lost=lambda: delete_unrecorded(self._tracker, run.trial.number),
        )


@contextlib.contextmanager
def recorders(settings: Settings, runs: int) -> Iterator[Recorders]:
    """Start the processes that write runs, if there are to be any, for the length of a ``with``
    block. It does not wait for them.

    runs: how many there are to be written.
    """
    size = settings.recorders or (min(MOST, os.cpu_count() or 1) if runs >= MANY else 1)
    size = min(size, runs)
    if size <= 1:
        yield _Driver()
        return
    pool = ChildPool(size, RecorderProcess.start, _DIED)
    pool.warm()
    try:
        yield _Processes(pool)
    finally:
        pool.close()


class RunQueue:
    """Runs that are being written, in the order in which they are to be recorded."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._written: deque[tuple[TrialRun, Future[str]]] = deque()

    @property
    def is_empty(self) -> bool:
        """Whether no run is being written or waits to be taken."""
        return not self._written

    def put(self, run: TrialRun) -> None:
        """Have a run written."""
        self._written.append((run, self._recorder.submit(run)))

    def finished(self, ahead: int | None = None) -> Iterator[tuple[TrialRun, str]]:
        """Yield the runs that are written, with their ids, up to the first that is not.

        ahead: how many may stay unwritten; the others are waited for. By default, twice as many as
            are written at the same time, so that none waits for the next.
        """
        most = 2 * self._recorder.size if ahead is None else ahead
        while self._written and (len(self._written) > most or self._written[0][1].done()):
            run, run_id = self._written.popleft()
            yield run, run_id.result()

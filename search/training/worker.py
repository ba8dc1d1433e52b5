"""A training process, and the driver's end of it.

Why not `ProcessPoolExecutor`: its processes share queues, and one that is killed at the wrong
moment (while another one starts, or in the middle of a result) leaves the driver waiting for ever.
Here each has a pipe of its own, whose other end closes with the process, whenever that dies.

Why not loky, whose pool notices that a worker has died: version 3.7.0 was tried, as one pool and as
a pool for each worker. When a worker was killed after it had written half of its result, the driver
waited for ever in 12 of 12 runs, since the driver itself keeps that end of the queue open too.
Workers also outlived a killed driver unless we watched it ourselves, a worker without memory died
in 6 of 18 runs instead of saying so, and the code was only a tenth to a fifth shorter.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import threading
import traceback
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, Self

from threadpoolctl import threadpool_limits

from core.trainer.stack import Stack
from search.training.executor import Examples, StackJob, run_job
from search.training.shared_folds import SharedFolds, received
from search.training.shield import ignore_terminal, shielded

_context = multiprocessing.get_context("spawn")
_NO_MEMORY = pickle.dumps(MemoryError())  # made now, because later there may be no memory


class WorkerDiedError(Exception):
    """A training process ended, killed by a user, or by the system for its use of memory."""


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

    def __init__(self, process: SpawnProcess, pipe: Connection, folds: SharedFolds) -> None:
        self._process = process
        self._pipe = pipe
        self._folds = folds
        self._has_folds = False

    @classmethod
    def start(cls, folds: SharedFolds, trained: Any) -> Self:
        """Start a process.

        folds: what its stacks are trained on. trained: the counters of all jobs (see `counters`).
        """
        ours, theirs = _context.Pipe()
        # Data goes through the pipe: what a process is started with must fit into the system's
        # buffer, or starting one that is killed meanwhile would never end.
        process = _context.Process(target=_serve, args=(theirs, trained), daemon=True)
        with shielded():
            process.start()
        theirs.close()  # so that the pipe ends when the process does
        return cls(process, ours, folds)

    def run(self, job: StackJob, slot: int) -> Stack:
        """Train a job, and return its stack.

        slot: the index of the counter of its trained epochs.

        Raises WorkerDiedError if the process ends, and whatever the job raised.
        """
        try:
            if not self._has_folds:
                self._folds.send(self._pipe, self._process.pid or 0)
                self._has_folds = True
            self._pipe.send((job, slot))
            outcome = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise WorkerDiedError from error
        if isinstance(outcome, Exception):
            raise outcome
        assert isinstance(outcome, Stack)
        return outcome

    def kill(self) -> None:
        """Kill the process. Jobs are stateless and no other process uses its pipe, so nothing is
        left half done."""
        self._process.kill()

    def close(self) -> None:
        """Kill the process, wait for its end, and close the pipe."""
        self.kill()
        self._process.join()
        self._pipe.close()


def _serve(pipe: Connection, trained: Any) -> None:
    """Serve the driver in the worker's process: take jobs, and send back stacks or errors."""
    ignore_terminal()
    threading.Thread(target=_die_with_parent, daemon=True).start()
    threadpool_limits(1)
    with contextlib.suppress(EOFError, OSError):  # raised if the driver is gone
        examples = Examples(received(pipe))
        while True:
            try:
                job, slot = pipe.recv()
                pipe.send(_outcome(examples, job, trained, slot))
            except MemoryError:
                pipe.send_bytes(_NO_MEMORY)


def _outcome(examples: Examples, job: StackJob, trained: Any, slot: int) -> Stack | Exception:
    """Return the stack of a job, or the error that it raised."""
    trained[slot] = 0  # A job that is run again counts anew.

    def on_epoch(epochs: int) -> None:
        trained[slot] += epochs

    try:
        return run_job(examples, job, on_epoch)
    except Exception as error:  # noqa: BLE001 - the driver raises it
        error.add_note(traceback.format_exc())
        return error


def _die_with_parent() -> None:
    """Wait until the driver ends, and then end this process."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)

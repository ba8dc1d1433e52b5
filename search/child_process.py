"""A process that this one starts and asks, and this one's end of it.

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
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Any, Self, cast

from threadpoolctl import threadpool_limits

from search.garbage import collect_seldom
from search.main_module import script_left_alone
from search.shield import ignore_terminal, shielded


class ProcessDiedError(Exception):
    """A process ended, killed by a user, or by the system for its use of memory."""


class ChildProcess:
    """A process with one BLAS thread, which answers what it is asked.

    pipe: this end of what connects the two.
    """

    def __init__(self, process: BaseProcess, pipe: Connection) -> None:
        self._process = process
        self.pipe = pipe

    @classmethod
    def start(cls, context: BaseContext, serve: Callable[..., None], *args: Any) -> Self:
        """Start a process that runs ``serve(pipe, *args)``, which should begin with `served`.

        args: a few bytes. Data goes through the pipe: what a process is started with must fit into
        the system's buffer, or starting one that is killed meanwhile would never end.

        Raises ProcessDiedError if it died while it was started, and OSError.
        """
        ours, theirs = context.Pipe()
        # Each context has this class, but its type does not say so.
        make = cast(Any, context).Process
        process: BaseProcess = make(target=serve, args=(theirs, *args), daemon=True)
        try:
            with shielded(), script_left_alone():
                process.start()
        except (EOFError, ConnectionError) as error:  # Python's server of processes has died.
            ours.close()
            raise ProcessDiedError from error
        finally:
            theirs.close()  # so that the pipe ends when the process does
        return cls(process, ours)

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid or 0

    @contextlib.contextmanager
    def alive(self) -> Iterator[None]:
        """Turn the errors of a pipe whose other end is gone into a ProcessDiedError."""
        try:
            yield
        except (EOFError, OSError) as error:
            # They hold what was sent, and Python 3.13 prints "Exception ignored in" when it finds
            # that as garbage.
            traceback.clear_frames(error.__traceback__)
            raise ProcessDiedError from error

    def ask(self, question: Any) -> Any:
        """Send a question, and return the answer.

        Raises ProcessDiedError if the process ends, and whatever answering it raised.
        """
        with self.alive():
            self.pipe.send(question)
            answer = self.pipe.recv()
        if isinstance(answer, _Raised):
            raise answer.error
        return answer

    def kill(self) -> None:
        """Kill the process. No other process uses its pipe, so none waits for it."""
        self._process.kill()

    def close(self) -> None:
        """Kill the process, wait for its end, and close the pipe."""
        self.kill()
        self._process.join()
        self.pipe.close()


@dataclass(frozen=True, slots=True)
class _Raised:
    """An error that was raised instead of an answer."""

    error: Exception

    @classmethod
    def of(cls, error: Exception) -> Self:
        """Return an error with its traceback as a note, as it can be sent to another process."""
        told = "".join(traceback.format_exception(error))
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # noqa: BLE001 - some errors of libraries cannot be sent
            error = RuntimeError(f"{type(error).__name__}: {error}")
        error.add_note(told)
        return cls(error)


_NO_MEMORY = pickle.dumps(_Raised(MemoryError()))  # made now: later there may be no memory


@contextlib.contextmanager
def served() -> Iterator[None]:
    """Prepare this process, the child, for its parent, and leave the block once that is gone."""
    ignore_terminal()
    collect_seldom()
    threading.Thread(target=_die_with_parent, daemon=True).start()
    threadpool_limits(1)
    with contextlib.suppress(EOFError, OSError):  # raised if the parent is gone
        yield


def answer_all(pipe: Connection, answer: Callable[[Any], Any]) -> None:
    """Answer each question that comes through the pipe, until the other end is gone.

    answer: what it raises is raised at the other end. Raises EOFError or OSError at the end.
    """
    while True:
        try:
            question = pipe.recv()
            try:
                found = answer(question)
            except MemoryError:
                raise
            except Exception as error:  # noqa: BLE001 - the other end raises it
                found = _Raised.of(error)
            pipe.send(found)
        except MemoryError:
            pipe.send_bytes(_NO_MEMORY)


def _die_with_parent() -> None:
    """Wait until the parent ends, and then end this process."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)

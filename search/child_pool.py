"""A pool of child processes, each of which a thread of this process asks and waits for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Generic, Protocol, TypeVar

from search.child_process import ProcessDiedError
from search.errors import LockstepError

MAX_RESTARTS = 3  # how often work that loses its process is given to a new one


class Child(Protocol):
    """A process that can be ended; see `ChildProcess`."""

    def kill(self) -> None:
        """Kill the process."""

    def close(self) -> None:
        """Kill the process, wait for its end, and free what belongs to it."""


C = TypeVar("C", bound=Child)
T = TypeVar("T")


class ChildPool(Generic[C]):
    """A pool of processes, which are started when they are needed.

    If a process dies, what it was asked is asked again of a new one.

    start: starts a process. died: the sentence for work that loses its process again and again; {}
        in it is the number of deaths.
    """

    def __init__(self, size: int, start: Callable[[], C], died: str) -> None:
        self.size = size
        self._start = start
        self._died = died
        self._threads = ThreadPoolExecutor(size, "child")
        self._idle: list[C] = []
        self._children: set[C] = set()
        self._lock = threading.Lock()  # protects _children and _closed
        self._closed = False

    def warm(self) -> None:
        """Start all processes now, without waiting for that."""
        for _ in range(self.size):
            self._threads.submit(lambda: self._idle.append(self._started()))

    def submit(self, ask: Callable[[C], T], lost: Callable[[], object] = lambda: None) -> Future[T]:
        """Ask a process, and return the future of its answer.

        lost: called if the process died, before a new one is asked.
        """
        return self._threads.submit(self._survive, ask, lost)

    def _survive(self, ask: Callable[[C], T], lost: Callable[[], object]) -> T:
        """Ask a process; if that dies, ask a new one."""
        deaths = 0
        while True:
            child = None
            try:
                child = self._idle_or_new()
                answer = ask(child)
            except ProcessDiedError as error:
                if child is not None:
                    self._dismiss(child)
                deaths += 1
                if deaths > MAX_RESTARTS:
                    raise LockstepError(self._died.format(deaths)) from error
                lost()
                continue
            except BaseException:
                if child is not None:
                    self._idle.append(child)  # It has answered that it could not.
                raise
            self._idle.append(child)
            return answer

    def _idle_or_new(self) -> C:
        """Return a process that nobody asks, a new one if there is none."""
        try:
            return self._idle.pop()
        except IndexError:
            return self._started()

    def _started(self) -> C:
        """Start a process."""
        with self._lock:
            if self._closed:
                raise CancelledError
            child = self._start()
            self._children.add(child)
            return child

    def _dismiss(self, child: C) -> None:
        """Close a process that died."""
        with self._lock:
            self._children.discard(child)
        child.close()

    def close(self) -> None:
        """Stop all work at once and end the processes."""
        with self._lock:
            self._closed = True
            for child in self._children:
                child.kill()
        self._threads.shutdown(wait=True, cancel_futures=True)
        for child in self._children:
            child.close()

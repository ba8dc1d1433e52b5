"""Handle Ctrl-C and SIGTERM: stop between two trials, so that nothing is left half-written."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType


class InterruptedStudyError(BaseException):
    """The command stopped because the user asked for it.

    It is not an Exception, so that no `except Exception` catches it.
    """


class StopRequest:
    """A request of the user to stop, which may be made; loops check it where stopping is safe."""

    def __init__(self) -> None:
        self._asked = threading.Event()

    def make(self) -> None:
        """Ask to stop."""
        self._asked.set()

    def made(self) -> bool:
        """Return whether the user has asked to stop."""
        return self._asked.is_set()

    def honour(self) -> None:
        """Raise InterruptedStudyError if the user has asked to stop."""
        if self.made():
            raise InterruptedStudyError


@contextlib.contextmanager
def stop_requests(announce: Callable[[str], None]) -> Iterator[StopRequest]:
    """Take Ctrl-C and SIGTERM as requests to stop; a second one raises KeyboardInterrupt.

    announce: called once with a line that says what happens next.
    """
    stop = StopRequest()

    def on_signal(signum: int, frame: FrameType | None) -> None:
        if stop.made():
            raise KeyboardInterrupt
        stop.make()
        announce("Stopping after this trial; press Ctrl-C again to quit now.")

    if threading.current_thread() is not threading.main_thread():
        yield stop  # only the main thread may handle signals
        return
    previous = {
        number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)

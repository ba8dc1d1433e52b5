"""Ctrl-C and SIGTERM: stop between two trials, so that nothing is left half-written."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType


class InterruptedStudyError(BaseException):
    """A polite request to stop was honoured. Not an Exception: nothing may swallow it."""


@contextlib.contextmanager
def stopping_politely(announce: Callable[[str], None]) -> Iterator[Callable[[], None]]:
    """Yield a function to be called where stopping is safe; it raises once a signal has come.

    A second signal stops at once.
    """
    asked = threading.Event()

    def on_signal(signum: int, frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        announce("Stopping after the trial that is being written; once more to stop at once.")

    def check() -> None:
        if asked.is_set():
            raise InterruptedStudyError

    if threading.current_thread() is not threading.main_thread():
        yield check  # only the main thread may handle signals
        return
    previous = {
        number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield check
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)

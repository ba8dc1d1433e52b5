"""Handle Ctrl-C, SIGTERM and the loss of the terminal: stop where nothing is left half-written."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from search.errors import OutputLostError

REFUSED = 2  # the exit code of an error that the user can fix
INTERRUPTED = 130  # a shell reports this code for a command that Ctrl-C ended
UNREAD = 141  # and this one for a command that ended because nobody read its output (SIGPIPE)

# What asks a command to stop. SIGHUP comes when the terminal or its connection is closed; Windows
# has none, but Ctrl-Break.
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
_SIGNALS = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]

_DEFAULT = (signal.SIG_DFL, signal.default_int_handler)

Handler = Callable[[int, FrameType | None], object]


class InterruptedStudyError(BaseException):
    """The command stopped because the user asked for it.

    It is not an Exception, so that no `except Exception` catches it.

    reason: what is told beside that it stopped. code: the exit code. signal: the number of the
    signal that asked for it, None if it was none.
    """

    def __init__(
        self, reason: str = "", code: int = INTERRUPTED, signal: int | None = None
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code
        self.signal = signal


class StopRequest:
    """A request of the user to stop, which may be made; loops check it where stopping is safe."""

    def __init__(self) -> None:
        # No Event: its lock could be held when a signal arrives.
        self._error: InterruptedStudyError | None = None

    def make(self, reason: str = "", code: int = INTERRUPTED, signal: int | None = None) -> None:
        """Ask to stop, unless that was asked before; see `InterruptedStudyError`."""
        self._error = self._error or InterruptedStudyError(reason, code, signal)

    def made(self) -> bool:
        """Return whether the user has asked to stop."""
        return self._error is not None

    def honour(self) -> None:
        """Raise InterruptedStudyError if the user has asked to stop."""
        if self._error is not None:
            raise self._error

    def make_for(self, lost: OutputLostError) -> None:
        """Ask to stop because what the command prints cannot be written."""
        if lost.nobody_reads:
            self.make(": nobody reads what it prints", UNREAD)
        else:
            self.make(f": what it prints cannot be written ({lost})", REFUSED)


@contextlib.contextmanager
def handled(handler: Handler) -> Iterator[None]:
    """Call ``handler`` on each signal that asks to stop, unless it is ignored (as by `nohup`) or a
    program that calls Lockstep handles it."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return
    heeded = [each for each in _SIGNALS if signal.getsignal(each) in _DEFAULT]
    previous = {number: signal.signal(number, handler) for number in heeded}
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)


@contextlib.contextmanager
def stop_requests(announce: Callable[[str], None]) -> Iterator[StopRequest]:
    """Take signals as requests to stop; a second one raises KeyboardInterrupt.

    announce: called once with a line that says what happens next.
    """
    stop = StopRequest()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stop.made():
            raise KeyboardInterrupt
        stop.make(signal=number)
        # The signal may come while another line is written, which forbids to write this one, and
        # the terminal may be gone.
        with contextlib.suppress(Exception):
            announce("Stopping after this trial; press Ctrl-C again to quit now.")

    with handled(on_signal):
        yield stop

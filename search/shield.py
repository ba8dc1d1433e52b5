"""Keep what a terminal sends to a whole group of processes away from training processes."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable, Iterator
from multiprocessing import resource_tracker

# Ctrl-C, and the end of the terminal: the driver decides when training processes end.
_OF_TERMINAL = [getattr(signal, name) for name in ("SIGINT", "SIGHUP") if hasattr(signal, name)]


@contextlib.contextmanager
def shielded() -> Iterator[None]:
    """Block these signals in this thread, and so in threads and processes that it starts.

    Otherwise Ctrl-C would end a process that has not come to ignore it yet, with a traceback.
    """
    before = _mask("SIG_BLOCK", _OF_TERMINAL)
    try:
        if os.name == "posix":  # Python's own helper process, which unblocks them when it starts
            resource_tracker.ensure_running()
            _mask("SIG_BLOCK", _OF_TERMINAL)
        yield
    finally:
        _mask("SIG_SETMASK", before)


def ignore_terminal() -> None:
    """Ignore these signals in this process from now on, however it was started."""
    for number in _OF_TERMINAL:
        signal.signal(number, signal.SIG_IGN)
    _mask("SIG_UNBLOCK", _OF_TERMINAL)


def _mask(how: str, numbers: Iterable[int]) -> Iterable[int]:
    """Change which signals this thread blocks, if the system can; return those it blocked."""
    change = getattr(signal, "pthread_sigmask", None)
    return () if change is None else change(getattr(signal, how), numbers)

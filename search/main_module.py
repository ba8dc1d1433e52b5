"""Spawn a process without running the user's script in it a second time.

multiprocessing runs the script that was started again in each process that it spawns, under another
name, so that its functions can be found there. A script without `if __name__ == "__main__"` would
launch its study again there. A training process needs nothing of a script.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from importlib.machinery import ModuleSpec

# multiprocessing does not run a main module again whose name ends so, as that of a package's does.
_LEFT_ALONE = ModuleSpec("lockstep.__main__", None)


class _Hidden:
    """The main module's own name, as long as somebody hides it.

    Several threads may start processes at the same time, and none waits for the others: to start
    one can take seconds.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holders = 0
        self._spec: ModuleSpec | None = None

    def hide(self) -> None:
        """Give the main module the other name, unless it has it."""
        with self._lock:
            main = sys.modules["__main__"]
            if self._holders == 0:
                self._spec, main.__spec__ = main.__spec__, _LEFT_ALONE
            self._holders += 1

    def show(self) -> None:
        """Give the main module its own name again, if nobody else hides it."""
        with self._lock:
            self._holders -= 1
            if self._holders == 0:
                sys.modules["__main__"].__spec__ = self._spec


_HIDDEN = _Hidden()  # of this process, as the main module is


@contextlib.contextmanager
def script_left_alone() -> Iterator[None]:
    """Let processes that are spawned in the block not run the main module again."""
    _HIDDEN.hide()
    try:
        yield
    finally:
        _HIDDEN.show()

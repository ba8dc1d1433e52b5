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
_changing = threading.Lock()


@contextlib.contextmanager
def script_left_alone() -> Iterator[None]:
    """Let processes that are spawned in the block not run the main module again."""
    main = sys.modules["__main__"]
    with _changing:
        before = main.__spec__
        main.__spec__ = _LEFT_ALONE
        try:
            yield
        finally:
            main.__spec__ = before

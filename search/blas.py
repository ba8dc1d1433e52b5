"""One BLAS thread in this process while something is trained in it, from however many threads.

BLAS has one number of threads for a whole process. Where several threads of it limit that for a
while, each would put back what it found, and the last one might put back the limit of another.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from threadpoolctl import threadpool_limits


class _Limit:
    """The limit that is in force while there is a holder."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holders = 0
        self._limits: Any = None

    def take(self) -> None:
        """Limit BLAS, if no other holder has done so."""
        with self._lock:
            if self._holders == 0:
                self._limits = threadpool_limits(1)
            self._holders += 1

    def give_back(self) -> None:
        """Put back what was there before, if no other holder is left."""
        with self._lock:
            self._holders -= 1
            if self._holders == 0:
                self._limits.restore_original_limits()


_LIMIT = _Limit()  # of this process, as the number of BLAS threads is


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let BLAS use one thread in the block, and as many as before once no block is left."""
    _LIMIT.take()
    try:
        yield
    finally:
        _LIMIT.give_back()

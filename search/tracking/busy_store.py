"""Repeat a write to MLflow's SQLite store that another process was in the way of.

SQLite lets one process write at a time, and the others wait. But one that has read before it writes
is refused at once if another has written in between, since what it read may no longer be true.
MLflow then undoes the whole call.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from search.sqlite_errors import is_busy

Value = TypeVar("Value")

PATIENCE = 20.0  # seconds from the first attempt to the last; MLflow waits as long for others
PAUSE = 0.05  # the most seconds between two attempts


def again_if_busy(write: Callable[[], Value]) -> Value:
    """Return what ``write`` returns; call it again if SQLite refused it because of another process.

    write: one call of MLflow, of which nothing is left if it is refused. Raises what it raises
    otherwise, or at last.
    """
    from mlflow.exceptions import MlflowException

    last = time.monotonic() + PATIENCE
    while True:
        try:
            return write()
        except MlflowException as error:
            if time.monotonic() > last or not is_busy(error):
                raise
            time.sleep(random.uniform(0, PAUSE))  # so that two do not meet again

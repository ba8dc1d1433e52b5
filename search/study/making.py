"""Open a storage whose tables other processes may be making at the same moment."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import TypeVar

MAKING_SECONDS = 20.0  # how long others may take to make the tables
# What databases say when another process makes the same tables at the same moment.
_MADE_BY_ANOTHER = re.compile(
    "already exists|duplicate key|UNIQUE constraint|locked", re.IGNORECASE
)

T = TypeVar("T")


def made_patiently(make: Callable[[], T]) -> T:
    """Return what ``make`` returns, which is called again if another process is in its way.

    It opens a storage, whose tables several processes may want to make at the same moment.
    """
    deadline = time.monotonic() + MAKING_SECONDS
    while True:
        try:
            return make()
        except Exception as error:
            if time.monotonic() > deadline or not _MADE_BY_ANOTHER.search(_reasons(error)):
                raise
        time.sleep(0.1)


def _reasons(error: BaseException | None) -> str:
    """Return the messages of an error and of its causes."""
    messages = []
    while error is not None:
        messages.append(str(error))
        error = error.__cause__
    return "\n".join(messages)

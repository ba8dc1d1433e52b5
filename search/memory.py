"""How much memory this machine, or the container that the command runs in, has."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psutil

# Where Linux says how much memory a container may use, in its newer and its older way.
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def memory_bytes() -> int:
    """Return the size of the memory that this process may use, in bytes."""
    sizes = [int(psutil.virtual_memory().total)]
    for path in _LIMITS:
        with contextlib.suppress(OSError, ValueError):  # no such file, or no limit ("max")
            sizes.append(int(Path(path).read_text()))
    return min(sizes)

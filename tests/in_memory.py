"""Temporary files in memory, where there is enough of it.

What the tests launch writes tens of thousands of small files, and databases that wait for the disk
after each transaction: on a disk that takes a quarter of the time. Nothing that is tested outlives
the system, so nothing else shows where the files are.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

_FOLDER = Path("/dev/shm")
_NEEDED = 6 << 30  # bytes: several times what the tests leave
_CHOSEN = ("TMPDIR", "PYTEST_DEBUG_TEMPROOT")  # by a person, where they are set


def use() -> None:
    """Put the temporary files of this process, and of those that it starts, into memory."""
    if sys.platform != "linux" or any(name in os.environ for name in _CHOSEN):
        return
    if _is_for_programs() and min(shutil.disk_usage(_FOLDER).free, _available()) >= _NEEDED:
        os.environ["TMPDIR"] = str(_FOLDER)
        tempfile.tempdir = None  # it is found anew


def _is_for_programs() -> bool:
    """Return whether the folder is in memory, and programs in it may be run."""
    mounted = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    here = [each for each in mounted if each[1] == str(_FOLDER)]
    return bool(here) and here[-1][2] == "tmpfs" and "noexec" not in here[-1][3].split(",")


def _available() -> int:
    """Return how many bytes of memory nobody needs."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    (found,) = [line for line in lines if line.startswith("MemAvailable:")]
    return int(found.split()[1]) << 10

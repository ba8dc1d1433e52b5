"""Processes of a group, as the kernel lists them: what a killed command left behind."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from standby import KINDS


def alive_in_group(group: int) -> dict[int, str]:
    """Names and command lines of the processes of a group, zombies left out."""
    found = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            told, rest = status.read_text().rsplit(") ", 1)
            state, _, pgrp = rest.split()[:3]
            if int(pgrp) == group and state != "Z":
                line = status.with_name("cmdline").read_bytes().replace(b"\0", b" ").decode()
                found[int(status.parent.name)] = f"{told.partition('(')[2]}: {line}"
    return found


def workers_in_group(group: int) -> list[int]:
    """Training processes, and those that write runs, with Python's server of processes."""
    return [
        pid for pid, line in alive_in_group(group).items() if any(kind in line for kind in KINDS)
    ]


def descendants(root: int) -> set[int]:
    """A process's children, theirs, and so on, whatever groups they are in."""
    found = [root]
    for pid in found:  # grows while it is walked
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += map(int, children.read_text().split())
    return set(found[1:])


def zombies_of(parent: int) -> list[int]:
    """Children that ended and that nobody waited for."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, ppid = status.read_text().rsplit(") ", 1)[1].split()[:2]
            if state == "Z" and int(ppid) == parent:
                found.append(int(status.parent.name))
    return found


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True

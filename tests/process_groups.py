"""Processes of a group, as the kernel lists them: what a killed command left behind."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from forked import KINDS


class Listed(NamedTuple):
    """A process, in the kernel's words."""

    pid: int
    name: str
    state: str
    parent: int
    group: int

    def told(self) -> str:
        """Its name and command line. Raises OSError if it is gone."""
        with open(f"/proc/{self.pid}/cmdline", "rb") as file:
            return f"{self.name}: {file.read().replace(bytes(1), b' ').decode()}"


def listed() -> Iterator[Listed]:
    """Every process, zombies too."""
    for entry in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{entry}/stat", "rb") as file:
            name, rest = file.read().decode(errors="replace").rsplit(") ", 1)
            state, parent, group = rest.split(None, 3)[:3]
            yield Listed(int(entry), name.partition("(")[2], state, int(parent), int(group))


def alive_in_group(group: int) -> dict[int, str]:
    """Names and command lines of the processes of a group, zombies left out."""
    found = {}
    for each in listed():
        if each.group == group and each.state != "Z":
            with contextlib.suppress(OSError):
                found[each.pid] = each.told()
    return found


def workers_of(parent: int) -> set[int]:
    """Training processes that a process started itself, zombies left out."""
    found = set()
    for each in listed():
        if each.parent == parent and each.state != "Z":
            with contextlib.suppress(OSError):
                if "spawn_main" in each.told():
                    found.add(each.pid)
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
    return [each.pid for each in listed() if each.state == "Z" and each.parent == parent]


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True

"""On which addresses processes listen, as Linux has it."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

LOOPBACK = "0100007F"  # 127.0.0.1


def listening(group: int) -> set[str]:
    """Addresses, in hexadecimal as the kernel has them, on which a process group listens."""
    inodes = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(stat.read_text().rsplit(") ", 1)[1].split()[2]) == group:
                for descriptor in stat.with_name("fd").iterdir():
                    with contextlib.suppress(OSError):
                        inodes |= set(re.findall(r"socket:\[(\d+)\]", os.readlink(descriptor)))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                found.add(fields[1].split(":")[0])
    return found

"""A lock file that allows one driver at a time per study and is released when its holder ends."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from search.errors import StudyBusyError


@contextlib.contextmanager
def file_lease(path: Path, study: str) -> Iterator[None]:
    """Hold an exclusive lock on ``path``. The kernel releases it when the process ends, in whatever
    way.

    At the end, folders that were created for the lock are removed if nothing else was put there.
    Raises StudyBusyError, which names the holder, if another process has the lock.
    """
    made = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise StudyBusyError(busy(study, file.read())) from error
        if not _still_there(path, file.fileno()):
            raise StudyBusyError(busy(study, ""))
        file.truncate(0)
        file.write(_holder())
        file.flush()
        try:
            yield
        finally:
            if made and list(path.parent.iterdir()) == [path]:
                path.unlink()
                with contextlib.suppress(OSError):  # another process has put something there
                    for folder in made:
                        folder.rmdir()


def _still_there(path: Path, descriptor: int) -> bool:
    """Return whether ``path`` is still the locked file, which its last holder may have removed."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _holder() -> str:
    """Return this process's host, id and start time as JSON."""
    started = time.strftime("%Y-%m-%d %H:%M:%S")
    return json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "started": started})


def busy(study: str, holder: str) -> str:
    """Return the error message for a study that another process runs.

    holder: JSON with that process's id, host and start time; any other text is ignored.
    """
    try:
        who = json.loads(holder)
        holder = f"process {who['pid']} on {who['host']}, since {who['started']}"
    except (ValueError, KeyError, TypeError):
        holder = "another process"
    return f"study {study} is being run by {holder}: wait for it to end, or stop it first"

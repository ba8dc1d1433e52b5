"""One driver at a time per study: a lease that dies with its holder."""

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
    """Hold an exclusive lock on ``path``; the kernel drops it when the process ends, however.

    Folders that were made for it, and in which nothing else was put meanwhile, are removed again.
    Raises StudyBusyError that names the holder.
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
                with contextlib.suppress(OSError):  # somebody else has put something there
                    for folder in made:
                        folder.rmdir()


def _still_there(path: Path, descriptor: int) -> bool:
    """Whether the file that was locked is not one that its last holder has just removed."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _holder() -> str:
    started = time.strftime("%Y-%m-%d %H:%M:%S")
    return json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "started": started})


def busy(study: str, holder: str) -> str:
    """The refusal; holder is JSON with pid, host and start time, or anything."""
    try:
        who = json.loads(holder)
        place = f"process {who['pid']} on {who['host']}, since {who['started']}"
    except (ValueError, KeyError, TypeError):
        place = "another process"
    return f"study {study} is being run by {place}: wait for it to end, or stop it first"

"""A lock file that allows one driver at a time per study and is released when its holder ends."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator, Sequence
from io import FileIO
from pathlib import Path

from search.errors import LockstepError, StudyBusyError
from search.locks import locked


@contextlib.contextmanager
def file_lease(path: Path, study: str) -> Iterator[None]:
    """Hold an exclusive lock on ``path``. The system releases it when the process ends, in whatever
    way.

    At the end, folders that were created for the lock are removed if nothing else was put there.
    Raises StudyBusyError, which names the holder, if another process has the lock, and
    LockstepError if files cannot be locked there.
    """
    made = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b", buffering=0) as file:
        try:
            if not locked(file.fileno(), path):
                raise StudyBusyError(busy(study, _read(file)))
        except StudyBusyError:
            raise
        except LockstepError:
            _remove(path, made, file)
            raise
        if not _still_there(path, file.fileno()):
            raise StudyBusyError(busy(study, ""))
        file.truncate(0)
        file.write(b" " + _holder().encode())  # others may be unable to read the first byte
        try:
            yield
        finally:
            _remove(path, made, file)


def _read(file: FileIO) -> str:
    """Return what the holder of a lock wrote into its file, behind the first byte."""
    file.seek(1)
    return file.read().decode(errors="replace")


def _remove(path: Path, made: Sequence[Path], file: FileIO) -> None:
    """Remove the locked file and the folders that were made for it, if nothing else is there."""
    if not made or list(path.parent.iterdir()) != [path]:
        return
    if os.name == "nt":  # It removes no file that is open, in this process or in another one.
        file.close()
    with contextlib.suppress(OSError):  # another process has opened it, or put something there
        path.unlink()
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

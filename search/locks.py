"""Lock files, which the system unlocks when the process that locked them ends, in whatever way."""

from __future__ import annotations

from pathlib import Path

from filelock import lock_descriptor

from search.errors import LockstepError


def locked(descriptor: int, path: Path, *, wait: bool = False) -> bool:
    """Lock an open file until it is closed; return whether that was possible.

    path: the file's name. wait: wait for another process that has locked it.

    On Windows others cannot read the first byte of a locked file. Raises LockstepError if the
    file system has no locks. Nothing is used instead: a file whose existence is the lock would
    stay behind when its holder is killed, and nobody could tell whether the study is running.
    """
    try:
        return lock_descriptor(descriptor, blocking=wait)
    except OSError as error:
        raise LockstepError(
            f"{path.parent}: files cannot be locked there ({error.strerror}), and nothing else "
            "would keep two launches apart: name a folder on another disk with --home"
        ) from error

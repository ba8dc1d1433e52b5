"""A disk that is full, read-only or not ours to write: one sentence instead of a traceback."""

from __future__ import annotations

import errno

_USERS_TO_MEND = {
    errno.EACCES, errno.EPERM, errno.EROFS,  # not ours
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG,  # full
    errno.EIO, errno.ESTALE,  # broken, or gone from the network
    errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP,  # no folder
    errno.EMFILE, errno.ENFILE,
}  # fmt: skip


def sentence(error: OSError) -> str | None:
    """What to do about it; None for an error that is not the disk's."""
    if error.errno not in _USERS_TO_MEND:
        return None
    # Of a copy, the file that was to be written is the second one.
    place = error.filename2 or error.filename or "the folder of --home"
    return (
        f"{place}: {error.strerror}: finished trials are kept; make it writable, make room, or "
        "name another folder with --home, and run the same command again"
    )

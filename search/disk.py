"""One sentence instead of a traceback for a disk that is full, read-only or not accessible."""

from __future__ import annotations

import errno

# The user can remove the cause of these errors, in which a place …
_MENDABLE = {
    errno.EACCES, errno.EPERM, errno.EROFS,  # may not be written
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG,  # is full
    errno.EIO, errno.ESTALE,  # is broken, or its network is down
    errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP,  # is no folder
    errno.EMFILE, errno.ENFILE,  # or too many files are open
}  # fmt: skip


def sentence(error: OSError) -> str | None:
    """Return a message that says what to do about the error, None if its cause is not the disk."""
    if error.errno not in _MENDABLE:
        return None
    # When a file was copied, the one that was to be written comes second.
    place = error.filename2 or error.filename or "the folder of --home"
    return (
        f"{place}: {error.strerror}: finished trials are kept; make the place writable, make room "
        "on the disk, or name another folder with --home, and run the same command again"
    )

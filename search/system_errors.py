"""One sentence instead of a traceback for what the system refuses: its cause, place and remedy."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import ssl
import tempfile
from pathlib import Path
from urllib.error import URLError

_HOME = "name another folder with --home"
_TEMPORARY = "name another folder for temporary files with the environment variable TMPDIR"
_AGAIN = "and run the same command again"
KEPT = "finished trials are kept"


def _numbers(*names: str) -> set[int]:
    """Return the numbers of these errors, those left out that this system does not know."""
    return {getattr(errno, name) for name in names if hasattr(errno, name)}


# What to do about errors of a place, beside naming another one.
_REMEDIES = [
    (_numbers("ENOSPC", "EDQUOT"), "make room there"),
    (_numbers("EACCES", "EPERM", "EROFS"), "make the place writable"),
    (_numbers("EFBIG"), "allow larger files (ulimit -f)"),
    (_numbers("EEXIST", "ENOTDIR"), "move away what is there, since a folder is needed"),
    (_numbers("EIO", "ESTALE", "ENXIO", "ENODEV"), "see to its disk or its network"),
    (_numbers("EBUSY", "ETXTBSY"), "end the program that uses it"),
]
# Errors of writing, which name no place.
_WRITING = _numbers("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EIO", "ESTALE")
_NETWORK = _numbers(
    "ENETUNREACH", "ENETDOWN", "EHOSTUNREACH", "ETIMEDOUT", "EADDRINUSE", "EADDRNOTAVAIL",
    "ENOTCONN",
)  # fmt: skip
_TOO_MANY_FILES = _numbers("EMFILE", "ENFILE")


def sentence(error: OSError, home: Path | None = None) -> str | None:
    """Return a message with the cause, the place and what to do, None if it must be a bug.

    home: the folder of --home, if it is known.
    """
    if (folders := _temporary_folders_tried(error)) is not None:
        return (
            f"no folder for temporary files can be written (tried: {folders}): {KEPT}; make room "
            f"in one of them, or {_TEMPORARY}, {_AGAIN}"
        )
    if is_network(error):
        return (
            f"a connection failed ({_reason(error)}): {KEPT}; see to the network and the other "
            f"end, {_AGAIN}"
        )
    if error.errno is None:
        return None
    place = _named(error)
    if place is None:
        return _without_place(error, home)
    return _of_place(error, place, home)


def _temporary_folders_tried(error: BaseException | None) -> str | None:
    """Return which folders for temporary files were tried, None if that is not what failed."""
    while error is not None:  # Matplotlib raises an error of its own after Python's
        if "No usable temporary directory" in str(error):
            return str(error).partition(" found in ")[2].strip("[]").replace("'", "")
        error = error.__cause__ or error.__context__
    return None


def is_network(error: OSError) -> bool:
    """Return whether an error comes from a connection to a server or to another process."""
    kinds = (ConnectionError, TimeoutError, URLError, socket.gaierror, socket.herror, ssl.SSLError)
    of_requests = any(each.__module__.startswith("requests.") for each in type(error).__mro__)
    nowhere = _named(error) is None
    return nowhere and (isinstance(error, kinds) or of_requests or error.errno in _NETWORK)


def broken_link(place: Path) -> str | None:
    """Return which link on the way to a place leads nowhere, in words, None if none does."""
    for each in [*reversed(place.parents), place]:
        if os.path.islink(each) and not os.path.exists(each):
            target = os.readlink(each)
            return f"{each} is a link to {target}, which cannot be reached: mend or remove it"
    return None


def fullest(home: Path) -> Path:
    """Return the folder of temporary files if it has less room than the home, else the home."""
    folder = _temporary_folder()
    if folder is None or _room(folder) >= _room(home):
        return home
    return folder


def _without_place(error: OSError, home: Path | None) -> str | None:
    """Return the message for an error of the system that names no file."""
    if error.errno in _TOO_MANY_FILES:
        return f"{error.strerror}: {KEPT}; allow more of them (ulimit -n), {_AGAIN}"
    if error.errno in (errno.EAGAIN, errno.ENOMEM):  # of starting a process
        return (
            f"no further process can be started ({error.strerror}): {KEPT}; use fewer --workers, "
            f"or allow more processes and memory (ulimit -u, ulimit -v), {_AGAIN}"
        )
    if error.errno in _WRITING:
        return _of_place(error, fullest(home or Path()), home)
    return None


def unreachable(home: Path) -> str | None:
    """Return the message for a home behind a link that leads nowhere, None if there is none."""
    link = broken_link(home)
    return None if link is None else f"{link}, or {_HOME}, {_AGAIN}"


def _of_place(error: OSError, place: Path, home: Path | None) -> str:
    """Return the message for an error of a file or folder."""
    another = _TEMPORARY if _is_temporary(place, home) else _HOME
    if (link := broken_link(place)) is not None:
        return f"{link}, or {another}, {_AGAIN}"
    if error.errno in _TOO_MANY_FILES:
        another = "allow more open files (ulimit -n)"
    remedy = next((f"{does}, or " for numbers, does in _REMEDIES if error.errno in numbers), "")
    return f"{place}: {error.strerror}: {KEPT}; {remedy}{another}, {_AGAIN}"


def _named(error: OSError) -> Path | None:
    """Return the file or folder that an error names, None if it names none."""
    # When a file was copied, the one that was to be written comes second.
    for name in (error.filename2, error.filename):
        if isinstance(name, str | bytes | os.PathLike):
            return Path(os.fsdecode(name))
    return None


def _reason(error: OSError) -> str:
    """Return the system's words for an error, or else the first line of its text."""
    lines = (error.strerror or str(error)).splitlines()
    return lines[0][:300] if lines else type(error).__name__


def _temporary_folder() -> Path | None:
    """Return the folder of temporary files, None if there is none that can be written."""
    try:
        return Path(tempfile.gettempdir())
    except OSError:
        return None


def _is_temporary(place: Path, home: Path | None) -> bool:
    """Return whether a place is among the temporary files and not in the home."""
    folder, place = _temporary_folder(), Path(os.path.abspath(place))
    in_home = home is not None and place.is_relative_to(os.path.abspath(home))
    return folder is not None and place.is_relative_to(folder) and not in_home


def _room(folder: Path) -> int:
    """Return the free bytes of the disk of a folder, or of the nearest one above that exists."""
    for each in (folder, *Path(os.path.abspath(folder)).parents):
        try:
            return shutil.disk_usage(each).free
        except OSError:
            continue
    return 0

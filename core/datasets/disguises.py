"""Tell what a file is that is not what its name says, by its first bytes.

What is downloaded or copied is often another file under the right name: a web page with an error, a
pointer to a file that was not fetched, an archive. The message should say so, and not only that the
bytes are wrong.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

HEAD = 512  # the number of bytes that are looked at

_LFS = b"version https://git-lfs.github.com/spec"
_PAGES = (b"<!doctype html", b"<html", b"<head", b"<?xml")
_BEGINNINGS = (
    (b"PK\x03\x04", "is a ZIP archive or an Excel workbook: unpack it, or save its table as .csv"),
    (b"\x1f\x8b", "is compressed by gzip: unpack it (gunzip)"),
    (b"BZh91AY&SY", "is compressed by bzip2: unpack it (bunzip2)"),
    (b"\xfd7zXZ\x00", "is compressed by xz: unpack it (unxz)"),
    (b"\x28\xb5\x2f\xfd", "is compressed by Zstandard: unpack it (unzstd)"),
    (b"\x93NUMPY", "is a NumPy array: give it the ending .npy, and data.source its path"),
    (b"\x89HDF\r\n", "is an HDF5 file: save its arrays as .npz with X and y"),
    (b"PAR1\x15", "is a Parquet file: give it the ending .parquet"),
)


def disguise(head: bytes) -> str | None:
    """Return what a file is and what to do about it, as the rest of a sentence that the file's name
    begins; None if its first bytes are of no kind that is known here."""
    if head.startswith(_LFS):
        return "is a pointer of Git LFS, not the file itself: fetch that with `git lfs pull`"
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_PAGES):
        return "is a web page, not data, perhaps one with an error: download the file again"
    return next((what for start, what in _BEGINNINGS if head.startswith(start)), None)


def disguise_of(path: Path, own: bytes | None = None) -> str | None:
    """Return what `disguise` does, for a file; None if the file cannot be read, or is what it says.

    own: the first bytes of a file that is what its name says, if such files have some in common.
    """
    with contextlib.suppress(OSError), path.open("rb") as stream:
        head = stream.read(HEAD)
        return None if own is not None and head.startswith(own) else disguise(head)
    return None

"""Reader of the IDX format, in which MNIST and similar data sets are distributed.

A file is a big-endian header and then the values, where the last dimension varies fastest:
    2 bytes       zero
    1 byte        type of the values; 0x08 means unsigned bytes, the only type read here
    1 byte        number of dimensions
    4 bytes each  the dimensions' sizes
Source: http://yann.lecun.com/exdb/mnist/, "The IDX file format".
"""

from __future__ import annotations

import gzip
import struct
import zlib
from math import prod
from pathlib import Path
from typing import IO, cast

import numpy as np
import numpy.typing as npt

from core.datasets.dataset import DataError
from core.datasets.disguises import HEAD, disguise

MAX_VALUE_BYTES = 2 * 1024**3
_CHUNK = 1024**2
_UNSIGNED_BYTE = 0x08
_TYPES = {0x09: "int8", 0x0B: "int16", 0x0C: "int32", 0x0D: "float32", 0x0E: "float64"}
_NEEDED = {1: "labels have one, (N,)", 3: "images have three, (N, H, W)"}
_GZIP_MAGIC = b"\x1f\x8b"
_ENOUGH = 8  # If so many line ends are all alike, it is no accident.


def read_idx(path: Path, ndim: int) -> npt.NDArray[np.uint8]:
    """Return the array in an IDX file of unsigned bytes.

    The file may be plain or compressed by gzip, which its content tells, not its name.
    ndim: 1 for labels, (N,); 3 for images, (N, H, W).

    Raises DataError if the file cannot be read, is not an IDX file of unsigned bytes, claims more
    than ``MAX_VALUE_BYTES``, or has fewer or more values than its header claims. The memory used is
    limited by the content of the file and by what the header claims.
    """
    compressed = False
    try:
        with path.open("rb") as raw:
            compressed = raw.read(2) == _GZIP_MAGIC
            raw.seek(0)
            if not compressed:
                return _parse(raw, path, ndim)
            with gzip.open(raw) as stream:
                return _parse(cast("IO[bytes]", stream), path, ndim)
    except (OSError, EOFError, zlib.error) as error:
        if compressed and _has_converted_line_ends(path):
            raise DataError(f"{path} {_CONVERTED}") from error
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path} cannot be read as an IDX file: {reason}.") from error


_CONVERTED = (
    "was changed as if it were text: its line ends were converted (0x0a became 0x0d0a), as a "
    "transfer in text mode or git's autocrlf does; copy it again as binary."
)


def _parse(stream: IO[bytes], path: Path, ndim: int) -> npt.NDArray[np.uint8]:
    """Return the array of an uncompressed stream; see `read_idx`."""
    header_size = 4 + 4 * ndim
    header = _read(stream, header_size)
    magic = bytes((0, 0, _UNSIGNED_BYTE, ndim))
    if header[:4] != magic:
        head = bytes(header + _read(stream, HEAD - header_size))
        raise DataError(f"{path} {_no_idx_file(head, ndim)}.")
    if len(header) < header_size:
        raise DataError(f"{path} ends within its header of {header_size} bytes.")
    shape = struct.unpack(f">{ndim}I", header[4:])
    size = prod(shape)
    if size > MAX_VALUE_BYTES:
        if _is_converted(header, stream, ndim):
            raise DataError(f"{path} {_CONVERTED}")
        raise DataError(
            f"{path} claims {size} bytes of values, more than the {MAX_VALUE_BYTES} allowed."
        )
    values = _read(stream, size + 1)
    if len(values) != size:
        if _is_converted(header + values, stream, ndim):
            raise DataError(f"{path} {_CONVERTED}")
        held = f"only {len(values)}" if len(values) < size else "more"
        raise DataError(
            f"{path} claims {' x '.join(map(str, shape))} = {size} bytes of values, but has {held}:"
            " get the file again."
        )
    return np.frombuffer(values, dtype=np.uint8).reshape(shape)


def _no_idx_file(head: bytes, ndim: int) -> str:
    """Return why a file is not the IDX file that is needed, and what to do, without a full stop.

    head: its first bytes, unpacked if it was compressed.
    """
    if not head:
        return "is empty: get the file again"
    if head.startswith(_GZIP_MAGIC):
        return "was compressed by gzip twice: unpack it once (gunzip)"
    if what := disguise(head):
        return what
    if head[:4] == bytes((ndim, _UNSIGNED_BYTE, 0, 0)):
        return (
            "is in little-endian byte order, but an IDX file is big-endian: write its header with "
            f'struct.pack(">{1 + ndim}I", …)'
        )
    starts = f"0x{head[:4].hex()}, not 0x{bytes((0, 0, _UNSIGNED_BYTE, ndim)).hex()}"
    if head[:2] == bytes(2) and len(head) > 3:
        kind, dimensions = head[2], head[3]
        if kind in _TYPES:
            return (
                f"holds {_TYPES[kind]}, but unsigned bytes are needed: save it with "
                f".astype(np.uint8) (it starts with {starts})"
            )
        if kind == _UNSIGNED_BYTE and {dimensions, ndim} == {1, 3}:
            return (
                f"has {dimensions} dimensions, but {_NEEDED[ndim]}: are images and labels swapped? "
                f"(it starts with {starts})"
            )
        if kind == _UNSIGNED_BYTE:
            axis = "; remove the axis of channels" if (dimensions, ndim) == (4, 3) else ""
            return (
                f"has {dimensions} dimensions, but {_NEEDED[ndim]}{axis} (it starts with {starts})"
            )
    return f"is not an IDX file of unsigned bytes in {ndim} dimension(s): it starts with {starts}"


def _is_converted(content: bytes | bytearray, stream: IO[bytes], ndim: int) -> bool:
    """Return whether a file would be right if its line ends were converted back.

    content: what has been read of the file. No more memory is taken than twice what the restored
    header claims, and that is half of ``MAX_VALUE_BYTES`` at most.
    """
    header_size = 4 + 4 * ndim
    whole = bytes(content) + bytes(_read(stream, max(0, 2 * header_size - len(content))))
    header = whole[: 2 * header_size].replace(b"\r\n", b"\n")[:header_size]
    if len(header) < header_size:
        return False
    size = header_size + prod(struct.unpack(f">{ndim}I", header[4:]))
    if size > MAX_VALUE_BYTES // 2 or whole.count(b"\n") != whole.count(b"\r\n"):
        return False
    whole += bytes(_read(stream, max(0, 2 * size + 1 - len(whole))))
    n = whole.count(b"\r\n")
    return whole.count(b"\n") == n and len(whole) - n == size


def _has_converted_line_ends(path: Path) -> bool:
    """Return whether a line feed in a binary file never stands without a carriage return."""
    found, last = 0, b""
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            whole = last + chunk
            n = whole.count(b"\n")
            if whole.count(b"\r\n") != n:
                return False
            found, last = found + n, chunk[-1:] * (chunk[-1:] == b"\r")
    return found >= _ENOUGH


def _read(stream: IO[bytes], size: int) -> bytearray:
    """Read up to ``size`` bytes in pieces.

    A single read would allocate ``size`` bytes, even if the stream has fewer.
    """
    values = bytearray()
    while len(values) < size and (chunk := stream.read(min(_CHUNK, size - len(values)))):
        values += chunk
    return values

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

MAX_VALUE_BYTES = 2 * 1024**3
_CHUNK = 1024**2
_UNSIGNED_BYTE = 0x08
_GZIP_MAGIC = b"\x1f\x8b"


def read_idx(path: Path, ndim: int) -> npt.NDArray[np.uint8]:
    """Return the array in an IDX file of unsigned bytes.

    The file may be plain or compressed by gzip, which its content tells, not its name.
    ndim: 1 for labels, (N,); 3 for images, (N, H, W).

    Raises DataError if the file cannot be read, is not an IDX file of unsigned bytes, claims more
    than ``MAX_VALUE_BYTES``, or has fewer or more values than its header claims. The memory used is
    limited by the content of the file and by what the header claims.
    """
    try:
        with path.open("rb") as raw:
            compressed = raw.read(2) == _GZIP_MAGIC
            raw.seek(0)
            if not compressed:
                return _parse(raw, path, ndim)
            with gzip.open(raw) as stream:
                return _parse(cast("IO[bytes]", stream), path, ndim)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path} cannot be read as an IDX file: {reason}.") from error


def _parse(stream: IO[bytes], path: Path, ndim: int) -> npt.NDArray[np.uint8]:
    """Return the array of an uncompressed stream; see `read_idx`."""
    header_size = 4 + 4 * ndim
    header = _read(stream, header_size)
    magic = bytes((0, 0, _UNSIGNED_BYTE, ndim))
    if header[:4] != magic:
        raise DataError(
            f"{path} is not an IDX file of unsigned bytes in {ndim} dimension(s): it starts with "
            f"0x{header[:4].hex()}, not 0x{magic.hex()}."
        )
    if len(header) < header_size:
        raise DataError(f"{path} ends within its header of {header_size} bytes.")
    shape = struct.unpack(f">{ndim}I", header[4:])
    size = prod(shape)
    if size > MAX_VALUE_BYTES:
        raise DataError(
            f"{path} claims {size} bytes of values, more than the {MAX_VALUE_BYTES} allowed."
        )
    values = _read(stream, size + 1)
    if len(values) != size:
        held = f"only {len(values)}" if len(values) < size else "more"
        raise DataError(
            f"{path} claims {' x '.join(map(str, shape))} = {size} bytes of values, but has {held}."
        )
    return np.frombuffer(values, dtype=np.uint8).reshape(shape)


def _read(stream: IO[bytes], size: int) -> bytearray:
    """Read up to ``size`` bytes in pieces.

    A single read would allocate ``size`` bytes, even if the stream has fewer.
    """
    values = bytearray()
    while len(values) < size and (chunk := stream.read(min(_CHUNK, size - len(values)))):
        values += chunk
    return values

"""Reader of NumPy's .npz and .npy files: it checks sizes first and unpickles nothing.

Large matrices of floats are mapped instead; see `array_file.py`.
"""

from __future__ import annotations

import zipfile
from collections.abc import Collection
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from core.datasets.array_file import KINDS, ArrayFile
from core.datasets.dataset import DataError
from core.datasets.disguises import disguise_of
from core.datasets.file_rows import FileRows

Array = npt.NDArray[Any]

HELD_BYTES = 1 << 28  # of float32 features that are read into memory; more are mapped
MAX_UNPACKED_BYTES = 8 * 1024**3
# A file of more unpacked bytes than TRUSTED_BYTES is refused if it is also larger than MAX_RATIO
# times its packed size.
TRUSTED_BYTES = 1024**3
MAX_RATIO = 100


def read_npz(path: Path, names: Collection[str]) -> dict[str, Array]:
    """Return the arrays in the file that have these names; the rest of the file is not read.

    Raises DataError if the file cannot be read or is damaged, if an array has Python objects, or
    if claimed sizes are wrong or too large. Arrays are allocated only after these checks.
    """
    arrays: dict[str, Array] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if _name(info) in names]
            if (size := sum(member.file_size for member in members)) > MAX_UNPACKED_BYTES:
                raise DataError(
                    f"{path} claims {size} bytes, more than {MAX_UNPACKED_BYTES} allowed."
                )
            packed = sum(member.compress_size for member in members)
            if size > TRUSTED_BYTES and size > MAX_RATIO * packed:
                raise DataError(
                    f"{path} would unpack to {size} bytes from {packed}, like a decompression "
                    "bomb: if it is none, save it unpacked (np.savez)."
                )
            for member in members:
                _check_size(archive, member, path)
            for member in members:
                with archive.open(member) as stream:
                    array = npy.read_array(stream, allow_pickle=False)
                arrays[_name(member)] = array
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    except Exception as error:  # zipfile and NumPy raise many types for a damaged file
        if what := disguise_of(path, b"PK"):
            raise DataError(f"{path} {what}.") from error
        reason = str(error).split("\n")[0][:200]
        raise DataError(f"{path} is not a valid .npz file: {reason}.") from error
    return arrays


def map_npz(path: Path, names: Collection[str]) -> dict[str, FileRows] | None:
    """Return the arrays in the file that have these names, without reading their values.

    They are None unless all of them can be mapped, and together need more than `HELD_BYTES`: the
    file is not compressed, and they are matrices of floats, row after row. Raises DataError as
    `read_npz` does.
    """
    found: dict[str, FileRows] = {}
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as stream:
            for info in archive.infolist():
                if _name(info) not in names:
                    continue
                if info.compress_type != zipfile.ZIP_STORED:
                    return None
                stream.seek(info.header_offset + 26)
                lengths = (
                    int.from_bytes(stream.read(2), "little"),
                    int.from_bytes(stream.read(2), "little"),
                )
                stream.seek(sum(lengths), 1)
                start = stream.tell()
                with archive.open(info) as member:
                    rows = _mapped(member, path, start, info.file_size, held=0)
                if rows is None:
                    return None
                found[_name(info)] = rows
    except (OSError, zipfile.BadZipFile, ValueError) as error:
        if isinstance(error, DataError):
            raise
        return None  # `read_npz` says what is wrong.
    enough = sum(rows.nbytes for rows in found.values()) > HELD_BYTES
    return found if enough and found.keys() == set(names) else None


def map_npy(path: Path, *, always: bool) -> FileRows | None:
    """Return the matrix in an .npy file, without reading its values.

    It is None if it is not a matrix of floats, row after row; or, unless ``always``, if it needs at
    most `HELD_BYTES`. Raises DataError as `read_npy` does.
    """
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(0)
            return _mapped(stream, path, 0, size, held=0 if always else HELD_BYTES)
    except DataError:
        raise
    except (OSError, ValueError):
        return None  # `read_npy` says what is wrong.


def _mapped(stream: IO[bytes], path: Path, start: int, size: int, held: int) -> FileRows | None:
    """Return the matrix in a stream of this size that starts there in the file, or None."""
    version = npy.read_magic(stream)
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read_header(stream)
    mappable = dtype.str in KINDS and not fortran and len(shape) == 2 and 0 not in shape
    if not mappable or 4 * prod(shape) <= held:
        return None
    if (claimed := prod(shape) * dtype.itemsize) != size - stream.tell():
        raise DataError(f"{path} claims {claimed} bytes of values, but has {size - stream.tell()}.")
    return FileRows.of(ArrayFile(path, start + stream.tell(), (shape[0], shape[1]), dtype))


def members(path: Path) -> list[str]:
    """Return the names of the arrays in an .npz file. Raises DataError if it cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            return [name for info in archive.infolist() if (name := _name(info))]
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    except Exception as error:  # see read_npz
        if what := disguise_of(path, b"PK"):
            raise DataError(f"{path} {what}.") from error
        reason = str(error).split("\n")[0][:200]
        raise DataError(f"{path} is not a valid .npz file: {reason}.") from error


def read_npy(path: Path) -> Array:
    """Return the array in an .npy file.

    Raises DataError if the file cannot be read or is damaged, if it has Python objects, or if its
    size is wrong or too large.
    """
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, 2)
            if size > MAX_UNPACKED_BYTES:
                raise DataError(f"{path} has {size} bytes, more than {MAX_UNPACKED_BYTES} allowed.")
            stream.seek(0)
            _check_header(stream, size, str(path))
            stream.seek(0)
            return np.asarray(npy.read_array(stream, allow_pickle=False))
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    except Exception as error:  # see read_npz
        if what := disguise_of(path, b"\x93NUMPY"):
            raise DataError(f"{path} {what}.") from error
        reason = str(error).split("\n")[0][:200]
        raise DataError(f"{path} is not a valid .npy file: {reason}.") from error


def _name(member: zipfile.ZipInfo) -> str:
    """Return the name of the array in this member, or "" if it is no .npy file."""
    stem, _, suffix = member.filename.rpartition(".")
    return stem if suffix == "npy" else ""


def _check_size(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> None:
    """Raise DataError if an array has Python objects, or another size than its header claims."""
    with archive.open(member) as stream:
        _check_header(stream, member.file_size, f"{member.filename} in {path}")


def _check_header(stream: IO[bytes], size: int, name: str) -> None:
    """Raise DataError as `_check_size` does; size: of the whole stream, in bytes."""
    version = npy.read_magic(stream)
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read_header(stream)
    held = size - stream.tell()
    if dtype.hasobject:
        raise DataError(
            f"{name} holds Python objects, which are not safe to read: save texts with "
            ".astype(str), and numbers with .astype(float)."
        )
    if (claimed := prod(shape) * dtype.itemsize) != held:
        raise DataError(f"{name} claims {claimed} bytes of values, but has {held}.")

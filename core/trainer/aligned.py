"""Arrays whose first byte lies at a fixed alignment.

Some BLAS kernels add in another order when an array begins at another alignment (dot products of
OpenBLAS for SSE processors, and of MKL, for two). The arrays that BLAS reads are therefore
allocated here: then the same computation also rounds the same, wherever the system put the arrays.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

ALIGNMENT = 64  # bytes: a cache line, and the widest vector register


def aligned_empty(shape: tuple[int, ...], dtype: npt.DTypeLike = np.float32) -> npt.NDArray[Any]:
    """Return a C-contiguous array of this shape that is aligned and not initialised."""
    kind = np.dtype(dtype)
    size = prod(shape) * kind.itemsize
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(kind).reshape(shape)


def aligned_copy(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an aligned, C-contiguous copy of an array, or the array itself if it is both."""
    if array.ctypes.data % ALIGNMENT == 0 and array.flags.c_contiguous:
        return array
    copy = aligned_empty(array.shape, array.dtype)
    copy[...] = array
    return copy

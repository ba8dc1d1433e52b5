"""Arrays whose memory begins at a fixed alignment.

Some BLAS kernels add in another order if an array has another alignment, for example the dot
products of MKL, and of OpenBLAS on SSE processors. The arrays that BLAS reads are therefore
allocated here. Then the same computation rounds the same, wherever the system puts the arrays.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

ALIGNMENT = 64  # in bytes: the size of a cache line and of the widest vector register


def aligned_empty(shape: tuple[int, ...], dtype: npt.DTypeLike = np.float32) -> npt.NDArray[Any]:
    """Return an aligned, C-contiguous, uninitialised array of this shape."""
    kind = np.dtype(dtype)
    size = prod(shape) * kind.itemsize
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(kind).reshape(shape)


def aligned_copy(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an aligned, C-contiguous copy, or the array itself if it is both already."""
    if array.ctypes.data % ALIGNMENT == 0 and array.flags.c_contiguous:
        return array
    copy = aligned_empty(array.shape, array.dtype)
    copy[...] = array
    return copy

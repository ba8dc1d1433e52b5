"""Conversion of float16 to float32, several times as fast as NumPy's own.

A float16 has 1 bit of sign, 5 of exponent with the bias 15, and 10 of mantissa; a float32 has 1, 8
with the bias 127, and 23. The exponent and mantissa are moved to their new places, and a product by
2 ** (127 - 15) corrects the bias. It also gives subnormal numbers their right exponent. The result
is exact. Infinities and NaN are not converted right: they must have been refused before.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_REBIAS = np.float32(2.0 ** (127 - 15))


def as_float32(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return a new array with finite floats of any type as float32."""
    if values.dtype != np.dtype("=f2"):
        with np.errstate(over="ignore"):
            return values.astype(np.float32)
    bits = np.ascontiguousarray(values).view(np.uint16).astype(np.uint32)
    sign = bits & 0x8000
    sign <<= 16
    bits &= 0x7FFF
    bits <<= 13
    floats = bits.view(np.float32)
    floats *= _REBIAS
    bits |= sign
    return floats

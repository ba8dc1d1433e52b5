"""Examples as rows: matrices as they are, images row by row, with their channels last.

Notation: N examples, D features, H x W pixels.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from core.datasets.dataset import DataError, ImageShape

Array = npt.NDArray[Any]

SHAPES = "(N, D), (N, H, W), (N, H, W, 1 or 3) or (N, 1 or 3, H, W)"


def shape_of(X: Array) -> ImageShape | None:
    """Return (H, W) for grey images, (H, W, 3) for images in colour, and None for rows.

    X: of one of `SHAPES`; one with channels both first and last has them last. Raises DataError if
    it is of none.
    """
    match X.shape[1:]:
        case (_,):
            return None
        case (height, width) | (height, width, 1):
            return height, width
        case (height, width, 3):
            return height, width, 3
        case (1, height, width):
            return height, width
        case (3, height, width):
            return height, width, 3
    raise DataError(f"Examples must have the shape {SHAPES}, not {X.shape}.")


def as_rows(X: Array) -> Array:
    """Return the examples as rows, (N, D); of images in colour, a pixel's channels side by side.

    Raises DataError as `shape_of` does.
    """
    shape = shape_of(X)
    if shape is not None and len(shape) == 3 and X.shape[3] != 3:
        X = np.moveaxis(X, 1, 3)
    return X.reshape(len(X), -1)


def checked_shape(given: Array, X: Array, where: str) -> ImageShape:
    """Return the image shape that a file gives for the examples X, (N, D) or images.

    where: what the array ``given`` is called in a message. Raises DataError if it is not (H, W) or
    (H, W, 3), or does not fit.
    """
    if given.dtype.kind in "iu" and given.ndim == 1 and given.min(initial=1) >= 1:
        shape = tuple(given.tolist())
        right = len(shape) == 2 or (len(shape) == 3 and shape[2] == 3)
        if right and prod(shape) == prod(X.shape[1:]) and shape_of(X) in (None, shape):
            return shape
    raise DataError(
        f"{where} must be two positive integers (H, W), or (H, W, 3) in colour, that fit X of the "
        f"shape {X.shape}, not {str(given)[:40]}."
    )

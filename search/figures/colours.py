"""Colour signed numbers: red is positive, blue negative, white zero, and grey has no value."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from search.figures.page import Pixels

Reals = npt.NDArray[np.floating[Any]]

GREY = (187, 187, 187)  # numbers that are not finite

# Lightness falls equally from white to either side, so that w and -w look equally strong.
# These are the colours of ColorBrewer's RdBu, with white in the middle.
_ANCHORS = (
    (5, 48, 97), (32, 101, 171), (67, 147, 195), (144, 196, 221), (209, 229, 240), (255, 255, 255),
    (253, 219, 199), (243, 164, 129), (214, 96, 77), (177, 24, 43), (103, 0, 31),
)  # fmt: skip
_HALF = 128  # steps from white to either end
_NO_VALUE = 2 * _HALF + 1


def _lookup_table() -> Pixels:
    """Return the colours of all steps from blue to red, and the grey of missing values."""
    steps = np.linspace(0, len(_ANCHORS) - 1, 2 * _HALF + 1)
    channels = [
        np.interp(steps, np.arange(len(_ANCHORS)), values) for values in zip(*_ANCHORS, strict=True)
    ]
    return np.vstack([np.rint(np.stack(channels, axis=1)), GREY]).astype(np.uint8)


_COLOURS = _lookup_table()  # (2 _HALF + 2, 3)


def largest(values: Reals) -> float:
    """Return the largest finite absolute value (any shape), or 0 if none is finite."""
    return float(np.max(np.abs(values), where=np.isfinite(values), initial=0.0))


def coloured(values: Reals, scale: float) -> Pixels:
    """Return the colours of these values, (...), as (..., 3).

    scale: the absolute value of full colour; larger ones are clipped to it, and with a scale of 0
        everything is white.
    """
    values = values.astype(np.float64)
    known = np.isfinite(values)
    # Values are clipped before they are scaled, so that a tiny scale cannot overflow.
    unit = np.clip(np.where(known, values, 0.0), -scale, scale) / (scale or 1.0)
    steps = np.where(known, np.rint(unit * _HALF) + _HALF, _NO_VALUE).astype(np.intp)
    return _COLOURS[steps]

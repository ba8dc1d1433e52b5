"""What a picture shows, and which sentences are written into it."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from search.figures.page import MUTED, text_line

Pixels = npt.NDArray[np.uint8]


def decoded(png: bytes) -> Pixels:
    """The pixels of a PNG in colour, (height, width, 3)."""
    with Image.open(io.BytesIO(png)) as picture:
        assert picture.format == "PNG"
        assert picture.mode == "RGB"
        return np.asarray(picture)


def holds(picture: Pixels, part: Pixels) -> bool:
    """Whether a part of the picture is just this one."""
    if any(np.less(picture.shape, part.shape)):
        return False
    windows = np.lib.stride_tricks.sliding_window_view(picture[:, :, 0], part.shape[:2])
    wanted = part[:, :, 0]
    # Few places share the part's middle row, so that only these are compared in full.
    row = len(wanted) // 2
    places = np.argwhere((windows[:, :, row] == wanted[row]).all(axis=2))
    return any(np.array_equal(windows[top, left], wanted) for top, left in places)


def says(png: bytes, sentence: str, size: int = 12) -> bool:
    """Whether a sentence is written into a picture as a muted line of letters of this size."""
    return holds(decoded(png), text_line(sentence, size, MUTED))

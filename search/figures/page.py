"""Lay out images and lines of text on a white page, with Pillow.

All images are (height, width, 3) uint8 RGB.
"""

from __future__ import annotations

import io
import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from math import ceil

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from search.figures.style import COMPRESSION

Pixels = npt.NDArray[np.uint8]

WHITE, INK, MUTED, LINE = 255, 40, 110, 205  # grey levels


def blank(height: int, width: int) -> Pixels:
    """Return a white image."""
    return np.full((height, width, 3), WHITE, dtype=np.uint8)


def framed(image: Pixels) -> Pixels:
    """Return an image with a thin frame, because weights near zero are as white as the page."""
    framed = np.full((image.shape[0] + 2, image.shape[1] + 2, 3), LINE, dtype=np.uint8)
    framed[1:-1, 1:-1] = image
    return framed


def captioned(image: Pixels, lines: Sequence[str]) -> Pixels:
    """Return an image with lines of text above, which are cut to its width."""
    texts = [text_line(fitted(line, image.shape[1], 12), 12, INK) for line in lines]
    return stacked([*texts, image], gap=1)


def stacked(parts: Sequence[Pixels], gap: int, edge: int = 0) -> Pixels:
    """Return the parts one below the other on white, aligned left."""
    height = sum(part.shape[0] for part in parts) + gap * (len(parts) - 1)
    page = blank(height + 2 * edge, max(part.shape[1] for part in parts) + 2 * edge)
    top = edge
    for part in parts:
        page[top : top + part.shape[0], edge : edge + part.shape[1]] = part
        top += part.shape[0] + gap
    return page


def beside(parts: Sequence[Pixels], gap: int) -> Pixels:
    """Return the parts from left to right on white, aligned at the bottom."""
    height = max(part.shape[0] for part in parts)
    page = blank(height, sum(part.shape[1] for part in parts) + gap * (len(parts) - 1))
    left = 0
    for part in parts:
        page[height - part.shape[0] :, left : left + part.shape[1]] = part
        left += part.shape[1] + gap
    return page


def tiled(tiles: Sequence[Pixels], columns: int, gap: int = 8) -> Pixels:
    """Return the tiles in a grid, row by row, each at the bottom left of its cell."""
    height = max(tile.shape[0] for tile in tiles)
    width = max(tile.shape[1] for tile in tiles)
    rows = ceil(len(tiles) / columns)
    page = blank(rows * (height + gap) - gap, columns * (width + gap) - gap)
    for index, tile in enumerate(tiles):
        row, column = divmod(index, columns)
        bottom, left = row * (height + gap) + height, column * (width + gap)
        page[bottom - tile.shape[0] : bottom, left : left + tile.shape[1]] = tile
    return page


@lru_cache(maxsize=8)
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return Pillow's built-in font in this size."""
    return ImageFont.load_default(size)


@lru_cache(maxsize=4096)
def _length(text: str, size: int) -> float:
    """Return the length of a text in pixels, which takes Pillow as long as to draw it."""
    return font(size).getlength(text)


def text_width(text: str, size: int = 12) -> int:
    """Return the width of a line of text in pixels."""
    return ceil(_length(text, size)) + 1


def printable(text: str) -> str:
    """Return the text without accents and without letters that the built-in font lacks."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return " ".join(plain.split())


def shown_names(names: Sequence[str], what: str = "class") -> list[str]:
    """Return the names as the font can draw them, or a number for a name that it cannot."""
    return [printable(name) or f"{what} {index}" for index, name in enumerate(names)]


@lru_cache(maxsize=4096)
def fitted(text: str, width: int, size: int) -> str:
    """Return as much of the text as fits into ``width`` pixels."""
    if _length(text, size) <= width:
        return text

    def cut(end: int) -> str:
        return f"{text[:end].rstrip()}..."

    # More of the text is never narrower.
    more = bisect_right(
        range(len(text)), float(width), key=lambda end: font(size).getlength(cut(end))
    )
    return cut(max(more - 1, 0))


def wrapped(text: str, width: int, size: int) -> list[str]:
    """Return the text in lines of at most ``width`` pixels, broken at spaces."""
    lines: list[str] = []
    for word in printable(text).split(" "):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and _length(longer, size) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def paragraphs(sentences: Sequence[str], width: int, size: int) -> list[Pixels]:
    """Return sentences, each on lines of its own, as lines of muted text of at most this width."""
    lines = [line for sentence in sentences for line in wrapped(sentence, width, size)]
    return [text_line(line, size, MUTED) for line in lines]


@lru_cache(maxsize=4096)
def text_line(text: str, size: int, ink: int) -> Pixels:
    """Return a line of text, dark on white; all lines of one size have the same height."""
    letters = font(size)
    baseline = ceil(0.8 * size)
    line = Image.new("L", (text_width(text, size), baseline + ceil(0.3 * size)), WHITE)
    ImageDraw.Draw(line).text((0, baseline), text, fill=ink, font=letters, anchor="ls")
    return np.asarray(line)[:, :, None].repeat(3, axis=2)


def png(image: Pixels) -> bytes:
    """Return an image as PNG bytes."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG", compress_level=COMPRESSION)
    return stream.getvalue()

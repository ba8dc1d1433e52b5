"""Weights as pictures: one template a class, red where a feature speaks for it, blue against.

NumPy and Pillow only: a figure costs a hundred times as much, and a study draws one a trial.

Notation: D features, C classes; images are (height, width, 3) uint8 RGB.
"""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from math import ceil, isfinite, isqrt, prod, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Pixels = npt.NDArray[np.uint8]
Reals = npt.NDArray[np.floating[Any]]
ImageShape = tuple[int, int] | None

PANEL = 112  # pixels, the longer side that a template is enlarged to, as near as integers allow
SHEET = 1200  # pixels, the width that a contact sheet does not exceed if it can help it
COMPRESSION = 4  # of zlib: beyond it, time doubles for a few per cent
WHITE, INK, MUTED, LINE = 255, 40, 110, 205  # grey levels
GREY = (187, 187, 187)  # no value: padding, and weights that are not finite

# Lightness falls from white alike to either side, hence w and -w look about equally strong.
# RdBu of ColorBrewer, its middle made white.
_ANCHORS = (
    (5, 48, 97), (32, 101, 171), (67, 147, 195), (144, 196, 221), (209, 229, 240), (255, 255, 255),
    (253, 219, 199), (243, 164, 129), (214, 96, 77), (177, 24, 43), (103, 0, 31),
)  # fmt: skip
_HALF = 128  # steps from white to either end
_NO_VALUE = 2 * _HALF + 1


def _lookup_table() -> Pixels:
    steps = np.linspace(0, len(_ANCHORS) - 1, 2 * _HALF + 1)
    channels = [
        np.interp(steps, np.arange(len(_ANCHORS)), values) for values in zip(*_ANCHORS, strict=True)
    ]
    return np.vstack([np.rint(np.stack(channels, axis=1)), GREY]).astype(np.uint8)


_COLOURS = _lookup_table()  # (2 _HALF + 2, 3)


def largest_weight(weights: Reals) -> float:
    """The scale of these weights (any shape): the largest finite |w|, or 0 if there is none."""
    return float(np.max(np.abs(weights), where=np.isfinite(weights), initial=0.0))


def template(column: Reals, image_shape: ImageShape, scale: float) -> Pixels:
    """One class's weights, (D,), as an image of one pixel a feature.

    Red is positive, blue negative, white zero; ``scale`` is the |w| of full colour, and larger
    weights are clipped to it. Features without an image shape fill the most nearly square grid,
    row by row. Padding and weights that are not finite are grey. A scale of 0 draws all white.

    Raises ValueError if the shapes disagree, or the scale is negative or not finite.
    """
    if not (isfinite(scale) and scale >= 0):
        raise ValueError(f"The scale must be finite and not negative, not {scale}.")
    if column.ndim != 1 or column.size == 0:
        raise ValueError(f"A template needs weights of shape (D,), D > 0, not {column.shape}.")
    height, width = _grid(column.size) if image_shape is None else image_shape
    if image_shape is not None and prod(image_shape) != column.size:
        raise ValueError(
            f"A template of {height} x {width} pixels needs {height * width} weights, "
            f"not {column.size}."
        )
    values = np.full(height * width, np.nan)
    values[: column.size] = column
    known = np.isfinite(values)
    # Scaled after clipping, so that a tiny scale cannot overflow; only then is it safe to round.
    unit = np.clip(np.where(known, values, 0.0), -scale, scale) / (scale or 1.0)
    steps = np.where(known, np.rint(unit * _HALF) + _HALF, _NO_VALUE).astype(np.intp)
    return _COLOURS[steps].reshape(height, width, 3)


def class_image(column: Reals, image_shape: ImageShape, scale: float) -> Pixels:
    """One class's template, enlarged to about `PANEL` pixels: (height, width, 3).

    Takes and raises what `template` does.
    """
    return _resized(template(column, image_shape, scale), PANEL)


def templates(
    weights: Reals,
    class_names: Sequence[str],
    image_shape: ImageShape,
    scale: float | None = None,
) -> bytes:
    """A PNG of all classes' templates, (D, C), labelled, on one scale that is written below.

    ``scale`` is the |w| of full colour, by default the largest finite |w|. The same arguments
    give the same bytes.

    Raises ValueError as `template` does, and if there is not one name a class.
    """
    _check(weights, class_names)
    scale = largest_weight(weights) if scale is None else scale
    columns = _columns(len(class_names))
    # Hundreds of classes shrink, so that the picture stays one that a browser shows whole.
    target = min(PANEL, max(1600 // columns, 16))
    panels = _panels(weights, image_shape, scale, target)
    names = _names(class_names)
    body = _tiled([_captioned(p, [n]) for p, n in zip(panels, names, strict=True)], columns)
    legend = f"blue -{scale:.3g}   red +{scale:.3g}" if scale else "all zero"
    return _png(
        _stacked([body, _text(_fitted(legend, body.shape[1], 11), 11, MUTED)], gap=5, edge=6)
    )


def side_by_side(
    entries: Sequence[tuple[Reals, str]],
    class_names: Sequence[str],
    image_shape: ImageShape,
    scale: float,
) -> bytes:
    """A PNG of several models' templates, a row each with its caption, all on one scale.

    Raises ValueError as `templates` does, and if there are no entries.
    """
    if not entries:
        raise ValueError("Side by side needs at least one model.")
    names = _names(class_names)
    rows: list[Pixels] = []
    for weights, caption in entries:
        _check(weights, class_names)
        target = min(PANEL, max(1600 // _columns(len(names)), 16))
        panels = _panels(weights, image_shape, scale, target)
        body = _tiled(
            [_captioned(p, [n]) for p, n in zip(panels, names, strict=True)], _columns(len(names))
        )
        largest = f"{caption}, largest |w| {largest_weight(weights):.3g}"
        rows += [_text(_fitted(largest, body.shape[1], 12), 12, INK), body, _blank(6, 1)]
    legend = f"blue -{scale:.3g}   red +{scale:.3g}"
    return _png(_stacked([*rows, _text(_fitted(legend, 1600, 11), 11, MUTED)], gap=4, edge=6))


def contact_sheet(
    entries: Sequence[tuple[Reals, str]], class_names: Sequence[str], image_shape: ImageShape
) -> bytes:
    """A PNG of many trials' templates, each trial on its own scale, with its caption.

    ``entries`` are weights (D, C) and a short caption a trial, from worst to best: the order in
    which they are laid out, row by row.

    Raises ValueError as `templates` does, and if there are no entries.
    """
    if not entries:
        raise ValueError("A contact sheet needs at least one trial.")
    columns = _columns(len(class_names))
    # The fewer the trials, the larger each.
    tile = min(max(int(sqrt(SHEET * SHEET / 2 / len(entries))), 120), 240)
    tiles = []
    for weights, caption in entries:
        _check(weights, class_names)
        panels = _panels(weights, image_shape, largest_weight(weights), max(tile // columns, 8))
        body = _tiled(panels, columns, gap=3)
        tiles.append(_captioned(body, _wrapped(caption, body.shape[1], 12)[:2]))
    across = max(SHEET // (max(each.shape[1] for each in tiles) + 18), 1)
    across = ceil(len(tiles) / ceil(len(tiles) / across))  # rows of nearly the same length
    body = _tiled(tiles, across, gap=18)
    return _png(_stacked([*_heading(len(entries), class_names, body.shape[1]), body], 5, 16))


def _heading(count: int, class_names: Sequence[str], width: int) -> list[Pixels]:
    names = _names(class_names)
    shown = ", ".join(names) if len(names) <= 20 else f"{names[0]} to {names[-1]}"
    order = "left to right" if _columns(len(names)) == len(names) else "row by row"
    title = "Weights of 1 trial" if count == 1 else f"Weights of {count:,} trials, worst to best"
    notes = [
        f"Each trial on its own scale: blue negative, white zero, red positive. "
        f"Classes {order}: {shown}."
    ]
    if count > 1:
        notes.insert(0, "The worst is at the top left, the best ends the last row.")
    width = max(width, 420)
    lines = [_text(line, 18, INK) for line in _wrapped(title, width, 18)]
    lines += [_text(line, 12, MUTED) for note in notes for line in _wrapped(note, width, 12)]
    return [*lines, _blank(6, 1)]


def _check(weights: Reals, class_names: Sequence[str]) -> None:
    if weights.ndim != 2 or weights.shape[1] != len(class_names) or not class_names:
        raise ValueError(
            f"{len(class_names)} class names need weights of shape (D, {len(class_names)}), "
            f"not {weights.shape}."
        )


def _names(class_names: Sequence[str]) -> list[str]:
    return [_printable(name) or f"class {c}" for c, name in enumerate(class_names)]


def _panels(weights: Reals, image_shape: ImageShape, scale: float, target: int) -> list[Pixels]:
    return [_framed(_resized(template(column, image_shape, scale), target)) for column in weights.T]


def _grid(size: int) -> tuple[int, int]:
    """Height and width of the most nearly square grid of ``size`` cells or a few more."""
    width = isqrt(size - 1) + 1
    return ceil(size / width), width


def _columns(count: int) -> int:
    if count <= 5:
        return count
    return ceil(count / 2) if count <= 10 else isqrt(count - 1) + 1


def _resized(image: Pixels, target: int) -> Pixels:
    """Enlarged by an integer, the longer side nearest to ``target``; or reduced to twice that."""
    longer = max(image.shape[:2])
    if longer > 2 * target:
        return np.asarray(Image.fromarray(image).reduce(ceil(longer / (2 * target))))
    factor = max(round(target / longer), 1)
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def _blank(height: int, width: int) -> Pixels:
    return np.full((height, width, 3), WHITE, dtype=np.uint8)


def _framed(image: Pixels) -> Pixels:
    """With a hairline around it: weights near zero are as white as the page."""
    framed = np.full((image.shape[0] + 2, image.shape[1] + 2, 3), LINE, dtype=np.uint8)
    framed[1:-1, 1:-1] = image
    return framed


def _captioned(image: Pixels, lines: Sequence[str]) -> Pixels:
    """With lines of text above, cut to its width."""
    texts = [_text(_fitted(line, image.shape[1], 12), 12, INK) for line in lines]
    return _stacked([*texts, image], gap=1)


def _stacked(parts: Sequence[Pixels], gap: int, edge: int = 0) -> Pixels:
    """One below the other, aligned left, on white."""
    height = sum(part.shape[0] for part in parts) + gap * (len(parts) - 1)
    page = _blank(height + 2 * edge, max(part.shape[1] for part in parts) + 2 * edge)
    top = edge
    for part in parts:
        page[top : top + part.shape[0], edge : edge + part.shape[1]] = part
        top += part.shape[0] + gap
    return page


def _tiled(tiles: Sequence[Pixels], columns: int, gap: int = 8) -> Pixels:
    """Row by row in a grid, each at the bottom left of its cell."""
    height = max(tile.shape[0] for tile in tiles)
    width = max(tile.shape[1] for tile in tiles)
    rows = ceil(len(tiles) / columns)
    page = _blank(rows * (height + gap) - gap, columns * (width + gap) - gap)
    for place, tile in enumerate(tiles):
        row, column = divmod(place, columns)
        bottom, left = row * (height + gap) + height, column * (width + gap)
        page[bottom - tile.shape[0] : bottom, left : left + tile.shape[1]] = tile
    return page


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _printable(text: str) -> str:
    """Without what the built-in font would draw as boxes: accents go, other scripts too."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return " ".join(plain.split())


@lru_cache(maxsize=1024)
def _fitted(text: str, width: int, size: int) -> str:
    """As much of the text as fits, in pixels."""
    if _font(size).getlength(text) <= width:
        return text
    return max(
        (f"{text[:end].rstrip()}..." for end in range(len(text))),
        key=lambda cut: (_font(size).getlength(cut) <= width, len(cut)),
    )


def _wrapped(text: str, width: int, size: int) -> list[str]:
    """Lines that fit, in pixels, broken at spaces."""
    lines: list[str] = []
    for word in _printable(text).split(" "):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and _font(size).getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


@lru_cache(maxsize=1024)
def _text(text: str, size: int, ink: int) -> Pixels:
    """A line of text, dark on white; every line of one size has the same height."""
    font = _font(size)
    baseline = ceil(0.8 * size)
    line = Image.new("L", (ceil(font.getlength(text)) + 1, baseline + ceil(0.3 * size)), WHITE)
    ImageDraw.Draw(line).text((0, baseline), text, fill=ink, font=font, anchor="ls")
    return np.asarray(line)[:, :, None].repeat(3, axis=2)


def _png(image: Pixels) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG", compress_level=COMPRESSION)
    return stream.getvalue()

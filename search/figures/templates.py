"""Draw weights as pictures, one template per class: red speaks for the class, blue against it.

Only NumPy and Pillow are used, because a study draws one picture per trial and a Matplotlib figure
takes a hundred times as long.

Notation: D features, C classes; images are (height, width, 3) uint8 RGB.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, isfinite, isqrt, prod, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from search.figures.page import (
    INK,
    MUTED,
    Pixels,
    blank,
    captioned,
    fitted,
    framed,
    png,
    printable,
    stacked,
    text_line,
    tiled,
    wrapped,
)

Reals = npt.NDArray[np.floating[Any]]
ImageShape = tuple[int, ...] | None  # (H, W), or (H, W, 3) in colour

PANEL = 112  # pixels; the longer side of an enlarged template, as near as integers allow
SHEET = 1200  # pixels; the width of a contact sheet, unless one tile is wider
GREY = (187, 187, 187)  # padding, and weights that are not finite

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


def largest_weight(weights: Reals) -> float:
    """Return the largest finite |w| of these weights (any shape), or 0 if none is finite."""
    return float(np.max(np.abs(weights), where=np.isfinite(weights), initial=0.0))


def template(column: Reals, image_shape: ImageShape, scale: float) -> Pixels:
    """Return one class's weights, (D,), as an image with one pixel per feature.

    Positive weights are red, negative ones blue, and zero is white. ``scale`` is the |w| of full
    colour, and larger weights are clipped to it; a scale of 0 draws all white. Of a pixel in
    colour, the mean weight of its three channels is drawn. Without an image shape, features fill
    the most nearly square grid, row by row. Padding and weights that are not finite are grey.

    Raises ValueError if the shapes disagree, or if the scale is negative or not finite.
    """
    if not (isfinite(scale) and scale >= 0):
        raise ValueError(f"The scale must be finite and not negative, not {scale}.")
    if column.ndim != 1 or column.size == 0:
        raise ValueError(f"A template needs weights of shape (D,), D > 0, not {column.shape}.")
    if image_shape is not None and prod(image_shape) != column.size:
        raise ValueError(
            f"A template of {' x '.join(map(str, image_shape))} pixels needs {prod(image_shape)} "
            f"weights, not {column.size}."
        )
    height, width = _grid(column.size) if image_shape is None else image_shape[:2]
    if image_shape is not None and len(image_shape) == 3:
        column = column.reshape(-1, image_shape[2]).mean(axis=1)
    values = np.full(height * width, np.nan)
    values[: column.size] = column
    known = np.isfinite(values)
    # Weights are clipped before they are scaled, so that a tiny scale cannot overflow.
    unit = np.clip(np.where(known, values, 0.0), -scale, scale) / (scale or 1.0)
    steps = np.where(known, np.rint(unit * _HALF) + _HALF, _NO_VALUE).astype(np.intp)
    return _COLOURS[steps].reshape(height, width, 3)


def class_image(column: Reals, image_shape: ImageShape, scale: float) -> Pixels:
    """Return one class's template, enlarged to about `PANEL` pixels: (height, width, 3).

    Arguments and errors are those of `template`.
    """
    return _resized(template(column, image_shape, scale), PANEL)


def templates(
    weights: Reals,
    class_names: Sequence[str],
    image_shape: ImageShape,
    scale: float | None = None,
) -> bytes:
    """Return a PNG of all classes' templates, (D, C), labelled, on one scale that is written below.

    ``scale`` is the |w| of full colour, by default the largest finite |w|. The same arguments give
    the same bytes.

    Raises ValueError as `template` does, and if there is not one name per class.
    """
    _check(weights, class_names)
    scale = largest_weight(weights) if scale is None else scale
    body = _labelled(weights, class_names, image_shape, scale)
    legend = f"blue -{scale:.3g}   red +{scale:.3g}" if scale else "all zero"
    return png(
        stacked([body, text_line(fitted(legend, body.shape[1], 11), 11, MUTED)], gap=5, edge=6)
    )


def side_by_side(
    entries: Sequence[tuple[Reals, str]],
    class_names: Sequence[str],
    image_shape: ImageShape,
    scale: float,
) -> bytes:
    """Return a PNG of several models' templates on one scale, each model under its caption.

    Raises ValueError as `templates` does, and if there are no entries.
    """
    if not entries:
        raise ValueError("Side by side needs at least one model.")
    rows: list[Pixels] = []
    for weights, caption in entries:
        _check(weights, class_names)
        body = _labelled(weights, class_names, image_shape, scale)
        largest = f"{caption}, largest |w| {largest_weight(weights):.3g}"
        rows += [text_line(fitted(largest, body.shape[1], 12), 12, INK), body, blank(6, 1)]
    legend = f"blue -{scale:.3g}   red +{scale:.3g}"
    return png(stacked([*rows, text_line(fitted(legend, 1600, 11), 11, MUTED)], gap=4, edge=6))


def contact_sheet(
    entries: Sequence[tuple[Reals, str]], class_names: Sequence[str], image_shape: ImageShape
) -> bytes:
    """Return a PNG of many trials' templates, each trial on its own scale and under its caption.

    ``entries`` are the weights (D, C) and a short caption of each trial, from worst to best. They
    are laid out in this order, row by row.

    Raises ValueError as `templates` does, and if there are no entries.
    """
    if not entries:
        raise ValueError("A contact sheet needs at least one trial.")
    columns = _columns(len(class_names))
    # Fewer trials get larger tiles.
    tile = min(max(int(sqrt(SHEET * SHEET / 2 / len(entries))), 120), 240)
    tiles = []
    for weights, caption in entries:
        _check(weights, class_names)
        panels = _panels(weights, image_shape, largest_weight(weights), max(tile // columns, 8))
        body = tiled(panels, columns, gap=3)
        tiles.append(captioned(body, wrapped(caption, body.shape[1], 12)[:2]))
    across = max(SHEET // (max(each.shape[1] for each in tiles) + 18), 1)
    across = ceil(len(tiles) / ceil(len(tiles) / across))  # so rows have nearly the same length
    body = tiled(tiles, across, gap=18)
    return png(stacked([*_heading(len(entries), class_names, body.shape[1]), body], 5, 16))


def _heading(count: int, class_names: Sequence[str], width: int) -> list[Pixels]:
    """Return the title and notes of a contact sheet, as lines of pixels."""
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
    lines = [text_line(line, 18, INK) for line in wrapped(title, width, 18)]
    lines += [text_line(line, 12, MUTED) for note in notes for line in wrapped(note, width, 12)]
    return [*lines, blank(6, 1)]


def _check(weights: Reals, class_names: Sequence[str]) -> None:
    """Raise ValueError if the weights are not (D, C) with one name per class."""
    if weights.ndim != 2 or weights.shape[1] != len(class_names) or not class_names:
        raise ValueError(
            f"{len(class_names)} class names need weights of shape (D, {len(class_names)}), "
            f"not {weights.shape}."
        )


def _names(class_names: Sequence[str]) -> list[str]:
    """Return the names as the font can draw them, or a number for a name that it cannot."""
    return [printable(name) or f"class {c}" for c, name in enumerate(class_names)]


def _panels(weights: Reals, image_shape: ImageShape, scale: float, target: int) -> list[Pixels]:
    """Return each class's template, enlarged and framed."""
    return [framed(_resized(template(column, image_shape, scale), target)) for column in weights.T]


def _labelled(
    weights: Reals, class_names: Sequence[str], image_shape: ImageShape, scale: float
) -> Pixels:
    """Return the templates of all classes, each under the name of its class."""
    columns = _columns(len(class_names))
    # With hundreds of classes, templates shrink, so that a browser can show the whole picture.
    target = min(PANEL, max(1600 // columns, 16))
    panels = _panels(weights, image_shape, scale, target)
    named = zip(panels, _names(class_names), strict=True)
    return tiled([captioned(panel, [name]) for panel, name in named], columns)


def _grid(size: int) -> tuple[int, int]:
    """Return height and width of the most nearly square grid with at least ``size`` cells."""
    width = isqrt(size - 1) + 1
    return ceil(size / width), width


def _columns(count: int) -> int:
    """Return in how many columns the templates of ``count`` classes are laid out."""
    if count <= 5:
        return count
    return ceil(count / 2) if count <= 10 else isqrt(count - 1) + 1


def _resized(image: Pixels, target: int) -> Pixels:
    """Return an image enlarged by an integer, so that its longer side is nearest to ``target``.

    An image of more than twice that size is reduced to twice that size.
    """
    longer = max(image.shape[:2])
    if longer > 2 * target:
        return np.asarray(Image.fromarray(image).reduce(ceil(longer / (2 * target))))
    factor = max(round(target / longer), 1)
    return image.repeat(factor, axis=0).repeat(factor, axis=1)

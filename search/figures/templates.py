"""Draw weights as pictures, one template per class: red speaks for the class, blue against it.

Only NumPy and Pillow are used, because a study draws one picture per trial and a Matplotlib figure
takes a hundred times as long.

Notation: D features, C classes; images are (height, width, 3) uint8 RGB.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, isfinite, isqrt, prod, sqrt

import numpy as np
from PIL import Image

from search.figures.colours import Reals, coloured, largest
from search.figures.page import (
    INK,
    MUTED,
    Pixels,
    blank,
    captioned,
    fitted,
    framed,
    paragraphs,
    png,
    shown_names,
    stacked,
    text_line,
    tiled,
    wrapped,
)
from search.figures.sheet import heading, listed

ImageShape = tuple[int, int]

PANEL = 112  # pixels; the longer side of an enlarged template, as near as integers allow
PAGE = 900  # pixels; about the width of the templates of many classes
SHEET = 1200  # pixels; the width of a contact sheet, unless one tile is wider
ENLARGED = 10  # the most classes whose templates may be larger than PANEL, if the images are


def template(column: Reals, image_shape: ImageShape, scale: float) -> Pixels:
    """Return one class's weights, (D,), as an image with one pixel per feature.

    Positive weights are red, negative ones blue, and zero is white. ``scale`` is the |w| of full
    colour, and larger weights are clipped to it; a scale of 0 draws all white. Weights that are not
    finite are grey.

    Raises ValueError if the shapes disagree, or if the scale is negative or not finite.
    """
    if not (isfinite(scale) and scale >= 0):
        raise ValueError(f"The scale must be finite and not negative, not {scale}.")
    if column.ndim != 1 or column.size == 0:
        raise ValueError(f"A template needs weights of shape (D,), D > 0, not {column.shape}.")
    height, width = image_shape
    if prod(image_shape) != column.size:
        raise ValueError(
            f"A template of {' x '.join(map(str, image_shape))} pixels needs {prod(image_shape)} "
            f"weights, not {column.size}."
        )
    return coloured(column, scale).reshape(height, width, 3)


def class_image(column: Reals, image_shape: ImageShape, scale: float) -> Pixels:
    """Return one class's template, enlarged to about `PANEL` pixels: (height, width, 3).

    Arguments and errors are those of `template`.
    """
    return _resized(template(column, image_shape, scale), PANEL, 2 * PANEL)


def templates(
    weights: Reals,
    class_names: Sequence[str],
    image_shape: ImageShape,
    scale: float | None = None,
    notes: Sequence[str] = (),
) -> bytes:
    """Return a PNG of all classes' templates, (D, C), labelled, on one scale that is written below.

    ``scale`` is the |w| of full colour, by default the largest finite |w|. ``notes`` are sentences
    that stand below. The same arguments give the same bytes.

    Raises ValueError as `template` does, and if there is not one name per class.
    """
    _check(weights, class_names)
    scale = largest(weights) if scale is None else scale
    body = _labelled(weights, class_names, image_shape, scale)
    legend = f"blue -{scale:.3g}   red +{scale:.3g}" if scale else "all zero"
    below = [text_line(fitted(legend, body.shape[1], 11), 11, MUTED)]
    return png(stacked([body, *below, *paragraphs(notes, body.shape[1], 11)], gap=5, edge=6))


def side_by_side(
    entries: Sequence[tuple[Reals, str]],
    class_names: Sequence[str],
    image_shape: ImageShape,
    scale: float,
    notes: Sequence[str] = (),
) -> bytes:
    """Return a PNG of several models' templates on one scale, each model under its caption.

    ``notes`` are sentences that stand below.

    Raises ValueError as `templates` does, and if there are no entries.
    """
    if not entries:
        raise ValueError("Side by side needs at least one model.")
    rows: list[Pixels] = []
    for weights, caption in entries:
        _check(weights, class_names)
        body = _labelled(weights, class_names, image_shape, scale)
        told = f"{caption}, largest |w| {largest(weights):.3g}"
        rows += [text_line(fitted(told, body.shape[1], 12), 12, INK), body, blank(6, 1)]
    legend = f"blue -{scale:.3g}   red +{scale:.3g}"
    below = [text_line(fitted(legend, 1600, 11), 11, MUTED)]
    width = max(row.shape[1] for row in rows)
    return png(stacked([*rows, *below, *paragraphs(notes, width, 11)], gap=4, edge=6))


def contact_sheet(
    entries: Sequence[tuple[Reals, str]],
    class_names: Sequence[str],
    image_shape: ImageShape,
    notes: Sequence[str] = (),
) -> bytes:
    """Return a PNG of many trials' templates, each trial on its own scale and under its caption.

    ``entries`` are the weights (D, C) and a short caption of each trial, from worst to best. They
    are laid out in this order, row by row. ``notes`` are sentences of the heading.

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
        panels = _panels(weights, image_shape, largest(weights), max(tile // columns, 8))
        body = tiled(panels, columns, gap=3)
        tiles.append(captioned(body, wrapped(caption, body.shape[1], 12)[:2]))
    across = max(SHEET // (max(each.shape[1] for each in tiles) + 18), 1)
    across = ceil(len(tiles) / ceil(len(tiles) / across))  # so rows have nearly the same length
    body = tiled(tiles, across, gap=18)
    names = listed(shown_names(class_names))
    order = "left to right" if columns == len(class_names) else "row by row"
    scales = (
        f"Each trial on its own scale: blue negative, white zero, red positive. "
        f"Classes {order}: {names}."
    )
    above = heading(len(entries), [scales, *notes], body.shape[1])
    return png(stacked([*above, body], 5, 16))


def _check(weights: Reals, class_names: Sequence[str]) -> None:
    """Raise ValueError if the weights are not (D, C) with one name per class."""
    if weights.ndim != 2 or weights.shape[1] != len(class_names) or not class_names:
        raise ValueError(
            f"{len(class_names)} class names need weights of shape (D, {len(class_names)}), "
            f"not {weights.shape}."
        )


def _panels(weights: Reals, image_shape: ImageShape, scale: float, target: int) -> list[Pixels]:
    """Return each class's template, enlarged and framed."""
    most = 2 * target if weights.shape[1] <= ENLARGED else target
    return [
        framed(_resized(template(column, image_shape, scale), target, most)) for column in weights.T
    ]


def _labelled(
    weights: Reals, class_names: Sequence[str], image_shape: ImageShape, scale: float
) -> Pixels:
    """Return the templates of all classes, each under the name of its class."""
    columns = _columns(len(class_names))
    # With many classes, templates shrink, so that a picture is quick to draw and seen as a whole.
    target = min(PANEL, max(PAGE // columns, 16))
    panels = _panels(weights, image_shape, scale, target)
    named = zip(panels, shown_names(class_names), strict=True)
    return tiled([captioned(panel, [name]) for panel, name in named], columns)


def _columns(count: int) -> int:
    """Return in how many columns the templates of ``count`` classes are laid out."""
    if count <= 5:
        return count
    return ceil(count / 2) if count <= 10 else isqrt(count - 1) + 1


def _resized(image: Pixels, target: int, most: int) -> Pixels:
    """Return an image enlarged by an integer, so that its longer side is nearest to ``target``.

    An image that is longer than ``most`` is reduced by an integer to that or less.
    """
    longer = max(image.shape[:2])
    if longer > most:
        return np.asarray(Image.fromarray(image).reduce(ceil(longer / most)))
    factor = max(round(target / longer), 1)
    return image.repeat(factor, axis=0).repeat(factor, axis=1)

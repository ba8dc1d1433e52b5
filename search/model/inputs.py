"""Read pictures, arrays and tables for a champion, as its training data were read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from core.datasets.checks import listed
from core.datasets.columns import features_of
from core.datasets.dataset import DataError
from core.datasets.images import as_rows, shape_of
from core.datasets.npz import members, read_npy, read_npz
from core.datasets.source import suffix_of
from core.datasets.tables import SUFFIXES
from search.errors import LockstepError

Features = npt.NDArray[np.float32]
Shape = tuple[int, ...]
ROWS = (".npz", ".npy", *SUFFIXES)  # files of rows; all others are pictures


@dataclass(frozen=True, slots=True)
class Expected:
    """The input that a model expects.

    features: the number of features, D.
    image_shape: (H, W) of the training images, (H, W, 3) in colour, None if there were none.
    white: the value of full brightness in the training images.
    background: the usual value at the edge of the training images.
    feature_names: D of them if the features had names, otherwise none.
    source: the set of features in words, its name and file; empty if it has no name.
    """

    features: int
    image_shape: Shape | None
    white: float = 1.0
    background: float = 0.0
    feature_names: tuple[str, ...] = ()
    source: str = ""

    def looks_inverted(self, X: Features) -> bool:
        """Return whether a picture (D,) seems to have dark and bright swapped.

        This is so if the values at its edge are nearer to the other end of the scale than to the
        background.
        """
        if self.image_shape is None:
            return False
        edge = np.median(X[edge_of(self.image_shape)])
        return bool(abs(edge - self.background) > abs(self.white - edge - self.background))

    def looks_unscaled(self, X: Features) -> bool:
        """Return whether values of images, (n, D), go well beyond those of the training images."""
        return self.image_shape is not None and bool(X.max() > 1.5 * self.white)


def edge_of(shape: Shape) -> npt.NDArray[np.bool_]:
    """Return which of the D values of an image lie on its edge, (D,)."""
    edge = np.ones(shape, np.bool_)
    edge[1:-1, 1:-1] = False
    return edge.ravel()


def read_input(path: Path, expected: Expected, invert: bool = False) -> Features:
    """Return the raw features in a file, (n, D).

    They are the array X of an .npz file, the array in an .npy file, the columns of a table, or one
    row for a picture. invert: swap dark and bright in a picture. Raises LockstepError if the file
    does not fit the model.
    """
    if path.is_dir():
        raise LockstepError(f"{path}: a folder; give the files in it one by one")
    if not path.is_file():
        raise LockstepError(f"{path}: no such file; give a picture or an .npz file with an array X")
    try:
        if suffix_of(path) in ROWS:
            return _rows(path, expected)
    except DataError as error:
        raise LockstepError(str(error)) from error
    return _picture(path, expected, invert)


def _rows(path: Path, expected: Expected) -> Features:
    """Return the examples in a file of arrays or a table as float32 rows. Raises DataError."""
    if suffix_of(path) in SUFFIXES:
        if not expected.feature_names:
            raise LockstepError(
                f"{path}: the model was not trained on a table, so that its features have no "
                "names: give an .npz file with an array X"
            )
        return features_of(path, expected.feature_names).astype(np.float32)
    arrays = {"X": read_npy(path)} if suffix_of(path) == ".npy" else read_npz(path, ("X",))
    if "X" not in arrays:
        raise LockstepError(
            f"{path}: holds no array X, but {listed(members(path))}: save the rows with "
            "np.savez(file, X=...)"
        )
    X, D = arrays["X"], expected.features
    if X.dtype.kind not in "biuf" or not _fits(X, expected):
        like = f"(N, {D})"
        if expected.image_shape is not None:
            like += f" or (N, {', '.join(map(str, expected.image_shape))})"
        one = ": make one example a row with X.reshape(1, -1)" if X.shape == (D,) else ""
        of = f" on the features {expected.source}" if expected.source else ""
        raise LockstepError(
            f"{path}: X must be numbers of the shape {like}, as in training{of}, not {X.dtype} "
            f"{X.shape}{one}"
        )
    with np.errstate(over="ignore"):
        rows = as_rows(X).astype(np.float32)
    if X.dtype == np.uint8:
        rows *= np.float32(expected.white / 255)
    if not np.isfinite(rows).all():
        raise LockstepError(f"{path}: X must be finite in float32, but has NaN or infinite values")
    return rows


def _fits(X: npt.NDArray[Any], expected: Expected) -> bool:
    """Return whether an array has rows or images (at least one) like those in training."""
    if not len(X) or X.size != len(X) * expected.features:
        return False
    try:
        return shape_of(X) in (None, expected.image_shape) or X.ndim == 3
    except DataError:
        return False


def _picture(path: Path, expected: Expected, invert: bool) -> Features:
    """Return a picture as one row of values, on a white ground where it is transparent.

    They are grey unless the model was trained on colour.
    """
    from PIL import Image, UnidentifiedImageError

    shape = expected.image_shape
    if shape is None:
        raise LockstepError(
            f"{path}: the model was not trained on images, but on {expected.features} features: "
            "give an .npz file with an array X"
        )
    try:
        with Image.open(path) as image:
            _check(path, image.size, image.mode, shape)
            bands = image.convert("RGBA")
            paper = Image.new("RGBA", bands.size, "white")
            seen = Image.alpha_composite(paper, bands).convert("L" if len(shape) == 2 else "RGB")
            pixels: Features = np.asarray(seen, dtype=np.float32).reshape(1, -1) / np.float32(255)
    except UnidentifiedImageError as error:
        raise LockstepError(
            f"{path}: neither a picture that Pillow reads (PNG, JPEG, …) nor named .npz"
        ) from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise LockstepError(f"{path}: a damaged picture: {error}") from error
    if invert:
        pixels = 1 - pixels
    pixels *= np.float32(expected.white)
    return pixels


def _check(path: Path, size: Sequence[int], mode: str, shape: Shape) -> None:
    """Raise LockstepError if a picture's size or mode does not fit, before it is decoded."""
    width, height = size
    if (height, width) != shape[:2]:
        raise LockstepError(
            f"{path}: a picture of {width}×{height} pixels, but the model was trained on "
            f"{shape[1]}×{shape[0]}: crop and scale it as the training images are"
        )
    if mode.startswith(("I", "F")):
        raise LockstepError(f"{path}: has more than 8 bits a pixel ({mode}): save it with 8")

"""What a champion is asked about: pictures and feature matrices, read as its training data was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from core.datasets.dataset import DataError
from core.datasets.npz import read_npz
from search.errors import LockstepError

Features = npt.NDArray[np.float32]
Shape = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Expected:
    """features: D. image_shape: (H, W) of the training images, None where they were none; white:
    the value of full brightness in them; background: what is usual at their edge."""

    features: int
    image_shape: Shape | None
    white: float = 1.0
    background: float = 0.0

    def looks_inverted(self, X: Features) -> bool:
        """Whether a picture's edge (D,) is nearer to the other end of the scale."""
        if self.image_shape is None:
            return False
        edge = np.median(X[edge_of(self.image_shape)])
        return bool(abs(edge - self.background) > abs(self.white - edge - self.background))


def edge_of(shape: Shape) -> npt.NDArray[np.bool_]:
    """Which of the H W pixels lie on the edge of an image, (H W,)."""
    edge = np.ones(shape, np.bool_)
    edge[1:-1, 1:-1] = False
    return edge.ravel()


def read_input(path: Path, expected: Expected, invert: bool = False) -> Features:
    """The rows of a file, (n, D): of the array X in an .npz file, else the one of a picture.

    invert: a picture's dark for bright. Raises LockstepError.
    """
    if not path.is_file():
        raise LockstepError(f"{path}: no such file; give a picture or an .npz file with an array X")
    if path.suffix == ".npz":
        return _rows(path, expected)
    return _picture(path, expected, invert)


def _rows(path: Path, expected: Expected) -> Features:
    try:
        arrays = read_npz(path, ("X",))
    except DataError as error:
        raise LockstepError(str(error)) from error
    if "X" not in arrays:
        raise LockstepError(f"{path}: holds no array X: save one with np.savez(file, X=...)")
    X, D = arrays["X"], expected.features
    if X.dtype.kind not in "iuf" or X.ndim not in (2, 3) or X.size != len(X) * D or not len(X):
        like = f"(N, {D})"
        if expected.image_shape is not None:
            like += " or (N, {}, {})".format(*expected.image_shape)
        raise LockstepError(
            f"{path}: X must be numbers of the shape {like}, as in training, not {X.dtype} "
            f"{X.shape}"
        )
    with np.errstate(over="ignore"):
        rows = X.reshape(len(X), D).astype(np.float32)
    if X.dtype == np.uint8:
        rows *= np.float32(expected.white / 255)
    if not np.isfinite(rows).all():
        raise LockstepError(f"{path}: X must be finite in float32, but has NaN or infinite values")
    return rows


def _picture(path: Path, expected: Expected, invert: bool) -> Features:
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
            grey = Image.alpha_composite(paper, bands).convert("L")
            pixels: Features = np.asarray(grey, dtype=np.float32).reshape(1, -1) / np.float32(255)
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
    """Before any pixel is unpacked."""
    width, height = size
    if (height, width) != shape:
        raise LockstepError(
            f"{path}: a picture of {width}×{height} pixels, but the model was trained on "
            f"{shape[1]}×{shape[0]}: crop and scale it as the training images are"
        )
    if mode.startswith(("I", "F")):
        raise LockstepError(f"{path}: has more than 8 bits a pixel ({mode}): save it with 8")

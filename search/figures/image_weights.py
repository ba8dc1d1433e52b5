"""Draw the weights of images: a template for each class, and of very many classes for some.

Notation: D features, C classes; H x W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from search.figures.colours import Reals, largest
from search.figures.shown_classes import ShownClasses
from search.figures.templates import class_image, contact_sheet, side_by_side, templates
from search.figures.weight_pictures import Entry, Grid, Kind

CLASSES = 100  # the most that are all shown
OF_MANY = 20  # how many are shown if there are more than that
GRID_CLASSES = 12  # in MLflow's image grid


@dataclass(frozen=True, slots=True)
class ImageWeights:
    """The pictures of the weights of images; see `WeightPictures`.

    class_names: C names.
    image_shape: (H, W), or (H, W, channels), of which the mean is shown; their product is D.
    examples: the number of training examples of each class, (C,).
    """

    class_names: Sequence[str]
    image_shape: tuple[int, ...]
    examples: npt.NDArray[np.integer[Any]]

    @property
    def kind(self) -> Kind:
        """The kind of these pictures."""
        return Kind.IMAGE

    @property
    def title(self) -> str:
        """What they show."""
        return "Weight templates"

    @property
    def grid_names(self) -> Sequence[str]:
        """The names of the classes in MLflow's image grid."""
        return self._names(self._classes(GRID_CLASSES, GRID_CLASSES))

    def one(self, weights: Reals) -> bytes:
        """Return a PNG of the classes' templates, on a scale of its own."""
        shown = self._classes(CLASSES, OF_MANY)
        drawn = self._drawn(weights)[:, shown.indices]
        return templates(drawn, self._names(shown), self._pixels, notes=self._notes(shown))

    def side_by_side(self, entries: Sequence[Entry]) -> bytes:
        """Return a PNG of several models' templates on one scale."""
        shown = self._classes(CLASSES, OF_MANY)
        drawn = [(self._drawn(W)[:, shown.indices], caption) for W, caption in entries]
        scale = max((largest(weights) for weights, _ in drawn), default=0.0)
        return side_by_side(drawn, self._names(shown), self._pixels, scale, self._notes(shown))

    def sheet(self, entries: Sequence[Entry], notes: Sequence[str] = ()) -> bytes:
        """Return a PNG of many models' templates, each model on its own scale."""
        shown = self._classes(CLASSES, OF_MANY)
        drawn = [(self._drawn(W)[:, shown.indices], caption) for W, caption in entries]
        notes = [*self._notes(shown), *notes]
        return contact_sheet(drawn, self._names(shown), self._pixels, notes)

    def grid(self, models: Sequence[Reals]) -> Grid:
        """Return a template for each class, on one scale."""
        if not models:
            raise ValueError("A picture of weights needs at least one model.")
        shown = self._classes(GRID_CLASSES, GRID_CLASSES)
        drawn = [self._drawn(weights)[:, shown.indices] for weights in models]
        scale = max(map(largest, drawn))
        images = [[class_image(column, self._pixels, scale) for column in each.T] for each in drawn]
        return Grid(self._names(shown), scale, images)

    @property
    def _pixels(self) -> tuple[int, int]:
        """The height and the width of an image."""
        return self.image_shape[0], self.image_shape[1]

    def _drawn(self, weights: Reals) -> Reals:
        """Return the weights of each pixel, (H W, C): in colour, the means of its channels.

        Raises ValueError if the weights are not (D, C).
        """
        shape = (prod(self.image_shape), len(self.class_names))
        if weights.shape != shape:
            raise ValueError(f"Weights of shape {shape} are needed, not {weights.shape}.")
        if len(self.image_shape) == 2:
            return weights
        means: Reals = weights.reshape(prod(self._pixels), -1, shape[1]).mean(axis=1)
        return means

    def _classes(self, most: int, of_many: int) -> ShownClasses:
        """Return all classes if there are at most ``most``, and else ``of_many`` of them."""
        C = len(self.class_names)
        return ShownClasses.of(self.examples, C if most >= C else of_many)

    def _names(self, shown: ShownClasses) -> list[str]:
        """Return the names of the classes shown."""
        return [self.class_names[c] for c in shown.indices]

    def _notes(self, shown: ShownClasses) -> list[str]:
        """Return the sentences that say what is not shown."""
        channels = "Of each pixel, the mean over its colour channels is shown."
        return [
            *([shown.note] if shown.note else []),
            *([channels] if len(self.image_shape) > 2 else []),
        ]

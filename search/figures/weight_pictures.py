"""What every kind of picture of weights can draw; `picture_choice.py` says which fits the data.

Notation: D features, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from search.figures.colours import Reals
from search.figures.page import Pixels

Entry = tuple[Reals, str]  # a model's weights (D, C), and a short caption


class Kind(StrEnum):
    """The kinds of pictures of weights."""

    IMAGE = "image"  # a template for each class
    TABLE = "table"  # features by classes, with the features' names
    SIMILARITY = "similarity"  # the classes' weights against each other


@dataclass(frozen=True, slots=True)
class Grid:
    """Images for MLflow's image grid, which has a row for each name and a column for each model.

    scale: the absolute value that is drawn in full colour.
    images: for each model, one image a name.
    """

    names: Sequence[str]
    scale: float
    images: Sequence[Sequence[Pixels]]


class WeightPictures(Protocol):
    """The pictures of weights of one kind.

    Methods raise ValueError if weights are not (D, C), or if there is no model.
    """

    @property
    def kind(self) -> Kind:
        """The kind of these pictures."""

    @property
    def title(self) -> str:
        """What they show, in two words."""

    @property
    def grid_names(self) -> Sequence[str]:
        """The names of a model's images in MLflow's image grid."""

    def one(self, weights: Reals) -> bytes:
        """Return a PNG of a model's weights, (D, C). It is cheap: one is drawn for every trial."""

    def side_by_side(self, entries: Sequence[Entry]) -> bytes:
        """Return a PNG of several models on one scale; the last one decides what is shown."""

    def sheet(self, entries: Sequence[Entry], notes: Sequence[str] = ()) -> bytes:
        """Return a PNG of many models, from worst to best.

        notes: sentences on what is shown, which stand in the heading.
        """

    def grid(self, models: Sequence[Reals]) -> Grid:
        """Return images of several models' weights on one scale, the best model first."""

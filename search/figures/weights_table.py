"""Draw the weights of a table: features by classes, the features with the largest weights first.

Notation: D features, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, log10
from typing import Any

import numpy as np
import numpy.typing as npt

from search.figures.bars import bars
from search.figures.colours import Reals, largest
from search.figures.matrix import Cells, Matrix, colour_bar, matrices
from search.figures.page import blank, paragraphs, png, shown_names, stacked, text_width
from search.figures.sheet import listed, matrix_sheet
from search.figures.shown_classes import ShownClasses
from search.figures.weight_pictures import Entry, Grid, Kind

FEATURES, CLASSES = 20, 24  # the most that can be read
SHEET_FEATURES, SHEET_CLASSES = 16, 12  # in the picture of many trials
GRID_FEATURES, GRID_CLASSES = 12, 12  # in MLflow's image grid
NUMBERED_CLASSES = 12  # the most whose weights are also written as numbers
_MEANING = "weight: log-odds per unit of the feature, as scaled"


def most_weighty(models: Sequence[Reals], most: int) -> npt.NDArray[np.intp]:
    """Return up to ``most`` features, the one with the largest finite |w| in any of these weights,
    each (D, K), first; of equal ones, the first feature."""
    sizes = np.max([np.abs(np.where(np.isfinite(W), W, 0)).max(axis=1) for W in models], axis=0)
    return np.argsort(-sizes, kind="stable")[:most]


@dataclass(frozen=True, slots=True)
class TableWeights:
    """The pictures of a table's weights; see `WeightPictures`.

    class_names: C names. feature_names: D names.
    examples: the number of training examples of each class, (C,).
    """

    class_names: Sequence[str]
    feature_names: Sequence[str]
    examples: npt.NDArray[np.integer[Any]]

    @property
    def kind(self) -> Kind:
        """The kind of these pictures."""
        return Kind.TABLE

    @property
    def title(self) -> str:
        """What they show."""
        return "Feature weights"

    @property
    def grid_names(self) -> Sequence[str]:
        """The names of the classes in MLflow's image grid."""
        return self._classes(GRID_CLASSES)[1]

    def one(self, weights: Reals) -> bytes:
        """Return a PNG of the weights with the largest features first, on a scale of its own."""
        return self._on_one_scale([(weights, "")])

    def side_by_side(self, entries: Sequence[Entry]) -> bytes:
        """Return a PNG of several models' weights on one scale, with the same features."""
        return self._on_one_scale(entries)

    def sheet(self, entries: Sequence[Entry], notes: Sequence[str] = ()) -> bytes:
        """Return a PNG of many models' weights, each on its own scale, with the same features:
        those with the largest weights in the last, which is the best."""
        classes, names = self._classes(SHEET_CLASSES)
        models = self._of_classes(entries, classes)
        features, rows, chosen = self._features(models[-1:], SHEET_FEATURES)
        shown = [
            Matrix(W[features], largest(W), caption)
            for W, (_, caption) in zip(models, entries, strict=True)
        ]
        width = min(max(120 // len(names), 16), 40)
        told = [
            "Each trial on its own scale: blue negative, white zero, red positive. "
            f"Classes left to right: {listed(shown_names(names))}.",
            "Features are in the order of the best trial's largest weights.",
        ]
        told += [chosen, classes.note, *notes]
        return matrix_sheet(shown, rows, Cells(18, width), _said(*told))

    def grid(self, models: Sequence[Reals]) -> Grid:
        """Return a picture of bars for each class, with the same features in all of them."""
        classes, names = self._classes(GRID_CLASSES)
        models = self._of_classes([(W, "") for W in models], classes)
        features, rows, chosen = self._features(models, GRID_FEATURES)
        scale = max(map(largest, models))
        note = f"{len(features)} of {len(self.feature_names):,} features" if chosen else ""
        images = [[bars(column, rows, scale, note) for column in W[features].T] for W in models]
        return Grid(names, scale, images)

    def _on_one_scale(self, entries: Sequence[Entry]) -> bytes:
        """Return a PNG of models' weights side by side, with the same features and one scale."""
        classes, names = self._classes(CLASSES)
        models = self._of_classes(entries, classes)
        features, rows, chosen = self._features(models, FEATURES)
        scale = max(map(largest, models))
        shown = [
            Matrix(W[features], scale, caption)
            for W, (_, caption) in zip(models, entries, strict=True)
        ]
        decimals = _decimals(scale) if len(names) <= NUMBERED_CLASSES else None
        # A few columns are as wide as their names; those of many stand upright.
        width = min(max(map(text_width, names)) + 8, 90) if len(names) <= 6 else 0
        cells = Cells(20, max(width, 20 if decimals is None else 48), decimals=decimals)
        body = matrices(shown, rows, shown_names(names), cells)
        bar = colour_bar(scale, _MEANING)
        width = max(body.shape[1], bar.shape[1])
        notes = paragraphs(_said(chosen, classes.note), width, 12)
        return png(stacked([body, blank(4, 1), bar, *notes], gap=4, edge=10))

    def _of_classes(self, entries: Sequence[Entry], classes: ShownClasses) -> list[Reals]:
        """Return the models' weights of K classes, each (D, K).

        Raises ValueError if there is no model or weights are not (D, C).
        """
        D, C = len(self.feature_names), len(self.class_names)
        if not entries:
            raise ValueError("A picture of weights needs at least one model.")
        for weights, _ in entries:
            if weights.shape != (D, C):
                raise ValueError(f"Weights of shape {(D, C)} are needed, not {weights.shape}.")
        return [weights[:, classes.indices] for weights, _ in entries]

    def _classes(self, most: int) -> tuple[ShownClasses, list[str]]:
        """Return the classes that are shown, and their names."""
        shown = ShownClasses.of(self.examples, most)
        return shown, [self.class_names[c] for c in shown.indices]

    def _features(
        self, models: Sequence[Reals], most: int
    ) -> tuple[npt.NDArray[np.intp], list[str], str]:
        """Return the features that are shown, their names, and a sentence if others are not."""
        features = most_weighty(models, most)
        names = shown_names(self.feature_names, "feature")
        left_out = f"{most} of {len(names):,} features, those with the largest weights."
        note = left_out if len(names) > most else ""
        return features, [names[feature] for feature in features], note


def _decimals(scale: float) -> int | None:
    """Return with how many decimals weights up to this size fit into a cell, None with none."""
    return max(min(2 - floor(log10(scale)), 3), 0) if 0.01 <= scale < 1000 else None


def _said(*notes: str) -> list[str]:
    """Return the notes that are not empty."""
    return [note for note in notes if note]

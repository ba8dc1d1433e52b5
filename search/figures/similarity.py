"""Draw how alike the weights of the classes are, where single features have no meaning.

Notation: D features, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
import numpy.typing as npt

from search.figures.colours import Reals, largest
from search.figures.matrix import Cells, Matrix, colour_bar, matrices
from search.figures.page import blank, paragraphs, png, printable, stacked
from search.figures.sheet import matrix_sheet
from search.figures.weight_pictures import Entry, Grid, Kind

CLASSES = 24  # the most that can be read
SHEET_CLASSES = 12  # in the picture of many trials
GRID_CLASSES = 16  # in MLflow's image grid
NUMBERED_CLASSES = 12  # the most whose cosines are also written as numbers
GRID_NAME = "similarity"  # the only image in it
COMPARED = 400  # the most classes that are compared to find those that are most alike
SAMPLED = 512  # the most features that are used for it
_MEANING = "cosine between two classes' weights"
_ORDER = "Classes whose weights are alike stand together."


def cosines(weights: Reals) -> npt.NDArray[np.float64]:
    """Return the cosine of the angle between the weights (D, C) of each two classes, (C, C).

    It is NaN with a class whose weights are all zero or not all finite, and on the diagonal, where
    it would always be 1.
    """
    columns: npt.NDArray[np.float32] = weights.astype(np.float32)
    sizes = largest_by_class(columns).astype(np.float32)
    with np.errstate(invalid="ignore"):
        columns /= np.where(sizes > 0, sizes, np.nan)  # so that no square overflows
        columns /= np.sqrt((columns**2).sum(axis=0))
        found = (columns.T @ columns).astype(np.float64)
    np.fill_diagonal(found, np.nan)
    return np.clip(found, -1, 1)


def largest_by_class(weights: Reals) -> npt.NDArray[np.float64]:
    """Return the largest |w| of each class, (C,), and 0 for a class that has none or an infinite
    one."""
    sizes = np.abs(weights).max(axis=0).astype(np.float64)
    return np.where(np.isfinite(sizes), sizes, 0.0)


def most_alike(weights: Reals, most: int) -> npt.NDArray[np.intp]:
    """Return up to ``most`` classes, ascending: those whose weights (D, C) are most like those of
    another class.

    Of more than `COMPARED` classes, only those with the largest weights are compared, and of more
    than `SAMPLED` features, every second, every third, and so on.
    """
    C = weights.shape[1]
    if most >= C:
        return np.arange(C)
    compared = np.sort(np.argsort(-largest_by_class(weights), kind="stable")[:COMPARED])
    sample = weights[:: ceil(weights.shape[0] / SAMPLED), compared]
    found = cosines(sample)
    nearest = np.where(np.isnan(found), -2.0, found).max(axis=1)
    return np.sort(compared[np.argsort(-nearest, kind="stable")[:most]])


def by_similarity(values: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """Return an order of classes in which those that are alike stand together.

    It is the order of the leaves of average linkage with the distances 1 - cosine, which is as
    smooth as it can be (Bar-Joseph et al. 2001, "Fast optimal leaf ordering"). values: (C, C) as
    `cosines` returns them.
    """
    from scipy.cluster.hierarchy import leaves_list, linkage

    if len(values) < 3:
        return np.arange(len(values))
    distances = 1 - np.nan_to_num(values, nan=0.0)
    above = distances[np.triu_indices(len(values), 1)]
    tree = linkage(above, "average", optimal_ordering=True)
    order: npt.NDArray[np.intp] = leaves_list(tree).astype(np.intp)
    return order if order[0] < order[-1] else order[::-1]  # either direction is as smooth


@dataclass(frozen=True, slots=True)
class SimilarityWeights:
    """The pictures of the classes' weights against each other; see `WeightPictures`.

    class_names: C names. n_features: D.
    """

    class_names: Sequence[str]
    n_features: int

    @property
    def kind(self) -> Kind:
        """The kind of these pictures."""
        return Kind.SIMILARITY

    @property
    def title(self) -> str:
        """What they show."""
        return "Class similarity"

    @property
    def grid_names(self) -> Sequence[str]:
        """The name of the only image in MLflow's image grid."""
        return [GRID_NAME]

    def one(self, weights: Reals) -> bytes:
        """Return a PNG of the classes' cosines, ordered by similarity."""
        return self.side_by_side([(weights, "")])

    def side_by_side(self, entries: Sequence[Entry]) -> bytes:
        """Return a PNG of several models' cosines on one scale, in the order of the last model."""
        models = self._checked(entries)
        classes, names, note = self._classes(models[-1], CLASSES)
        values = [cosines(W[:, classes]) for W in models]
        scale = _scale(values)
        numbered = len(names) <= NUMBERED_CLASSES
        cells = Cells(20, 38, decimals=2) if numbered else Cells(20, 20)
        shown = [
            Matrix(each, scale, caption) for each, (_, caption) in zip(values, entries, strict=True)
        ]
        body = matrices(shown, names, names, cells)
        bar = colour_bar(scale, _MEANING)
        width = max(body.shape[1], bar.shape[1])
        notes = paragraphs([_ORDER, *([note] if note else [])], width, 12)
        return png(stacked([body, blank(4, 1), bar, *notes], gap=4, edge=10))

    def sheet(self, entries: Sequence[Entry], notes: Sequence[str] = ()) -> bytes:
        """Return a PNG of many models' cosines on one scale, in the order of the last, the best."""
        models = self._checked(entries)
        classes, names, note = self._classes(models[-1], SHEET_CLASSES)
        values = [cosines(W[:, classes]) for W in models]
        scale = _scale(values)
        shown = [
            Matrix(each, scale, caption) for each, (_, caption) in zip(values, entries, strict=True)
        ]
        told = (
            f"Cosines between the weights of two classes, on one scale: blue -{scale:.3g}, white "
            f"zero, red +{scale:.3g}. Columns have the order of the rows, that of the best trial."
        )
        return matrix_sheet(shown, names, Cells(18, 18), [told, *([note] if note else []), *notes])

    def grid(self, models: Sequence[Reals]) -> Grid:
        """Return one picture a model, in the order of the first, the best."""
        models = self._checked([(W, "") for W in models])
        classes, names, note = self._classes(models[0], GRID_CLASSES)
        values = [cosines(W[:, classes]) for W in models]
        scale = _scale(values)
        side = max(400 // len(names), 24)
        cells = Cells(side, side, letters=min(3 * side // 4, 24))
        bar = colour_bar(scale, "cosine between weights", 20)
        drawn = [matrices([Matrix(each, scale)], names, names, cells) for each in values]
        notes = paragraphs([note] if note else [], drawn[0].shape[1], 16)
        images = [[stacked([each, bar, *notes], gap=8, edge=8)] for each in drawn]
        return Grid(self.grid_names, scale, images)

    def _checked(self, entries: Sequence[Entry]) -> list[Reals]:
        """Return the models' weights. Raises ValueError if there is none or one is not (D, C)."""
        shape = (self.n_features, len(self.class_names))
        if not entries:
            raise ValueError("A picture of weights needs at least one model.")
        for weights, _ in entries:
            if weights.shape != shape:
                raise ValueError(f"Weights of shape {shape} are needed, not {weights.shape}.")
        return [weights for weights, _ in entries]

    def _classes(self, weights: Reals, most: int) -> tuple[npt.NDArray[np.intp], list[str], str]:
        """Return the classes that are shown, ordered by similarity, their names, and a sentence if
        others are not shown."""
        classes = most_alike(weights, most)
        classes = classes[by_similarity(cosines(weights[:, classes]))]
        C = len(self.class_names)
        among = f" of the {COMPARED:,} with the largest weights" if C > COMPARED else ""
        note = f"{most} of {C:,} classes: those that are most like another{among}."
        names = [printable(self.class_names[c]) or f"class {c}" for c in classes]
        return classes, names, note if most < C else ""


def _scale(values: Sequence[npt.NDArray[np.float64]]) -> float:
    """Return the cosine of full colour: the largest one, rounded up to a tenth."""
    return max(ceil(10 * max(map(largest, values)) - 1e-9), 1) / 10

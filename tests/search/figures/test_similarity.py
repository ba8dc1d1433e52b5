"""Classes against each other: cosines, their order, which classes are shown, and what is said."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from drawn import decoded, holds, says
from hypothesis import given
from hypothesis import strategies as st

from search.figures.matrix import Cells, Matrix, matrices
from search.figures.page import INK, text_line
from search.figures.similarity import (
    CLASSES,
    COMPARED,
    GRID_NAME,
    SHEET_CLASSES,
    SimilarityWeights,
    by_similarity,
    cosines,
    most_alike,
)


def off_diagonal(values: np.ndarray) -> np.ndarray:
    return values[~np.eye(len(values), dtype=bool)]


@given(st.integers(0, 1000), st.integers(2, 9), st.floats(-30, 30))
def test_cosines_are_those_of_the_definition(seed: int, C: int, exponent: float) -> None:
    weights = np.random.default_rng(seed).normal(size=(7, C)) * 10.0**exponent
    found = cosines(weights.astype(np.float32))
    unit = weights / np.linalg.norm(weights, axis=0)
    np.testing.assert_allclose(off_diagonal(found), off_diagonal(unit.T @ unit), atol=1e-5)
    assert np.isnan(np.diag(found)).all()


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf])
def test_a_class_without_a_direction_has_no_cosine(bad: float) -> None:
    weights = np.eye(4, 3)
    weights[:, 1] = bad
    found = cosines(weights)
    assert np.isnan(found[1]).all()
    assert np.isnan(found[:, 1]).all()
    assert found[0, 2] == 0


def groups(C: int, D: int, size: int, seed: int = 0) -> np.ndarray:
    """Weights of classes of which each ``size`` are alike, in an order that hides it."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(D, -(-C // size)))
    members = rng.permutation(C)
    weights = np.empty((D, C))
    weights[:, members] = centres[:, np.arange(C) // size] + 0.1 * rng.normal(size=(D, C))
    return weights


def test_classes_that_are_alike_stand_together() -> None:
    weights = groups(12, 64, 3)
    values = cosines(weights)
    order = by_similarity(values)
    assert sorted(order) == list(range(12))
    ordered = values[np.ix_(order, order)]
    for start in range(0, 12, 3):
        block = off_diagonal(ordered[start : start + 3, start : start + 3])
        assert block.min() > 0.9, "each three in a row are alike"


def test_one_or_two_classes_keep_their_order() -> None:
    assert by_similarity(cosines(np.eye(3, 2))).tolist() == [0, 1]
    assert by_similarity(cosines(np.eye(3, 1))).tolist() == [0]


def test_of_many_classes_those_most_like_another_are_shown() -> None:
    rng = np.random.default_rng(1)
    weights = rng.normal(size=(400, 60))
    for twin, of in ((7, 50), (31, 2)):
        weights[:, twin] = weights[:, of] + 0.05 * rng.normal(size=400)
    assert most_alike(weights, 4).tolist() == [2, 7, 31, 50]


def test_of_very_many_classes_those_with_the_largest_weights_are_compared() -> None:
    C = COMPARED + 200
    weights = np.random.default_rng(1).normal(size=(20, C))
    weights[:, :200] *= 1e-3
    assert most_alike(weights, 24).min() >= 200


def test_all_of_few_classes_are_shown() -> None:
    assert most_alike(np.eye(9, 5), 24).tolist() == [0, 1, 2, 3, 4]


def test_what_is_left_out_is_said() -> None:
    pictures = SimilarityWeights([f"class {c}" for c in range(300)], 64)
    weights = groups(300, 64, 5)
    assert says(
        pictures.one(weights), f"{CLASSES} of 300 classes: those that are most like another."
    )
    sheet = pictures.sheet([(weights, "#1")] * 5)
    assert says(sheet, f"{SHEET_CLASSES} of 300 classes: those that are most like another.")


def test_a_picture_of_many_classes_takes_little_memory() -> None:
    """Neither all cosines of C classes, nor another copy of all weights."""
    D, C = 64, 10_000
    weights = np.random.default_rng(0).normal(size=(D, C)).astype(np.float32)
    pictures = SimilarityWeights([f"class {c}" for c in range(C)], D)
    tracemalloc.start()
    picture = pictures.one(weights)
    taken = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert taken < 2 * weights.nbytes + 8 * COMPARED**2 + (8 << 20)
    assert len(picture) < 100_000


@pytest.mark.parametrize(("D", "C"), [(64, 3), (1280, 10), (64, 500), (320, 26)])
def test_pictures_stay_readable(D: int, C: int) -> None:
    """They fit into a window, however many classes there are."""
    weights = groups(C, D, 3).astype(np.float32)
    pictures = SimilarityWeights([f"a class called {c}" for c in range(C)], D)
    height, width, _ = decoded(pictures.one(weights)).shape
    assert 150 < height < 800
    assert 200 < width < 800
    assert (
        decoded(pictures.sheet([(weights, f"#{n}: loss 0.1") for n in range(24)])).shape[1] < 1300
    )
    height, width, _ = decoded(pictures.side_by_side([(weights, "a"), (weights, "b")])).shape
    assert width < 1500


def test_names_stand_beside_their_rows_and_above_their_columns() -> None:
    names = ["one", "a rather long name"]
    values = np.array([[1.0, 0.0], [0.0, -1.0]])
    picture = matrices([Matrix(values, 1.0)], names, names, Cells(20, 20))
    lines = [text_line(name, 12, INK) for name in names]
    corner = picture[:-41, :-41]
    assert not any(holds(corner, line) for line in lines)
    for place, line in enumerate(lines):
        top, left = (size - 41 + 20 * place for size in picture.shape[:2])
        row, column = picture[top : top + 20, :-41], picture[:-41, left : left + 20]
        assert holds(row, line)
        assert holds(column, np.rot90(line)), "upright, because one is too wide"


def test_models_side_by_side_have_the_order_of_the_last() -> None:
    first, second = groups(9, 64, 3, seed=1), groups(9, 64, 3, seed=2)
    pictures = SimilarityWeights([str(c) for c in range(9)], 64)
    values = cosines(second)
    order = by_similarity(values)
    both = decoded(pictures.side_by_side([(first, "a"), (second, "b")]))
    scale = 1.0  # of both: members of a group have cosines near 1
    ordered = [Matrix(cosines(W)[np.ix_(order, order)], scale) for W in (first, second)]
    names = [str(c) for c in order]
    for each in ordered:
        drawn = matrices([each], names, names, Cells(20, 38, decimals=2))
        assert holds(both, drawn[-180:, -300:])


def test_the_grid_has_one_image_a_model() -> None:
    weights = groups(500, 64, 5)
    pictures = SimilarityWeights([f"class {c}" for c in range(500)], 64)
    grid = pictures.grid([weights, -weights])
    assert list(grid.names) == list(pictures.grid_names) == [GRID_NAME]
    assert [len(images) for images in grid.images] == [1, 1]
    assert max(grid.images[0][0].shape) < 800
    assert 0 < grid.scale <= 1


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_weights_without_a_direction_can_be_drawn(value: float) -> None:
    weights = np.full((64, 5), value)
    pictures = SimilarityWeights("abcde", 64)
    assert decoded(pictures.one(weights)).shape[2] == 3
    assert decoded(pictures.sheet([(weights, "#1")])).shape[2] == 3


def test_what_does_not_fit_is_refused() -> None:
    pictures = SimilarityWeights("abc", 60)
    with pytest.raises(ValueError, match=r"Weights of shape \(60, 3\) are needed"):
        pictures.one(np.zeros((3, 60)))
    for draw in (pictures.sheet, pictures.side_by_side, pictures.grid):
        with pytest.raises(ValueError, match="at least one model"):
            draw([])

"""Weights of tables: which features and classes are shown, in which order, and what is said."""

from __future__ import annotations

import numpy as np
import pytest
from drawn import decoded, holds, says

from search.figures.colours import coloured
from search.figures.page import INK, text_line
from search.figures.weights_table import (
    CLASSES,
    FEATURES,
    GRID_CLASSES,
    GRID_FEATURES,
    SHEET_CLASSES,
    TableWeights,
    most_weighty,
)


def table(D: int, C: int) -> TableWeights:
    return TableWeights(
        [f"class {c}" for c in range(C)], [f"name {d}" for d in range(D)], np.full(C, 7)
    )


def test_the_features_with_the_largest_weights_are_first() -> None:
    weights = np.array([[0.1, -0.2], [3.0, -3.0], [0.0, 0.0], [-5.0, 1.0]])
    assert most_weighty([weights], 3).tolist() == [3, 1, 0]


def test_equal_weights_keep_the_order_of_the_features() -> None:
    assert most_weighty([np.ones((5, 2))], 5).tolist() == [0, 1, 2, 3, 4]


def test_a_feature_is_as_large_as_in_any_of_the_models() -> None:
    first, second = np.zeros((3, 2)), np.zeros((3, 2))
    first[1], second[2] = 1, 2
    assert most_weighty([first, second], 3).tolist() == [2, 1, 0]


def test_weights_that_are_not_finite_are_not_large() -> None:
    weights = np.array([[np.inf, 0.0], [0.5, 0.0], [np.nan, 0.7]])
    assert most_weighty([weights], 3).tolist() == [2, 1, 0]


def test_cells_have_the_colours_of_their_weights_in_this_order() -> None:
    weights = np.array([[0.5, -0.5], [-1.0, 1.0]])
    picture = decoded(TableWeights(("a", "b"), ("x", "y"), np.ones(2, int)).one(weights))
    seen = {tuple(colour) for colour in picture.reshape(-1, 3).tolist()}
    places = {}
    for value in (0.5, -0.5, -1.0, 1.0):
        colour = tuple(coloured(np.array(value), 1.0).tolist())
        assert colour in seen
        # Numbers below the matrix's top right corner belong to the colour bar.
        rows, columns = np.nonzero((picture[:70] == colour).all(axis=2))
        places[value] = (rows.mean(), columns.mean())
    assert places[-1.0][0] < places[0.5][0], "the larger feature is above"
    assert places[-1.0][1] < places[1.0][1], "classes run from left to right"
    assert places[0.5][1] < places[-0.5][1]


@pytest.mark.parametrize(("D", "C"), [(1, 2), (13, 3), (30, 10), (64, 500), (617, 26), (5000, 2)])
def test_pictures_stay_readable(D: int, C: int) -> None:
    """They fit into a window, however many features and classes there are."""
    weights = np.random.default_rng(0).normal(size=(D, C)).astype(np.float32)
    pictures = table(D, C)
    height, width, _ = decoded(pictures.one(weights)).shape
    assert 80 < height < 700
    assert 150 < width < 800
    height, width, _ = decoded(
        pictures.sheet([(weights, f"#{n}: loss 0.1") for n in range(24)])
    ).shape
    assert width < 1300
    height, width, _ = decoded(pictures.side_by_side([(weights, "one"), (weights, "two")])).shape
    assert width < 1500


def test_what_is_left_out_is_said() -> None:
    picture = table(617, 26).one(np.ones((617, 26)))
    assert says(picture, f"{FEATURES} of 617 features, those with the largest weights.")
    assert says(picture, f"{CLASSES} of 26 classes: the first ones.")
    sheet = table(617, 26).sheet([(np.ones((617, 26)), "#1")] * 9)
    assert says(sheet, "16 of 617 features, those with the largest weights.")
    assert says(sheet, f"{SHEET_CLASSES} of 26 classes: the first ones.")


def test_the_grid_has_few_images_of_the_same_features() -> None:
    weights = np.random.default_rng(0).normal(size=(40, 500))
    pictures = table(40, 500)
    grid = pictures.grid([weights, 0.5 * weights])
    assert list(grid.names) == list(pictures.grid_names) == [f"class {c}" for c in range(12)]
    assert GRID_CLASSES == 12
    assert [len(images) for images in grid.images] == [12, 12]
    assert grid.scale == np.abs(weights[:, :12]).max(), "of the classes that are shown"
    assert {image.shape for images in grid.images for image in images} == {(512, 512, 3)}
    assert GRID_FEATURES < 40
    assert SHEET_CLASSES < 500


@pytest.mark.parametrize("value", [0.0, np.nan, 1e-30, 1e30])
def test_weights_of_any_size_can_be_drawn(value: float) -> None:
    pictures, weights = table(3, 2), np.full((3, 2), value)
    for draw in (
        lambda: pictures.one(weights),
        lambda: pictures.side_by_side([(weights, "a"), (weights, "b")]),
        lambda: pictures.sheet([(weights, "a")]),
    ):
        assert decoded(draw()).shape[2] == 3
    assert len(pictures.grid([weights]).images[0]) == 2


@pytest.mark.parametrize("name", ["", "日本", "a very long name of a feature " * 9, "two\nlines"])
def test_odd_names_have_a_place(name: str) -> None:
    picture = decoded(TableWeights(("a", name), (name, "y"), np.ones(2, int)).one(np.eye(2)))
    assert picture.shape[1] < 500


def test_the_same_weights_give_the_same_bytes() -> None:
    weights = np.random.default_rng(0).normal(size=(13, 3))
    assert table(13, 3).one(weights) == table(13, 3).one(weights.copy())


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Weights of shape \(3, 2\) are needed, not \(2, 3\)"):
        table(3, 2).one(np.zeros((2, 3)))
    for draw in (table(3, 2).sheet, table(3, 2).side_by_side, table(3, 2).grid):
        with pytest.raises(ValueError, match="at least one model"):
            draw([])


def test_features_are_chosen_by_the_classes_that_are_shown() -> None:
    weights = np.zeros((40, 500))
    weights[:, -1] = 100  # a class that is not shown
    weights[33, 0], weights[5, 1] = 2, 1
    picture = table(40, 500).one(weights)
    names = [line for d in (33, 5) for line in [text_line(f"name {d}", 12, INK)]]
    assert all(holds(decoded(picture), line) for line in names)
    assert holds(decoded(picture), text_line("+2", 12, INK)), "the scale is that of what is shown"

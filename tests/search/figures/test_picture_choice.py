"""Which kind of picture fits which data, and which classes are shown of very many."""

from __future__ import annotations

import numpy as np
import pytest
from drawn import decoded, holds, says

from core.datasets.dataset import Dataset
from search.figures import templates
from search.figures.image_weights import OF_MANY, ImageWeights
from search.figures.page import INK, text_line
from search.figures.picture_choice import FEW, kind_of, weight_pictures
from search.figures.shown_classes import ShownClasses
from search.figures.weight_pictures import Kind


@pytest.mark.parametrize(
    ("image_shape", "features", "classes", "named", "kind"),
    [
        ((28, 28), 784, 10, False, Kind.IMAGE),
        ((28, 28), 784, 500, False, Kind.IMAGE),
        ((32, 32, 3), 3072, 10, False, Kind.IMAGE),
        (None, 13, 3, False, Kind.TABLE),
        (None, 13, 3, True, Kind.TABLE),
        (None, 617, 26, True, Kind.TABLE),
        (None, FEW, 500, False, Kind.TABLE),
        (None, FEW + 1, 500, False, Kind.SIMILARITY),
        (None, 1280, 10, False, Kind.SIMILARITY),
        (None, 1280, 2, False, Kind.TABLE),
    ],
)
def test_the_kind_fits_the_data(
    image_shape: tuple[int, ...] | None, features: int, classes: int, named: bool, kind: Kind
) -> None:
    assert kind_of(image_shape, features, classes, named=named) is kind


@pytest.mark.parametrize(("shape", "D", "C"), [((2, 3), 6, 2), (None, 6, 2), (None, FEW + 1, 3)])
def test_the_pictures_of_a_dataset_take_its_weights(
    shape: tuple[int, int] | None, D: int, C: int
) -> None:
    rng = np.random.default_rng(0)
    data = Dataset.of(rng.random((9, D)), np.arange(9) % C, tuple("abc"[:C]), shape)
    pictures = weight_pictures(data)
    assert pictures.kind is kind_of(shape, D, C, named=False)
    weights = rng.normal(size=(D, C))
    for drawn in (
        pictures.one(weights),
        pictures.side_by_side([(weights, "a"), (weights, "b")]),
        pictures.sheet([(weights, "a"), (weights, "b")]),
    ):
        assert decoded(drawn).std() > 0
    grid = pictures.grid([weights])
    assert list(grid.names) == list(pictures.grid_names)
    assert len(grid.images[0]) == len(grid.names)
    assert len(f"{pictures.title} side by side") <= 30, "MLflow would cut the heading"


def test_images_of_up_to_a_hundred_classes_are_templates_and_nothing_else() -> None:
    names = tuple(map(str, range(100)))
    weights = np.random.default_rng(0).normal(size=(16, 100)).astype(np.float32)
    pictures = ImageWeights(names, (4, 4), np.ones(100, int))
    assert pictures.one(weights) == templates.templates(weights, names, (4, 4))
    entries = [(weights, "a"), (weights, "b")]
    assert pictures.sheet(entries) == templates.contact_sheet(entries, names, (4, 4))


def test_of_more_classes_some_templates_are_shown_and_said() -> None:
    weights = np.random.default_rng(0).normal(size=(16, 500))
    pictures = ImageWeights([str(c) for c in range(500)], (4, 4), np.arange(500))
    picture = pictures.one(weights)
    assert max(decoded(picture).shape) < 800
    sentence = f"{OF_MANY} of 500 classes: those with the most examples."
    assert says(picture, sentence, size=11)
    assert says(pictures.side_by_side([(weights, "a")]), sentence, size=11)
    assert says(pictures.sheet([(weights, "a")]), sentence)
    assert list(pictures.grid_names) == [str(c) for c in range(488, 500)]


def test_images_in_colour_show_the_mean_of_their_channels() -> None:
    weights = np.random.default_rng(0).normal(size=(4 * 4 * 3, 2))
    mean = weights.reshape(16, 3, 2).mean(axis=1)
    pictures = ImageWeights(("a", "b"), (4, 4, 3), np.ones(2, int))
    grid = pictures.grid([weights])
    assert grid.scale == np.abs(mean).max(), "the largest that is drawn has full colour"
    expected = templates.class_image(mean[:, 1], (4, 4), grid.scale)
    assert np.array_equal(grid.images[0][1], expected)
    both = decoded(pictures.one(weights))
    grey = decoded(ImageWeights(("a", "b"), (4, 4), np.ones(2, int)).one(mean))
    assert np.array_equal(both[: len(grey) - 6], grey[:-6])
    assert len(both) > len(grey), "a note says what is shown"


def test_the_classes_with_the_most_examples_are_shown_in_their_order() -> None:
    shown = ShownClasses.of(np.array([5, 9, 1, 9, 7]), 3)
    assert shown.indices.tolist() == [1, 3, 4]
    assert shown.note == "3 of 5 classes: those with the most examples."


def test_of_classes_with_equally_many_examples_the_first_are_shown() -> None:
    shown = ShownClasses.of(np.full(2000, 7), 20)
    assert shown.indices.tolist() == list(range(20))
    assert shown.note == "20 of 2,000 classes: the first ones."


def test_few_classes_are_all_shown() -> None:
    shown = ShownClasses.of(np.array([1, 2, 3]), 3)
    assert shown.indices.tolist() == [0, 1, 2]
    assert shown.note == ""


def test_features_are_called_what_the_data_calls_them() -> None:
    X = np.random.default_rng(0).random((6, FEW + 9))
    names = tuple(f"column {d}" for d in range(FEW + 9))
    for given, name in ((names, "column 3"), (None, "feature 3")):
        data = Dataset.of(X, np.arange(6) % 2, ("a", "b"), feature_names=given)
        weights = np.zeros((FEW + 9, 2))
        weights[3] = 1, -1
        assert holds(decoded(weight_pictures(data).one(weights)), text_line(name, 12, INK))

"""The figure of sets of features, and heat maps that say which set a panel shows."""

from __future__ import annotations

import functools
import io

import numpy as np
import numpy.typing as npt
import pytest
from layered import made_layers
from PIL import Image

from core.trainer.result import Hyperparameters, Status
from search.figures import style
from search.figures.heat_maps import heat_maps
from search.figures.heat_panels import MAX_PANELS
from search.figures.layers import layers_figure
from search.spec.objective import Objective
from search.trials.finished_trial import FinishedTrial
from search.trials.layers import Layers


def decoded(png: bytes) -> npt.NDArray[np.uint8]:
    """The pixels of a PNG in colour, (height, width, 3)."""
    with Image.open(io.BytesIO(png)) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB"))


def area(picture: npt.NDArray[np.uint8], colour: str) -> int:
    """How many pixels have this colour."""
    return int((np.abs(picture.astype(int) - _rgb(colour)).max(axis=2) <= 4).sum())


def names_of(layers: Layers) -> list[str]:
    return [f"layer-{k}" for k in range(layers.count)]


@pytest.mark.parametrize(
    ("count", "objective"),
    [
        (2, Objective.LOSS),
        (3, Objective.ACCURACY),
        (18, Objective.LOSS),
        (18, Objective.BALANCED_ACCURACY),
        (60, Objective.ACCURACY),
        (300, Objective.BALANCED_ACCURACY),
    ],
)
def test_a_figure_of_few_or_many_layers_can_be_read(count: int, objective: Objective) -> None:
    layers = made_layers(count, objective)
    picture = decoded(layers_figure(layers, names_of(layers)))
    assert 500 < picture.shape[1] < 1600
    assert 350 < picture.shape[0] < 1000
    assert area(picture, style.VERMILION) > 100, "the star"
    assert area(picture, style.BLUE) > 50, "what ties with it"


def test_only_what_ties_is_filled() -> None:
    names = names_of(made_layers(18))
    few, many = (layers_figure(made_layers(18, tied=tied), names) for tied in (1, 5))
    assert area(decoded(many), style.BLUE) > 2 * area(decoded(few), style.BLUE)


def test_layers_that_are_missing_leave_their_places_empty() -> None:
    whole, part = made_layers(18), made_layers(18, missing=6)
    assert part.first.place == whole.first.place
    pictures = [decoded(layers_figure(each, names_of(whole))) for each in (whole, part)]
    assert pictures[0].shape == pictures[1].shape
    left = slice(80, pictures[0].shape[1] // 3)
    drawn = [(picture[150:-120, left] < 160).any(axis=2).sum() for picture in pictures]
    assert drawn[1] < drawn[0] / 2


def test_odd_names_and_scores() -> None:
    layers = made_layers(3)
    names = ["$x_1$", "a" * 60, "Schicht 3 — größte"]
    picture = layers_figure(layers, names)
    assert decoded(picture).shape[1] < 1600
    perfect = made_layers(2, Objective.ACCURACY, tied=0)
    assert decoded(layers_figure(perfect, names_of(perfect))).ndim == 3
    assert layers_figure(layers, names) == picture


def trials(layers: int, sizes: int = 1) -> list[FinishedTrial]:
    """A grid of 3 x 2 for each layer and batch size; the last of all is the best."""
    tried = [
        Hyperparameters(10.0**-rate, decay, 8 * (size + 1), features=f"layer-{layer}")
        for layer in range(layers)
        for size in range(sizes)
        for rate in range(3)
        for decay in (0.0, 0.1)
    ]
    return [
        FinishedTrial(
            k, each, Status.COMPLETED, 1, 0.5, 1 / (k + 1), 1 - 1 / (k + 2), 3, 1, 3, f"{k}"
        )
        for k, each in enumerate(tried)
    ]


@functools.cache
def panels(layers: int, sizes: int = 1) -> npt.NDArray[np.uint8]:
    names = [f"layer-{k}" for k in range(layers)]
    return decoded(heat_maps(trials(layers, sizes), features=names))


def width(layers: int, sizes: int = 1) -> int:
    return panels(layers, sizes).shape[1]


def test_few_layers_have_a_panel_each_and_many_an_overview() -> None:
    assert width(3) > width(2) > width(1)
    assert width(60) == width(MAX_PANELS + 1) == width(2), "the best layer's panel, and one of all"
    assert width(7, 2) == width(3), "an overview and the two batch sizes of the best"
    assert width(1, 20) < 1000
    assert width(2, 20) == width(2), "too many batch sizes share a panel"


def test_the_panels_have_the_order_of_the_study_file() -> None:
    turned = decoded(heat_maps(trials(2), features=["layer-1", "layer-0"]))
    star = [
        np.argwhere(np.abs(p.astype(int) - _rgb(style.VERMILION)).max(axis=2) <= 4)
        for p in (turned, panels(2))
    ]
    first, last = (at[at[:, 0] > 40][:, 1].mean() for at in star)
    assert first < last - 100, "the best layer stands left if it comes first"


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour[1:]))
